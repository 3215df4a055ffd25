// CRC-32C (Castagnoli), eight bytes a step. The twin is wasm/crc32c.ts.

const POLYNOMIAL = 0x82f63b78; // bits reversed
const TABLES = makeTables();

/** Table k at index 256 k: the remainder of a byte followed by k zero bytes. */
function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let remainder = byte;
    for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (POLYNOMIAL & -(remainder & 1));
    tables[byte] = remainder;
  }
  for (let i = 256; i < tables.length; i++) {
    const shorter = tables[i - 256]!;
    tables[i] = (shorter >>> 8) ^ tables[shorter & 0xff]!;
  }
  return tables;
}

export function crc32c(bytes: Uint8Array, from = 0): number {
  const t = TABLES;
  const end = bytes.length;
  let crc = -1;
  let at = from;
  for (; at + 8 <= end; at += 8) {
    crc =
      t[1792 + ((crc ^ bytes[at]!) & 0xff)]! ^
      t[1536 + (((crc >>> 8) ^ bytes[at + 1]!) & 0xff)]! ^
      t[1280 + (((crc >>> 16) ^ bytes[at + 2]!) & 0xff)]! ^
      t[1024 + (((crc >>> 24) ^ bytes[at + 3]!) & 0xff)]! ^
      t[768 + bytes[at + 4]!]! ^
      t[512 + bytes[at + 5]!]! ^
      t[256 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!;
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ t[(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
}
