// Slots: those bound at a node, and those found by the topics of a call.
//
// Most nodes have one slot, added once. It stands in the node's row: 20 u32 1, 24 u32 slot. Otherwise
//
//   in the row       20 u32 slots, and the highest bit set      24 u32 address of their block
//   in the block      0 u32 block size, as a power of two        4 u32 unused
//                     8 per slot, ascending: u32 slot, u32 times it was added
import * as map from "./trie-memory";
import { blockFor, freeBlock, takeBlock } from "./trie-memory";

const COUNT: usize = 20;
const PLACE: usize = 24;
const IN_BLOCK: u32 = 0x80000000;
const HEAD_BYTES: u32 = 8;
const ROW_BYTES: u32 = 8;

/** Few are sorted in place; many are read off the bits that mark them. */
const SORTED_MAX: u32 = 32;

export const EXHAUSTED: i32 = -1;

/** The address of the first row with this slot or a higher one. */
function lowerBound(block: usize, count: u32, slot: u32): usize {
  let low: u32 = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (load<u32>(block + HEAD_BYTES + middle * ROW_BYTES) < slot) low = middle + 1;
    else high = middle;
  }
  return block + HEAD_BYTES + low * ROW_BYTES;
}

/** Adds the slot to the node of `row`: 1 when it is new there, 0 when it was counted up, or EXHAUSTED. */
export function addSlot(row: usize, slot: u32): i32 {
  if (load<u32>(row, COUNT) == 0) {
    store<u32>(row, 1, COUNT);
    store<u32>(row, slot, PLACE);
    return 1;
  }
  if ((load<u32>(row, COUNT) & IN_BLOCK) == 0 && !openBlock(row)) return EXHAUSTED;
  const count = load<u32>(row, COUNT) & ~IN_BLOCK;
  let block = <usize>load<u32>(row, PLACE);
  let place = lowerBound(block, count, slot);
  let end = block + HEAD_BYTES + count * ROW_BYTES;
  if (place < end && load<u32>(place) == slot) {
    store<u32>(place, load<u32>(place, 4) + 1, 4);
    return 0;
  }
  const bytes = HEAD_BYTES + (count + 1) * ROW_BYTES;
  if (bytes > 1 << load<u32>(block)) {
    const moved = moveBlock(row, bytes);
    if (moved == 0) return EXHAUSTED;
    place += moved - block;
    end += moved - block;
    block = moved;
  }
  memory.copy(place + ROW_BYTES, place, end - place);
  store<u32>(place, slot);
  store<u32>(place, 1, 4);
  store<u32>(row, (count + 1) | IN_BLOCK, COUNT);
  return 1;
}

/** Moves the only slot from the row to a block. False when memory is exhausted. */
function openBlock(row: usize): bool {
  const n = blockFor(HEAD_BYTES + 2 * ROW_BYTES);
  const block = takeBlock(n);
  if (block == 0) return false;
  store<u32>(block, n);
  store<u32>(block, load<u32>(row, PLACE), HEAD_BYTES);
  store<u32>(block, 1, HEAD_BYTES + 4);
  store<u32>(row, 1 | IN_BLOCK, COUNT);
  store<u32>(row, <u32>block, PLACE);
  return true;
}

/** The node's slots in a block that holds `bytes`. 0, and the old block kept, when memory is exhausted. */
function moveBlock(row: usize, bytes: u32): usize {
  const n = blockFor(bytes);
  const moved = takeBlock(n);
  if (moved == 0) return 0;
  const block = <usize>load<u32>(row, PLACE);
  memory.copy(moved, block, HEAD_BYTES + (load<u32>(row, COUNT) & ~IN_BLOCK) * ROW_BYTES);
  freeBlock(block, load<u32>(block));
  store<u32>(moved, n);
  store<u32>(row, <u32>moved, PLACE);
  return moved;
}

/** Counts the slot down at the node of `row`: 1 when that was the last, 0 when more are left, -1 when it is not there. */
export function removeSlot(row: usize, slot: u32): i32 {
  const held = load<u32>(row, COUNT);
  if ((held & IN_BLOCK) == 0) {
    if (held == 0 || load<u32>(row, PLACE) != slot) return -1;
    clearSlots(row);
    return 1;
  }
  const count = held & ~IN_BLOCK;
  const block = <usize>load<u32>(row, PLACE);
  const place = lowerBound(block, count, slot);
  const end = block + HEAD_BYTES + count * ROW_BYTES;
  if (place == end || load<u32>(place) != slot) return -1;
  const times = load<u32>(place, 4) - 1;
  store<u32>(place, times, 4);
  if (times != 0) return 0;
  memory.copy(place, place + ROW_BYTES, end - place - ROW_BYTES);
  store<u32>(row, (count - 1) | IN_BLOCK, COUNT);
  if (count == 1) {
    freeBlock(block, load<u32>(block));
    clearSlots(row);
  } else if (blockFor(2 * (HEAD_BYTES + count * ROW_BYTES)) < load<u32>(block)) {
    // A quarter full or less. Without room for the smaller block the larger one stays.
    moveBlock(row, HEAD_BYTES + count * ROW_BYTES);
  }
  return 1;
}

