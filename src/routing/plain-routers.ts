// The kinds of exchange that look up a key as it stands, or look at no key.
import type { RecordTable } from "../protocol/batch.ts";
import { readText } from "../protocol/utf8.ts";
import { FilterIndex, PART_MAX, type Filtered } from "./filter-index.ts";
import {
  bitsFor,
  CountedDestinations,
  setBit,
  type KindRouter,
  type RouteHits,
  type RouterBinding,
} from "./routes.ts";

/** fanout and headers: no key is read, so a binding takes every message, or every one that its filter accepts. */
export class KeylessRouter implements KindRouter {
  private readonly open = new CountedDestinations();
  private readonly filters = new FilterIndex();

  add(binding: RouterBinding): void {
    if (binding.headers === null) this.open.add(binding.destination);
    else this.filters.add(binding);
  }

  remove(binding: RouterBinding): void {
    if (binding.headers === null) this.open.remove(binding.destination);
    else this.filters.remove(binding);
  }

  route(batch: Uint8Array, table: RecordTable, hits: RouteHits): void {
    if (table.count > 0) for (const destination of this.open.all()) hits.addAll(destination);
    if (this.filters.size === 0) return;
    for (let first = 0; first < table.count; first += PART_MAX) {
      this.filters.load(batch, table, first, Math.min(PART_MAX, table.count - first));
      this.filters.forEachAccepted(({ destination }, bits) => hits.addBits(destination, first, bits));
    }
  }
}

interface KeyBindings {
  readonly open: CountedDestinations;
  readonly filtered: Set<Filtered>;
}

/** direct: valid UTF-8 is equal byte by byte exactly when its text is, so each key is decoded once. */
export class DirectRouter implements KindRouter {
  private readonly byKey = new Map<string, KeyBindings>();
  private readonly filters = new FilterIndex();

  add(binding: RouterBinding): void {
    let bindings = this.byKey.get(binding.key);
    if (bindings === undefined) {
      bindings = { open: new CountedDestinations(), filtered: new Set() };
      this.byKey.set(binding.key, bindings);
    }
    if (binding.headers === null) bindings.open.add(binding.destination);
    else bindings.filtered.add(this.filters.add(binding));
  }

  remove(binding: RouterBinding): void {
    const bindings = this.byKey.get(binding.key)!;
    if (binding.headers === null) bindings.open.remove(binding.destination);
    else bindings.filtered.delete(this.filters.remove(binding));
    if (bindings.open.size === 0 && bindings.filtered.size === 0) this.byKey.delete(binding.key);
  }

  route(batch: Uint8Array, table: RecordTable, hits: RouteHits): void {
    for (let first = 0; first < table.count; first += PART_MAX) {
      this.routePart(batch, table, first, Math.min(PART_MAX, table.count - first), hits);
    }
  }

  private routePart(
    batch: Uint8Array,
    table: RecordTable,
    first: number,
    count: number,
    hits: RouteHits,
  ): void {
    const waiting = new Map<KeyBindings, Uint32Array>();
    for (let i = 0; i < count; i++) {
      const at = first + i;
      const key = readText(batch, table.routingKeyOffset(at), table.routingKeySize(at));
      const bindings = this.byKey.get(key);
      if (bindings === undefined) continue;
      for (const destination of bindings.open.all()) hits.add(destination, at);
      if (bindings.filtered.size === 0) continue;
      const bits = waiting.get(bindings) ?? bitsFor(count);
      setBit(bits, i);
      waiting.set(bindings, bits);
    }
    if (waiting.size === 0) return;
    this.filters.load(batch, table, first, count);
    for (const [{ filtered }, candidates] of waiting) this.filters.route(filtered, candidates, first, hits);
  }
}
