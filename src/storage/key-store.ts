import { LANE_SPAN } from "../queue/lane.ts";
import type { KeyStore, LineRow } from "../queue/stores.ts";
import { bytesOf, type Sql } from "./sql.ts";

const PUT = `INSERT INTO blocked (key, segment, positions, form) VALUES (?, ?, ?, 1)
  ON CONFLICT (key, segment) DO UPDATE SET positions = excluded.positions, form = 1`;
const REMOVE = "DELETE FROM blocked WHERE key = ? AND segment = ?";
const COLUMNS = "key, segment, positions, form";
const FIRST = `SELECT ${COLUMNS} FROM blocked WHERE key = ? ORDER BY segment LIMIT 1`;
const AT_OR_BEFORE = `SELECT ${COLUMNS} FROM blocked WHERE key = ? AND segment <= ? AND segment >= ?
  ORDER BY segment DESC LIMIT 1`;
const BETWEEN = `SELECT ${COLUMNS} FROM blocked WHERE key = ? AND segment >= ? AND segment < ? ORDER BY segment`;
const BELOW = `SELECT ${COLUMNS} FROM blocked WHERE segment % ${LANE_SPAN} < ? LIMIT ?`;
const FIRST_KEY = "SELECT key FROM blocked ORDER BY key LIMIT 1";
const NEXT_KEY = "SELECT key FROM blocked WHERE key > ? ORDER BY key LIMIT 1";
const PUT_DRAIN = "INSERT OR REPLACE INTO drain (key, before_sequence) VALUES (?, ?)";
const DRAIN = "SELECT before_sequence AS value FROM drain WHERE key = ?";
const REMOVE_DRAIN = "DELETE FROM drain WHERE key = ?";

interface Row {
  key: string;
  segment: number;
  positions: ArrayBuffer;
  form: number;
}

function rowOf({ key, segment: id, positions, form }: Row): LineRow {
  return { key, id, positions: bytesOf(positions), isBitmap: form === 0 };
}

export class SqlKeyStore implements KeyStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  putLine({ key, id, positions }: Omit<LineRow, "isBitmap">): void {
    this.sql.run(PUT, key, id, positions);
  }

  removeLine(key: string, id: number): void {
    this.sql.run(REMOVE, key, id);
  }

  firstLine(key: string): LineRow | null {
    const row = this.sql.first<Row>(FIRST, key);
    return row && rowOf(row);
  }

  lineAtOrBefore(key: string, id: number, floor: number): LineRow | null {
    const row = this.sql.first<Row>(AT_OR_BEFORE, key, id, floor);
    return row && rowOf(row);
  }

  linesBetween(key: string, id: number, ceiling: number): LineRow[] {
    return this.sql.all<Row>(BETWEEN, key, id, ceiling).map(rowOf);
  }

  linesBelow(sequence: number, limit: number): LineRow[] {
    return this.sql.all<Row>(BELOW, sequence, limit).map(rowOf);
  }

  nextLineKey(after: string | null): string | null {
    const row = after === null ? this.sql.first<Row>(FIRST_KEY) : this.sql.first<Row>(NEXT_KEY, after);
    return row?.key ?? null;
  }

  putDrain(key: string, beforeSequence: number): void {
    this.sql.run(PUT_DRAIN, key, beforeSequence);
  }

  drain(key: string): number | null {
    return this.sql.value(DRAIN, key);
  }

  removeDrain(key: string): void {
    this.sql.run(REMOVE_DRAIN, key);
  }
}
