import type { Progress, SegmentHead, SegmentRow, SegmentStore } from "../queue/stores.ts";
import { bytesOf, type Sql } from "./sql.ts";

const HEAD = "id, count, time_ms, ttl_ms, flags, record_bytes, producers";
const INSERT = `INSERT INTO segment (${HEAD}, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`;
const READ = `SELECT ${HEAD}, bytes FROM segment WHERE id = ?`;
const AT_OR_BELOW = "SELECT id AS value FROM segment WHERE id <= ? AND id >= ? ORDER BY id DESC LIMIT 1";
const AT_OR_ABOVE = "SELECT id AS value FROM segment WHERE id >= ? AND id < ? ORDER BY id LIMIT 1";
const HEADS = `SELECT ${HEAD} FROM segment WHERE id >= ? AND id < ? ORDER BY id LIMIT ?`;
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

function headOf(row: Row): SegmentHead & { producers: string | null } {
  const { id, count, flags, producers } = row;
  return {
    id,
    count,
    timeMs: row.time_ms,
    ttlMs: row.ttl_ms,
    flags,
    recordBytes: row.record_bytes,
    producers,
  };
}

export class SqlSegmentStore implements SegmentStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  insert(row: SegmentRow): void {
    const { id, count, timeMs, ttlMs, flags, recordBytes, producers, bytes } = row;
    this.sql.run(INSERT, id, count, timeMs, ttlMs, flags, recordBytes, producers, bytes);
  }

  read(id: number): (SegmentHead & { bytes: Uint8Array }) | null {
    const row = this.sql.first<Row>(READ, id);
    return row && { ...headOf(row), bytes: bytesOf(row.bytes) };
  }

  atOrBelow(id: number, floor: number): number | null {
    return this.sql.value(AT_OR_BELOW, id, floor);
  }

  atOrAbove(id: number, ceiling: number): number | null {
    return this.sql.value(AT_OR_ABOVE, id, ceiling);
  }

  heads(id: number, ceiling: number, limit: number): (SegmentHead & { producers: string | null })[] {
    return this.sql.all<Row>(HEADS, id, ceiling, limit).map(headOf);
  }

  remove(id: number): void {
    this.sql.run(REMOVE, id);
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
