// The ways that topics can take through the trie.
//
// A state is a topic, a node and a number of words taken. From a node the next word leads to its plain child and to its
// `*` child. A `#` child is entered without taking a word; once there, the topic stays for all its later words, and so
// is offered the node's own children for every one of them.
//
// A node has one parent, so only at a `#` node can ways meet: it is marked by each topic that enters it, and never
// entered again by the same. So no state is visited twice, and a topic costs at most nodes times words, whatever the
// patterns are.
//
// Up to 32 topics are walked together, word by word: what the caches do not hold is then waited for at many nodes at
// once. For the same reason nothing branches on what can't be foretold, where that can be helped. Should so many ways
// be under way that the lists can't hold them, the topics are walked one by one, which always fits.
//
// A way, u32:   5 bits topic    26 bits node    1 bit: the node is a `#` child
import { findSlots } from "./trie-slots";
import { WORDS_HERE, WORD_COUNTS, WORD_STRIDE } from "./trie-memory";
import {
  ROOT,
  anyWordsChild,
  hasChildren,
  markRow,
  mayLead,
  nodeRow,
  oneWordChild,
  plainChild,
  unmarkRow,
  walkList,
} from "./trie-nodes";
import { readWords } from "./trie-words";

const TOPIC_BITS: u32 = 5;
const TOPIC_MASK: u32 = (1 << TOPIC_BITS) - 1;
const ANY_WORDS_BIT: u32 = 0x80000000;

let visited: u32 = 0;

/** States that the last walk visited: what a match costs. */
export function statesVisited(): u32 {
  return visited;
}

/** Reads the words of a topic of the next walk. */
export function putTopic(at: usize, size: u32, topic: u32): void {
  store<u32>(WORD_COUNTS + (topic << 2), readWords(at, size, WORDS_HERE + (topic << 3)));
}

/** Walks the topics of these bits, which were put, and notes what they find. */
export function walk(topicBits: u32): void {
  visited = 0;
  if (walkTogether(topicBits)) return;
  for (let bits = topicBits; bits != 0; bits &= bits - 1) walkTogether(bits & (0 - bits));
}

function topicOf(way: u32): u32 {
  return way & TOPIC_MASK;
}

function nodeOf(way: u32): u32 {
  return (way & ~ANY_WORDS_BIT) >> TOPIC_BITS;
}

function wayTo(node: u32, topic: u32): u32 {
  return (node << TOPIC_BITS) | topic;
}

/**
 * False when the ways became too many, which those of a single topic never are. What was found till then is noted, and
 * does no harm when it is found again.
 */
function walkTogether(topicBits: u32): bool {
  let here = walkList(0);
  let there = walkList(1);
  const open = walkList(2);
  const room = popcnt(topicBits) > 1 ? there - here - 8 : usize.MAX_VALUE >> 1;
  let end = here;
  for (let bits = topicBits; bits != 0; bits &= bits - 1, end += 4) store<u32>(end, wayTo(ROOT, ctz(bits)));
  for (let position: u32 = 0; end != here; position++) {
    const words = WORDS_HERE + position * WORD_STRIDE;
    let openEnd = open;
    let next = there;
    for (let at = here; at < end; at += 4) {
      const way = load<u32>(at);
      const topic = topicOf(way);
      const node = nodeOf(way);
      const row = nodeRow(node);
      const anyWords = anyWordsChild(row);
      if (anyWords != 0) end = enterAnyWords(anyWords, topic, end);
      if (position == load<u32>(WORD_COUNTS + (topic << 2))) {
        if ((way & ANY_WORDS_BIT) != 0) unmarkRow(row, 1 << topic);
        else findSlots(row, 1 << topic);
        continue;
      }
      store<u32>(openEnd, way);
      const word = words + (topic << 3);
      openEnd += (<usize>mayLead(row, node, load<u32>(word), load<u32>(word, 4))) << 2;
      const star = oneWordChild(row);
      store<u32>(next, wayTo(star, topic));
      next += (<usize>(star != 0)) << 2;
      store<u32>(next, way);
      next += (way >> 31) << 2;
      if (end - here > room || next - there > room) return giveUp(here, end);
    }
    visited += (<u32>(end - here)) >> 2;
    if (next - there + (openEnd - open) > room) return giveUp(here, end);
    for (let at = open; at < openEnd; at += 4) {
      const way = load<u32>(at);
      const topic = topicOf(way);
      const child = plainChild(nodeOf(way), load<u32>(words + (topic << 3)));
      store<u32>(next, wayTo(child, topic));
      next += (<usize>(child != 0)) << 2;
    }
    end = next;
    next = here;
    here = there;
    there = next;
  }
  return true;
}

/** Notes what a `#` child leads to, whatever is left of the topic; if more may, it is a way. Returns the ways' end. */
function enterAnyWords(node: u32, topic: u32, end: usize): usize {
  const row = nodeRow(node);
  if (!hasChildren(row)) {
    findSlots(row, 1 << topic);
    return end;
  }
  if (!markRow(row, 1 << topic)) return end;
  findSlots(row, 1 << topic);
  store<u32>(end, wayTo(node, topic) | ANY_WORDS_BIT);
  return end + 4;
}

/** Takes the marks of all ways off again. */
function giveUp(here: usize, end: usize): bool {
  visited = 0;
  for (let at = here; at < end; at += 4) {
    const way = load<u32>(at);
    if ((way & ANY_WORDS_BIT) != 0) unmarkRow(nodeRow(nodeOf(way)), 1 << topicOf(way));
  }
  return false;
}
