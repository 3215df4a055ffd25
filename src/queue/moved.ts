/**
 * Taking what comes through another's outbox: a queue's dead or redriven messages, and what an exchange held back
 * until it was due. The latter have no id yet: they are published here, with all that goes with it. Repeatable: the last
 * move of each sender is remembered. A move that has more messages than this queue may ever hold, or that is too large with
 * what the queue adds to its messages, is taken in parts, as there is room.
 */
import { UNSTAMPED } from "../protocol/batch.ts";
import { assert } from "../protocol/assert.ts";
import { ok, type Result } from "../protocol/result.ts";
import { acceptAll } from "./accept.ts";
import type { QueueContext } from "./context.ts";
import { capacity } from "./overflow.ts";

export interface Moved {
  readonly accepted: number;
  /** False: a part of it is still to come, and the same move must be sent again. */
  readonly isDone: boolean;
}

export function acceptMove(
  queue: QueueContext,
  from: string,
  number: number,
  batch: Uint8Array,
  nowMs: number,
): Result<Moved> {
  const { identities } = queue.stores;
  const known = identities.inbound(from);
  if (number < known.number || (number === known.number && known.taken === null)) {
    return ok({ accepted: 0, isDone: true });
  }
  const taken = number === known.number ? (known.taken ?? 0) : 0;
  const rest = taken === 0 ? batch : sliceOf(queue, batch, taken, Number.POSITIVE_INFINITY);
  const whole = acceptAll(queue, [{ batch: rest }], nowMs, { isMoved: true })[0]!;
  if (whole.ok) {
    identities.putInbound(from, number, null);
    const { sequences, duplicates } = whole.value;
    const answered = sequences.reduce((sum, [, count]) => sum + count, 0);
    return ok({ accepted: answered - duplicates.length, isDone: true });
  }
  if (whole.code !== "batch_too_large") return whole;
  for (let count = fitting(queue, rest); count > 0; count = Math.floor(count / 2)) {
    const share = { batch: sliceOf(queue, batch, taken, count) };
    const part = acceptAll(queue, [share], nowMs, { isMoved: true })[0]!;
    // With what is added to them they may be more than there is room for.
    if (!part.ok && part.code === "batch_too_large") continue;
    if (!part.ok) return part;
    identities.putInbound(from, number, taken + count);
    return ok({ accepted: count, isDone: false });
  }
  return whole;
}

function sliceOf(queue: QueueContext, batch: Uint8Array, from: number, countMax: number): Uint8Array {
  const scanned = queue.codec.scan(batch, "broker");
  assert(scanned.ok, "a move that was accepted in part is damaged now");
  const table = scanned.value;
  const count = Math.min(table.count - from, countMax);
  const last = from + count - 1;
  const offset = table.offset(from);
  const slice = { bytes: batch, offset, size: table.offset(last) + table.size(last) - offset, count };
  return queue.codec.join([slice], UNSTAMPED);
}

/** How many messages from the start of a batch there is room for; not all, for they were refused together. */
function fitting(queue: QueueContext, batch: Uint8Array): number {
  const scanned = queue.codec.scan(batch, "broker");
  assert(scanned.ok, "a move that was judged is damaged now");
  const room = capacity(queue);
  let bytes = 0;
  const last = scanned.value.count - 1;
  for (let i = 0; i < last; i++) {
    bytes += scanned.value.size(i);
    if (i + 1 > room.messages || bytes > room.bytes) return i;
  }
  return last;
}
