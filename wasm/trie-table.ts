// An open-addressed hash table as words and edges use it. The owner keeps its address and block size.
//
// Place, 8 bytes:  u32 hash          u32 value, 0 when the place is empty
//
// An entry stands at its hash's place or behind it, with no empty place between. At most half the places are taken.
import { freeBlock, takeZeroBlock } from "./trie-memory";

const PLACE_BYTES_LOG: u32 = 3;

export function maskOf(block: u32): u32 {
  return (1 << (block - PLACE_BYTES_LOG)) - 1;
}

export function entryAt(table: usize, place: u32): u64 {
  return load<u64>(table + (place << PLACE_BYTES_LOG));
}

export function hashIn(entry: u64): u32 {
  return <u32>entry;
}

export function valueIn(entry: u64): u32 {
  return <u32>(entry >> 32);
}

/** Whether so many entries leave half the places empty. */
export function hasPlaces(block: u32, count: u32): bool {
  return count <= 1 << (block - PLACE_BYTES_LOG - 1);
}

export function putEntry(table: usize, block: u32, hash: u32, value: u32): void {
  const mask = maskOf(block);
  let place = hash & mask;
  while (valueIn(entryAt(table, place)) != 0) place = (place + 1) & mask;
  store<u64>(table + (place << PLACE_BYTES_LOG), ((<u64>value) << 32) | hash);
}

/** Empties the entry's place and moves back what only stood behind it because it was taken. */
export function removeEntry(table: usize, block: u32, hash: u32, value: u32): void {
  const mask = maskOf(block);
  let hole = hash & mask;
  while (valueIn(entryAt(table, hole)) != value) hole = (hole + 1) & mask;
  for (let place = (hole + 1) & mask; ; place = (place + 1) & mask) {
    const entry = entryAt(table, place);
    if (valueIn(entry) == 0) break;
    const home = hashIn(entry) & mask;
    if (((place - home) & mask) < ((place - hole) & mask)) continue;
    store<u64>(table + (hole << PLACE_BYTES_LOG), entry);
    hole = place;
  }
  store<u64>(table + (hole << PLACE_BYTES_LOG), 0);
}

/** The table in a block of twice the size, the old one freed. 0, and the old one kept, when memory is exhausted. */
export function doubleTable(table: usize, block: u32): usize {
  const grown = takeZeroBlock(block + 1);
  if (grown == 0) return 0;
  for (let place: u32 = 0; place <= maskOf(block); place++) {
    const entry = entryAt(table, place);
    if (valueIn(entry) != 0) putEntry(grown, block + 1, hashIn(entry), valueIn(entry));
  }
  freeBlock(table, block);
  return grown;
}
