/**
 * What one exchange makes of a batch: its subscribers' events get their offsets and are kept as far as asked, and the
 * bindings tell where each message goes. No other object is called here.
 */
import type { RecordTable } from "../protocol/batch.ts";
import type { SequenceRun } from "../protocol/commands.ts";
import type { RouteStep } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { configOf } from "./config-rules.ts";
import type { ExchangeContext } from "./context.ts";
import type { Turn } from "./history.ts";
import { runsOf } from "../protocol/runs.ts";
import { IndexSet } from "./indexes.ts";
import { slicesOf } from "../protocol/runs.ts";

/** A batch that has been scanned. */
export interface Scanned {
  readonly batch: Uint8Array;
  readonly table: RecordTable;
}

export interface Step extends RouteStep {
  /** Messages that no binding matched and no alternate exchange takes. */
  readonly unroutable: number;
}

/** Where the messages go from here. What no binding matches goes to the alternate exchange, if there is one. */
export function routeStep(exchange: ExchangeContext, { batch, table }: Scanned): Step {
  const { destinations, messages } = exchange.bindings.route(batch, table);
  const matched = new IndexSet(table.count);
  const queues: { queue: string; messages: SequenceRun[] }[] = [];
  const exchanges: { exchange: string; messages: SequenceRun[] }[] = [];
  for (const [i, number] of destinations.entries()) {
    const runs = runsOf(messages[i]!);
    matched.addRuns(runs);
    const destination = exchange.bindings.destinationOf(number);
    if ("queue" in destination) queues.push({ queue: destination.queue, messages: runs });
    else exchanges.push({ exchange: destination.exchange, messages: runs });
  }
  if (matched.count === table.count) return { queues, exchanges, unroutable: 0 };
  const rest = runsOf(unmatched(matched, table.count));
  const { alternate } = configOf(exchange);
  if (alternate === null) return { queues, exchanges, unroutable: table.count - matched.count };
  addShare(exchanges, alternate, rest);
  return { queues, exchanges, unroutable: 0 };
}

function* unmatched(matched: IndexSet, count: number): Generator<number> {
  for (let i = 0; i < count; i++) if (!matched.has(i)) yield i;
}

/** The alternate may be bound as well, for other messages. */
function addShare(
  exchanges: { exchange: string; messages: SequenceRun[] }[],
  exchange: string,
  messages: SequenceRun[],
): void {
  const known = exchanges.find((one) => one.exchange === exchange);
  if (known === undefined) exchanges.push({ exchange, messages });
  else known.messages = [...known.messages, ...messages].sort(([a], [b]) => a - b);
}

/** The events of a turn, in the order of its batches: numbered, and kept as the configuration says. */
export function appendEvents(exchange: ExchangeContext, batches: readonly Scanned[], nowMs: number): Turn[] {
  exchange.published += batches.reduce((sum, { table }) => sum + table.count, 0);
  const { history, hubs } = exchange;
  if (!history.isKept && hubs.size === 0) {
    for (const { table } of batches) history.skip(table.count);
    return [];
  }
  return rowsOf(batches).map((row) => appendRow(exchange, row, nowMs));
}

function appendRow({ history, lastValues }: ExchangeContext, row: readonly Scanned[], nowMs: number): Turn {
  const count = row.reduce((sum, { table }) => sum + table.count, 0);
  const slices = row.flatMap(({ batch, table }) => slicesOf(batch, table, [[0, table.count]]));
  const turn = history.append(slices, count, nowMs);
  lastValues.keep(row, turn.first, nowMs, history.epoch);
  return turn;
}

/** As many batches in one row as its limits take. */
function rowsOf(batches: readonly Scanned[]): Scanned[][] {
  const rows: Scanned[][] = [];
  let count = 0;
  let bytes = 0;
  for (const one of batches) {
    count += one.table.count;
    bytes += one.batch.length;
    const row = rows.at(-1);
    if (row !== undefined && count <= LIMITS.recordsMax && bytes <= LIMITS.batchBytesMax) row.push(one);
    else {
      rows.push([one]);
      count = one.table.count;
      bytes = one.batch.length;
    }
  }
  return rows;
}
