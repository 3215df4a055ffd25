// The broker's topic matcher: the trie of wasm/trie.ts. The module is handed in, since each platform loads it its own
// way. A matcher keeps its patterns in the instance's memory, so each has an instance to itself.
import { assert } from "../protocol/assert.ts";
import { LIMITS } from "../protocol/limits.ts";
import { ok, type Result } from "../protocol/result.ts";
import { writeText } from "../protocol/utf8.ts";
import { SLOT_MAX, type TopicList, type TopicMatcher } from "./matcher.ts";
import { SlotMatches, addRecords, matchesOf, type MatchRecord } from "./slot-matches.ts";
import { parsePattern } from "./topic.ts";

/** wasm/README.md has the table. */
export interface TrieExports {
  readonly memory: WebAssembly.Memory;
  trieOpen(): number;
  trieKeysAddress(): number;
  trieOffsetsAddress(): number;
  trieSizesAddress(): number;
  trieMatchesAddress(): number;
  trieAdd(size: number, slot: number): number;
  trieRemove(size: number, slot: number): number;
  trieMatch(size: number): number;
  trieMatchAll(base: number, count: number): number;
  trieTopicsMatched(): number;
  trieStatesVisited(): number;
}

/** What one call takes: bytes of keys, and topics. */
const KEY_BYTES = 65_536;
const TOPICS_MAX = 4_096;

/**
 * Topics are copied with what lies between them while that makes no more than this many times their bytes: copying one
 * stretch is so much faster, by the byte, than picking out the topics.
 */
const STRETCH_MAX = 8;

export class WasmMatcher implements TopicMatcher {
  private readonly exports: TrieExports;
  /** The whole memory, by bytes and by words. Only adding and removing may grow it, which detaches both. */
  private bytes: Uint8Array<ArrayBuffer>;
  private words: Uint32Array<ArrayBuffer>;
  private readonly keys: number;
  // Addresses in words.
  private readonly offsets: number;
  private readonly sizes: number;
  private matches: number;
  private readonly answer: SlotMatches;
  size = 0;

  constructor(module: WebAssembly.Module) {
    this.exports = new WebAssembly.Instance(module, {}).exports as unknown as TrieExports;
    assert(this.exports.trieOpen() === 1, "wasm memory is exhausted");
    this.bytes = new Uint8Array(this.exports.memory.buffer);
    this.words = new Uint32Array(this.exports.memory.buffer);
    this.keys = this.exports.trieKeysAddress();
    this.offsets = this.exports.trieOffsetsAddress() / 4;
    this.sizes = this.exports.trieSizesAddress() / 4;
    this.matches = this.exports.trieMatchesAddress() / 4;
    this.answer = new SlotMatches(this.words, this.matches, 0);
  }

  add(pattern: string, slot: number): Result<void> {
    const parsed = parsePattern("pattern", pattern);
    if (!parsed.ok) return parsed;
    assert(Number.isInteger(slot) && slot >= 0 && slot <= SLOT_MAX, "a slot is out of range");
    const result = this.exports.trieAdd(this.write(pattern), slot);
    this.renewViews();
    assert(result !== -1, "wasm memory is exhausted");
    assert(result >= 0, "the kernel refuses a pattern that the grammar takes");
    this.size += result;
    return ok(undefined);
  }

  remove(pattern: string, slot: number): boolean {
    if (!parsePattern("pattern", pattern).ok) return false;
    assert(Number.isInteger(slot) && slot >= 0 && slot <= SLOT_MAX, "a slot is out of range");
    const result = this.exports.trieRemove(this.write(pattern), slot);
    this.renewViews();
    if (result === 1) this.size--;
    return result >= 0;
  }

  match(topic: string): number[] {
    const count = this.exports.trieMatch(this.write(topic));
    assert(count >= 0, "a topic is too long");
    const { words } = this;
    const slots: number[] = [];
    for (let at = this.matches, left = count; left > 0; left--, at += 2) slots.push(words[at]! >>> 16);
    return count > 1 ? slots.sort((a, b) => a - b) : slots;
  }

