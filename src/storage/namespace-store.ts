// The rows of a namespace: its queues and exchanges, what leads where, its quotas, its revoked tokens and the hubs that
// must hear of them. No rules here.
import type { Destination } from "../protocol/exchange-commands.ts";
import type { Migration } from "./migrations.ts";
import { Sql } from "./sql.ts";

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
  {
    number: 2,
    sql: [
      "CREATE TABLE exchange (name TEXT PRIMARY KEY) WITHOUT ROWID",
      "ALTER TABLE quota ADD COLUMN exchanges_max INTEGER", // null: the broker's own limit
      `CREATE TABLE binding (
        kind     TEXT NOT NULL, -- of the destination: queue or exchange
        name     TEXT NOT NULL, -- the destination
        exchange TEXT NOT NULL, -- leads there
        PRIMARY KEY (kind, name, exchange)
      ) WITHOUT ROWID`,
      "CREATE INDEX binding_by_exchange ON binding (exchange)",
      `CREATE TABLE hub (
        name     TEXT PRIMARY KEY,
        until_ms INTEGER NOT NULL -- when its last session of a token that can be revoked has ended
      ) WITHOUT ROWID`,
    ],
  },
  {
    number: 3,
    sql: [
      `CREATE TABLE queue_part (
        queue TEXT,
        part  INTEGER, -- a partition from 1 on: the first is the queue's own row
        bytes INTEGER NOT NULL, -- as a queue's
        PRIMARY KEY (queue, part)
      ) WITHOUT ROWID`,
    ],
  },
  {
    number: 4,
    sql: [
      "ALTER TABLE queue ADD COLUMN dead_letter TEXT", // the queue that its dead messages go to; null: none
      "CREATE INDEX queue_by_dead_letter ON queue (dead_letter, name) WHERE dead_letter IS NOT NULL",
    ],
  },
  {
    number: 5,
    sql: [
      `CREATE TABLE resting (
        name     TEXT PRIMARY KEY, -- of a deleted queue
        until_ms INTEGER NOT NULL -- when it is free again for those who respect it
      ) WITHOUT ROWID`,
    ],
  },
];

// `name` compares as bytes (BINARY), the order in which pages go on.
const SELECT_QUEUE = "SELECT bytes FROM queue WHERE name = ?";
const INSERT_QUEUE = "INSERT INTO queue (name, bytes) VALUES (?, 0)";
const DELETE_QUEUE = "DELETE FROM queue WHERE name = ?";
const SELECT_RESTING = "SELECT until_ms AS value FROM resting WHERE name = ?";
const INSERT_RESTING = "INSERT OR REPLACE INTO resting (name, until_ms) VALUES (?, ?)";
const DELETE_RESTED = "DELETE FROM resting WHERE until_ms <= ?"; // at most the queues that were deleted in a minute
const UPDATE_BYTES = "UPDATE queue SET bytes = ? WHERE name = ?";
const SELECT_PARTITION = "SELECT bytes FROM queue_part WHERE queue = ? AND part = ?";
const UPSERT_PARTITION = `INSERT INTO queue_part (queue, part, bytes) VALUES (?, ?, ?)
  ON CONFLICT (queue, part) DO UPDATE SET bytes = excluded.bytes`;
const DELETE_PARTITIONS = "DELETE FROM queue_part WHERE queue = ?";
const SELECT_PAGE = {
  queue: `
  SELECT name FROM queue WHERE name > ? AND name >= ? AND substr(name, 1, length(?)) = ? ORDER BY name LIMIT ?`,
  exchange: `
  SELECT name FROM exchange WHERE name > ? AND name >= ? AND substr(name, 1, length(?)) = ? ORDER BY name LIMIT ?`,
};
// queue_by_dead_letter
const SELECT_SOURCES = `SELECT name FROM queue WHERE dead_letter = ? AND name > ? AND name >= ?
  AND substr(name, 1, length(?)) = ? ORDER BY name LIMIT ?`;
