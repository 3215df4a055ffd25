// The events of an exchange: its history, and the last value of each topic.
import type {
  HistoryHead,
  HistoryRow,
  HistoryStore,
  LastValueRow,
  LastValueStore,
} from "../exchange/stores.ts";
import { bytesOf, type Sql } from "./sql.ts";

const HEAD =
  "first, count, time_ms AS timeMs, length(batch) AS batchBytes, bytes_so_far AS bytesSoFar, pushed";
const INSERT = `INSERT INTO history (first, count, time_ms, bytes_so_far, pushed, batch) VALUES (?, ?, ?, ?, ?, ?)`;
const FIRST_HEADS = `SELECT ${HEAD} FROM history ORDER BY first LIMIT ?`;
const FIRST_AFTER = `SELECT ${HEAD} FROM history WHERE time_ms > ? ORDER BY first LIMIT 1`;
const LAST = `SELECT ${HEAD} FROM history ORDER BY first DESC LIMIT 1`;
const AT_OR_BEFORE = `SELECT ${HEAD}, batch FROM history WHERE first <= ? ORDER BY first DESC LIMIT 1`;
const AFTER = `SELECT ${HEAD}, batch FROM history WHERE first > ? ORDER BY first LIMIT 1`;
const REMOVE_BEFORE = "DELETE FROM history WHERE first < ?";
const CLEAR = "DELETE FROM history";

type Row = HistoryHead & { batch: ArrayBuffer };

export class SqlHistoryStore implements HistoryStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  insert({ first, count, timeMs, bytesSoFar, pushed, bytes }: HistoryRow): void {
    this.sql.run(INSERT, first, count, timeMs, bytesSoFar, pushed, bytes);
  }

  firstHeads(limit: number): HistoryHead[] {
    return this.sql.all<HistoryHead>(FIRST_HEADS, limit);
  }

  firstAfter(timeMs: number): HistoryHead | null {
    return this.sql.first<HistoryHead>(FIRST_AFTER, timeMs);
  }

  last(): HistoryHead | null {
    return this.sql.first<HistoryHead>(LAST);
  }

  atOrAfter(offset: number): HistoryRow | null {
    const row = this.sql.first<Row>(AT_OR_BEFORE, offset);
    if (row !== null && row.first + row.count > offset) return rowOf(row);
    return rowOf(this.sql.first<Row>(AFTER, offset));
  }

  before(offset: number): HistoryRow | null {
    return rowOf(this.sql.first<Row>(AT_OR_BEFORE, offset - 1));
  }

  removeBefore(first: number): void {
    this.sql.run(REMOVE_BEFORE, first);
  }

  clear(): void {
    this.sql.run(CLEAR);
  }
}

function rowOf(row: Row | null): HistoryRow | null {
  if (row === null) return null;
  const { batch, ...head } = row;
  return { ...head, bytes: bytesOf(batch) };
}

const PUT_VALUE = `INSERT INTO last_value (topic, event, time_ms, batch) VALUES (?, ?, ?, ?)
  ON CONFLICT (topic) DO UPDATE SET event = excluded.event, time_ms = excluded.time_ms, batch = excluded.batch`;
const HAS_VALUE = "SELECT 1 AS value FROM last_value WHERE topic = ?";
const REMOVE_VALUE = "DELETE FROM last_value WHERE topic = ?";
const COUNT_VALUES = "SELECT count(*) AS value FROM last_value";
const PAGE_VALUES = `SELECT topic, event, time_ms, batch FROM last_value WHERE topic > ? ORDER BY topic LIMIT ?`;
const FIRST_VALUES = `SELECT topic, event, time_ms, batch FROM last_value ORDER BY topic LIMIT ?`;
// Reads all rows: called for a tenth of them at a time.
const REMOVE_OLDEST =
  "DELETE FROM last_value WHERE topic IN (SELECT topic FROM last_value ORDER BY event LIMIT ?)";
const CLEAR_VALUES = "DELETE FROM last_value";

interface ValueRow {
  topic: string;
  event: number;
  time_ms: number;
  batch: ArrayBuffer;
}

export class SqlLastValueStore implements LastValueStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  put({ topic, offset, timeMs, bytes }: LastValueRow): boolean {
    const isNew = !this.has(topic);
    this.sql.run(PUT_VALUE, topic, offset, timeMs, bytes);
    return isNew;
  }

  remove(topic: string): boolean {
    if (!this.has(topic)) return false;
    this.sql.run(REMOVE_VALUE, topic);
    return true;
  }

  private has(topic: string): boolean {
    return this.sql.value(HAS_VALUE, topic) !== null;
  }

  count(): number {
    return this.sql.value(COUNT_VALUES) ?? 0;
  }

  /** The empty topic is the first of all, so only a page that follows another leaves `after` out. */
  page(after: string | null, limit: number): LastValueRow[] {
    const rows =
      after === null
        ? this.sql.all<ValueRow>(FIRST_VALUES, limit)
        : this.sql.all<ValueRow>(PAGE_VALUES, after, limit);
    return rows.map(({ topic, event, time_ms, batch }) => ({
      topic,
      offset: event,
      timeMs: time_ms,
      bytes: bytesOf(batch),
    }));
  }

  removeOldest(count: number): void {
    this.sql.run(REMOVE_OLDEST, count);
  }

  clear(): void {
    this.sql.run(CLEAR_VALUES);
  }
}
