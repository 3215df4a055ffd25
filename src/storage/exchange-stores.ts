// An exchange's tables, put together as the core wants them.
import type {
  BindingStore,
  CounterStore,
  DelayedBatch,
  DelayedHead,
  DelayedStore,
  ExchangeStores,
  HubLease,
  HubStore,
  StoredExchange,
} from "../exchange/stores.ts";
import type { BindingView, HeadersFilter } from "../protocol/exchange-commands.ts";
import { EXCHANGE_TABLES } from "./exchange-schema.ts";
import { SqlHistoryStore, SqlLastValueStore } from "./event-store.ts";
import { SqlIdentityStore } from "./identity-store.ts";
import { bytesOf, type Sql } from "./sql.ts";
import { SqlWorkStore } from "./work-store.ts";

const READ = "SELECT stored FROM exchange";
const WRITE = "INSERT OR REPLACE INTO exchange (only, stored) VALUES (1, ?)";

export class SqlExchangeStores implements ExchangeStores {
  readonly bindings;
  readonly history;
  readonly lastValues;
  readonly hubs;
  readonly delayed;
  readonly counters;
  readonly inbound;
  readonly outbox;
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
    this.bindings = new SqlBindingStore(sql);
    this.history = new SqlHistoryStore(sql);
    this.lastValues = new SqlLastValueStore(sql);
    this.hubs = new SqlHubStore(sql);
    this.delayed = new SqlDelayedStore(sql);
    this.counters = new SqlCounterStore(sql);
    // The same tables as a queue's, so the same statements.
    this.inbound = new SqlIdentityStore(sql);
    this.outbox = new SqlWorkStore(sql);
  }

  readExchange(): StoredExchange | null {
    const row = this.sql.first<{ stored: string }>(READ);
    return row && (JSON.parse(row.stored) as StoredExchange);
  }

  writeExchange(exchange: StoredExchange): void {
    this.sql.run(WRITE, JSON.stringify(exchange));
  }

  clear(): void {
    for (const table of EXCHANGE_TABLES) this.sql.run(`DELETE FROM ${table}`);
  }
}

const ALL_BINDINGS = "SELECT id, kind, name, key, headers FROM binding ORDER BY id";
const PUT_BINDING = "INSERT INTO binding (id, kind, name, key, headers) VALUES (?, ?, ?, ?, ?)";
const REMOVE_BINDING = "DELETE FROM binding WHERE id = ?";

interface BindingRow {
  id: number;
  kind: string;
  name: string;
  key: string;
  headers: string | null;
}

class SqlBindingStore implements BindingStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  all(): BindingView[] {
    return this.sql.all<BindingRow>(ALL_BINDINGS).map(({ id, kind, name, key, headers }) => ({
      id,
      destination: kind === "queue" ? { queue: name } : { exchange: name },
      key,
      headers: headers === null ? null : (JSON.parse(headers) as HeadersFilter),
    }));
  }

  put({ id, destination, key, headers }: BindingView): void {
    const [kind, name] =
      "queue" in destination ? ["queue", destination.queue] : ["exchange", destination.exchange];
    this.sql.run(PUT_BINDING, id, kind, name, key, headers === null ? null : JSON.stringify(headers));
  }

  remove(id: number): void {
    this.sql.run(REMOVE_BINDING, id);
  }
}

const ALL_HUBS = "SELECT name AS hub, attachment, until_ms AS untilMs FROM hub ORDER BY name";
const PUT_HUB = `INSERT INTO hub (name, attachment, until_ms) VALUES (?, ?, ?)
  ON CONFLICT (name) DO UPDATE SET attachment = excluded.attachment, until_ms = excluded.until_ms`;
const REMOVE_HUB = "DELETE FROM hub WHERE name = ?";

