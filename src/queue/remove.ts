// Taking a message out of the queue for good, with all that is stored beside it.
import { FIELD } from "../protocol/batch.ts";
import type { MessageHandle } from "../protocol/commands.ts";
import { sequenceOfId } from "../protocol/batch.ts";
import { readBodyReference } from "../protocol/message-json.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { locateCarried } from "./carried-ids.ts";
import { idAt, recordAt, type QueueContext } from "./context.ts";
import { firstSequenceOf, LANE_SPAN, priorityOfLane, segmentId } from "./lane.ts";
import type { Segment } from "./segments.ts";
import { cancelKeyOf } from "./publishers.ts";
import { RETURN_STATE, type History, type ReturnRow } from "./stores.ts";
import { weightOf } from "./weight.ts";

const HELD_BESIDE = FIELD.cancelKey | FIELD.id | FIELD.bodyReference;

/** Whether the body of a removed message goes too, or travels on with it to another queue. */
export type BodyFate = "delete" | "keep";

/** Marks a message as gone and forgets everything kept about it. The caller counts it in the totals. */
export function removeMessage(queue: QueueContext, segment: Segment, index: number, body: BodyFate): void {
  forgetReturn(queue, segment.first + index);
  if (queue.ledger.now.blocked > 0) queue.keys.lines.leave(queue, segment, index);
  removePlain(queue, segment, index, body);
}

/** The same for a message in its first lease: it has no return row and stands in no key's line. */
export function removePlain(queue: QueueContext, segment: Segment, index: number, body: BodyFate): void {
  if (!queue.segments.settle(segment, index)) return;
  const { now } = queue.ledger;
  now.messages--;
  now.bytes -= weightOf(queue, segment, index);
  queue.ledger.isDirty = true;
  if (segment.isDelayed) countDelayedOff(queue, segment, index);
  if ((segment.table.flags(index) & HELD_BESIDE) !== 0) forgetHandles(queue, segment, index, body);
}

/** A delayed message that nobody took does not count among those to come any more. */
function countDelayedOff(queue: QueueContext, segment: Segment, index: number): void {
  const row = queue.stores.timers.delayed(segment.id);
  if (row !== null && index >= row.nextIndex)
    queue.stores.timers.putDelayed({ ...row, remaining: row.remaining - 1 });
}

function forgetHandles(queue: QueueContext, segment: Segment, index: number, body: BodyFate): void {
  const record = recordAt(segment, index);
  const sequence = segment.first + index;
  const { identities, work } = queue.stores;
  if (record.cancelKey !== undefined) identities.removeHandle("cancelKey", record.cancelKey, sequence);
  if (record.id !== undefined) identities.removeHandle("id", record.id, sequence);
  if (!record.bodyReference || body !== "delete") return;
  const { key, isShared = false } = readBodyReference(record.body);
  if (!isShared) work.putGarbage(key);
}

/** The part of a return row that its message and its history decide. */
export function returnRow(
  segment: Segment,
  index: number,
  history: History,
  before: ReturnRow | null,
): Omit<ReturnRow, "state" | "availableMs" | "key" | "death"> {
  const { attempts, failures, firstSentMs, log } = history;
  return {
    sequence: segment.first + index,
    segment: segment.id,
    index,
    priority: priorityOfLane(segment.lane),
    rankMs: segment.rankMs(index),
    attempts,
    failures,
    firstSentMs,
    redrives: before?.redrives ?? 0,
    log,
  };
}

/** Writes a return row and keeps the ledger's counts by state. */
export function putReturn(
  queue: QueueContext,
  before: ReturnRow | null,
  row: ReturnRow,
  segment: Segment,
): void {
  if (before) countReturn(queue, before, -1, segment);
  countReturn(queue, row, 1, segment);
  queue.stores.returns.put(row);
}

function countReturn(queue: QueueContext, row: ReturnRow, change: 1 | -1, segment: Segment | null): void {
  const { now } = queue.ledger;
  queue.ledger.isDirty = true;
  if (row.state === RETURN_STATE.waiting) now.waiting += change;
  else if (row.state === RETURN_STATE.ready) now.ready += change;
  else if (row.state === RETURN_STATE.parked) now.parked += change;
  else if (row.state === RETURN_STATE.dead) {
    now.dead += change;
    if (segment !== null) now.deadBytes += change * weightOf(queue, segment, row.index);
  }
}

function forgetReturn(queue: QueueContext, sequence: number): void {
  const row = queue.stores.returns.get(sequence);
  if (row === null) return;
  countReturn(queue, row, -1, queue.segments.find(row.segment));
  queue.stores.returns.remove(sequence);
  if (row.key !== null) queue.keys.offer(queue, row.key);
}

/** Finds a message by id or by the sender's key; null when it is gone. */
export function locate(
  queue: QueueContext,
  handle: MessageHandle,
): { segment: Segment; index: number } | null {
  const stored =
    "cancelKey" in handle
      ? queue.stores.identities.handle("cancelKey", cancelKeyOf(handle.cancelKey, handle.publisher))
      : queue.stores.identities.handle("id", handle.id);
  if (stored !== null) {
    const segment = queue.segments.find(stored.segment);
    const index = segment === null ? -1 : stored.sequence - segment.first;
    if (segment !== null && !segment.isSettled(index)) return { segment, index };
  }
  if ("cancelKey" in handle) return null;
  // A message that came back has the number that it had here before.
  const carried = locateCarried(queue, handle.id);
  if (carried !== null) return carried;
  const sequence = sequenceOfId(handle.id, queue.stored.origin);
  return sequence === null ? null : locateSequence(queue, sequence);
}

function locateSequence(queue: QueueContext, sequence: number): { segment: Segment; index: number } | null {
  for (const lane of queue.ledger.lanes()) {
    const id = queue.stores.segments.atOrBelow(segmentId(lane, sequence), lane * LANE_SPAN);
    if (id === null) continue;
    const segment = queue.segments.find(id);
    const index = sequence - firstSequenceOf(id);
    if (segment !== null && index < segment.count && !segment.isSettled(index)) return { segment, index };
  }
  return null;
}

/** Finds a message that no consumer holds. */
export function locateWaiting(
  queue: QueueContext,
  handle: MessageHandle,
): Result<{ segment: Segment; index: number }> {
  const found = locate(queue, handle);
  const shown = "id" in handle ? `id: ${handle.id}` : `cancelKey: ${handle.cancelKey}`;
  if (found === null) return refuse("message_not_found", `${shown} is not waiting in this queue`);
  if (queue.leases.holderOf(found.segment.id, found.index) !== null) {
    return refuse("message_leased", `${shown} is with a consumer`);
  }
  return ok(found);
}

/** Takes back a message that no consumer holds. */
export function cancelWaiting(queue: QueueContext, handle: MessageHandle): Result<{ id: string }> {
  const found = locateWaiting(queue, handle);
  if (!found.ok) return found;
  const id = idAt(queue, found.value.segment, found.value.index);
  cancelAt(queue, found.value.segment, found.value.index);
  return ok({ id });
}

export function cancelAt(queue: QueueContext, segment: Segment, index: number): void {
  removeMessage(queue, segment, index, "delete");
  queue.ledger.now.totals.cancelled++;
}

/** A waiting message gives way to a later one with the same key; one that is leased or dead stays. */
export function giveWay(queue: QueueContext, cancelKey: string): void {
  const found = locateWaiting(queue, { cancelKey });
  if (!found.ok) return;
  const { segment, index } = found.value;
  if (queue.stores.returns.get(segment.first + index)?.state === RETURN_STATE.dead) return;
  cancelAt(queue, segment, index);
}
