// The nodes of the trie, numbered from 1: a node stands for the words that lead to it from the root.
//
// Row, 64 bytes, which is a cache line:
//
//    0 u32 parent; in a free row the next free one        4 u32 word of the edge that leads here
//    8 u32 child for `*`, or 0                           12 u32 child for `#`, or 0
//   16 u32 children in the table of edges                20 u32 slots and where (trie-slots.ts)
//   24 u32 the only slot, or their address               28 u32 mark of the topic at hand (trie.ts)
//   32 4 u32 words, 0 where there is none                48 4 u32 the children for these words
//
// Most nodes have few children, and most lookups find none: four of them stand in the row. The others are in the table
// of edges (trie-table.ts), which leads from the hash of a node and a word to the child. Which node and word is not
// repeated there: the child's row says it, and is wanted next anyway.
import { doubleBlock, takeZeroBlock } from "./trie-memory";
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
import { dropWord, holdWord } from "./trie-words";

export const ROOT: u32 = 1;
/** Stand for the wildcards where a word's number is asked for. No word has these numbers. */
export const ONE_WORD: u32 = 0xffffffff;
export const ANY_WORDS: u32 = 0xfffffffe;

const ROW_BYTES: u32 = 64;
const IN_TABLE: usize = 16;
const WORDS: usize = 32;
const CHILDREN: usize = 48;

let rows: usize = 0;
let rowsBlock: u32 = 0;
let rowsUsed: u32 = 1; // row 0 is no node
let firstFree: u32 = 0;

let edges: usize = 0;
let edgesBlock: u32 = 0;
let edgeCount: u32 = 0;

export function openNodes(): bool {
  rowsBlock = 13;
  edgesBlock = 11;
  rows = takeZeroBlock(rowsBlock);
  edges = takeZeroBlock(edgesBlock);
  if (rows == 0 || edges == 0) return false;
  rowsUsed = ROOT + 1;
  return true;
}

export function nodeRow(node: u32): usize {
  return rows + node * ROW_BYTES;
}

/** Takes the mark off every node, before marks of an earlier topic could be met again. */
export function clearMarks(): void {
  for (let node: u32 = 0; node < rowsUsed; node++) store<u32>(nodeRow(node), 0, 28);
}

/** Room for `more` nodes and their edges. False when memory is exhausted. */
export function haveNodes(more: u32): bool {
  while ((rowsUsed + more) * ROW_BYTES > 1 << rowsBlock) {
    const double = doubleBlock(rows, rowsBlock);
    if (double == 0) return false;
    rows = double;
    rowsBlock++;
  }
  while (!hasPlaces(edgesBlock, edgeCount + more)) {
    const grown = doubleTable(edges, edgesBlock);
    if (grown == 0) return false;
    edges = grown;
    edgesBlock++;
  }
  return true;
}

function hashOf(node: u32, word: u32): u32 {
  const mixed = (((<u64>node) << 32) | word) * 0x9e3779b97f4a7c15;
  return <u32>((mixed >> 32) ^ mixed);
}

function isChild(row: usize, node: u32, word: u32): bool {
  return load<u32>(row) == node && load<u32>(row, 4) == word;
}

/** Which of the four words of a row is `word`, as a bit. */
function placeOf(row: usize, word: u32): i32 {
  return i32x4.bitmask(i32x4.eq(v128.load(row, WORDS), i32x4.splat(<i32>word)));
}

/** The node behind the edge for a plain word, or 0. `row` is the node's. */
export function plainChild(row: usize, node: u32, word: u32): u32 {
  const places = placeOf(row, word);
  if (places != 0) return load<u32>(row + ((<usize>ctz(places)) << 2), CHILDREN);
  return load<u32>(row, IN_TABLE) == 0 ? 0 : childInTable(node, word);
}

function childInTable(node: u32, word: u32): u32 {
  const hash = hashOf(node, word);
  const mask = maskOf(edgesBlock);
  let place = hash & mask;
  while (true) {
    const edge = entryAt(edges, place);
    const child = valueIn(edge);
    if (child == 0) return 0;
    if (hashIn(edge) == hash && isChild(nodeRow(child), node, word)) return child;
    place = (place + 1) & mask;
  }
}

/** Whether any word leads on from the node, be it by `*`. */
export function takesWords(row: usize): bool {
  return load<u32>(row, 8) != 0 || load<u32>(row, IN_TABLE) != 0 || v128.any_true(v128.load(row, WORDS));
}

/** The node behind any edge, or 0. */
export function childOf(node: u32, word: u32): u32 {
  if (word == ONE_WORD) return load<u32>(nodeRow(node), 8);
  if (word == ANY_WORDS) return load<u32>(nodeRow(node), 12);
  return plainChild(nodeRow(node), node, word);
}

/** Adds a child that is not there; `haveNodes` comes first. */
export function addChild(node: u32, word: u32): u32 {
  let child = firstFree;
  if (child != 0) firstFree = load<u32>(nodeRow(child));
  else child = rowsUsed++;
  const row = nodeRow(child);
  memory.fill(row, 0, ROW_BYTES);
  store<u32>(row, node);
  store<u32>(row, word, 4);
  const parent = nodeRow(node);
  if (word == ONE_WORD) store<u32>(parent, child, 8);
  else if (word == ANY_WORDS) store<u32>(parent, child, 12);
  else addPlain(parent, node, word, child);
  return child;
}

/** Removes the node if nothing hangs on it, then its parent, and so on up to the root, which stays. */
export function prune(node: u32): void {
  while (node != ROOT) {
    const row = nodeRow(node);
    if (takesWords(row) || load<u32>(row, 12) != 0 || load<u32>(row, 20) != 0) return;
    const parent = load<u32>(row);
    removeEdge(parent, load<u32>(row, 4), node);
    store<u32>(row, firstFree);
    firstFree = node;
    node = parent;
  }
}

function removeEdge(node: u32, word: u32, child: u32): void {
  const row = nodeRow(node);
  if (word == ONE_WORD) store<u32>(row, 0, 8);
  else if (word == ANY_WORDS) store<u32>(row, 0, 12);
  else removePlain(row, node, word, child);
}

function addPlain(row: usize, node: u32, word: u32, child: u32): void {
  holdWord(word);
  const places = placeOf(row, 0);
  if (places != 0) {
    const place = row + ((<usize>ctz(places)) << 2);
    store<u32>(place, word, WORDS);
    store<u32>(place, child, CHILDREN);
    return;
  }
  store<u32>(row, load<u32>(row, IN_TABLE) + 1, IN_TABLE);
  putEntry(edges, edgesBlock, hashOf(node, word), child);
  edgeCount++;
}

function removePlain(row: usize, node: u32, word: u32, child: u32): void {
  const places = placeOf(row, word);
  if (places != 0) {
    store<u32>(row + ((<usize>ctz(places)) << 2), 0, WORDS);
  } else {
    store<u32>(row, load<u32>(row, IN_TABLE) - 1, IN_TABLE);
    removeEntry(edges, edgesBlock, hashOf(node, word), child);
    edgeCount--;
  }
  dropWord(word);
}
