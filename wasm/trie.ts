// Topics to slots: a trie of the patterns' words, walked by all the ways a topic can take through it.
// The grammar is src/routing/topic.ts; the twin is src/routing/linear-matcher.ts.
//
import * as map from "./trie-memory";
import { haveRoom } from "./trie-memory";
import * as nodes from "./trie-nodes";
import { ANY_WORDS, ONE_WORD, ROOT, nodeRow } from "./trie-nodes";
import { findKept, forget, slotCount, slotsIn } from "./trie-cache";
import {
  canFindMore,
  endGroup,
  findKeptSlots,
  haveSlot,
  openFound,
  recordsFound,
  startFinding,
  takeSlots,
} from "./trie-found";
import { EXHAUSTED, addSlot, removeSlot } from "./trie-slots";
import { putTopic, walk } from "./trie-walk";
import * as words from "./trie-words";

const DOT: u32 = 0x2e;
const STAR: u32 = 0x2a;
const HASH: u32 = 0x23;
/** What the patterns' grammar allows. */
const ANY_WORDS_MAX: u32 = 2;
/** A pattern that the grammar refuses: a mistake of the wrapper, which checks it. */
const NO_PATTERN: i32 = -2;

/** Makes the instance a matcher. False when memory is exhausted. */
export function openTrie(): bool {
  return haveRoom(0) && words.openWords() && nodes.openNodes() && openFound();
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
  if (!haveSlot(slot)) return EXHAUSTED;
  const node = nodeOf(size, true);
  const result = addSlot(nodeRow(node), slot + 1);
  if (result == EXHAUSTED) nodes.prune(node);
  if (result == 1) forget();
  return result;
}

/** Takes the pattern off the slot. 1 when that was the last time it was added, 0 when not, -1 when it was not there. */
export function removePattern(size: u32, slot: u32): i32 {
  const node = nodeOf(size, false);
  if (node == 0) return -1;
  const result = removeSlot(nodeRow(node), slot + 1);
  if (result == 1) {
    nodes.prune(node);
    forget();
  }
  return result;
}

/** Topics of the group at hand that have to be walked, a bit each. */
let unknown: u32 = 0;

function finishGroup(group: u32): void {
  if (unknown != 0) walk(unknown);
  unknown = 0;
  endGroup(group);
}

/** Matches the topic of `size` bytes in KEYS. Returns the count of records. */
export function matchTopic(size: u32): u32 {
  startFinding();
  const kept = findKept(map.KEYS, size, 0);
  if (kept != 0) {
    takeSlots(slotsIn(kept), slotCount(kept));
  } else {
    putTopic(map.KEYS, size, 0);
    unknown = 1;
    finishGroup(0);
  }
  return recordsFound();
}

function takeTopic(at: usize, size: u32, topic: u32): void {
  const kept = findKept(at, size, topic);
  if (kept == 0) {
    putTopic(at, size, topic);
    unknown |= 1 << topic;
    return;
  }
  findKeptSlots(slotsIn(kept), slotCount(kept), 1 << topic);
}

let matched: u32 = 0;

/** How many of the topics the last `matchTopics` matched. */
export function topicsMatched(): u32 {
  return matched;
}

/**
 * Matches the topics of OFFSETS and SIZES, whose bytes from offset `base` on are in KEYS, until so much is found that
 * the next group may not fit. Returns the count of records.
 */
export function matchTopics(base: u32, count: u32): u32 {
  startFinding();
  matched = 0;
  for (let group: u32 = 0; matched < count && canFindMore(); group++) {
    const size = min(count - matched, map.GROUP_TOPICS);
    for (let topic: u32 = 0; topic < size; topic++) {
      const place = (matched + topic) << 2;
      takeTopic(map.KEYS + load<u32>(map.OFFSETS + place) - base, load<u32>(map.SIZES + place), topic);
    }
    finishGroup(group);
    matched += size;
  }
  return recordsFound();
}
