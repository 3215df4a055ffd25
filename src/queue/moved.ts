/**
 * Taking what comes through another's outbox: a queue's dead or redriven messages, and what an exchange held back
 * until it was due. The latter have no id yet: they are published here, with all that goes with it. Repeatable: the last
 * move of each sender is remembered. Moves that come in one call are written together. A move that has more messages than
 * this queue may ever hold, or that is too large with what the queue adds to its messages, is taken in parts, as there is room.
 */
import { UNSTAMPED } from "../protocol/batch.ts";
import { assert } from "../protocol/assert.ts";
import type { PublishConfirm } from "../protocol/commands.ts";
import type { MoveBatch, MovesTaken } from "../protocol/move-target.ts";
import { ok, type Refusal, type Result } from "../protocol/result.ts";
import { acceptAll, Acceptance } from "./accept.ts";
import type { QueueContext } from "./context.ts";
import { capacity } from "./overflow.ts";
import { recordWeight } from "./weight.ts";

const MOVED = { isMoved: true };

/** Takes a sender's moves in their order, up to the first that is refused or taken in part only. */
export function acceptMoves(
  queue: QueueContext,
  from: string,
  moves: readonly MoveBatch[],
  nowMs: number,
): Result<MovesTaken> {
  const { identities } = queue.stores;
  const known = identities.inbound(from);
  let accepted = 0;
  let done = moves.findIndex(({ number }) => !isKnown(known, number));
  if (done === -1) return ok({ accepted, done: moves.length });
  if (moves[done]!.number !== known.number) {
    const together = acceptTogether(queue, moves.slice(done), nowMs);
    for (const confirm of together) accepted += freshCount(confirm);
    done += together.length;
    if (together.length > 0) identities.putInbound(from, moves[done - 1]!.number, null);
  }
  for (; done < moves.length; done++) {
    const one = acceptMove(queue, from, moves[done]!, nowMs);
    if (!one.ok) return done === 0 ? one : ok({ accepted, done });
    accepted += one.accepted;
    if (!one.isDone) break;
  }
  return ok({ accepted, done });
}

type Inbound = ReturnType<QueueContext["stores"]["identities"]["inbound"]>;

function isKnown(known: Inbound, number: number): boolean {
  return number < known.number || (number === known.number && known.taken === null);
}

/** As many as can be written in one go. */
function acceptTogether(queue: QueueContext, moves: readonly MoveBatch[], nowMs: number): PublishConfirm[] {
  const acceptance = new Acceptance(queue, nowMs, MOVED);
  const judged = [];
  for (const { batch } of moves) {
    const answer = acceptance.judge({ batch });
    if (answer === null || !answer.ok || !("table" in answer.value)) break;
    judged.push(answer.value);
  }
  return judged.length === 0 ? [] : acceptance.commit(judged);
}

function freshCount({ sequences, duplicates }: PublishConfirm): number {
  return sequences.reduce((sum, [, count]) => sum + count, 0) - duplicates.length;
}

/** One move, or the rest of one of which a part was taken before. */
function acceptMove(
  queue: QueueContext,
  from: string,
  { number, batch }: MoveBatch,
  nowMs: number,
): Refusal | { ok: true; accepted: number; isDone: boolean } {
  const { identities } = queue.stores;
  const known = identities.inbound(from);
  const taken = number === known.number ? (known.taken ?? 0) : 0;
  const rest = taken === 0 ? batch : sliceOf(queue, batch, taken, Number.POSITIVE_INFINITY);
  const whole = acceptAll(queue, [{ batch: rest }], nowMs, MOVED)[0]!;
  if (whole.ok) {
    identities.putInbound(from, number, null);
    return { ok: true, accepted: freshCount(whole.value), isDone: true };
  }
  if (whole.code !== "batch_too_large") return whole;
  for (let count = fitting(queue, rest); count > 0; count = Math.floor(count / 2)) {
    const share = { batch: sliceOf(queue, batch, taken, count) };
    const part = acceptAll(queue, [share], nowMs, MOVED)[0]!;
    // With what is added to them they may be more than there is room for.
    if (!part.ok && part.code === "batch_too_large") continue;
    if (!part.ok) return part;
    identities.putInbound(from, number, taken + count);
    return { ok: true, accepted: count, isDone: false };
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
    bytes += recordWeight(batch, scanned.value, i);
    if (i + 1 > room.messages || bytes > room.bytes) return i;
  }
  return last;
}
