/**
 * Messages that the exchange holds itself: those on a delay until they are due, and those on their way to a queue
 * through the outbox, where each is carried until the queue has it.
 */
import { FIELD, type MessageRecord, type RecordTable, UNSTAMPED } from "../protocol/batch.ts";
import { assert } from "../protocol/assert.ts";
import type { Publisher, SequenceRun } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { readRecord } from "../protocol/record.ts";
import { heldDedupNames } from "../queue/publishers.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import type { ExchangeContext } from "./context.ts";
import { countOf, indexesOf, runsOf } from "../protocol/runs.ts";
import { shareOf } from "../protocol/runs.ts";

/** The messages of a batch on a delay (a delay of 0 is none), and the others. */
export function splitDelayed(table: RecordTable): { delayed: SequenceRun[]; others: SequenceRun[] } {
  const all = Array.from({ length: table.count }, (_, index) => index);
  const isDelayed = (index: number): boolean =>
    (table.flags(index) & FIELD.delayMs) !== 0 && table.delayMs(index) > 0;
  return { delayed: runsOf(all.filter(isDelayed)), others: runsOf(all.filter((index) => !isDelayed(index))) };
}

export function hasDelays(table: RecordTable): boolean {
  return (table.allFlags() & FIELD.delayMs) !== 0;
}

/**
 * Messages due at the same time lie together; the delay is over when they are read again. Nobody knows then who has
 * published them: their dedup ids tell.
 */
export function hold(
  exchange: ExchangeContext,
  batch: Uint8Array,
  table: RecordTable,
  runs: readonly SequenceRun[],
  nowMs: number,
  publisher?: Publisher,
): void {
  const nameOf = heldDedupNames(publisher);
  // One row for each moment, in the order of the messages.
  const byDue = new Map<number, number[]>();
  for (const index of indexesOf(runs)) {
    const dueMs = nowMs + table.delayMs(index);
    const known = byDue.get(dueMs);
    if (known === undefined) byDue.set(dueMs, [index]);
    else known.push(index);
  }
  for (const [dueMs, indexes] of byDue) {
    const undelayed = indexes.map((index) => {
      const { delayMs: _delay, dedupId, ...record } = readRecord(batch, table.offset(index));
      return dedupId === undefined ? record : { ...record, dedupId: nameOf(dedupId) };
    });
    putAll(exchange, dueMs, undelayed);
  }
}

/** With what was added to them they may be more than one batch. */
function putAll(exchange: ExchangeContext, dueMs: number, records: readonly MessageRecord[]): void {
  const encoded = exchange.codec.encode(records, UNSTAMPED, "broker");
  if (encoded.ok) return put(exchange, dueMs, encoded.value, records.length, false);
  assert(records.length > 1, "a delayed message can't be encoded");
  const half = records.length >> 1;
  putAll(exchange, dueMs, records.slice(0, half));
  putAll(exchange, dueMs, records.slice(half));
}

/** Dead letters that lead nowhere now are tried again this much later. */
const STRANDED_MS = 60_000;

export function holdStranded(
  exchange: ExchangeContext,
  batch: Uint8Array,
  table: RecordTable,
  runs: readonly SequenceRun[],
  nowMs: number,
): void {
  const share = shareOf(exchange.codec, batch, table, runs);
  put(exchange, nowMs + STRANDED_MS, share, countOf(runs), true);
}

function put(
  exchange: ExchangeContext,
  dueMs: number,
  batch: Uint8Array,
  count: number,
  mustRoute: boolean,
): void {
  const { counters, delayed } = exchange.stores;
  const number = counters.read("delayed") + 1;
  counters.write("delayed", number);
  delayed.put({ dueMs, number, count, mustRoute, batch });
}

/** Judged before anything of the batch is stored. */
export function lacksRoom(exchange: ExchangeContext, batchBytes: number): Refusal | null {
  const { bytes } = exchange.stores.delayed.totals();
  if (bytes + batchBytes <= LIMITS.delayedBytesMax) return null;
  return refuse(
    "exchange_busy",
    `delayMs: the exchange holds its ${LIMITS.delayedBytesMax} bytes of delayed messages`,
  );
}

/** Puts each queue's share of a batch into the outbox. */
export function moveToQueues(
  exchange: ExchangeContext,
  batch: Uint8Array,
  table: RecordTable,
  shares: readonly { readonly queue: string; readonly messages: readonly SequenceRun[] }[],
  nowMs: number,
): void {
  const { counters, outbox } = exchange.stores;
  for (const { queue, messages } of shares) {
    const number = counters.read("move") + 1;
    counters.write("move", number);
    const share = shareOf(exchange.codec, batch, table, messages);
    outbox.putOutbox({
      number,
      target: queue,
      count: countOf(messages),
      batch: share,
      notBeforeMs: nowMs,
      tries: 0,
    });
  }
}
