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
import type { SlotMatches } from "./slot-matches.ts";

export interface TopicMatcher {
  /** Refuses a pattern that breaks the grammar. Adding a pair that is there counts up; it takes as many removes. */
  add(pattern: string, slot: number): Result<void>;
  /** False when the pair was not there. The last remove of a pair gives its memory back for later adds. */
  remove(pattern: string, slot: number): boolean;
  /** The slots of one topic, each once, ascending. */
  match(topic: string): number[];
  /** The slots of many topics in few calls. The answer lives until the next call of any method. */
  matchAll(topics: TopicList): SlotMatches;
  /** Pairs held, each counted once. */
  readonly size: number;
}

/** The topics of a batch where they lie in `bytes`. A topic may be empty, and is UTF-8 of at most 255 bytes. */
export interface TopicList {
  readonly bytes: Uint8Array;
  readonly count: number;
  offset(index: number): number;
  size(index: number): number;
}

/** Slots run from 0 to this. */
export const SLOT_MAX = 0xffff;

/** The routing keys of some messages of a scanned batch. A message without one has the empty topic. */
export class RoutingKeys implements TopicList {
  readonly bytes: Uint8Array;
  readonly count: number;
  private readonly table: RecordTable;
  private readonly first: number;

  constructor(batch: Uint8Array, table: RecordTable, first = 0, count = table.count) {
    this.bytes = batch;
    this.table = table;
    this.first = first;
    this.count = count;
  }

  offset(index: number): number {
    return this.table.routingKeyOffset(this.first + index);
  }

  size(index: number): number {
    return this.table.routingKeySize(this.first + index);
  }
}