  matchAll(topics: TopicList): SlotMatches {
    const { count } = topics;
    if (count === 1) return this.matchOne(topics);
    if (count === 0) return this.answer.set(this.words, 0, 0);
    const found = this.matchFrom(topics, 0);
    let done = this.exports.trieTopicsMatched();
    if (done === count) return found;
    const records: MatchRecord[] = [];
    for (addRecords(found, 0, records); done < count; done += this.exports.trieTopicsMatched()) {
      addRecords(this.matchFrom(topics, done), done, records);
    }
    return matchesOf(records);
  }

  /** States that the last `match` visited: what it cost, for tests. */
  get statesVisited(): number {
    return this.exports.trieStatesVisited();
  }

  /** The size of the instance's memory in bytes. */
  get memoryBytes(): number {
    return this.exports.memory.buffer.byteLength;
  }

  private matchOne(topics: TopicList): SlotMatches {
    const size = this.copyTopic(topics, 0, this.keys);
    return this.answer.set(this.words, this.matches, this.exports.trieMatch(size));
  }

  /** Matches topics from `first` on, as many as one call takes: the kernel says how many that were. */
  private matchFrom(topics: TopicList, first: number): SlotMatches {
    const most = Math.min(topics.count - first, TOPICS_MAX);
    const isStretch = this.copyStretch(topics, first, most);
    const base = isStretch ? topics.offset(first) : 0;
    const count = this.exports.trieMatchAll(base, isStretch ? most : this.copyEach(topics, first, most));
    assert(count >= 0, "the keys are not where the kernel expects them");
    return this.answer.set(this.words, this.matches, count);
  }

  /** Copies the topics with what lies between them, if they ascend and lie close together. */
  private copyStretch(topics: TopicList, first: number, count: number): boolean {
    const { words, offsets, sizes } = this;
    const start = topics.offset(first);
    let end = start;
    let total = 0;
    for (let i = 0; i < count; i++) {
      const offset = topics.offset(first + i);
      const size = topics.size(first + i);
      if (offset < end) return false;
      words[offsets + i] = offset;
      words[sizes + i] = size;
      total += size;
      end = offset + size;
    }
    if (end - start > KEY_BYTES || end - start > STRETCH_MAX * total) return false;
    this.bytes.set(topics.bytes.subarray(start, end), this.keys);
    return true;
  }

  /** Copies the topics one behind the other, as many as there is room for. Returns how many. */
  private copyEach(topics: TopicList, first: number, count: number): number {
    const { words, offsets, sizes, keys } = this;
    let at = 0;
    for (let i = 0; i < count; i++) {
      if (at + LIMITS.textBytesMax > KEY_BYTES) return i - (i % 32);
      const size = this.copyTopic(topics, first + i, keys + at);
      words[offsets + i] = at;
      words[sizes + i] = size;
      at += size;
    }
    return count;
  }

  /** Copies one topic byte by byte, which is faster for so few than to ask the platform. Returns its size. */
  private copyTopic(topics: TopicList, index: number, to: number): number {
    const { bytes } = this;
    const from = topics.bytes;
    const offset = topics.offset(index);
    const size = topics.size(index);
    assert(size <= LIMITS.textBytesMax, "a topic is too long");
    for (let k = 0; k < size; k++) bytes[to + k] = from[offset + k]!;
    return size;
  }

  /** Writes a text where the kernel reads its key. Returns its size in bytes. */
  private write(text: string): number {
    assert(text.length <= LIMITS.textBytesMax, "a topic is too long");
    const { bytes, keys } = this;
    const { length } = text;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return writeText(text, bytes, keys);
      bytes[keys + i] = unit;
    }
    return length;
  }

  /** The kernel may have moved its answers. A grown memory has a new buffer; views on the old one lost their bytes. */
  private renewViews(): void {
    this.matches = this.exports.trieMatchesAddress() / 4;
    const { buffer } = this.exports.memory;
    if (this.bytes.buffer === buffer) return;
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
  }
}
