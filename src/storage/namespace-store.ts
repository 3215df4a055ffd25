// The rows of a namespace: its queues, its quotas, its revoked tokens. No rules here.
import { migrate, type Migration } from "./migrations.ts";

const MIGRATIONS: readonly Migration[] = [
  {
    number: 1,
    sql: [
      `CREATE TABLE queue (
        name  TEXT PRIMARY KEY,
        bytes INTEGER NOT NULL -- it may store, as allotted so far
      ) WITHOUT ROWID`,
      `CREATE TABLE quota (
        id         INTEGER PRIMARY KEY CHECK (id = 1),
        queues_max INTEGER, -- null: the broker's own limit
        bytes_max  INTEGER  -- null: the broker's own limit
      )`,
      "INSERT INTO quota (id) VALUES (1)",
      `CREATE TABLE revoked (
        jti      TEXT PRIMARY KEY,
        until_ms INTEGER NOT NULL -- when the token has run out at the latest, ms since 1970
      ) WITHOUT ROWID`,
      "CREATE INDEX revoked_by_until ON revoked (until_ms)",
    ],
  },
];

// `name` compares as bytes (BINARY), the order in which pages go on.
const SELECT_QUEUE = "SELECT bytes FROM queue WHERE name = ?";
const INSERT_QUEUE = "INSERT INTO queue (name, bytes) VALUES (?, 0)";
const DELETE_QUEUE = "DELETE FROM queue WHERE name = ?";
const UPDATE_BYTES = "UPDATE queue SET bytes = ? WHERE name = ?";
const SELECT_PAGE = `
  SELECT name FROM queue WHERE name > ? AND name >= ? AND substr(name, 1, length(?)) = ? ORDER BY name LIMIT ?`;
const SELECT_TOTALS = "SELECT count(*) AS queues, coalesce(sum(bytes), 0) AS bytes FROM queue";
const SELECT_QUOTA = "SELECT queues_max AS queuesMax, bytes_max AS bytesMax FROM quota";
const UPDATE_QUOTA =
  "UPDATE quota SET queues_max = coalesce(?, queues_max), bytes_max = coalesce(?, bytes_max)";
const UPSERT_REVOKED = `
  INSERT INTO revoked (jti, until_ms) VALUES (?, ?)
  ON CONFLICT (jti) DO UPDATE SET until_ms = max(until_ms, excluded.until_ms)`;
const DELETE_RUN_OUT = "DELETE FROM revoked WHERE until_ms <= ?"; // revoked_by_until
const SELECT_REVOKED = "SELECT jti FROM revoked WHERE until_ms > ?"; // revoked_by_until
const COUNT_REVOKED = "SELECT count(*) AS count FROM revoked";

export class NamespaceStore {
  private readonly sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.sql = sql;
    migrate(sql, MIGRATIONS);
  }

  /** The bytes allotted to a queue, or null when there is no such queue. */
  bytesOf(queue: string): number | null {
    const [row] = this.sql.exec<{ bytes: number }>(SELECT_QUEUE, queue).toArray();
    return row?.bytes ?? null;
  }

  addQueue(queue: string): void {
    this.sql.exec(INSERT_QUEUE, queue);
  }

  removeQueue(queue: string): void {
    this.sql.exec(DELETE_QUEUE, queue);
  }

  setBytes(queue: string, bytes: number): void {
    this.sql.exec(UPDATE_BYTES, bytes, queue);
  }

  /** Names with a prefix, after another name, in the order of their bytes. */
  page(prefix: string, after: string, limit: number): string[] {
    const rows = this.sql.exec<{ name: string }>(SELECT_PAGE, after, prefix, prefix, prefix, limit);
    return rows.toArray().map((row) => row.name);
  }

  totals(): { queues: number; bytes: number } {
    return this.sql.exec<{ queues: number; bytes: number }>(SELECT_TOTALS).one();
  }

  /** Null: no quota was set. */
  quota(): { queuesMax: number | null; bytesMax: number | null } {
    return this.sql.exec<{ queuesMax: number | null; bytesMax: number | null }>(SELECT_QUOTA).one();
  }

  /** Null leaves what is there. */
  setQuota(queuesMax: number | null, bytesMax: number | null): void {
    this.sql.exec(UPDATE_QUOTA, queuesMax, bytesMax);
  }

  /** A later end wins over an earlier one. */
  revoke(jti: string, untilMs: number): void {
    this.sql.exec(UPSERT_REVOKED, jti, untilMs);
  }

  /** Forgets what has run out. */
  forgetRevoked(nowMs: number): void {
    this.sql.exec(DELETE_RUN_OUT, nowMs);
  }

  revoked(nowMs: number): string[] {
    const rows = this.sql.exec<{ jti: string }>(SELECT_REVOKED, nowMs).toArray();
    return rows.map((row) => row.jti);
  }

  revokedCount(): number {
    return this.sql.exec<{ count: number }>(COUNT_REVOKED).one().count;
  }
}
