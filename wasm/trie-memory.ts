// The memory of an instance that is a topic matcher: the arena, which a codec's instance gives to its batch.
//
//   ARENA   KEYS         64 KiB   a pattern, a topic, or a stretch of a batch that topics lie in
//           OFFSETS      16 KiB   u32 a topic: where in the batch it starts
//           SIZES        16 KiB   u32 a topic: its bytes
//           WORDS_HERE   64 KiB   trie-walk.ts: the words of a group of topics, position by position
//           WORD_COUNTS         u32 a topic of a group: its words
//           heap         grows    blocks of 2^n bytes: tables, rows, lists, records, texts of long words, nodes' slots
//
// A freed block waits in the list of its size and is handed out again, whole or in halves; halves are never joined. So
// there are never more blocks of a size than were in use at one time, but for the halves left over. A table doubles when
// it grows and never shrinks; what it leaves behind becomes texts, slots and smaller tables.
import { TABLE } from "./memory";

export const SLOTS_MAX: u32 = 65_536;
export const TOPIC_BYTES_MAX: u32 = 255;
/** 255 dots make one more. */
export const WORDS_MAX: u32 = 256;

export const KEY_BYTES: u32 = 65_536;
/** Keys are read in steps of 64 bytes: the last step may look this far behind them. */
const SLACK: u32 = 64;
export const KEYS: usize = TABLE;
export const OFFSETS: usize = KEYS + KEY_BYTES + SLACK;
/** Topics of one call. */
export const TOPICS_MAX: u32 = 4_096;
export const SIZES: usize = OFFSETS + 4 * TOPICS_MAX;
/** Topics that are walked together, a bit each. */
export const GROUP_TOPICS: u32 = 32;
/** Bytes from one word of a topic to its next: the other topics' words of that position lie between. */
export const WORD_STRIDE: u32 = 8 * GROUP_TOPICS;
export const WORDS_HERE: usize = SIZES + 4 * TOPICS_MAX;
export const WORD_COUNTS: usize = WORDS_HERE + WORD_STRIDE * WORDS_MAX;
const HEAP: usize = WORD_COUNTS + 4 * GROUP_TOPICS;

/** The smallest block, which every free block can be linked in: 2^4 bytes. */
export const BLOCK_MIN: u32 = 4;
/** Per size: u32 the first free block, or 0. The block's first word is the next one. */
const FREE: usize = memory.data(32 * 4, 4);
const GROWTH_PAGES: i32 = 4;
const BLOCK_MAX: u32 = 30;
/** Blocks of 2^11 bytes and more are tables, or as good as. */
const TABLE_MIN: u32 = 11;

let top: usize = HEAP;

/** Sees to it that the next blocks of so many bytes together can't fail. False when memory is exhausted. */
export function haveRoom(bytes: u32): bool {
  const missing = <i32>((<u64>top + bytes + 0xffff) >> 16) - memory.size();
  if (missing <= 0) return true;
  return memory.grow(max(missing, GROWTH_PAGES)) >= 0 || memory.grow(missing) >= 0;
}

/** A block of 2^n bytes that may hold anything, or 0 when memory is exhausted. */
export function takeBlock(n: u32): usize {
  for (let larger = n; larger <= BLOCK_MAX; larger++) {
    const list = FREE + (larger << 2);
    const block = <usize>load<u32>(list);
    if (block == 0) continue;
    store<u32>(list, load<u32>(block));
    // The first half is kept each time, until it is as small as it may be.
    while (larger > n) {
      larger--;
      freeBlock(block + ((<usize>1) << larger), larger);
    }
    return block;
  }
  // The rows of a table must not lie across cache lines.
  const fresh = n < TABLE_MIN ? top : (top + 63) & ~63;
  if (n > BLOCK_MAX || !haveRoom(<u32>(fresh - top) + (1 << n))) return 0;
  top = fresh + ((<usize>1) << n);
  return fresh;
}

export function freeBlock(block: usize, n: u32): void {
  const list = FREE + (n << 2);
  store<u32>(block, load<u32>(list));
  store<u32>(list, <u32>block);
}

/** The smallest n for which 2^n bytes hold `bytes`. */
export function blockFor(bytes: u32): u32 {
  return bytes <= 1 << BLOCK_MIN ? BLOCK_MIN : 32 - clz(bytes - 1);
}

/** A block of zeros, or 0 when memory is exhausted. */
export function takeZeroBlock(n: u32): usize {
  const block = takeBlock(n);
  if (block != 0) memory.fill(block, 0, (<usize>1) << n);
  return block;
}

/** A block of twice the size that starts as the old one, which is freed. 0, and the old one kept, when exhausted. */
export function doubleBlock(block: usize, n: u32): usize {
  const double = takeBlock(n + 1);
  if (double == 0) return 0;
  memory.copy(double, block, (<usize>1) << n);
  freeBlock(block, n);
  return double;
}
