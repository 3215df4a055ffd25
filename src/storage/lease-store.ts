import type { LeaseRow, LeaseStore } from "../queue/stores.ts";
import { bytesOf, type Sql } from "./sql.ts";

const READ_ALL = `SELECT slot, lease, consumer, consumer_id, attempt_id, granted_ms, until_ms, untils, runs, outcomes,
  subject, key
  FROM lease WHERE slot > 0`;
const NEWEST = "SELECT snapshot FROM lease ORDER BY version DESC LIMIT 1";
const WRITE = `INSERT INTO lease
  (slot, lease, consumer, consumer_id, attempt_id, granted_ms, until_ms, untils, runs, outcomes, subject, key, version,
   snapshot)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (slot) DO UPDATE SET lease = excluded.lease, consumer = excluded.consumer,
    consumer_id = excluded.consumer_id, attempt_id = excluded.attempt_id, granted_ms = excluded.granted_ms,
    until_ms = excluded.until_ms, untils = excluded.untils, runs = excluded.runs, outcomes = excluded.outcomes,
    subject = excluded.subject, key = excluded.key, version = excluded.version, snapshot = excluded.snapshot`;

interface Row {
  slot: number;
  lease: number;
  consumer: string;
  consumer_id: number;
  attempt_id: string | null;
  granted_ms: number;
  until_ms: number;
  untils: string | null;
  runs: string;
  outcomes: ArrayBuffer | null;
  subject: string | null;
  key: string | null;
}

export class SqlLeaseStore implements LeaseStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  readAll(): { leases: LeaseRow[]; snapshot: string | null } {
    const leases = this.sql.all<Row>(READ_ALL).map((row) => ({
      slot: row.slot,
      lease: row.lease,
      consumer: row.consumer,
      consumerId: row.consumer_id,
      attemptId: row.attempt_id,
      grantedMs: row.granted_ms,
      untilMs: row.until_ms,
      untils: row.untils,
      runs: row.runs,
      outcomes: row.outcomes === null ? null : bytesOf(row.outcomes),
      subject: row.subject,
      key: row.key,
    }));
    return { leases, snapshot: this.sql.first<{ snapshot: string }>(NEWEST)?.snapshot ?? null };
  }

  write(row: LeaseRow, version: number, snapshot: string): void {
    const { slot, lease, consumer, consumerId, attemptId, grantedMs, untilMs, untils, runs, outcomes } = row;
    const { subject, key } = row;
    this.sql.run(
      WRITE,
      slot,
      lease,
      consumer,
      consumerId,
      attemptId,
      grantedMs,
      untilMs,
      untils,
      runs,
      outcomes,
      subject,
      key,
      version,
      snapshot,
    );
  }

  writeSnapshot(version: number, snapshot: string): void {
    this.sql.run(WRITE, 0, 0, "", 0, null, 0, 0, null, "[]", null, null, null, version, snapshot);
  }
}