const UPDATE_DEAD_LETTER = "UPDATE queue SET dead_letter = ? WHERE name = ?";
const SELECT_EXCHANGE = "SELECT 1 FROM exchange WHERE name = ?";
const INSERT_EXCHANGE = "INSERT INTO exchange (name) VALUES (?)";
const DELETE_EXCHANGE = "DELETE FROM exchange WHERE name = ?";
const COUNT_EXCHANGES = "SELECT count(*) AS value FROM exchange";
const INSERT_BINDING = "INSERT OR IGNORE INTO binding (kind, name, exchange) VALUES (?, ?, ?)";
const DELETE_BINDING = "DELETE FROM binding WHERE kind = ? AND name = ? AND exchange = ?";
const DELETE_BINDINGS_OF = "DELETE FROM binding WHERE exchange = ?"; // binding_by_exchange
const SELECT_BOUND = "SELECT exchange FROM binding WHERE kind = ? AND name = ? ORDER BY exchange";
const SELECT_TOTALS = `SELECT count(*) AS queues,
  coalesce(sum(bytes), 0) + (SELECT coalesce(sum(bytes), 0) FROM queue_part) AS bytes FROM queue`;
const SELECT_QUOTA =
  "SELECT queues_max AS queuesMax, exchanges_max AS exchangesMax, bytes_max AS bytesMax FROM quota";
const UPSERT_QUOTA = `INSERT INTO quota (id, queues_max, exchanges_max, bytes_max) VALUES (1, ?, ?, ?)
  ON CONFLICT (id) DO UPDATE SET queues_max = coalesce(excluded.queues_max, queues_max),
    exchanges_max = coalesce(excluded.exchanges_max, exchanges_max),
    bytes_max = coalesce(excluded.bytes_max, bytes_max)`;
const UPSERT_REVOKED = `INSERT INTO revoked (jti, until_ms) VALUES (?, ?)
  ON CONFLICT (jti) DO UPDATE SET until_ms = max(until_ms, excluded.until_ms)`;
const DELETE_RUN_OUT = "DELETE FROM revoked WHERE until_ms <= ?"; // revoked_by_until
const SELECT_REVOKED = "SELECT jti FROM revoked WHERE until_ms > ?"; // revoked_by_until
const COUNT_REVOKED = "SELECT count(*) AS value FROM revoked";
const UPSERT_HUB = `INSERT INTO hub (name, until_ms) VALUES (?, ?)
  ON CONFLICT (name) DO UPDATE SET until_ms = excluded.until_ms WHERE until_ms < excluded.until_ms`;
const DELETE_LAPSED_HUBS = "DELETE FROM hub WHERE until_ms <= ?"; // at most LIMITS.hubsMax rows
const SELECT_HUBS = "SELECT name FROM hub";

/** Null: no quota was set. */
export interface StoredQuota {
  readonly queuesMax: number | null;
  readonly exchangesMax: number | null;
  readonly bytesMax: number | null;
}

export class NamespaceStore {
  private readonly sql: Sql;

  constructor(storage: SqlStorage) {
    this.sql = new Sql(storage, [], MIGRATIONS);
  }

  /** The bytes allotted to a queue, or null when there is no such queue. */
  bytesOf(queue: string): number | null {
    return this.sql.first<{ bytes: number }>(SELECT_QUEUE, queue)?.bytes ?? null;
  }

  addQueue(queue: string): void {
    this.sql.run(INSERT_QUEUE, queue);
  }

  removeQueue(queue: string): void {
    this.sql.run(DELETE_QUEUE, queue);
    this.sql.run(DELETE_PARTITIONS, queue);
  }

  /** Until when the name of a deleted queue rests; 0: it does not. */
  restsUntilMs(queue: string): number {
    return this.sql.value(SELECT_RESTING, queue) ?? 0;
  }

  /** Forgets those that have rested. */
  rest(queue: string, nowMs: number, restMs: number): void {
    this.sql.run(DELETE_RESTED, nowMs);
    this.sql.run(INSERT_RESTING, queue, nowMs + restMs);
  }

  bytesOfPartition(queue: string, partition: number): number {
    if (partition === 0) return this.bytesOf(queue) ?? 0;
    return this.sql.first<{ bytes: number }>(SELECT_PARTITION, queue, partition)?.bytes ?? 0;
  }

