// What goes into a router and what comes out of it, and the parts that several kinds of exchange are made of.
import { assert } from "../protocol/assert.ts";
import type { RecordTable } from "../protocol/batch.ts";
import type { HeadersFilter } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";

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

/**
 * Where the messages of one batch go: a bit for each message and destination. What is said twice counts once, in whatever
 * order it is said. At most LIMITS.destinationsMax × LIMITS.recordsMax bits, 512 KB.
 */
export class RouteHits {
  private readonly count: number;
  private readonly rows = new Map<number, Uint32Array>();

  constructor(count: number) {
    this.count = count;
  }

  add(destination: number, index: number): void {
    setBit(this.rowOf(destination), index);
  }

  addAll(destination: number): void {
    this.rowOf(destination).fill(0xffffffff);
  }

  /** The bits are of 32 messages, from 32 times `group` on. */
  addGroup(destination: number, group: number, bits: number): void {
    this.rowOf(destination)[group]! |= bits;
  }

  /** The bits are of the messages from `first` on, a multiple of 32. */
  addBits(destination: number, first: number, bits: Uint32Array): void {
    const row = this.rowOf(destination);
    const from = first / 32;
    for (let k = 0; k < bits.length; k++) row[from + k]! |= bits[k]!;
  }

  matches(): RouteMatches {
    const destinations = [...this.rows.keys()].sort((a, b) => a - b);
    return {
      destinations,
      messages: destinations.map((destination) => indexesOf(this.rowOf(destination), this.count)),
    };
  }

  private rowOf(destination: number): Uint32Array {
    let row = this.rows.get(destination);
    if (row === undefined) this.rows.set(destination, (row = bitsFor(this.count)));
    return row;
  }
}

export function bitsFor(count: number): Uint32Array<ArrayBuffer> {
  return new Uint32Array(Math.ceil(count / 32));
}

export function setBit(bits: Uint32Array, index: number): void {
  bits[index >>> 5]! |= 1 << (index & 31);
}

export function hasBit(bits: Uint32Array, index: number): boolean {
  return (bits[index >>> 5]! & (1 << (index & 31))) !== 0;
}

/** The bits that are set, of the first `count`. */
function indexesOf(bits: Uint32Array, count: number): Uint32Array {
  const indexes = new Uint32Array(count);
  let size = 0;
  for (let k = 0; k < bits.length; k++) {
    for (let word = bits[k]!; word !== 0; word &= word - 1) {
      const index = 32 * k + 31 - Math.clz32(word & -word);
      if (index < count) indexes[size++] = index;
    }
  }
  return indexes.slice(0, size);
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
