import type { Progress, SegmentHead, SegmentNotes, SegmentRow, SegmentStore } from "../queue/stores.ts";
import { bytesOf, type Sql, type SqlValue } from "./sql.ts";

const HEAD = "id, count, time_ms, ttl_ms, flags, record_bytes, producers";
const INSERT = `INSERT INTO segment (${HEAD}, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`;
const REPLACE = `UPDATE segment SET id = ?, count = ?, time_ms = ?, ttl_ms = ?, flags = ?, record_bytes = ?, producers = ?,
  bytes = ? WHERE id = ?`;
const READ = `SELECT ${HEAD}, bytes FROM segment WHERE id = ?`;
const AT_OR_BELOW = "SELECT id AS value FROM segment WHERE id <= ? AND id >= ? ORDER BY id DESC LIMIT 1";
const AT_OR_ABOVE = "SELECT id AS value FROM segment WHERE id >= ? AND id < ? ORDER BY id LIMIT 1";
const HEADS = `SELECT ${HEAD} FROM segment WHERE id >= ? AND id < ? ORDER BY id LIMIT ?`;
const ALIVE = "SELECT id FROM segment WHERE id IN (SELECT value FROM json_each(?))";
const REMOVE = "DELETE FROM segment WHERE id = ?";
const PROGRESS = "SELECT settled, settled_bytes FROM progress WHERE segment = ?";
const WRITE_PROGRESS = `INSERT INTO progress (segment, settled, settled_bytes) VALUES (?, ?, ?)
  ON CONFLICT (segment) DO UPDATE SET settled = excluded.settled, settled_bytes = excluded.settled_bytes`;
const REMOVE_PROGRESS = "DELETE FROM progress WHERE segment = ?";

interface Row {
  id: number;
  count: number;
  time_ms: number;
  ttl_ms: number;
  flags: number;
  record_bytes: number;
  producers: string | null;
  bytes: ArrayBuffer;
}

/** Both in one column, which stands before the bytes: what stands behind them is not read without them. */
function notesToColumn({ producers, lease }: SegmentNotes): string | null {
  return lease === null ? producers : `[${producers ?? "null"},${lease}]`;
}

/** Rows without a lease are as they were before there were leases in place. */
function notesOf(column: string | null): SegmentNotes {
  if (!column?.startsWith("[")) return { producers: column, lease: null };
  const [producers, lease] = JSON.parse(column) as [unknown, unknown];
  return { producers: producers === null ? null : JSON.stringify(producers), lease: JSON.stringify(lease) };
}

function headOf(row: Row): SegmentHead & SegmentNotes {
  const { id, count, flags } = row;
  return {
    id,
    count,
    timeMs: row.time_ms,
    ttlMs: row.ttl_ms,
    flags,
    recordBytes: row.record_bytes,
    ...notesOf(row.producers),
  };
}

type Added = SegmentRow & SegmentNotes;

function columnsOf(row: Added): SqlValue[] {
  const { id, count, timeMs, ttlMs, flags, recordBytes, bytes } = row;
  return [id, count, timeMs, ttlMs, flags, recordBytes, notesToColumn(row), bytes];
}

export class SqlSegmentStore implements SegmentStore {
  private readonly sql: Sql;
  /** Segments of this transition, not stored yet. */
  private readonly added = new Map<number, Added>();
  /** Rows of segments that are gone. */
  private readonly vacated = new Set<number>();

  constructor(sql: Sql) {
    this.sql = sql;
  }

  /** In memory only: the transaction that they were for may have been rolled back. */
  forget(): void {
    this.added.clear();
    this.vacated.clear();
  }

  get vacant(): ReadonlySet<number> {
    return this.vacated;
  }

  setVacant(ids: readonly number[]): void {
    for (const id of this.alive(ids)) this.vacated.add(id);
  }

  insert(row: SegmentRow): void {
    this.added.set(row.id, { ...row, lease: null });
  }

  place(id: number, count: number, lease: string): boolean {
    const row = this.added.get(id);
    if (row === undefined || row.count !== count) return false;
    this.added.set(id, { ...row, lease });
    return true;
  }

  write(): void {
    for (const row of this.added.values()) if (!this.writeOver(row)) this.sql.run(INSERT, ...columnsOf(row));
    this.added.clear();
  }

  /** A row that is written over costs one row, as one that is new; but none was spent on its removal. */
  private writeOver(row: Added): boolean {
    const [id] = this.vacated;
    if (id === undefined) return false;
    this.vacated.delete(id);
    this.sql.run(REPLACE, ...columnsOf(row), id);
    return true;
  }

  read(id: number): (SegmentHead & { bytes: Uint8Array }) | null {
    const added = this.added.get(id);
    if (added !== undefined || this.vacated.has(id)) return added ?? null;
    const row = this.sql.first<Row>(READ, id);
    return row && { ...headOf(row), bytes: bytesOf(row.bytes) };
  }

  atOrBelow(id: number, floor: number): number | null {
    let found = this.sql.value(AT_OR_BELOW, id, floor);
    if (found !== null && this.vacated.has(found)) found = null;
    for (const one of this.added.keys())
      if (one <= id && one >= floor && one > (found ?? Number.NEGATIVE_INFINITY)) found = one;
    return found;
  }

  atOrAbove(id: number, ceiling: number): number | null {
    let found = this.sql.value(AT_OR_ABOVE, id, ceiling);
    while (found !== null && this.vacated.has(found)) found = this.sql.value(AT_OR_ABOVE, found + 1, ceiling);
    for (const one of this.added.keys())
      if (one >= id && one < ceiling && one < (found ?? Number.POSITIVE_INFINITY)) found = one;
    return found;
  }

  heads(id: number, ceiling: number, limit: number): (SegmentHead & SegmentNotes)[] {
    const rows = this.sql.all<Row>(HEADS, id, ceiling, limit + this.vacated.size);
    const heads = rows.map(headOf).filter((head) => !this.vacated.has(head.id));
    for (const { bytes: _bytes, ...head } of this.added.values())
      if (head.id >= id && head.id < ceiling) heads.push(head);
    if (this.added.size > 0) heads.sort((a, b) => a.id - b.id);
    return heads.slice(0, limit);
  }

  alive(ids: readonly number[]): Set<number> {
    if (ids.length === 0) return new Set();
    const rows = this.sql.all<{ id: number }>(ALIVE, JSON.stringify(ids));
    const stored = rows.map(({ id }) => id).filter((id) => !this.vacated.has(id));
    return new Set([...stored, ...ids.filter((id) => this.added.has(id))]);
  }

  remove(id: number): void {
    if (!this.added.delete(id)) this.sql.run(REMOVE, id);
  }

  vacate(id: number): void {
    if (!this.added.delete(id)) this.vacated.add(id);
  }

  removeVacant(): void {
    for (const id of this.vacated) this.sql.run(REMOVE, id);
    this.vacated.clear();
  }

  progress(id: number): Progress | null {
    const row = this.sql.first<{ settled: ArrayBuffer; settled_bytes: number }>(PROGRESS, id);
    return row && { settled: bytesOf(row.settled), settledBytes: row.settled_bytes };
  }

  writeProgress(id: number, progress: Progress): void {
    this.sql.run(WRITE_PROGRESS, id, progress.settled, progress.settledBytes);
  }

  removeProgress(id: number): void {
    this.sql.run(REMOVE_PROGRESS, id);
  }
}
