// CRC-32C (Castagnoli), sixteen bytes a step: sixteen tables say what each byte of the step adds to the remainder,
// so only the first four wait for the step before. wasm has no carry-less multiplication to do better with.
import { CRC_TABLES } from "./memory";

const POLYNOMIAL: u32 = 0x82f63b78; // bits reversed

/** Table k at CRC_TABLES + 1024 k: the remainder of a byte followed by k zero bytes. */
function fillTables(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let remainder = byte;
    for (let bit = 0; bit < 8; bit++) remainder = (remainder >> 1) ^ (POLYNOMIAL & (0 - (remainder & 1)));
    store<u32>(CRC_TABLES + (byte << 2), remainder);
  }
  for (let byte: u32 = 0; byte < 256; byte++) {
    let remainder = load<u32>(CRC_TABLES + (byte << 2));
    for (let k: u32 = 1; k < 16; k++) {
      remainder = (remainder >> 8) ^ load<u32>(CRC_TABLES + ((remainder & 0xff) << 2));
      store<u32>(CRC_TABLES + (k << 10) + (byte << 2), remainder);
    }
  }
}
fillTables();

function entry(k: u32, byte: u32): u32 {
  return load<u32>(CRC_TABLES + (k << 10) + ((byte & 0xff) << 2));
}

function fourEntries(k: u32, word: u32): u32 {
  return entry(k + 3, word) ^ entry(k + 2, word >> 8) ^ entry(k + 1, word >> 16) ^ entry(k, word >> 24);
}

/** Goes on from `before`, the checksum of the bytes so far; 0 at the start. */
export function crc32c(at: usize, size: u32, before: u32): u32 {
  let crc = ~before;
  const end = at + size;
  while (at + 16 <= end) {
    crc =
      fourEntries(12, load<u32>(at) ^ crc) ^
      fourEntries(8, load<u32>(at, 4)) ^
      fourEntries(4, load<u32>(at, 8)) ^
      fourEntries(0, load<u32>(at, 12));
    at += 16;
  }
  for (; at < end; at++) crc = (crc >> 8) ^ entry(0, crc ^ load<u8>(at));
  return ~crc;
}