class SqlHubStore implements HubStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  all(): HubLease[] {
    return this.sql.all(ALL_HUBS);
  }

  put({ hub, attachment, untilMs }: HubLease): void {
    this.sql.run(PUT_HUB, hub, attachment, untilMs);
  }

  remove(hub: string): void {
    this.sql.run(REMOVE_HUB, hub);
  }
}

const PUT_DELAYED = "INSERT INTO delayed (due_ms, number, count, must_route, batch) VALUES (?, ?, ?, ?, ?)";
const DUE_HEADS = `SELECT count, must_route, length(batch) AS bytes FROM delayed WHERE due_ms <= ?
  ORDER BY due_ms, number LIMIT ?`;
const FIRST_DELAYED = `SELECT due_ms, number, count, must_route, batch FROM delayed WHERE due_ms <= ?
  ORDER BY due_ms, number LIMIT ?`;
const HAS_DELAYED = "SELECT 1 AS value FROM delayed WHERE due_ms = ? AND number = ?";
const NEXT_DELAYED = "SELECT due_ms AS value FROM delayed ORDER BY due_ms LIMIT 1";
const REMOVE_DELAYED = "DELETE FROM delayed WHERE due_ms = ? AND number = ?";
const STRANDED = "SELECT sum(count) AS value FROM delayed WHERE must_route = 1";
const SUM_DELAYED =
  "SELECT coalesce(sum(count), 0) AS count, coalesce(sum(length(batch)), 0) AS bytes FROM delayed";

interface DelayedRow {
  due_ms: number;
  number: number;
  count: number;
  must_route: number;
  batch: ArrayBuffer;
}

class SqlDelayedStore implements DelayedStore {
  private readonly sql: Sql;
  /** Null until it is asked for: summing reads every row. */
  private known: { count: number; bytes: number } | null = null;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  put({ dueMs, number, count, mustRoute, batch }: DelayedBatch): void {
    this.sql.run(PUT_DELAYED, dueMs, number, count, mustRoute ? 1 : 0, batch);
    if (this.known) this.known = { count: this.known.count + count, bytes: this.known.bytes + batch.length };
  }

  has({ dueMs, number }: Pick<DelayedBatch, "dueMs" | "number">): boolean {
    return this.sql.value(HAS_DELAYED, dueMs, number) !== null;
  }

  dueHeads(nowMs: number, limit: number): DelayedHead[] {
    type Row = Pick<DelayedRow, "count" | "must_route"> & { bytes: number };
    const rows = this.sql.all<Row>(DUE_HEADS, nowMs, limit);
    return rows.map(({ count, must_route, bytes }) => ({ count, mustRoute: must_route === 1, bytes }));
  }

  firstDue(nowMs: number, limit: number): DelayedBatch[] {
    return this.sql.all<DelayedRow>(FIRST_DELAYED, nowMs, limit).map((row) => ({
      dueMs: row.due_ms,
      number: row.number,
      count: row.count,
      mustRoute: row.must_route === 1,
      batch: bytesOf(row.batch),
    }));
  }

  nextDueMs(): number | null {
    return this.sql.value(NEXT_DELAYED);
  }

  remove({ dueMs, number, count, batch }: DelayedBatch): void {
    this.sql.run(REMOVE_DELAYED, dueMs, number);
    if (this.known) this.known = { count: this.known.count - count, bytes: this.known.bytes - batch.length };
  }

  strandedCount(): number {
    return this.sql.value(STRANDED) ?? 0;
  }

  totals(): { count: number; bytes: number } {
    return (this.known ??= this.sql.first<{ count: number; bytes: number }>(SUM_DELAYED)!);
  }
}

const READ_COUNTER = "SELECT value FROM counter WHERE name = ?";
const WRITE_COUNTER = `INSERT INTO counter (name, value) VALUES (?, ?)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value`;

class SqlCounterStore implements CounterStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  read(name: string): number {
    return this.sql.value(READ_COUNTER, name) ?? 0;
  }

  write(name: string, value: number): void {
    this.sql.run(WRITE_COUNTER, name, value);
  }
}
