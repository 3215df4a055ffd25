// Words as numbers from 1, so that the trie compares numbers. A word is kept as long as an edge names it.
//
// Row, 24 bytes:  u64 text: the bytes of a word of up to 8, zeros after them; of a longer one the block's address
//                 u64 hash          u32 size          u32 edges that name it; in a free row the next free one
// The index (trie-table.ts) leads from the low half of the hash to the word.
import { blockFor, doubleBlock, freeBlock, takeBlock, takeZeroBlock } from "./trie-memory";
import {
  doubleTable,
  entryAt,
  hasPlaces,
  hashIn,
  maskOf,
  putEntry,
  removeEntry,
  valueIn,
} from "./trie-table";

const ROW_BYTES: u32 = 24;
const FACTOR: u64 = 0x9e3779b97f4a7c15;
const DOT_BYTE: u8 = 46;

let rows: usize = 0;
let rowsBlock: u32 = 0;
let rowsUsed: u32 = 1; // row 0 is no word
let firstFree: u32 = 0;
let count: u32 = 0;

let index: usize = 0;
let indexBlock: u32 = 0;

export function openWords(): bool {
  rowsBlock = 12;
  indexBlock = 11;
  rows = takeBlock(rowsBlock);
  index = takeZeroBlock(indexBlock);
  return rows != 0 && index != 0;
}

function row(word: u32): usize {
  return rows + word * ROW_BYTES;
}

/** Room for `more` words without their texts. False when memory is exhausted. */
export function haveWords(more: u32): bool {
  while ((rowsUsed + more) * ROW_BYTES > 1 << rowsBlock) {
    const double = doubleBlock(rows, rowsBlock);
    if (double == 0) return false;
    rows = double;
    rowsBlock++;
  }
  while (!hasPlaces(indexBlock, count + more)) {
    const grown = doubleTable(index, indexBlock);
    if (grown == 0) return false;
    index = grown;
    indexBlock++;
  }
  return true;
}

function firstBytes(at: usize, size: u32): u64 {
  return size >= 8 ? load<u64>(at) : load<u64>(at) & (((<u64>1) << (size << 3)) - 1);
}

function mix(hash: u64, bytes: u64): u64 {
  const mixed = (hash ^ bytes) * FACTOR;
  return mixed ^ (mixed >> 32);
}

/** Of the word at `at`. Up to 7 bytes behind it are read, and don't count. */
function hashOf(at: usize, size: u32): u64 {
  let hash = mix(size, firstBytes(at, size));
  for (let done: u32 = 8; done < size; done += 8) hash = mix(hash, firstBytes(at + done, size - done));
  return hash;
}

/** The number of the word, or 0 when no edge names it. */
function findWord(at: usize, size: u32, hash: u64): u32 {
  const mask = maskOf(indexBlock);
  let place = (<u32>hash) & mask;
  while (true) {
    const entry = entryAt(index, place);
    const word = valueIn(entry);
    if (word == 0) return 0;
    if (hashIn(entry) == <u32>hash && isWord(row(word), at, size)) return word;
    place = (place + 1) & mask;
  }
}

function isWord(row: usize, at: usize, size: u32): bool {
  if (load<u32>(row, 16) != size) return false;
  if (size <= 8) return load<u64>(row) == firstBytes(at, size);
  return memory.compare(<usize>load<u64>(row), at, size) == 0;
}

/** The number of the word, which may be a new one; `haveWords` and room for its text come first. */
export function internWord(at: usize, size: u32): u32 {
  const hash = hashOf(at, size);
  const known = findWord(at, size, hash);
  if (known != 0) return known;
  let word = firstFree;
  if (word != 0) firstFree = load<u32>(row(word), 20);
  else word = rowsUsed++;
  let text = firstBytes(at, size);
  if (size > 8) {
    text = takeBlock(blockFor(size));
    memory.copy(<usize>text, at, size);
  }
  store<u64>(row(word), text);
  store<u64>(row(word), hash, 8);
  store<u32>(row(word), size, 16);
  store<u32>(row(word), 0, 20);
  count++;
  putEntry(index, indexBlock, <u32>hash, word);
  return word;
}

/** One edge more names the word. */
export function holdWord(word: u32): void {
  store<u32>(row(word), load<u32>(row(word), 20) + 1, 20);
}

/** One edge less names the word; with the last one it goes. */
export function dropWord(word: u32): void {
  const at = row(word);
  const edges = load<u32>(at, 20) - 1;
  if (edges != 0) {
    store<u32>(at, edges, 20);
    return;
  }
  const size = load<u32>(at, 16);
  if (size > 8) freeBlock(<usize>load<u64>(at), blockFor(size));
  removeEntry(index, indexBlock, <u32>load<u64>(at, 8), word);
  store<u32>(at, firstFree, 20);
  firstFree = word;
  count--;
}

/**
 * Writes the number of each word of the topic at `at` to `to`, 0 for a word that no edge names. Returns their count,
 * WORDS_MAX at most. Up to 15 bytes behind the topic are read, and don't count.
 */
export function readWords(at: usize, size: u32, to: usize): u32 {
  if (size == 0) return 0;
  const end = at + size;
  let word = at;
  let next = to;
  for (let step = at; step < end; step += 16) {
    let dots = i8x16.bitmask(i8x16.eq(v128.load(step), i8x16.splat(DOT_BYTE)));
    if (step + 16 > end) dots &= (1 << (<i32>(end - step))) - 1;
    for (; dots != 0; dots &= dots - 1) {
      const dot = step + ctz(dots);
      store<u32>(next, findText(word, <u32>(dot - word)));
      next += 4;
      word = dot + 1;
    }
  }
  store<u32>(next, findText(word, <u32>(end - word)));
  return <u32>((next + 4 - to) >> 2);
}

/** The number of the word, or 0 when no edge names it. Up to 7 bytes behind it are read, and don't count. */
export function findText(at: usize, size: u32): u32 {
  return findWord(at, size, hashOf(at, size));
}
