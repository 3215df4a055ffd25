// The slots that are bound at a node. They are kept as their number plus 1 (trie-found.ts).
//
// Most nodes have no slot, or one that was added once. It stands in the node's row: 20 u32 1, 24 u32 slot; without a
// slot both are 0. Otherwise
//
//   in the row       20 u32 slots, and the highest bit set      24 u32 address of their block
//   in the block      0 u32 block size, as a power of two        4 u32 unused
//                     8 per slot, ascending: u32 slot, u32 times it was added
import { findSlot } from "./trie-found";
import { blockFor, freeBlock, takeBlock } from "./trie-memory";

const COUNT: usize = 20;
const PLACE: usize = 24;
const IN_BLOCK: u32 = 0x80000000;
const HEAD_BYTES: u32 = 8;
const ROW_BYTES: u32 = 8;

export const EXHAUSTED: i32 = -1;

/** 0 when the node of `row` has no slots. */
export function slotsAt(row: usize): u32 {
  return load<u32>(row, COUNT);
}

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

/** Notes for the topic of this bit that it found the slots of the node of `row`. */
export function findSlots(row: usize, topicBit: u32): void {
  const held = load<u32>(row, COUNT);
  const place = load<u32>(row, PLACE);
  if ((held & IN_BLOCK) == 0) {
    findSlot(place, topicBit);
    return;
  }
  const end = <usize>place + HEAD_BYTES + (held & ~IN_BLOCK) * ROW_BYTES;
  for (let at = <usize>place + HEAD_BYTES; at < end; at += ROW_BYTES) findSlot(load<u32>(at), topicBit);
}
