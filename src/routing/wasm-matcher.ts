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
  trieSlotsAddress(): number;
  trieFoundAddress(): number;
  trieIndexesAddress(): number;
  trieAdd(size: number, slot: number): number;
  trieRemove(size: number, slot: number): number;
  trieMatch(size: number): number;
  trieMatchAll(size: number, count: number): number;
  trieSlotsFound(): number;
  trieStatesVisited(): number;
}

/** Bytes of topics that one call takes, each with a byte for its size. */
const KEY_BYTES = 65_536;

export class WasmMatcher implements TopicMatcher {
  private readonly exports: TrieExports;
  /** The whole memory, by bytes and by words. Only adding and removing may grow it, which detaches both. */
  private bytes: Uint8Array<ArrayBuffer>;
  private words: Uint32Array<ArrayBuffer>;
  private readonly keys: number;
  // Addresses in words.
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
    const { bytes, offsets, sizes } = topics;
    const end = this.keys + KEY_BYTES;
    let at = this.keys;
    let next = first;
    for (; next < topics.count; next++) {
      const size = sizes[next]!;
      assert(size <= LIMITS.textBytesMax, "a topic is too long");
      if (at + 1 + size > end) break;
      this.bytes[at++] = size;
      const from = offsets[next]!;
      for (let i = 0; i < size; i++) this.bytes[at + i] = bytes[from + i]!;
      at += size;
    }
    const done = this.exports.trieMatchAll(at - this.keys, next - first);
    assert(done >= 0, "the keys are not what the kernel expects");
    parts.push(this.readMatches(first));
    return done;
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
