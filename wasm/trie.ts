// Topics to slots: a trie of the patterns' words, walked by all the ways a topic can take through it.
// The grammar is src/routing/topic.ts; the twin is src/routing/linear-matcher.ts.
//
// A state is a node and a number of words taken. From a node the next word leads to its plain child and to its `*`
// child. A `#` child is entered without taking a word; once there, it stays for all later words, and so offers its
// own children every one of them. A node has one parent, so only at a `#` node can ways meet: it is marked with the
// earliest position it was entered at, and entered again only for positions before that. So no state is visited
// twice, and a topic costs at most nodes times words, whatever the patterns are.
import * as map from "./trie-memory";
import { haveRoom } from "./trie-memory";
import * as nodes from "./trie-nodes";
import { ANY_WORDS, ONE_WORD, ROOT, nodeRow, plainChild } from "./trie-nodes";
import { EXHAUSTED, addSlot, countSlots, findSlots, groupFound, removeSlot, sortSlots } from "./trie-slots";
import * as words from "./trie-words";

const DOT: u32 = 0x2e;
const STAR: u32 = 0x2a;
const HASH: u32 = 0x23;
/** What the patterns' grammar allows. The size of the stack counts on it. */
const ANY_WORDS_MAX: u32 = 2;
/** A pattern that the grammar refuses: a mistake of the wrapper, which checks it. */
const NO_PATTERN: i32 = -2;

// A mark is a generation, one for each topic, and 9 bits of position.
const POSITION_BITS: u32 = 9;
const GENERATION_MAX: u32 = (1 << (32 - POSITION_BITS)) - 1;
let generation: u32 = 0;

/** Behind the last slot found. */
let found: usize = map.FOUND;
/** Behind the last state on the stack. A state: u32 node, u16 position, u16 end of the positions; 0 if it is one. */
let top: usize = map.STACK;
let visited: u32 = 0;

/** Makes the instance a matcher. False when memory is exhausted. */
export function openTrie(): bool {
  return haveRoom(0) && words.openWords() && nodes.openNodes();
}

/** States that the last topic visited: what a match costs. */
export function statesVisited(): u32 {
  return visited;
}

/** The number of the word that ends at `end`; `isNew` says whether it may get one. 0 when it has none. */
function labelOf(at: usize, end: usize, isNew: bool): u32 {
  const size = <u32>(end - at);
  if (size == 1) {
    const byte = load<u8>(at);
    if (byte == STAR) return ONE_WORD;
    if (byte == HASH) return ANY_WORDS;
  }
  return isNew ? words.internWord(at, size) : words.findText(at, size);
}

/** Where the word that starts at `at` ends. */
function wordEnd(at: usize, end: usize): usize {
  while (at < end && load<u8>(at) != DOT) at++;
  return at;
}

/** The node of the pattern of `size` bytes in KEYS; with `isNew` it is made. 0 when it is not there. */
function nodeOf(size: u32, isNew: bool): u32 {
  let node = ROOT;
  if (size == 0) return node;
  const end = map.KEYS + size;
  for (let at = map.KEYS; at <= end; at++) {
    const start = at;
    at = wordEnd(start, end);
    const label = labelOf(start, at, isNew);
    if (label == 0) return 0;
    let child = nodes.childOf(node, label);
    if (child == 0) {
      if (!isNew) return 0;
      child = nodes.addChild(node, label);
    }
    node = child;
  }
  return node;
}

/** Adds the pattern of `size` bytes in KEYS. 1 when the pair is new, 0 when it was counted up, or negative. */
export function addPattern(size: u32, slot: u32): i32 {
  const end = map.KEYS + size;
  let count: u32 = 0;
  let anyWords: u32 = 0;
  for (let at = map.KEYS; at <= end; at++) {
    const start = at;
    at = wordEnd(start, end);
    count++;
    if (at == start + 1 && load<u8>(start) == HASH) anyWords++;
  }
  if (anyWords > ANY_WORDS_MAX) return NO_PATTERN;
  // Everything but the slots' block is there before anything changes; the texts of long words take less than twice
  // their size.
  if (!words.haveWords(count) || !nodes.haveNodes(count) || !haveRoom(2 * size)) return EXHAUSTED;
  const node = nodeOf(size, true);
  const result = addSlot(nodeRow(node), slot);
  if (result == EXHAUSTED) nodes.prune(node);
  return result;
}

