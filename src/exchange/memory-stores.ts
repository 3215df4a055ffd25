// Where an exchange that is not durable keeps its events: in memory, with the same interfaces as the tables.
import type { HistoryHead, HistoryRow, HistoryStore, LastValueRow, LastValueStore } from "./stores.ts";

export class MemoryHistoryStore implements HistoryStore {
  private rows: HistoryRow[] = [];

  insert(row: HistoryRow): void {
    // The batch may be sent on and stamped anew by others; memory must not change with it.
    this.rows.push({ ...row, bytes: row.bytes.slice() });
  }
  firstHeads(limit: number): HistoryHead[] {
    return this.rows.slice(0, limit);
  }
  firstAfter(timeMs: number): HistoryHead | null {
    return this.rows.find((row) => row.timeMs > timeMs) ?? null;
  }
  last(): HistoryHead | null {
    return this.rows.at(-1) ?? null;
  }
  atOrAfter(offset: number): HistoryRow | null {
    return this.rows[this.placeOf(offset)] ?? null;
  }
  before(offset: number): HistoryRow | null {
    const place = this.rows.findLastIndex((row) => row.first < offset);
    return this.rows[place] ?? null;
  }
  removeBefore(first: number): void {
    this.rows = this.rows.filter((row) => row.first >= first);
  }
  clear(): void {
    this.rows = [];
  }

  /** The place of the first row that ends at the offset or after it. */
  private placeOf(offset: number): number {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const row = this.rows[middle]!;
      if (row.first + row.count - 1 >= offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

export class MemoryLastValueStore implements LastValueStore {
  /** In the order in which topics last spoke. */
  private readonly rows = new Map<string, LastValueRow>();

  put(row: LastValueRow): boolean {
    const isNew = !this.rows.delete(row.topic);
    this.rows.set(row.topic, { ...row, bytes: row.bytes.slice() });
    return isNew;
  }
  remove(topic: string): boolean {
    return this.rows.delete(topic);
  }
  count(): number {
    return this.rows.size;
  }
  page(after: string | null, limit: number): LastValueRow[] {
    const rest = [...this.rows.values()].filter((row) => after === null || row.topic > after);
    return rest.sort((a, b) => (a.topic < b.topic ? -1 : 1)).slice(0, limit);
  }
  removeOldest(count: number): void {
    for (const topic of [...this.rows.keys()].slice(0, count)) this.rows.delete(topic);
  }
  clear(): void {
    this.rows.clear();
  }
}
