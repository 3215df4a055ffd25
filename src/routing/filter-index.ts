/**
 * The headers filters of many bindings, evaluated for many messages together.
 *
 * Each distinct condition, `name = value` or `name is there`, has a number. A part of a batch is loaded: each header of
 * its messages is looked up once, and each condition that holds for some message gets a row of bits, one for each
 * message. A filter is then the intersection (`match all`) or the union (`match any`) of its conditions' rows.
 *
 * To find what accepts something without asking every filter, a filter is filed under conditions: one of `match any`
 * under each of its own, one of `match all` under the one that had the fewest filters when it came, since it can't hold
 * without it. Only what is filed under a condition that holds is tried.
 *
 * The worst case, LIMITS.bindingsMax filters of LIMITS.filterHeadersMax headers that are all tried for a batch of
 * LIMITS.recordsMax messages, is 41 million operations on words: about a tenth of a second.
 */
import { assert } from "../protocol/assert.ts";
import { FIELD, type HeaderValue, type RecordTable } from "../protocol/batch.ts";
import { readHeaders } from "../protocol/record.ts";
import type { WantedValue } from "./headers-filter.ts";
import { bitsFor, type RouteHits, type RouterBinding } from "./routes.ts";

/** Messages in a part, a multiple of 32. All headers of a part, 64 each, make rows of 4 MB at the most. */
export const PART_MAX = 512;

export interface Filtered {
  readonly binding: RouterBinding;
  readonly isAll: boolean;
  readonly conditions: readonly number[];
  /** The conditions it is filed under. */
  readonly places: readonly number[];
  /** The part that it was last tried for. */
  tried: number;
}

const NO_ROW = -1;

export class FilterIndex {
  private readonly byId = new Map<number, Filtered>();
  /** A Map tells values apart as filters do: by type and value. */
  private readonly numbers = new Map<string, Map<WantedValue, number>>();
  /** By a condition's number: the filters that name it, what is filed under it, and its row in the part. */
  private readonly uses: number[] = [];
  private readonly filed: Set<Filtered>[] = [];
  private readonly rowOf: number[] = [];
  private readonly free: number[] = [];
  /** The conditions that hold for some message of the part, in the order of their rows. */
  private held: number[] = [];
  private rows = new Uint32Array(0);
  /** Words in a row. */
  private width = 0;
  private result = bitsFor(0);
  private part = 0;

  get size(): number {
    return this.byId.size;
  }

  /** The binding has a filter, and the filter names a header. */
  add(binding: RouterBinding): Filtered {
    const { match, headers } = binding.headers!;
    assert(!this.byId.has(binding.id), "a binding is added twice");
    const conditions = Object.entries(headers).map(([name, wanted]) => this.use(name, wanted));
    const isAll = match === "all";
    const places = isAll ? [this.leastFiled(conditions)] : conditions;
    const filtered = { binding, isAll, conditions, places, tried: 0 };
    for (const place of places) this.filed[place]!.add(filtered);
    this.byId.set(binding.id, filtered);
    return filtered;
  }

  remove(binding: RouterBinding): Filtered {
    const filtered = this.byId.get(binding.id);
    assert(filtered !== undefined, "a binding is removed that was never added");
    for (const place of filtered.places) this.filed[place]!.delete(filtered);
    for (const [name, wanted] of Object.entries(filtered.binding.headers!.headers)) this.disuse(name, wanted);
    this.byId.delete(binding.id);
    return filtered;
  }

  /** Takes up to PART_MAX messages from `first` on. What is asked next is about them. */
  load(batch: Uint8Array, table: RecordTable, first: number, count: number): void {
    for (const condition of this.held) this.rowOf[condition] = NO_ROW;
    this.held = [];
    this.part++;
    this.result = bitsFor(count);
    this.width = this.result.length;
    for (let i = 0; i < count; i++) {
      if ((table.flags(first + i) & FIELD.headers) === 0) continue;
      const headers = Object.entries(readHeaders(batch, table.offset(first + i))!);
      for (const [name, value] of headers) this.mark(name, value, i);
    }
  }

  /** The messages of the part that the filter accepts, as bits that hold until the next question. Null: none. */
  accepted({ isAll, conditions }: Filtered): Uint32Array | null {
    const { result, width, rows } = this;
    if (isAll && conditions.some((condition) => this.rowOf[condition] === NO_ROW)) return null;
    result.fill(isAll ? 0xffffffff : 0);
    for (const condition of conditions) {
      const row = this.rowOf[condition]!;
      if (row === NO_ROW) continue;
      const from = row * width;
      if (isAll) for (let k = 0; k < width; k++) result[k]! &= rows[from + k]!;
      else for (let k = 0; k < width; k++) result[k]! |= rows[from + k]!;
    }
    return result.some((word) => word !== 0) ? result : null;
  }

  /** Sends on what some filters accept among `candidates`, which are bits of the part's messages from `first` on. */
  route(some: Iterable<Filtered>, candidates: Uint32Array, first: number, hits: RouteHits): void {
    for (const filtered of some) {
      const bits = this.accepted(filtered);
      if (bits === null) continue;
      let any = 0;
      for (let k = 0; k < bits.length; k++) any |= bits[k]! &= candidates[k]!;
      if (any !== 0) hits.addBits(filtered.binding.destination, first, bits);
    }
  }

  /** Every binding whose filter accepts some message of the part, once, with those messages. */
  forEachAccepted(visit: (binding: RouterBinding, bits: Uint32Array) => void): void {
    for (const condition of this.held) {
      for (const filtered of this.filed[condition]!) {
        if (filtered.tried === this.part) continue;
        filtered.tried = this.part;
        const bits = this.accepted(filtered);
        if (bits !== null) visit(filtered.binding, bits);
      }
    }
  }

  private mark(name: string, value: HeaderValue, index: number): void {
    const values = this.numbers.get(name);
    if (values === undefined) return;
    this.markCondition(values.get(null), index);
    if (typeof value !== "object") this.markCondition(values.get(value), index);
  }

  private markCondition(condition: number | undefined, index: number): void {
    if (condition === undefined) return;
    let row = this.rowOf[condition]!;
    if (row === NO_ROW) this.rowOf[condition] = row = this.newRow(condition);
    const from = row * this.width;
    this.rows[from + (index >>> 5)]! |= 1 << (index & 31);
  }

  private newRow(condition: number): number {
    const row = this.held.push(condition) - 1;
    const from = row * this.width;
    if (from + this.width > this.rows.length) {
      const grown = new Uint32Array(2 * (from + this.width));
      grown.set(this.rows);
      this.rows = grown;
    }
    this.rows.fill(0, from, from + this.width);
    return row;
  }

  private leastFiled(conditions: readonly number[]): number {
    return conditions.reduce((least, one) => (this.filed[one]!.size < this.filed[least]!.size ? one : least));
  }

  private use(name: string, wanted: WantedValue): number {
    let values = this.numbers.get(name);
    if (values === undefined) this.numbers.set(name, (values = new Map()));
    let condition = values.get(wanted);
    if (condition === undefined) {
      condition = this.free.pop() ?? this.uses.length;
      values.set(wanted, condition);
      this.uses[condition] = 0;
      this.filed[condition] = new Set();
      this.rowOf[condition] = NO_ROW;
    }
    this.uses[condition]!++;
    return condition;
  }

  private disuse(name: string, wanted: WantedValue): void {
    const values = this.numbers.get(name)!;
    const condition = values.get(wanted)!;
    if (--this.uses[condition]! > 0) return;
    this.free.push(condition);
    values.delete(wanted);
    if (values.size === 0) this.numbers.delete(name);
  }
}
