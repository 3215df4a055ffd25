// The broker's topic matcher: the trie of wasm/trie.ts. The module is handed in, since each platform loads it its own
// way. A matcher keeps its patterns in the instance's memory, so each has an instance to itself.
import { assert } from "../protocol/assert.ts";
import { LIMITS } from "../protocol/limits.ts";
import { ok, type Result } from "../protocol/result.ts";
import { writeText } from "../protocol/utf8.ts";
import { SLOT_MAX, type SlotMatches, type TopicList, type TopicMatcher } from "./matcher.ts";
import { mergeMatches } from "./slot-matches.ts";
import { parsePattern } from "./topic.ts";

/** wasm/README.md has the table. */
export interface TrieExports {
  readonly memory: WebAssembly.Memory;
  trieOpen(): number;
  trieKeysAddress(): number;
  trieOffsetsAddress(): number;
  trieSizesAddress(): number;
  trieSlotsAddress(): number;
  trieFoundAddress(): number;
  trieIndexesAddress(): number;
  trieAdd(size: number, slot: number): number;
  trieRemove(size: number, slot: number): number;
  trieMatch(size: number): number;
  trieMatchAll(base: number, count: number): number;
  trieSlotsFound(): number;
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
  private readonly slots: number;
  private readonly found: number;
  private readonly indexes: number;
  size = 0;

  constructor(module: WebAssembly.Module) {
    this.exports = new WebAssembly.Instance(module, {}).exports as unknown as TrieExports;
    assert(this.exports.trieOpen() === 1, "wasm memory is exhausted");
    this.bytes = new Uint8Array(this.exports.memory.buffer);
    this.words = new Uint32Array(this.exports.memory.buffer);
    this.keys = this.exports.trieKeysAddress();
    this.offsets = this.exports.trieOffsetsAddress() / 4;
    this.sizes = this.exports.trieSizesAddress() / 4;
    this.slots = this.exports.trieSlotsAddress() / 4;
    this.found = this.exports.trieFoundAddress() / 4;
    this.indexes = this.exports.trieIndexesAddress() / 4;
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
    const slots: number[] = [];
    const end = this.found + count;
    for (let at = this.found; at < end; at++) slots.push(this.words[at]!);
    return slots;
  }

  matchAll(topics: TopicList): SlotMatches {
    const parts: SlotMatches[] = [];
    let next = 0;
    do next += this.matchSome(topics, next, parts);
    while (next < topics.count);
    return parts.length === 1 ? parts[0]! : mergeMatches(parts);
  }

  /** States that the last `match` visited: what it cost, for tests. */
  get statesVisited(): number {
    return this.exports.trieStatesVisited();
  }

  /** The size of the instance's memory in bytes. */
  get memoryBytes(): number {
    return this.exports.memory.buffer.byteLength;
  }

  /** Matches topics from `first` on, as many as one call takes. Returns how many. */
  private matchSome(topics: TopicList, first: number, parts: SlotMatches[]): number {
    const count = Math.min(topics.count - first, TOPICS_MAX);
    const isStretch = this.copyStretch(topics, first, count);
    const base = isStretch ? topics.offsets[first]! : 0;
    const done = this.exports.trieMatchAll(base, isStretch ? count : this.copyEach(topics, first, count));
    assert(done >= 0, "the keys are not where the kernel expects them");
    parts.push(this.readMatches(first));
    return done;
  }

  /** Copies the topics with what lies between them, if they ascend and lie close together. */
  private copyStretch({ bytes, offsets, sizes }: TopicList, first: number, count: number): boolean {
    if (count === 0) return false;
    const start = offsets[first]!;
    let end = start;
    let total = 0;
    for (let i = first; i < first + count; i++) {
      const offset = offsets[i]!;
      if (offset < end) return false;
      total += sizes[i]!;
      end = offset + sizes[i]!;
    }
    if (end - start > KEY_BYTES || end - start > STRETCH_MAX * total) return false;
    this.bytes.set(bytes.subarray(start, end), this.keys);
    this.words.set(offsets.subarray(first, first + count), this.offsets);
    this.words.set(sizes.subarray(first, first + count), this.sizes);
    return true;
  }

  /** Copies the topics one behind the other, as many as there is room for. Returns how many. */
  private copyEach({ bytes, offsets, sizes }: TopicList, first: number, count: number): number {
    let at = 0;
    for (let i = 0; i < count; i++) {
      const size = sizes[first + i]!;
      assert(size <= LIMITS.textBytesMax, "a topic is too long");
      if (at + size > KEY_BYTES) return i;
      this.words[this.offsets + i] = at;
      this.words[this.sizes + i] = size;
      const from = offsets[first + i]!;
      const to = this.keys + at;
      for (let k = 0; k < size; k++) this.bytes[to + k] = bytes[from + k]!;
      at += size;
    }
    return count;
  }

  /** A copy of what the last call found. The kernel counts topics from 0, the caller from `first`. */
  private readMatches(first: number): SlotMatches {
    const count = this.exports.trieSlotsFound();
    const slots = this.words.slice(this.slots, this.slots + count);
    const ends = this.words.slice(this.found, this.found + count);
    const indexes = this.words.slice(this.indexes, this.indexes + (ends[count - 1] ?? 0));
    if (first > 0) for (let i = 0; i < indexes.length; i++) indexes[i]! += first;
    return { slots, ends, indexes };
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

  /** A grown memory has a new buffer, and views on the old one have lost their bytes. */
  private renewViews(): void {
    const { buffer } = this.exports.memory;
    if (this.bytes.buffer === buffer) return;
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
  }
}
