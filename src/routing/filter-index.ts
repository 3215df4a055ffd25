/**
 * The headers filters of many bindings, evaluated together.
 *
 * Each distinct condition, `name = value` or `name is there`, has a number. A message's headers are looked up once and
 * the conditions that hold are marked: at most two for each header, 128 in all. From then on a filter is at most
 * LIMITS.filterHeadersMax looks at marks, whatever its values are.
 *
 * To find what accepts a message without asking every filter, a filter is filed under conditions: one of `match any`
 * under each of its own, one of `match all` under the one that had the fewest filters when it came (its anchor), since
 * it can't hold without it. Only what is filed under a condition that holds is tried. The worst case, all
 * LIMITS.bindingsMax filters anchored at what all LIMITS.recordsMax messages have, is 80 million tries of a few
 * nanoseconds each.
 */
import { assert } from "../protocol/assert.ts";
import type { Headers } from "../protocol/batch.ts";
import type { WantedValue } from "./headers-filter.ts";
import type { RouterBinding } from "./routes.ts";

export interface Filtered {
  readonly binding: RouterBinding;
  readonly isAll: boolean;
  readonly conditions: readonly number[];
  /** The conditions it is filed under. */
  readonly places: readonly number[];
}

const NOTHING: Headers = {};

export class FilterIndex {
  private readonly byId = new Map<number, Filtered>();
  /** A Map tells values apart as filters do: by type and value. */
  private readonly numbers = new Map<string, Map<WantedValue, number>>();
  /** By a condition's number: the filters that name it, and what is filed under it. */
  private readonly uses: number[] = [];
  private readonly filed: Set<Filtered>[] = [];
  private readonly free: number[] = [];
  private readonly marks: boolean[] = [];
  private held: number[] = [];
  private seen: Headers = NOTHING;

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
    const filtered = { binding, isAll, conditions, places };
    for (const place of places) this.filed[place]!.add(filtered);
    this.byId.set(binding.id, filtered);
    this.forget();
    return filtered;
  }

  remove(binding: RouterBinding): Filtered {
    const filtered = this.byId.get(binding.id);
    assert(filtered !== undefined, "a binding is removed that was never added");
    this.forget();
    for (const place of filtered.places) this.filed[place]!.delete(filtered);
    for (const [name, wanted] of Object.entries(filtered.binding.headers!.headers)) this.disuse(name, wanted);
    this.byId.delete(binding.id);
    return filtered;
  }

  /** Says whose headers the next questions are about. The same object again costs nothing. */
  lookAt(headers: Headers): void {
    if (headers === this.seen) return;
    this.forget();
    this.seen = headers;
    for (const [name, value] of Object.entries(headers)) {
      const values = this.numbers.get(name);
      if (values === undefined) continue;
      this.mark(values.get(null));
      if (typeof value !== "object") this.mark(values.get(value));
    }
  }

  accepts({ isAll, conditions }: Filtered): boolean {
    for (const condition of conditions) if (this.marks[condition] !== isAll) return !isAll;
    return isAll;
  }

  /** Every binding whose filter accepts; one of `match any` as often as a condition of it holds. */
  forEachAccepted(visit: (binding: RouterBinding) => void): void {
    for (const condition of this.held) {
      for (const filtered of this.filed[condition]!) {
        if (!filtered.isAll || this.accepts(filtered)) visit(filtered.binding);
      }
    }
  }

  private mark(condition: number | undefined): void {
    if (condition === undefined) return;
    this.marks[condition] = true;
    this.held.push(condition);
  }

  private forget(): void {
    for (const condition of this.held) this.marks[condition] = false;
    this.held = [];
    this.seen = NOTHING;
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
      this.marks[condition] = false;
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
