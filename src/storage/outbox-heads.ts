/**
 * The first row of each target in an outbox, kept in memory: who may go next is asked in every turn, and finding it out
 * reads the whole outbox. Bounded by the targets, not by the rows.
 */
import type { Sql } from "./sql.ts";

export interface OutboxHead {
  readonly target: string;
  readonly number: number;
  readonly notBeforeMs: number;
}

const HEADS = `SELECT target, min(number) AS number, not_before_ms AS notBeforeMs FROM outbox
  GROUP BY target ORDER BY number`;
const NEXT_HEAD = `SELECT target, number, not_before_ms AS notBeforeMs FROM outbox
  WHERE number > ? AND target = ? ORDER BY number LIMIT 1`;

export class OutboxHeads {
  private readonly sql: Sql;
  /** Null: not known since the wake, or since a transaction that may have been rolled back. */
  private known: Map<string, OutboxHead> | null = null;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  forget(): void {
    this.known = null;
  }

  all(): ReadonlyMap<string, OutboxHead> {
    this.known ??= new Map(this.sql.all<OutboxHead>(HEADS).map((head) => [head.target, head]));
    return this.known;
  }

  added(head: OutboxHead): void {
    if (this.known?.has(head.target) === false) this.known.set(head.target, head);
  }

  delayed(number: number, notBeforeMs: number): void {
    const head = this.find(number);
    if (head) this.known?.set(head.target, { ...head, notBeforeMs });
  }

  /** Rows of a target are gone up to this number. */
  removedTo(target: string, number: number): void {
    const head = this.known?.get(target);
    if (!head || head.number > number) return;
    const next = this.sql.first<OutboxHead>(NEXT_HEAD, number, target);
    if (next) this.known?.set(target, next);
    else this.known?.delete(target);
  }

  removed(number: number): void {
    const head = this.find(number);
    if (head) this.removedTo(head.target, number);
  }

  private find(number: number): OutboxHead | undefined {
    return this.known?.values().find((head) => head.number === number);
  }
}
