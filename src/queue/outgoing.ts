/**
 * Messages on their way to another queue. They are gathered while a transition runs, and written to the outbox in
 * the same transaction that takes them from this queue; the shell carries each outbox row to its target until the
 * target has it. Numbers rise without gaps, and the target remembers the last one it took, so nothing moves twice.
 */
import { UNSTAMPED } from "../protocol/batch.ts";
import type { MessageRecord } from "../protocol/batch.ts";
import { assert } from "../protocol/assert.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { Move } from "../protocol/move-target.ts";
import type { QueueContext } from "./context.ts";
import type { OutboxRow, OutboxStore } from "./stores.ts";

/** Keeps a row below the batch limit whatever the records' fields take beside the bodies. */
const FIELDS_BYTES_MAX = 32_768;

export class Outgoing {
  private readonly targets = new Map<string, MessageRecord[]>();

  add(target: string, record: MessageRecord): void {
    const records = this.targets.get(target);
    if (records) records.push(record);
    else this.targets.set(target, [record]);
  }

  commit(queue: QueueContext, nowMs: number): void {
    for (const [target, records] of this.targets) {
      for (const part of cut(records)) this.write(queue, target, part, nowMs);
    }
    this.targets.clear();
  }

  private write(queue: QueueContext, target: string, records: readonly MessageRecord[], nowMs: number): void {
    const batch = queue.codec.encode(records, UNSTAMPED, "broker");
    assert(batch.ok, `messages for ${target} can't be encoded: ${batch.ok ? "" : batch.detail}`);
    queue.stores.work.putOutbox({
      number: queue.ledger.now.nextMove++,
      target,
      count: records.length,
      batch: batch.value,
      notBeforeMs: nowMs,
      tries: 0,
    });
    queue.ledger.isDirty = true;
  }
}

/** Targets that are called at a time. */
const TARGETS_MAX = 64;
/** Moves of one call, and their bytes: the runtime takes 32 MiB of arguments, and the target holds them all. */
const MOVES_MAX = 256;
const MOVES_BYTES_MAX = 4 * 1024 ** 2;

export function dueTargets(outbox: OutboxStore, nowMs: number): string[] {
  return outbox.dueTargets(nowMs, TARGETS_MAX);
}

/** A target's first moves, for one call; none where the first of them is not due. */
export function movesTo(outbox: OutboxStore, target: string, nowMs: number): OutboxRow[] {
  const moves = outbox.firstOutbox(target, MOVES_MAX, MOVES_BYTES_MAX);
  return moves.length === 0 || moves[0]!.notBeforeMs > nowMs ? [] : moves;
}

/** The target could not take it: later again, the wait doubling up to a minute. */
export function postpone(outbox: OutboxStore, row: Move, nowMs: number): void {
  const waitMs = Math.min(60_000, 1_000 * 2 ** Math.min(row.tries, 6));
  outbox.delayOutbox(row.number, nowMs + waitMs, row.tries + 1);
}

function cut(records: readonly MessageRecord[]): MessageRecord[][] {
  const parts: MessageRecord[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const record of records) {
    const size = record.body.length + FIELDS_BYTES_MAX;
    if (bytes + size > LIMITS.batchBytesMax || parts.at(-1)!.length >= LIMITS.recordsMax) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)!.push(record);
    bytes += size;
  }
  return parts;
}
