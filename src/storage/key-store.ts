import { LANE_SPAN } from "../queue/lane.ts";
import type { BlockedRow, KeyStore } from "../queue/stores.ts";
import { bytesOf, type Sql } from "./sql.ts";

const BLOCK = `INSERT INTO blocked (key, segment, positions) VALUES (?, ?, ?)
  ON CONFLICT (key, segment) DO UPDATE SET positions = excluded.positions`;
const UNBLOCK = "DELETE FROM blocked WHERE key = ? AND segment = ?";
const BLOCKED = "SELECT key, segment, positions FROM blocked WHERE key = ? AND segment = ?";
const FIRST = "SELECT key, segment, positions FROM blocked WHERE key = ? ORDER BY segment LIMIT 1";
const BLOCKED_BETWEEN = `SELECT key, segment, positions FROM blocked WHERE key = ? AND segment >= ? AND segment < ?
  ORDER BY segment`;
const FIRST_KEY = "SELECT key FROM blocked ORDER BY key LIMIT 1";
const NEXT_KEY = "SELECT key FROM blocked WHERE key > ? ORDER BY key LIMIT 1";
const BELOW = `SELECT 1 AS value FROM blocked WHERE segment % ${LANE_SPAN} < ? LIMIT 1`;
const PUT_DRAIN = "INSERT OR REPLACE INTO drain (key, before_sequence) VALUES (?, ?)";
const DRAIN = "SELECT before_sequence AS value FROM drain WHERE key = ?";
const REMOVE_DRAIN = "DELETE FROM drain WHERE key = ?";

interface Row {
  key: string;
  segment: number;
  positions: ArrayBuffer;
}

function rowOf(row: Row): BlockedRow {
  return { key: row.key, segment: row.segment, indexes: bytesOf(row.positions) };
}

export class SqlKeyStore implements KeyStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  block({ key, segment, indexes }: BlockedRow): void {
    this.sql.run(BLOCK, key, segment, indexes);
  }

  unblock(key: string, segment: number): void {
    this.sql.run(UNBLOCK, key, segment);
  }

  blocked(key: string, segment: number): Uint8Array | null {
    const row = this.sql.first<Row>(BLOCKED, key, segment);
    return row && rowOf(row).indexes;
  }

  firstBlocked(key: string): BlockedRow | null {
    const row = this.sql.first<Row>(FIRST, key);
    return row && rowOf(row);
  }

  blockedBetween(key: string, segment: number, ceiling: number): BlockedRow[] {
    return this.sql.all<Row>(BLOCKED_BETWEEN, key, segment, ceiling).map(rowOf);
  }

  hasBlockedBelow(sequence: number): boolean {
    return this.sql.value(BELOW, sequence) !== null;
  }

  nextBlockedKey(after: string | null): string | null {
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
