/**
 * What happens because time passed: leases run out, back-offs end, messages die of age. Each step is bounded and
 * may run again without harm, so that an alarm that comes twice, late, or in pieces changes nothing.
 */
import type { QueueContext } from "./context.ts";
import { putReturn } from "./remove.ts";
import { endOverdue } from "./settle.ts";
import { RETURN_STATE } from "./stores.ts";
import { stepTasks } from "./redrive.ts";
import { buryExpired } from "./retention.ts";

const STEP_MAX = 1_000;
const SEGMENTS_MAX = 16;

/** Does what is due. `hasMoreWork` is set when a bound was reached. */
export function tick(queue: QueueContext, nowMs: number): void {
  const clockMs = queue.ledger.tickClock(nowMs);
  for (const lease of queue.leases.overdue(clockMs)) endOverdue(queue, lease, clockMs);
  endBackoffs(queue, clockMs);
  buryListed(queue, clockMs);
  queue.retention.tick(queue, clockMs);
  stepTasks(queue, clockMs);
  const swept = queue.stores.identities.removeDedupBefore(clockMs, STEP_MAX);
  queue.ledger.sweepProducers(queue.stores.identities);
  // What was swept is over for good: the clock that said so must outlive an eviction.
  if (swept > 0) queue.ledger.isDirty = true;
  if (swept === STEP_MAX) queue.hasMoreWork = true;
}

/** Whether messages are back, or to be given back, that the alarm has not come round to yet. */
export function isOverdue(queue: QueueContext, nowMs: number): boolean {
  const leaseMs = queue.leases.nextUntilMs();
  if (leaseMs !== null && leaseMs <= nowMs) return true;
  const availableMs = queue.ledger.now.waiting > 0 ? queue.stores.returns.nextAvailableMs() : null;
  return availableMs !== null && availableMs <= nowMs;
}

function endBackoffs(queue: QueueContext, nowMs: number): void {
  const due = queue.stores.returns.due(nowMs, STEP_MAX);
  for (const row of due) {
    const segment = queue.segments.get(row.segment);
    putReturn(queue, row, { ...row, state: RETURN_STATE.ready, availableMs: 0 }, segment);
  }
  if (due.length === STEP_MAX) queue.hasMoreWork = true;
}

/** Those whose time is in a row. */
function buryListed(queue: QueueContext, nowMs: number): void {
  const due = queue.stores.timers.expired(nowMs, SEGMENTS_MAX);
  for (const id of due) {
    queue.stores.timers.removeExpiry(id);
    const segment = queue.segments.find(id);
    const nextMs = segment === null ? null : buryExpired(queue, segment, nowMs);
    if (nextMs !== null) queue.stores.timers.putExpiry(id, nextMs);
  }
  if (due.length === SEGMENTS_MAX) queue.hasMoreWork = true;
}

/** Old dedup ids do no harm: they are swept together, not each at its own time. */
const SWEEP_MS = 60_000;

function nextSweepMs(dedupMs: number | null): number | null {
  return dedupMs === null ? null : dedupMs + SWEEP_MS;
}

/** The earliest time at which something is due that nothing else would wake the queue for; null for never. */
export function nextWakeMs(queue: QueueContext, nowMs: number): number | null {
  const { returns, timers, work, identities } = queue.stores;
  const tasks = work.runningTasks().map((task) => task.nextMs);
  const times = [
    queue.hasMoreWork ? nowMs : null,
    queue.leases.nextUntilMs(),
    queue.ledger.now.waiting > 0 ? returns.nextAvailableMs() : null,
    timers.nextDelayedAfter(nowMs),
    timers.nextExpiryMs(),
    queue.retention.nextMs,
    work.nextOutboxMs(),
    work.garbage(1).length > 0 ? nowMs : null,
    nextSweepMs(identities.nextDedupMs()),
    ...tasks,
  ].filter((time) => time !== null);
  return times.length === 0 ? null : Math.min(...times);
}
