import type { OutboxRow, TaskRow, WorkStore } from "../queue/stores.ts";
import { OutboxHeads } from "./outbox-heads.ts";
import { bytesOf, type Sql } from "./sql.ts";

const COLUMNS = "number, target, count, not_before_ms, tries, batch";
const PUT_OUTBOX = `INSERT INTO outbox (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)`;
const OUTBOX_SIZES = `SELECT length(batch) AS bytes FROM outbox
  WHERE number >= ? AND target = ? ORDER BY number LIMIT ?`;
const FIRST_OUTBOX = `SELECT ${COLUMNS} FROM outbox WHERE number >= ? AND target = ? ORDER BY number LIMIT ?`;
const OUTBOX_COUNT = "SELECT coalesce(sum(count), 0) AS value FROM outbox";
const DELAY_OUTBOX = "UPDATE outbox SET not_before_ms = ?, tries = ? WHERE number = ?";
const HAS_OUTBOX = "SELECT number AS value FROM outbox WHERE number = ?";
const REMOVE_OUTBOX = "DELETE FROM outbox WHERE number = ? RETURNING number AS value";
const REMOVE_OUTBOX_TO = "DELETE FROM outbox WHERE number >= ? AND number <= ? AND target = ?";
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
  private readonly heads: OutboxHeads;

  constructor(sql: Sql) {
    this.sql = sql;
    this.heads = new OutboxHeads(sql);
  }

  /** What is remembered of the rows may not have come true. */
  forget(): void {
    this.heads.forget();
  }

  putOutbox({ number, target, count, notBeforeMs, tries, batch }: OutboxRow): void {
    this.sql.run(PUT_OUTBOX, number, target, count, notBeforeMs, tries, batch);
    this.heads.added({ target, number, notBeforeMs });
  }

  dueTargets(nowMs: number, limit: number): string[] {
    const due = [...this.heads.all().values()].filter((head) => head.notBeforeMs <= nowMs);
    const oldest = due.sort((a, b) => a.number - b.number).slice(0, limit);
    return oldest.map(({ target }) => target);
  }

  firstOutbox(target: string, limit: number, bytesMax: number): OutboxRow[] {
    const head = this.heads.all().get(target);
    if (head === undefined) return [];
    const sizes = this.sql.all<{ bytes: number }>(OUTBOX_SIZES, head.number, target, limit);
    let bytes = 0;
    const over = sizes.findIndex((row, i) => (bytes += row.bytes) > bytesMax && i > 0);
    const count = over === -1 ? sizes.length : over;
    return this.sql.all<Row>(FIRST_OUTBOX, head.number, target, count).map((row) => ({
      number: row.number,
      target,
      count: row.count,
      tries: row.tries,
      notBeforeMs: row.not_before_ms,
      batch: bytesOf(row.batch),
    }));
  }

  nextOutboxMs(): number | null {
    const heads = [...this.heads.all().values()];
    return heads.length === 0 ? null : Math.min(...heads.map(({ notBeforeMs }) => notBeforeMs));
  }

  outboxCount(): number {
    return this.sql.value(OUTBOX_COUNT) ?? 0;
  }

  delayOutbox(number: number, notBeforeMs: number, tries: number): void {
    this.sql.run(DELAY_OUTBOX, notBeforeMs, tries, number);
    this.heads.delayed(number, notBeforeMs);
  }

  hasOutbox(number: number): boolean {
    return this.sql.value(HAS_OUTBOX, number) !== null;
  }

  removeOutbox(number: number): boolean {
    const wasThere = this.sql.value(REMOVE_OUTBOX, number) !== null;
    this.heads.removed(number);
    return wasThere;
  }

  removeOutboxTo(target: string, number: number): void {
    const first = this.heads.all().get(target)?.number ?? Number.POSITIVE_INFINITY;
    if (first > number) return;
    this.sql.run(REMOVE_OUTBOX_TO, first, number, target);
    this.heads.removedTo(target, number);
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
