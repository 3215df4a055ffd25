// The rows of a hub: sessions whose connection broke while replies were due, and the replies that came meanwhile.
import type { AwaySession, HeldReply } from "../hub/replies.ts";
import type { Migration } from "./migrations.ts";
import { bytesOf, type Sql } from "./sql.ts";

export const HUB_MIGRATIONS: readonly Migration[] = [
  {
    number: 1,
    sql: [
      `CREATE TABLE away (
        session INTEGER PRIMARY KEY,
        secret TEXT NOT NULL,
        until_ms INTEGER NOT NULL        -- when it is given up
      ) STRICT`,
      `CREATE TABLE reply (
        number INTEGER PRIMARY KEY,
        session INTEGER NOT NULL,
        correlation_id TEXT NOT NULL,
        error TEXT,                      -- the responder's words, when it failed
        batch BLOB NOT NULL
      ) STRICT`,
    ],
  },
  {
    number: 2,
    sql: [
      "ALTER TABLE away RENAME COLUMN secret TO tag",
      // One row, when the hub first needs it.
      "CREATE TABLE seal (key BLOB NOT NULL) STRICT",
    ],
  },
];

const SEAL_KEY = "SELECT key FROM seal";
const PUT_SEAL_KEY = "INSERT INTO seal (key) VALUES (?)";
const PUT_AWAY = "INSERT OR REPLACE INTO away (session, tag, until_ms) VALUES (?, ?, ?)";
const AWAY = "SELECT session, tag, until_ms AS untilMs FROM away WHERE session = ?";
const REMOVE_AWAY = "DELETE FROM away WHERE session = ?";
const LAPSED = "SELECT session FROM away WHERE until_ms <= ?";
const NEXT_LAPSE = "SELECT min(until_ms) AS value FROM away";
const PUT_REPLY = "INSERT INTO reply (session, correlation_id, error, batch) VALUES (?, ?, ?, ?)";
const REPLIES = `SELECT correlation_id, error, batch FROM reply WHERE session = ? ORDER BY number`;
const REMOVE_REPLIES = "DELETE FROM reply WHERE session = ?";
const REPLY_BYTES = "SELECT coalesce(sum(length(batch)), 0) AS value FROM reply";

export class HubStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  /** The storage was wiped. */
  forget(): void {
    this.sql.forget();
  }

  hasSealKey(): boolean {
    return this.sql.first(SEAL_KEY) !== null;
  }

  /** The key under which the hub seals what it tells; `draw` makes it when there is none yet. */
  sealKey(draw: () => Uint8Array): Uint8Array {
    const row = this.sql.first<{ key: ArrayBuffer }>(SEAL_KEY);
    if (row !== null) return bytesOf(row.key);
    const key = draw();
    this.sql.run(PUT_SEAL_KEY, key);
    return key;
  }

  putAway({ session, tag, untilMs }: AwaySession): void {
    this.sql.run(PUT_AWAY, session, tag, untilMs);
  }

  away(session: number): AwaySession | null {
    return this.sql.first<AwaySession>(AWAY, session);
  }

  nextLapseMs(): number | null {
    return this.sql.value(NEXT_LAPSE);
  }

  /** Gives up those whose time is over. */
  removeLapsed(nowMs: number): void {
    for (const { session } of this.sql.all<{ session: number }>(LAPSED, nowMs)) this.remove(session);
  }

  remove(session: number): void {
    this.sql.run(REMOVE_AWAY, session);
    this.sql.run(REMOVE_REPLIES, session);
  }

  hold(session: number, { correlationId, error, batch }: HeldReply): void {
    this.sql.run(PUT_REPLY, session, correlationId, error, batch);
  }

  held(session: number): HeldReply[] {
    return this.sql
      .all<{ correlation_id: string; error: string | null; batch: ArrayBuffer }>(REPLIES, session)
      .map(({ correlation_id, error, batch }) => ({
        correlationId: correlation_id,
        error,
        batch: bytesOf(batch),
      }));
  }

  heldBytes(): number {
    return this.sql.value(REPLY_BYTES) ?? 0;
  }
}