  setBytes(queue: string, partition: number, bytes: number): void {
    if (partition === 0) this.sql.run(UPDATE_BYTES, bytes, queue);
    else this.sql.run(UPSERT_PARTITION, queue, partition, bytes);
  }

  /** Names with a prefix, after another name, in the order of their bytes. */
  page(kind: "queue" | "exchange", prefix: string, after: string, limit: number): string[] {
    const rows = this.sql.all<{ name: string }>(SELECT_PAGE[kind], after, prefix, prefix, prefix, limit);
    return rows.map((row) => row.name);
  }

  /** Queues whose dead messages go to one. */
  pageOfSources(deadLetter: string, prefix: string, after: string, limit: number): string[] {
    const arguments_ = [deadLetter, after, prefix, prefix, prefix, limit];
    return this.sql.all<{ name: string }>(SELECT_SOURCES, ...arguments_).map((row) => row.name);
  }

  setDeadLetter(queue: string, deadLetter: string | null): void {
    this.sql.run(UPDATE_DEAD_LETTER, deadLetter, queue);
  }

  totals(): { queues: number; exchanges: number; bytes: number } {
    const totals = this.sql.first<{ queues: number; bytes: number }>(SELECT_TOTALS);
    return { queues: 0, bytes: 0, ...totals, exchanges: this.sql.value(COUNT_EXCHANGES) ?? 0 };
  }

  hasExchange(exchange: string): boolean {
    return this.sql.first(SELECT_EXCHANGE, exchange) !== null;
  }

  addExchange(exchange: string): void {
    this.sql.run(INSERT_EXCHANGE, exchange);
  }

  /** What it leads to is forgotten with it; what leads to it is not: those exchanges are still to be told. */
  removeExchange(exchange: string): void {
    this.sql.run(DELETE_EXCHANGE, exchange);
    this.sql.run(DELETE_BINDINGS_OF, exchange);
  }

  addBinding(exchange: string, destination: Destination): void {
    this.sql.run(INSERT_BINDING, ...keyOf(destination), exchange);
  }

  removeBinding(exchange: string, destination: Destination): void {
    this.sql.run(DELETE_BINDING, ...keyOf(destination), exchange);
  }

  boundTo(destination: Destination): string[] {
    const rows = this.sql.all<{ exchange: string }>(SELECT_BOUND, ...keyOf(destination));
    return rows.map((row) => row.exchange);
  }

  quota(): StoredQuota {
    return (
      this.sql.first<StoredQuota>(SELECT_QUOTA) ?? { queuesMax: null, exchangesMax: null, bytesMax: null }
    );
  }

  /** Null leaves what is there. */
  setQuota({ queuesMax, exchangesMax, bytesMax }: StoredQuota): void {
    this.sql.run(UPSERT_QUOTA, queuesMax, exchangesMax, bytesMax);
  }

  /** A later end wins over an earlier one. */
  revoke(jti: string, untilMs: number): void {
    this.sql.run(UPSERT_REVOKED, jti, untilMs);
  }

  /** Forgets what has run out. */
  forgetRevoked(nowMs: number): void {
    this.sql.run(DELETE_RUN_OUT, nowMs);
  }

  revoked(nowMs: number): string[] {
    return this.sql.all<{ jti: string }>(SELECT_REVOKED, nowMs).map((row) => row.jti);
  }

  revokedCount(): number {
    return this.sql.value(COUNT_REVOKED) ?? 0;
  }

  /** A later end wins over an earlier one. */
  addHub(hub: string, untilMs: number): void {
    this.sql.run(UPSERT_HUB, hub, untilMs);
  }

  forgetHubs(nowMs: number): void {
    this.sql.run(DELETE_LAPSED_HUBS, nowMs);
  }

  hubs(): string[] {
    return this.sql.all<{ name: string }>(SELECT_HUBS).map((row) => row.name);
  }
}

function keyOf(destination: Destination): [kind: string, name: string] {
  return "queue" in destination ? ["queue", destination.queue] : ["exchange", destination.exchange];
}