/** Takes the pattern off the slot. 1 when that was the last time it was added, 0 when not, -1 when it was not there. */
export function removePattern(size: u32, slot: u32): i32 {
  const node = nodeOf(size, false);
  if (node == 0) return -1;
  const result = removeSlot(nodeRow(node), slot);
  if (result == 1) nodes.prune(node);
  return result;
}

function push(node: u32, position: u32, end: u32): void {
  store<u64>(top, (<u64>node) | ((<u64>position) << 32) | ((<u64>end) << 48));
  top += 8;
}

/** Enters a `#` node, and the `#` node below it, at a position. What they lead to is found at once. */
function enterAnyWords(node: u32, position: u32, count: u32): void {
  while (node != 0) {
    const row = nodeRow(node);
    const mark = load<u32>(row, 28);
    let end = count;
    if (mark >> POSITION_BITS == generation) {
      end = mark & ((1 << POSITION_BITS) - 1);
      if (position >= end) return;
    } else {
      found = findSlots(row, found);
    }
    store<u32>(row, (generation << POSITION_BITS) | position, 28);
    if (position < end && nodes.takesWords(row)) push(node, position, end);
    node = load<u32>(row, 12);
  }
}

/**
 * Visits every state that the topic of `count` words in WORDS_HERE leads to.
 *
 * Positions never fall from the bottom of the stack to its top, and at most six states of one position are on it:
 * one visit leaves a `*` child and the `#` node itself at the next position, and each of the nodes there enters two
 * `#` nodes. So 1,542 states are enough for 257 positions, and STACK holds 2,048.
 */
function visit(count: u32): void {
  if (++generation > GENERATION_MAX) {
    nodes.clearMarks();
    generation = 1;
  }
  let states: u32 = 0;
  let node = ROOT;
  let position: u32 = 0;
  let end: u32 = 0;
  top = map.STACK;
  while (true) {
    states++;
    const row = nodeRow(node);
    if (end == 0) {
      const anyWords = load<u32>(row, 12);
      if (anyWords != 0) enterAnyWords(anyWords, position, count);
      if (position == count) found = findSlots(row, found);
    } else if (position + 1 < end) {
      push(node, position + 1, end);
    }
    if (position < count) {
      const word = load<u32>(map.WORDS_HERE + (position << 2));
      const plain = word != 0 ? plainChild(row, node, word) : 0;
      const star = load<u32>(row, 8);
      position++;
      end = 0;
      if (plain != 0) {
        if (star != 0) push(star, position, 0);
        node = plain;
        continue;
      }
      if (star != 0) {
        node = star;
        continue;
      }
    }
    if (top == map.STACK) break;
    top -= 8;
    const state = load<u64>(top);
    node = <u32>state;
    position = (<u32>(state >> 32)) & 0xffff;
    end = <u32>(state >> 48);
  }
  visited = states;
}

/** Matches the topic of `size` bytes in KEYS. Returns the count of its slots, which are in FOUND, ascending. */
export function matchTopic(size: u32): u32 {
  found = map.FOUND;
  visit(words.readWords(map.KEYS, size, map.WORDS_HERE));
  const count = (<u32>(found - map.FOUND)) >> 2;
  sortSlots(map.FOUND, count, map.FOUND_BITS);
  return count;
}

let slotCount: u32 = 0;

/** Slots that the topics of the last call found. */
export function slotsFound(): u32 {
  return slotCount;
}

/**
 * Matches the topics of OFFSETS and SIZES, whose bytes from offset `base` on are in KEYS, until so much is found that
 * the next may not fit. Returns how many were matched, at least one. trie-memory.ts says where the answer is.
 */
export function matchTopics(base: u32, count: u32): u32 {
  found = map.FOUND;
  slotCount = 0;
  const full = map.FOUND + 4 * map.FOUND_MAX;
  let index: u32 = 0;
  for (; index < count && found < full; index++) {
    const at = map.KEYS + load<u32>(map.OFFSETS + (index << 2)) - base;
    const before = found;
    visit(words.readWords(at, load<u32>(map.SIZES + (index << 2)), map.WORDS_HERE));
    slotCount = countSlots(before, found, index, slotCount);
  }
  groupFound(found, slotCount);
  return index;
}
