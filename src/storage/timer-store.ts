import { LANE_SPAN, laneOfSegment } from "../queue/lane.ts";
import type { DelayedRow, TimerStore } from "../queue/stores.ts";
import type { Sql } from "./sql.ts";

const COLUMNS = "segment, due_ms, last_due_ms, next_position, remaining";
const PUT_DELAYED = `INSERT OR REPLACE INTO delayed (lane, ${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)`;
const DELAYED = `SELECT ${COLUMNS} FROM delayed WHERE segment = ?`;
const REMOVE_DELAYED = "DELETE FROM delayed WHERE segment = ?";
// by delayed_due
const DUE = `SELECT ${COLUMNS} FROM delayed WHERE lane = ? AND due_ms <= ? ORDER BY due_ms, segment LIMIT ?`;
const OLDEST = "SELECT min(segment) AS value FROM delayed WHERE segment >= ? AND segment < ?";
// by delayed_next
const NEXT_AFTER = "SELECT min(due_ms) AS value FROM delayed WHERE due_ms > ?";
const SUM = "SELECT coalesce(sum(remaining), 0) AS value FROM delayed WHERE due_ms > ?";
const PARTLY = `SELECT ${COLUMNS} FROM delayed WHERE due_ms <= ? AND last_due_ms > ?`;
const BELOW = `SELECT 1 AS value FROM delayed WHERE remaining > 0 AND segment % ${LANE_SPAN} < ? LIMIT 1`;
const PUT_EXPIRY = `INSERT INTO expiry (segment, at_ms) VALUES (?, ?)
  ON CONFLICT (segment) DO UPDATE SET at_ms = excluded.at_ms WHERE excluded.at_ms < at_ms`;
const REMOVE_EXPIRY = "DELETE FROM expiry WHERE segment = ?";
// by expiry_at
const EXPIRED = "SELECT segment FROM expiry WHERE at_ms <= ? ORDER BY at_ms LIMIT ?";
const NEXT_EXPIRY = "SELECT min(at_ms) AS value FROM expiry";

interface Row {
  segment: number;
  due_ms: number;
  last_due_ms: number;
  next_position: number;
  remaining: number;
}

function rowOf(row: Row): DelayedRow {
  const { segment, remaining } = row;
  return { segment, dueMs: row.due_ms, lastDueMs: row.last_due_ms, nextIndex: row.next_position, remaining };
}

export class SqlTimerStore implements TimerStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  putDelayed(row: DelayedRow): void {
    const { segment, dueMs, lastDueMs, nextIndex, remaining } = row;
    this.sql.run(PUT_DELAYED, laneOfSegment(segment), segment, dueMs, lastDueMs, nextIndex, remaining);
  }

  delayed(segment: number): DelayedRow | null {
    const row = this.sql.first<Row>(DELAYED, segment);
    return row && rowOf(row);
  }

  removeDelayed(segment: number): void {
    this.sql.run(REMOVE_DELAYED, segment);
  }

  dueDelayed(lane: number, nowMs: number, limit: number): DelayedRow[] {
    return this.sql.all<Row>(DUE, lane, nowMs, limit).map(rowOf);
  }

  oldestDelayed(lane: number): number | null {
    return this.sql.value(OLDEST, lane * LANE_SPAN, (lane + 1) * LANE_SPAN);
  }

  nextDelayedAfter(nowMs: number): number | null {
    return this.sql.value(NEXT_AFTER, nowMs);
  }

  sumDelayed(nowMs: number): { count: number; partly: DelayedRow[] } {
    const partly = this.sql.all<Row>(PARTLY, nowMs, nowMs).map(rowOf);
    return { count: this.sql.value(SUM, nowMs) ?? 0, partly };
  }

  hasDelayedBelow(sequence: number): boolean {
    return this.sql.value(BELOW, sequence) !== null;
  }

  putExpiry(segment: number, atMs: number): void {
    this.sql.run(PUT_EXPIRY, segment, atMs);
  }

  removeExpiry(segment: number): void {
    this.sql.run(REMOVE_EXPIRY, segment);
  }

  expired(nowMs: number, limit: number): number[] {
    return this.sql.all<{ segment: number }>(EXPIRED, nowMs, limit).map((row) => row.segment);
  }

  nextExpiryMs(): number | null {
    return this.sql.value(NEXT_EXPIRY);
  }
}
