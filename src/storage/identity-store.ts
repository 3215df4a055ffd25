import { LIMITS } from "../protocol/limits.ts";
import type { IdentityStore, IdRun } from "../queue/stores.ts";
import type { Sql } from "./sql.ts";

const DEDUP = "SELECT sequence, until_ms FROM dedup WHERE id IN (?, ?) ORDER BY until_ms DESC LIMIT 1";
const PUT_DEDUP = "INSERT OR REPLACE INTO dedup (id, sequence, until_ms) VALUES (?, ?, ?)";
// by dedup_until
const SWEEP_DEDUP = `DELETE FROM dedup WHERE id IN
  (SELECT id FROM dedup WHERE until_ms <= ? ORDER BY until_ms LIMIT ?) RETURNING 1`;
const CLEAR_DEDUP = "DELETE FROM dedup";
const NEXT_DEDUP = "SELECT min(until_ms) AS value FROM dedup";
const HANDLE = "SELECT sequence, segment FROM handle WHERE kind = ? AND value = ?";
const PUT_HANDLE = "INSERT OR REPLACE INTO handle (kind, value, sequence, segment) VALUES (?, ?, ?, ?)";
const REMOVE_HANDLE = "DELETE FROM handle WHERE kind = ? AND value = ? AND sequence = ?";
const RUN = "origin, first, segment, sequence, count";
const PUT_RUN = `INSERT OR REPLACE INTO id_run (${RUN}) VALUES (?, ?, ?, ?, ?)`;
const REMOVE_RUN = "DELETE FROM id_run WHERE origin = ? AND first = ? AND segment = ?";
const RUN_AT_OR_BELOW = `SELECT ${RUN} FROM id_run WHERE origin = ? AND first <= ?
  ORDER BY first DESC, segment DESC LIMIT 1`;
// No run is longer than a segment.
const RUNS_WITH = `SELECT ${RUN} FROM id_run WHERE origin = ? AND first BETWEEN ? AND ? AND first + count > ?
  ORDER BY sequence DESC`;
const PRODUCER = "SELECT state FROM producer WHERE id = ?";
const PUT_PRODUCER = "INSERT OR REPLACE INTO producer (id, state, touched_ms) VALUES (?, ?, ?)";
const SWEEP_PRODUCERS = "DELETE FROM producer WHERE touched_ms < ?";
const INBOUND = "SELECT number, taken FROM inbound WHERE sender = ?";
const PUT_INBOUND = "INSERT OR REPLACE INTO inbound (sender, number, taken) VALUES (?, ?, ?)";

export class SqlIdentityStore implements IdentityStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  dedup(id: string, other = id): { sequence: number; untilMs: number } | null {
    const row = this.sql.first<{ sequence: number; until_ms: number }>(DEDUP, id, other);
    return row && { sequence: row.sequence, untilMs: row.until_ms };
  }

  putDedup(id: string, sequence: number, untilMs: number): void {
    this.sql.run(PUT_DEDUP, id, sequence, untilMs);
  }

  removeDedupBefore(nowMs: number, limit: number): number {
    return this.sql.all(SWEEP_DEDUP, nowMs, limit).length;
  }

  nextDedupMs(): number | null {
    return this.sql.value(NEXT_DEDUP);
  }

  removeDedups(): void {
    this.sql.run(CLEAR_DEDUP);
  }

  handle(kind: "id" | "cancelKey", value: string): { sequence: number; segment: number } | null {
    return this.sql.first<{ sequence: number; segment: number }>(HANDLE, kind, value);
  }

  putHandle(kind: "id" | "cancelKey", value: string, sequence: number, segment: number): void {
    this.sql.run(PUT_HANDLE, kind, value, sequence, segment);
  }

  removeHandle(kind: "id" | "cancelKey", value: string, sequence: number): void {
    this.sql.run(REMOVE_HANDLE, kind, value, sequence);
  }

  putIdRun({ origin, first, segment, sequence, count }: IdRun): void {
    this.sql.run(PUT_RUN, origin, first, segment, sequence, count);
  }

  removeIdRun({ origin, first, segment }: IdRun): void {
    this.sql.run(REMOVE_RUN, origin, first, segment);
  }

  idRunAtOrBelow(origin: number, number: number): IdRun | null {
    return this.sql.first<IdRun>(RUN_AT_OR_BELOW, origin, number);
  }

  idRunsWith(origin: number, number: number): IdRun[] {
    return this.sql.all<IdRun>(RUNS_WITH, origin, number - LIMITS.recordsMax + 1, number, number);
  }

  producer(id: string): string | null {
    return this.sql.first<{ state: string }>(PRODUCER, id)?.state ?? null;
  }

  putProducer(id: string, state: string, touchedMs: number): void {
    this.sql.run(PUT_PRODUCER, id, state, touchedMs);
  }

  removeProducersBefore(touchedMs: number): void {
    this.sql.run(SWEEP_PRODUCERS, touchedMs);
  }

  inbound(from: string): { number: number; taken: number | null } {
    const row = this.sql.first<{ number: number; taken: number | null }>(INBOUND, from);
    return row ? { number: row.number, taken: row.taken } : { number: 0, taken: null };
  }

  putInbound(from: string, number: number, taken: number | null): void {
    this.sql.run(PUT_INBOUND, from, number, taken);
  }
}
