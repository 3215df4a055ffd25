import type { OutboxRow, TaskRow, WorkStore } from "../queue/stores.ts";
import { bytesOf, type Sql } from "./sql.ts";

const COLUMNS = "number, target, count, not_before_ms, tries, batch";
const PUT_OUTBOX = `INSERT INTO outbox (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)`;
// Each target's moves go in order: a later one waits for an earlier one that could not be delivered.
const FIRST_OUTBOX = `SELECT ${COLUMNS} FROM outbox AS one WHERE not_before_ms <= ?
  AND number = (SELECT min(number) FROM outbox WHERE target = one.target) ORDER BY number LIMIT 1`;
const NEXT_OUTBOX = `SELECT min(not_before_ms) AS value FROM outbox WHERE number IN
  (SELECT min(number) FROM outbox GROUP BY target)`;
const OUTBOX_COUNT = "SELECT coalesce(sum(count), 0) AS value FROM outbox";
const DELAY_OUTBOX = "UPDATE outbox SET not_before_ms = ?, tries = ? WHERE number = ?";
const REMOVE_OUTBOX = "DELETE FROM outbox WHERE number = ? RETURNING number AS value";
const PUT_TASK = "INSERT OR REPLACE INTO task (task, state, row) VALUES (?, ?, ?)";
const TASK = "SELECT row FROM task WHERE task = ?";
const RUNNING = "SELECT row FROM task WHERE state = 'running'";
const LAST_TASKS = "SELECT row FROM task ORDER BY task DESC LIMIT ?";
/** Ended tasks that are remembered. */
const SWEEP_TASKS = "DELETE FROM task WHERE state <> 'running' AND task < ? - 100";
const PUT_GARBAGE = "INSERT OR IGNORE INTO garbage (reference) VALUES (?)";
const GARBAGE = "SELECT reference FROM garbage LIMIT ?";
const REMOVE_GARBAGE = "DELETE FROM garbage WHERE reference = ?";

interface Row {
  number: number;
  target: string;
  count: number;
  not_before_ms: number;
  tries: number;
  batch: ArrayBuffer;
}

type StoredTask = Omit<TaskRow, "startedMs" | "total"> & Partial<TaskRow>;

/** Tasks of earlier versions do not tell when they began. */
function taskOf({ row }: { row: string }): TaskRow {
  const { startedMs = 0, total = 0, ...rest } = JSON.parse(row) as StoredTask;
  return { ...rest, startedMs, total };
}

export class SqlWorkStore implements WorkStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  putOutbox({ number, target, count, notBeforeMs, tries, batch }: OutboxRow): void {
    this.sql.run(PUT_OUTBOX, number, target, count, notBeforeMs, tries, batch);
  }

  firstOutbox(nowMs: number): OutboxRow | null {
    const row = this.sql.first<Row>(FIRST_OUTBOX, nowMs);
    if (row === null) return null;
    const { number, target, count, tries } = row;
    return { number, target, count, tries, notBeforeMs: row.not_before_ms, batch: bytesOf(row.batch) };
  }

  nextOutboxMs(): number | null {
    return this.sql.value(NEXT_OUTBOX);
  }

  outboxCount(): number {
    return this.sql.value(OUTBOX_COUNT) ?? 0;
  }

  delayOutbox(number: number, notBeforeMs: number, tries: number): void {
    this.sql.run(DELAY_OUTBOX, notBeforeMs, tries, number);
  }

  removeOutbox(number: number): boolean {
    return this.sql.value(REMOVE_OUTBOX, number) !== null;
  }

  putTask(row: TaskRow): void {
    this.sql.run(PUT_TASK, row.task, row.state, JSON.stringify(row));
    this.sql.run(SWEEP_TASKS, row.task);
  }

  task(task: number): TaskRow | null {
    const row = this.sql.first<{ row: string }>(TASK, task);
    return row && taskOf(row);
  }

  runningTasks(): TaskRow[] {
    return this.sql.all<{ row: string }>(RUNNING).map(taskOf);
  }

  lastTasks(limit: number): TaskRow[] {
    return this.sql.all<{ row: string }>(LAST_TASKS, limit).map(taskOf);
  }

  putGarbage(reference: string): void {
    this.sql.run(PUT_GARBAGE, reference);
  }

  garbage(limit: number): string[] {
    return this.sql.all<{ reference: string }>(GARBAGE, limit).map((row) => row.reference);
  }

  removeGarbage(reference: string): void {
    this.sql.run(REMOVE_GARBAGE, reference);
  }
}
