// Words as numbers from 1, so that the trie compares numbers. A word is kept as long as an edge names it.
//
// Row, 32 bytes:   0 the text of up to 16 bytes, zeros after it; of a longer one u32 the address of its block
//                 16 u32 size          20 u32 edges that name the word
//                 24 u32 a bit for each node that an edge with the word leaves, or left: see `bitOf`
// The index (trie-table.ts) leads from the hash to the word.
//
// Nearly all words are short, and their sizes are all mixed: the short ones are read, hashed and compared as sixteen
// bytes each, without a branch that depends on the size.
import { WORD_STRIDE, blockFor, freeBlock, takeBlock } from "./trie-memory";
import { freeRow, haveRows, openRows, rowOf, takeRow } from "./trie-rows";
import {
  entryAt,
  hashIn,
  haveEntries,
  maskOf,
  openTable,
  placesOf,
  putEntry,
  removeEntry,
  valueIn,
} from "./trie-table";

const SIZE: usize = 16;
const EDGES: usize = 20;
const NODES: usize = 24;
const SHORT_MAX: u32 = 16;
/** Sixteen bytes of ones and sixteen of zeros; `openWords` fills it. From 16 - n on, n ones come first. */
const MASKS: usize = memory.data(32, 16);
const DOT_BYTE: u8 = 46;

const ROWS: usize = memory.data(16, 4);
const INDEX: usize = memory.data(12, 4);

export function openWords(): bool {
  memory.fill(MASKS, 0xff, SHORT_MAX);
  return openRows(ROWS) && openTable(INDEX);
}

function row(word: u32): usize {
  return rowOf(ROWS, word);
}

/** Room for `more` words without their texts. False when memory is exhausted. */
export function haveWords(more: u32): bool {
  return haveRows(ROWS, more) && haveEntries(INDEX, more);
}

/** The first bytes at `at`, sixteen at most, and zeros after them. What lies behind is read, and does not count. */
export function firstBytes(at: usize, size: u32): v128 {
  return v128.and(v128.load(at), v128.load(MASKS + SHORT_MAX - size));
}

/** Both halves are multiplied side by side, which takes half as long as one after the other. */
function mixText(hash: u64, text: v128): u64 {
  const mixed =
    (i64x2.extract_lane(text, 0) ^ hash) * 0x9e3779b97f4a7c15 +
    i64x2.extract_lane(text, 1) * 0xbf58476d1ce4e5b9;
  return ((mixed ^ (mixed >> 29)) * 0x94d049bb133111eb) >> 32;
}

function hashOfLong(at: usize, size: u32): u32 {
  let hash: u64 = size;
  for (let done: u32 = 0; done < size; done += SHORT_MAX) {
    hash = mixText(hash, firstBytes(at + done, min(size - done, SHORT_MAX)));
  }
  return <u32>hash;
}

function hashOf(at: usize, size: u32): u32 {
  return size > SHORT_MAX ? hashOfLong(at, size) : <u32>mixText(size, firstBytes(at, size));
}

function findShort(text: v128, size: u32): u32 {
  const hash = <u32>mixText(size, text);
  const places = placesOf(INDEX);
  const mask = maskOf(INDEX);
  let place = hash & mask;
  while (true) {
    const entry = entryAt(places, place);
    const word = valueIn(entry);
    if (word == 0) return 0;
    if (hashIn(entry) == hash && load<u32>(row(word), SIZE) == size) {
      if (!v128.any_true(v128.xor(text, v128.load(row(word))))) return word;
    }
    place = (place + 1) & mask;
  }
}

function findLong(at: usize, size: u32): u32 {
  const hash = hashOfLong(at, size);
  const places = placesOf(INDEX);
  const mask = maskOf(INDEX);
  let place = hash & mask;
  while (true) {
    const entry = entryAt(places, place);
    const word = valueIn(entry);
    if (word == 0) return 0;
    if (hashIn(entry) == hash && load<u32>(row(word), SIZE) == size) {
      if (memory.compare(textOf(row(word)), at, size) == 0) return word;
    }
    place = (place + 1) & mask;
  }
}

