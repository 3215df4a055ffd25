// What goes into a router and what comes out of it, and the parts that several kinds of exchange are made of.
import { assert } from "../protocol/assert.ts";
import { FIELD, type Headers, type RecordTable } from "../protocol/batch.ts";
import type { HeadersFilter } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { readHeaders } from "../protocol/record.ts";

export interface RouterBinding {
  readonly id: number;
  /** A number that the caller hands out, below LIMITS.destinationsMax; it may be used again for another. */
  readonly destination: number;
  /** Tells destinations apart for ever: what consistent-hash hashes, since numbers change with every restart. */
  readonly name: string;
  readonly key: string;
  readonly headers: HeadersFilter | null;
}

/** Parallel: `messages[k]` are the indexes that go to `destinations[k]`, ascending and at least one. */
export interface RouteMatches {
  /** Ascending. */
  readonly destinations: readonly number[];
  readonly messages: readonly Uint32Array[];
}

/** Where the messages of one batch go. What is said twice counts once, in whatever order it is said. */
export class RouteHits {
  private readonly count: number;
  /** A byte a message: at most LIMITS.destinationsMax × LIMITS.recordsMax, 4 MB. */
  private readonly rows = new Map<number, Uint8Array>();

  constructor(count: number) {
    this.count = count;
  }

  add(destination: number, index: number): void {
    this.rowOf(destination)[index] = 1;
  }

  addAll(destination: number): void {
    this.rowOf(destination).fill(1);
  }

  matches(): RouteMatches {
    const destinations = [...this.rows.keys()].sort((a, b) => a - b);
    return { destinations, messages: destinations.map((destination) => indexesOf(this.rowOf(destination))) };
  }

  private rowOf(destination: number): Uint8Array {
    let row = this.rows.get(destination);
    if (row === undefined) this.rows.set(destination, (row = new Uint8Array(this.count)));
    return row;
  }
}

function indexesOf(row: Uint8Array): Uint32Array {
  const indexes = new Uint32Array(row.length);
  let size = 0;
  for (let i = 0; i < row.length; i++) if (row[i] === 1) indexes[size++] = i;
  return indexes.subarray(0, size);
}

/** Destinations, and how many bindings lead to each. */
export class CountedDestinations {
  private readonly counts = new Map<number, number>();

  get size(): number {
    return this.counts.size;
  }

  add(destination: number): void {
    this.counts.set(destination, (this.counts.get(destination) ?? 0) + 1);
  }

  remove(destination: number): void {
    const count = this.counts.get(destination);
    assert(count !== undefined, "a binding is removed that was never added");
    if (count > 1) this.counts.set(destination, count - 1);
    else this.counts.delete(destination);
  }

  all(): IterableIterator<number> {
    return this.counts.keys();
  }
}

const NO_HEADERS: Headers = {};

/** The headers of a batch's records, each decoded when it is first asked for. Only the last one is remembered. */
export class BatchHeaders {
  private readonly batch: Uint8Array;
  private readonly table: RecordTable;
  private index = -1;
  private headers = NO_HEADERS;

  constructor(batch: Uint8Array, table: RecordTable) {
    this.batch = batch;
    this.table = table;
  }

  of(index: number): Headers {
    if (index === this.index) return this.headers;
    const hasSome = (this.table.flags(index) & FIELD.headers) !== 0;
    this.headers = (hasSome ? readHeaders(this.batch, this.table.offset(index)) : null) ?? NO_HEADERS;
    this.index = index;
    return this.headers;
  }
}

export function assertDestination(destination: number): void {
  assert(
    Number.isInteger(destination) && destination >= 0 && destination < LIMITS.destinationsMax,
    "a destination's number is out of range",
  );
}

/** What each kind of exchange does. Bindings have passed `checkBinding`, and their ids and destinations are sound. */
export interface KindRouter {
  add(binding: RouterBinding): void;
  remove(binding: RouterBinding): void;
  route(batch: Uint8Array, table: RecordTable, hits: RouteHits): void;
}
