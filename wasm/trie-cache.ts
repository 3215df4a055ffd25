// What topics found before: a broker meets the same ones again and again. A topic is kept when it comes a second time
// soon after the first, so that topics which never come back cost little; and all is forgotten when a pattern comes or
// goes.
//
// Entry, 128 bytes, which is two cache lines:
//
//    0 u32 age of the patterns that it is about; another age means that it is empty
//    4 u32 hash of the last topic that was not found here
//    8 u32 size; the highest bit is set while its slots are being found
//   12 u32 slots         16 48 text, zeros after it
//   64 32 u16 slots
//
// A topic's entry is one of a pair. It may be longer than an entry takes, or find more; then it is not kept.
import { freeBlock, takeZeroBlock } from "./trie-memory";
import { firstBytes } from "./trie-words";

const ENTRY_BYTES_LOG: u32 = 7;
const MISSED: usize = 4;
const SIZE: usize = 8;
const COUNT: usize = 12;
const TEXT: usize = 16;
const SLOTS: usize = 64;
const TEXT_MAX: u32 = 48;
const SLOTS_MAX: u32 = 32;
const UNFINISHED: u32 = 0x80000000;
const BLOCK_MIN: u32 = 16;
const BLOCK_MAX: u32 = 20;

let entries: usize = 0;
let block: u32 = 0;
let age: u32 = 1;

/** Twice as many bytes as the nodes take, which are 2^n, within bounds. False when memory is exhausted. */
export function haveCache(n: u32): bool {
  const wanted = min(max(n + 1, BLOCK_MIN), BLOCK_MAX);
  if (wanted == block) return true;
  const fresh = takeZeroBlock(wanted);
  if (fresh == 0) return false;
  if (entries != 0) freeBlock(entries, block);
  entries = fresh;
  block = wanted;
  return true;
}

/** The patterns are others now. */
export function forget(): void {
  if (++age != 0) return;
  memory.fill(entries, 0, (<usize>1) << block);
  age = 1;
}

/** Topics of the group at hand that are to be kept, a bit each, and the address of the entry of each. */
let keeping: u32 = 0;
const KEEPING: usize = memory.data(32 * 4, 4);

/** The entry of a topic that is kept, or 0: then it may be kept as this topic of the group. */
export function findKept(at: usize, size: u32, topic: u32): usize {
  if (size > TEXT_MAX) return 0;
  const a = firstBytes(at, min(size, 16));
  const b = firstBytes(at + 16, min(max(size, 16) - 16, 16));
  const c = firstBytes(at + 32, max(size, 32) - 32);
  const hash = hashOf(a, b, c, size);
  const mask: u32 = (1 << (block - ENTRY_BYTES_LOG)) - 1;
  const first = entries + ((<usize>(hash & mask)) << ENTRY_BYTES_LOG);
  const second = first ^ (1 << ENTRY_BYTES_LOG);
  if (holds(first, a, b, c, size)) return first;
  if (holds(second, a, b, c, size)) return second;
  if (load<u32>(first, MISSED) != hash) {
    store<u32>(first, hash, MISSED);
    return 0;
  }
  const free = load<u32>(first) != age || load<u32>(second) == age ? first : second;
  if ((load<u32>(free, SIZE) & UNFINISHED) == 0) {
    store<u32>(free, age);
    store<u32>(free, size | UNFINISHED, SIZE);
    store<u32>(free, 0, COUNT);
    v128.store(free, a, TEXT);
    v128.store(free, b, TEXT + 16);
    v128.store(free, c, TEXT + 32);
    store<u32>(KEEPING + (topic << 2), <u32>free);
    keeping |= 1 << topic;
  }
  return 0;
}

/** Where the slots of an entry lie, u16 each. */
export function slotsIn(entry: usize): usize {
  return entry + SLOTS;
}

export function slotCount(entry: usize): u32 {
  return load<u32>(entry, COUNT);
}

function holds(entry: usize, a: v128, b: v128, c: v128, size: u32): bool {
  if (load<u32>(entry) != age || load<u32>(entry, SIZE) != size) return false;
  const ab = v128.or(v128.xor(a, v128.load(entry, TEXT)), v128.xor(b, v128.load(entry, TEXT + 16)));
  return !v128.any_true(v128.or(ab, v128.xor(c, v128.load(entry, TEXT + 32))));
}

/** Multiplied side by side, since one after the other would take three times as long. */
function hashOf(a: v128, b: v128, c: v128, size: u32): u32 {
  const sum =
    i64x2.extract_lane(a, 0) * 0x9e3779b97f4a7c15 +
    i64x2.extract_lane(a, 1) * 0xbf58476d1ce4e5b9 +
    i64x2.extract_lane(b, 0) * 0x94d049bb133111eb +
    i64x2.extract_lane(b, 1) * 0xd6e8feb86659fd93 +
    i64x2.extract_lane(c, 0) * 0xa0761d6478bd642f +
    i64x2.extract_lane(c, 1) * 0xe7037ed1a0b428db +
    size;
  return <u32>(((sum ^ (sum >> 32)) * 0x9e3779b97f4a7c15) >> 32);
}

/** Keeps that the topics of these bits found the slot. */
export function keepSlot(slot: u32, topicBits: u32): void {
  for (let bits = topicBits & keeping; bits != 0; bits &= bits - 1) {
    const entry = <usize>load<u32>(KEEPING + (ctz(bits) << 2));
    const count = load<u32>(entry, COUNT);
    store<u32>(entry, count + 1, COUNT);
    if (count < SLOTS_MAX) store<u16>(entry + (count << 1), <u16>slot, SLOTS);
  }
}

/** The slots of the group are all kept. */
export function endKeeping(): void {
  for (; keeping != 0; keeping &= keeping - 1) {
    const entry = <usize>load<u32>(KEEPING + (ctz(keeping) << 2));
    store<u32>(entry, load<u32>(entry, SIZE) & ~UNFINISHED, SIZE);
    if (load<u32>(entry, COUNT) > SLOTS_MAX) store<u32>(entry, 0);
  }
}