/** The number of the word, or 0 when no edge names it. Up to 15 bytes behind it are read, and don't count. */
export function findText(at: usize, size: u32): u32 {
  return size > SHORT_MAX ? findLong(at, size) : findShort(firstBytes(at, size), size);
}

function textOf(row: usize): usize {
  return load<u32>(row, SIZE) <= SHORT_MAX ? row : <usize>load<u32>(row);
}

/** The number of the word, which may be a new one; `haveWords` and room for its text come first. */
export function internWord(at: usize, size: u32): u32 {
  const known = findText(at, size);
  if (known != 0) return known;
  const word = takeRow(ROWS);
  const fresh = row(word);
  if (size > SHORT_MAX) {
    const text = takeBlock(blockFor(size));
    memory.copy(text, at, size);
    store<u32>(fresh, <u32>text);
  } else {
    v128.store(fresh, firstBytes(at, size));
  }
  store<u32>(fresh, size, SIZE);
  putEntry(INDEX, hashOf(at, size), word);
  return word;
}

/** The bit that stands for a node, or a word, among 32: most sets of nodes or words are small enough to tell apart. */
export function bitOf(number: u32): u32 {
  return 1 << (number & 31);
}

/** One edge more, which leaves `node`, names the word. */
export function holdWord(word: u32, node: u32): void {
  const at = row(word);
  store<u32>(at, load<u32>(at, EDGES) + 1, EDGES);
  store<u32>(at, load<u32>(at, NODES) | bitOf(node), NODES);
}

/** One edge less names the word; with the last one it goes. */
export function dropWord(word: u32): void {
  const at = row(word);
  const edges = load<u32>(at, EDGES) - 1;
  if (edges != 0) {
    store<u32>(at, edges, EDGES);
    return;
  }
  const size = load<u32>(at, SIZE);
  const text = textOf(at);
  removeEntry(INDEX, hashOf(text, size), word);
  if (size > SHORT_MAX) freeBlock(text, blockFor(size));
  freeRow(ROWS, word);
}

/** The dots in the sixteen bytes at `at`, a bit each, the lowest first. */
function dotsAt(at: usize): u64 {
  return <u64>(<u32>i8x16.bitmask(i8x16.eq(v128.load(at), i8x16.splat(DOT_BYTE))));
}

/** A word of a topic: its number, and in the high half the bits of the nodes that it may lead on from. 0 when unknown. */
function readWord(at: usize, size: u32): u64 {
  const word = findText(at, size);
  return word == 0 ? 0 : ((<u64>load<u32>(row(word), NODES)) << 32) | word;
}

/**
 * Writes each word of the topic at `at` to `to` and on, WORD_STRIDE bytes apart. Returns their count, WORDS_MAX at most.
 * Up to 63 bytes behind the topic are read, and don't count.
 */
export function readWords(at: usize, size: u32, to: usize): u32 {
  if (size == 0) return 0;
  const end = at + size;
  let word = at;
  let next = to;
  for (let step = at; step < end; step += 64) {
    let dots =
      dotsAt(step) | (dotsAt(step + 16) << 16) | (dotsAt(step + 32) << 32) | (dotsAt(step + 48) << 48);
    const left = <u64>(end - step);
    if (left < 64) dots &= ((<u64>1) << left) - 1;
    for (; dots != 0; dots &= dots - 1) {
      const dot = step + <usize>ctz(dots);
      store<u64>(next, readWord(word, <u32>(dot - word)));
      next += WORD_STRIDE;
      word = dot + 1;
    }
  }
  store<u64>(next, readWord(word, <u32>(end - word)));
  return <u32>(next - to) / WORD_STRIDE + 1;
}
