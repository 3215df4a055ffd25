// The nodes of the trie, numbered from 1: a node stands for the words that lead to it from the root.
//
// Row, 32 bytes, so that two share a cache line:
//
//    0 u32 parent                                4 u32 word of the edge that leads here; of a `#` child marks
//    8 u32 child for `*`, or 0                  12 u32 child for `#`, or 0
//   16 u32 children for plain words             20 u32 slots and where (trie-slots.ts)
//   24 u32 the only slot, or their address      28 u32 a bit for each plain word that leads on, or led
//
// The table of edges (trie-table.ts) leads from the hash of a node and a word to the child. Which node and word is not
// repeated there: the child's row says it, and is wanted next anyway. Most lookups would find nothing, and nearly all
// of those are spared by the bits: a word leads on from a node only if the node has the word's bit and the word the
// node's. Bits may stay when an edge goes; they only ever cost a lookup.
import { haveCache } from "./trie-cache";
import { freeBlock, takeBlock } from "./trie-memory";
import { freeRow, haveRows, openRows, rowOf, rowsBlock, takeRow } from "./trie-rows";
import { slotsAt } from "./trie-slots";
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
import { bitOf, dropWord, holdWord } from "./trie-words";

export const ROOT: u32 = 1;
/** Stand for the wildcards where a word's number is asked for. No word has these numbers. */
export const ONE_WORD: u32 = 0xffffffff;
export const ANY_WORDS: u32 = 0xfffffffe;

const WORD: usize = 4;
const ONE_WORD_CHILD: usize = 8;
const ANY_WORDS_CHILD: usize = 12;
const PLAIN: usize = 16;
const WORD_BITS: usize = 28;

const ROWS: usize = memory.data(16, 4);
const EDGES: usize = memory.data(12, 4);

/** Lists of walks that are under way (trie-walk.ts): each has room for u32 of every node.
 * They are quarters of a block that is half as large as that of the rows, or more. */
const LISTS_BLOCK_MIN: u32 = 16;
let lists: usize = 0;
let listsBlock: u32 = 0;

export function openNodes(): bool {
  if (!openRows(ROWS) || !openTable(EDGES) || !haveLists() || !haveCache(0)) return false;
  makeNode(0, 0);
  return true;
}

export function nodeRow(node: u32): usize {
  return rowOf(ROWS, node);
}

/** The address of a list from 0 to 2. */
export function walkList(list: u32): usize {
  return lists + ((<usize>list) << (listsBlock - 2));
}

function haveLists(): bool {
  const wanted = max(LISTS_BLOCK_MIN, rowsBlock(ROWS) - 1);
  if (wanted == listsBlock) return true;
  const block = takeBlock(wanted);
  if (block == 0) return false;
  if (lists != 0) freeBlock(lists, listsBlock);
  lists = block;
  listsBlock = wanted;
  return true;
}

/** Room for `more` nodes and their edges. False when memory is exhausted. */
export function haveNodes(more: u32): bool {
  return haveRows(ROWS, more) && haveEntries(EDGES, more) && haveLists() && haveCache(rowsBlock(ROWS));
}

function hashOf(node: u32, word: u32): u32 {
  const mixed = (((<u64>node) << 32) | word) * 0x9e3779b97f4a7c15;
  return <u32>((mixed >> 32) ^ mixed);
}

function isChild(row: usize, node: u32, word: u32): bool {
  return load<u32>(row) == node && load<u32>(row, WORD) == word;
}

/** 1 if the bits leave it open that a word leads on, or 0. `row` is the node's, and so `nodeBits` the word's. */
export function mayLead(row: usize, node: u32, word: u32, nodeBits: u32): u32 {
  return (load<u32>(row, WORD_BITS) >> (word & 31)) & (nodeBits >> (node & 31)) & 1;
}

/** The node behind the edge for a plain word, or 0. */
export function plainChild(node: u32, word: u32): u32 {
  const hash = hashOf(node, word);
  const places = placesOf(EDGES);
  const mask = maskOf(EDGES);
  let place = hash & mask;
  while (true) {
    const edge = entryAt(places, place);
    const child = valueIn(edge);
    if (child == 0) return 0;
    if (hashIn(edge) == hash && isChild(nodeRow(child), node, word)) return child;
    place = (place + 1) & mask;
  }
}

/** The node behind any edge, or 0. */
export function childOf(node: u32, word: u32): u32 {
  if (word == ONE_WORD) return oneWordChild(nodeRow(node));
  if (word == ANY_WORDS) return anyWordsChild(nodeRow(node));
  return plainChild(node, word);
}

export function oneWordChild(row: usize): u32 {
  return load<u32>(row, ONE_WORD_CHILD);
}

export function anyWordsChild(row: usize): u32 {
  return load<u32>(row, ANY_WORDS_CHILD);
}

export function hasChildren(row: usize): bool {
  return (load<u32>(row, PLAIN) | oneWordChild(row) | anyWordsChild(row)) != 0;
}

/** Marks the row of a `#` child with the bit of a topic. False when it has that already. */
export function markRow(row: usize, topicBit: u32): bool {
  const marks = load<u32>(row, WORD);
  store<u32>(row, marks | topicBit, WORD);
  return (marks & topicBit) == 0;
}

export function unmarkRow(row: usize, topicBit: u32): void {
  store<u32>(row, load<u32>(row, WORD) & ~topicBit, WORD);
}

/** Adds a child that is not there; `haveNodes` comes first. */
export function addChild(node: u32, word: u32): u32 {
  const isPlain = word < ANY_WORDS;
  const child = makeNode(node, isPlain ? word : 0);
  const row = nodeRow(node);
  if (word == ONE_WORD) store<u32>(row, child, ONE_WORD_CHILD);
  else if (word == ANY_WORDS) store<u32>(row, child, ANY_WORDS_CHILD);
  else addPlain(row, node, word, child);
  return child;
}

function makeNode(parent: u32, word: u32): u32 {
  const node = takeRow(ROWS);
  store<u32>(nodeRow(node), parent);
  store<u32>(nodeRow(node), word, WORD);
  return node;
}

function addPlain(row: usize, node: u32, word: u32, child: u32): void {
  store<u32>(row, load<u32>(row, PLAIN) + 1, PLAIN);
  store<u32>(row, load<u32>(row, WORD_BITS) | bitOf(word), WORD_BITS);
  holdWord(word, node);
  putEntry(EDGES, hashOf(node, word), child);
}

/** Removes the node if nothing hangs on it, then its parent, and so on up to the root, which stays. */
export function prune(node: u32): void {
  while (node != ROOT) {
    const row = nodeRow(node);
    if (hasChildren(row) || slotsAt(row) != 0) return;
    const parent = load<u32>(row);
    removeEdge(parent, node, load<u32>(row, WORD));
    freeRow(ROWS, node);
    node = parent;
  }
}

function removeEdge(node: u32, child: u32, word: u32): void {
  const row = nodeRow(node);
  if (oneWordChild(row) == child) store<u32>(row, 0, ONE_WORD_CHILD);
  else if (anyWordsChild(row) == child) store<u32>(row, 0, ANY_WORDS_CHILD);
  else removePlain(row, node, word, child);
}

function removePlain(row: usize, node: u32, word: u32, child: u32): void {
  const plain = load<u32>(row, PLAIN) - 1;
  store<u32>(row, plain, PLAIN);
  if (plain == 0) store<u32>(row, 0, WORD_BITS);
  removeEntry(EDGES, hashOf(node, word), child);
  dropWord(word);
}
