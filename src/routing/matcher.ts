/**
 * Finds which destinations a topic goes to. The grammar is PROTOCOL §7.16: words between dots, `*` for one word, `#`
 * for zero or more. Two implementations run one contract suite: the wasm trie (the broker's) and a linear search (the
 * oracle).
 *
 * A destination is a small whole number that the caller hands out (a slot); what it stands for is the caller's
 * business. Several patterns may lead to one slot, and a topic that matches more than one of them finds it once.
 */
import type { RecordTable } from "../protocol/batch.ts";
import type { Result } from "../protocol/result.ts";

export interface TopicMatcher {
  /** Refuses a pattern that breaks the grammar. Adding a pair that is there counts up; it takes as many removes. */
  add(pattern: string, slot: number): Result<void>;
  /** False when the pair was not there. The last remove of a pair gives its memory back for later adds. */
  remove(pattern: string, slot: number): boolean;
  /** The slots of one topic, each once, ascending. */
  match(topic: string): number[];
  /** The slots of many topics in few calls, grouped by slot. */
  matchAll(topics: TopicList): SlotMatches;
  /** Pairs held, each counted once. */
  readonly size: number;
}

/**
 * The topics of a batch where they lie: `offsets[i]` and `sizes[i]` are topic i's place in `bytes`. A topic may be empty,
 * and is UTF-8 of at most 255 bytes.
 */
export interface TopicList {
  readonly bytes: Uint8Array;
  readonly count: number;
  readonly offsets: Uint32Array;
  readonly sizes: Uint32Array;
}

/** Which topics go to which slot. Slots ascend, and so do the indexes under each; no slot is there without an index. */
export interface SlotMatches {
  readonly slots: Uint32Array;
  /** `indexes.subarray(ends[k - 1] ?? 0, ends[k])` are the topics that go to `slots[k]`. */
  readonly ends: Uint32Array;
  readonly indexes: Uint32Array;
}

/** Slots run from 0 to this. */
export const SLOT_MAX = 0xffff;

/** The routing keys of a scanned batch, where they lie. A message without one has the empty topic. */
export function topicsOf(bytes: Uint8Array, table: RecordTable): TopicList {
  const offsets = new Uint32Array(table.count);
  const sizes = new Uint32Array(table.count);
  for (let i = 0; i < table.count; i++) {
    offsets[i] = table.routingKeyOffset(i);
    sizes[i] = table.routingKeySize(i);
  }
  return { bytes, count: table.count, offsets, sizes };
}
