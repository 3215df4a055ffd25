/**
 * What the exchange holds and is due now. It leaves in batches: rows that are due one after the other are joined, so
 * that routing them is one step, and each queue's share of them is one move, however many publishes they came from.
 */
import { BATCH_HEADER_BYTES, UNSTAMPED } from "../protocol/batch.ts";
import type { SequenceRun } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { runsOf } from "../protocol/runs.ts";
import type { ExchangeContext } from "./context.ts";
import { IndexSet } from "./indexes.ts";
import type { DelayedBatch, DelayedHead } from "./stores.ts";

/** Messages of several rows as one batch, in the order in which they became due. */
export interface Due {
  readonly rows: readonly DelayedBatch[];
  readonly batch: Uint8Array;
  readonly mustRoute: boolean;
}

export type QueueShares = readonly { readonly queue: string; readonly messages: readonly SequenceRun[] }[];

/** Where messages of a batch go. */
export interface Ways {
  readonly shares: QueueShares;
  /** Messages whose ways an exchange could not tell. */
  readonly failed: readonly SequenceRun[];
}

/** Rows that wait for an exchange that could not tell their ways are tried again this much later. */
const POSTPONED_MS = 5_000;
/** Rows joined in one go. */
const ROWS_MAX = 1_024;

/** The first that are due and held for the same reason, as many as one batch holds; null: nothing is due. */
export function firstDue(exchange: ExchangeContext, nowMs: number): Due | null {
  const { delayed } = exchange.stores;
  const count = fitting(delayed.dueHeads(nowMs, ROWS_MAX));
  if (count === 0) return null;
  const rows = delayed.firstDue(nowMs, count);
  return { rows, batch: join(exchange, rows), mustRoute: rows[0]!.mustRoute };
}

function fitting(heads: readonly DelayedHead[]): number {
  let messages = 0;
  let bytes = 0;
  for (const [i, head] of heads.entries()) {
    messages += head.count;
    bytes += head.bytes;
    const isOver = messages > LIMITS.recordsMax || bytes > LIMITS.batchBytesMax;
    if (i > 0 && (isOver || head.mustRoute !== heads[0]!.mustRoute)) return i;
  }
  return heads.length;
}

function join({ codec }: ExchangeContext, rows: readonly DelayedBatch[]): Uint8Array {
  if (rows.length === 1) return rows[0]!.batch;
  const slices = rows.map(({ batch, count }) => ({
    bytes: batch,
    offset: BATCH_HEADER_BYTES,
    size: batch.length - BATCH_HEADER_BYTES,
    count,
  }));
  return codec.join(slices, UNSTAMPED);
}

/** Whether all of it is still held: another alarm may have been faster. */
export function isHeld(exchange: ExchangeContext, { rows }: Due): boolean {
  return rows.every((row) => exchange.stores.delayed.has(row));
}

/**
 * Takes what is due from the store, and tells which messages go and where. Rows with a message whose ways are not known are
 * put back for later, whole; the others do not wait for them.
 */
export function takeKnown(
  exchange: ExchangeContext,
  due: Due,
  { shares, failed }: Ways,
  nowMs: number,
): { batch: Uint8Array; shares: QueueShares } | null {
  const { delayed } = exchange.stores;
  for (const row of due.rows) delayed.remove(row);
  if (failed.length === 0) return { batch: due.batch, shares };
  const unknown = new IndexSet(due.rows.reduce((sum, { count }) => sum + count, 0));
  unknown.addRuns(failed);
  const kept: DelayedBatch[] = [];
  /** The new index of each message that goes; -1 for the others. */
  const places: number[] = [];
  let going = 0;
  for (const row of due.rows) {
    const first = places.length;
    const isKnown = !Array.from({ length: row.count }, (_, i) => first + i).some((i) => unknown.has(i));
    for (let i = 0; i < row.count; i++) places.push(isKnown ? going++ : -1);
    if (isKnown) kept.push(row);
    else delayed.put({ ...row, dueMs: nowMs + POSTPONED_MS });
  }
  if (kept.length === 0) return null;
  return { batch: join(exchange, kept), shares: shares.flatMap((share) => moveShare(share, places)) };
}

function moveShare({ queue, messages }: QueueShares[number], places: readonly number[]): QueueShares {
  const moved = messages.flatMap(([first, count]) => places.slice(first, first + count));
  const own = moved.filter((place) => place >= 0);
  return own.length === 0 ? [] : [{ queue, messages: runsOf(own) }];
}
