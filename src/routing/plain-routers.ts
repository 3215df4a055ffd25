// The kinds of exchange that look up a key as it stands, or look at no key.
import type { RecordTable } from "../protocol/batch.ts";
import { readText } from "../protocol/utf8.ts";
import { FilterIndex, type Filtered } from "./filter-index.ts";
import {
  BatchHeaders,
  CountedDestinations,
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
    const headers = new BatchHeaders(batch, table);
    for (let i = 0; i < table.count; i++) {
      this.filters.lookAt(headers.of(i));
      this.filters.forEachAccepted(({ destination }) => hits.add(destination, i));
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
    const headers = new BatchHeaders(batch, table);
    for (let i = 0; i < table.count; i++) {
      const key = readText(batch, table.routingKeyOffset(i), table.routingKeySize(i));
      const bindings = this.byKey.get(key);
      if (bindings === undefined) continue;
      for (const destination of bindings.open.all()) hits.add(destination, i);
      if (bindings.filtered.size === 0) continue;
      this.filters.lookAt(headers.of(i));
      for (const filtered of bindings.filtered) {
        if (this.filters.accepts(filtered)) hits.add(filtered.binding.destination, i);
      }
    }
  }
}
