// A hash table as words and edges have one: open-addressed, at most half the places taken.
//
// Table, 12 bytes:  0 u32 address of the places      4 u32 their block's size, as a power of two     8 u32 entries
// Place, 8 bytes:   0 u32 hash                       4 u32 value, 0 when the place is empty
//
// An entry stands at its hash's place or behind it, with no empty place between.
import { freeBlock, takeZeroBlock } from "./trie-memory";

const BLOCK: usize = 4;
const ENTRIES: usize = 8;
const PLACE_BYTES_LOG: u32 = 3;
/** A block of 2^11 bytes, the smallest that starts at a cache line. */
const FIRST_BLOCK: u32 = 11;

/** False when memory is exhausted. */
export function openTable(table: usize): bool {
  const places = takeZeroBlock(FIRST_BLOCK);
  store<u32>(table, <u32>places);
  store<u32>(table, FIRST_BLOCK, BLOCK);
  return places != 0;
}

function maskIn(block: u32): u32 {
  return (1 << (block - PLACE_BYTES_LOG)) - 1;
}

/** And a hash or a place with this, to come to a place. */
export function maskOf(table: usize): u32 {
  return maskIn(load<u32>(table, BLOCK));
}

export function placesOf(table: usize): usize {
  return load<u32>(table);
}

export function entryAt(places: usize, place: u32): u64 {
  return load<u64>(places + (place << PLACE_BYTES_LOG));
}

export function hashIn(entry: u64): u32 {
  return <u32>entry;
}

export function valueIn(entry: u64): u32 {
  return <u32>(entry >> 32);
}

function put(places: usize, mask: u32, entry: u64): void {
  let place = hashIn(entry) & mask;
  while (valueIn(entryAt(places, place)) != 0) place = (place + 1) & mask;
  store<u64>(places + (place << PLACE_BYTES_LOG), entry);
}

/** `haveEntries` comes first. */
export function putEntry(table: usize, hash: u32, value: u32): void {
  put(placesOf(table), maskOf(table), ((<u64>value) << 32) | hash);
  store<u32>(table, load<u32>(table, ENTRIES) + 1, ENTRIES);
}

/** Empties the entry's place and moves back what only stood behind it because it was taken. */
export function removeEntry(table: usize, hash: u32, value: u32): void {
  const places = placesOf(table);
  const mask = maskOf(table);
  let hole = hash & mask;
  while (valueIn(entryAt(places, hole)) != value) hole = (hole + 1) & mask;
  for (let place = (hole + 1) & mask; ; place = (place + 1) & mask) {
    const entry = entryAt(places, place);
    if (valueIn(entry) == 0) break;
    const home = hashIn(entry) & mask;
    if (((place - home) & mask) < ((place - hole) & mask)) continue;
    store<u64>(places + (hole << PLACE_BYTES_LOG), entry);
    hole = place;
  }
  store<u64>(places + (hole << PLACE_BYTES_LOG), 0);
  store<u32>(table, load<u32>(table, ENTRIES) - 1, ENTRIES);
}

/** Places for `more` entries. False when memory is exhausted. */
export function haveEntries(table: usize, more: u32): bool {
  while (load<u32>(table, ENTRIES) + more > (maskOf(table) + 1) >> 1) if (!double(table)) return false;
  return true;
}

function double(table: usize): bool {
  const block = load<u32>(table, BLOCK);
  const grown = takeZeroBlock(block + 1);
  if (grown == 0) return false;
  const places = placesOf(table);
  const mask = maskIn(block);
  for (let place: u32 = 0; place <= mask; place++) {
    const entry = entryAt(places, place);
    if (valueIn(entry) != 0) put(grown, maskIn(block + 1), entry);
  }
  freeBlock(places, block);
  store<u32>(table, <u32>grown);
  store<u32>(table, block + 1, BLOCK);
  return true;
}