function clearSlots(row: usize): void {
  store<u32>(row, 0, COUNT);
  store<u32>(row, 0, PLACE);
}

function bitsOf(bits: usize, slot: u32): usize {
  return bits + ((slot >> 6) << 3);
}

/** Appends the slots of the node of `row` that this topic has not found yet. Returns the address behind them. */
export function findSlots(row: usize, found: usize): usize {
  const held = load<u32>(row, COUNT);
  if (held == 0) return found;
  const place = load<u32>(row, PLACE);
  if ((held & IN_BLOCK) == 0) return findSlot(place, found);
  const end = <usize>place + HEAD_BYTES + (held & ~IN_BLOCK) * ROW_BYTES;
  for (let at = <usize>place + HEAD_BYTES; at < end; at += ROW_BYTES) found = findSlot(load<u32>(at), found);
  return found;
}

function findSlot(slot: u32, found: usize): usize {
  const bits = bitsOf(map.FOUND_BITS, slot);
  const bit = (<u64>1) << (slot & 63);
  if ((load<u64>(bits) & bit) != 0) return found;
  store<u64>(bits, load<u64>(bits) | bit);
  store<u32>(found, slot);
  return found + 4;
}

/** Sorts `count` different slots at `at`, each of which has its bit set, and clears those bits. */
export function sortSlots(at: usize, count: u32, bits: usize): void {
  const end = at + (count << 2);
  if (count > SORTED_MAX) {
    readBits(at, end, bits);
    return;
  }
  for (let next = at; next < end; next += 4) {
    const slot = load<u32>(next);
    store<u64>(bitsOf(bits, slot), 0);
    let place = next;
    for (; place > at && load<u32>(place - 4) > slot; place -= 4) store<u32>(place, load<u32>(place - 4));
    store<u32>(place, slot);
  }
}

function readBits(at: usize, end: usize, bits: usize): void {
  for (let slot: u32 = 0; at < end; slot += 64) {
    let some = load<u64>(bitsOf(bits, slot));
    if (some == 0) continue;
    store<u64>(bitsOf(bits, slot), 0);
    for (; some != 0; some &= some - 1) {
      store<u32>(at, slot + <u32>ctz(some));
      at += 4;
    }
  }
}

/** Notes for each slot from `at` to `end` that topic `index` found it, and puts the topic into the low half. */
export function countSlots(at: usize, end: usize, index: u32, slots: u32): u32 {
  for (; at < end; at += 4) {
    const slot = load<u32>(at);
    store<u64>(bitsOf(map.FOUND_BITS, slot), 0);
    const count = map.COUNTS + (slot << 2);
    const before = load<u32>(count);
    store<u32>(count, before + 1);
    store<u32>(at, (slot << 16) | index);
    if (before != 0) continue;
    const bits = bitsOf(map.TOUCHED_BITS, slot);
    store<u64>(bits, load<u64>(bits) | ((<u64>1) << (slot & 63)));
    store<u32>(map.SLOTS + (slots++ << 2), slot);
  }
  return slots;
}

/** Turns what the topics found, up to `end`, into SLOTS, INDEXES and, in place of FOUND, the end of each slot's. */
export function groupFound(end: usize, slots: u32): void {
  sortSlots(map.SLOTS, slots, map.TOUCHED_BITS);
  let start: u32 = 0;
  for (let k: u32 = 0; k < slots; k++) {
    const count = map.COUNTS + (load<u32>(map.SLOTS + (k << 2)) << 2);
    const size = load<u32>(count);
    store<u32>(count, start);
    start += size;
  }
  for (let at = map.FOUND; at < end; at += 4) {
    const pair = load<u32>(at);
    const next = map.COUNTS + ((pair >> 16) << 2);
    const place = load<u32>(next);
    store<u32>(next, place + 1);
    store<u32>(map.INDEXES + (place << 2), pair & 0xffff);
  }
  for (let k: u32 = 0; k < slots; k++) {
    const count = map.COUNTS + (load<u32>(map.SLOTS + (k << 2)) << 2);
    store<u32>(map.FOUND + (k << 2), load<u32>(count));
    store<u32>(count, 0);
  }
}
