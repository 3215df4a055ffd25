/**
 * A delivery that ended without an ack: given back, failed, run out, or lost with its consumer. The message goes
 * back to its place in the queue, after a wait, until its failures are used up.
 *
 *   nack            not a failure; waits nackDelayMs, or what the consumer asks
 *   reject          a failure; waits the retry policy's time, or what the consumer asks
 *   lease_expired   a failure; waits the retry policy's time
 *   released        the consumer said goodbye: not a failure, and no wait
 *   consumer_lost   a failure of the oldest message the consumer held; the others just go back at once
 */
import type { AttemptLogEntry } from "../protocol/commands.ts";
import { configOf, keyAt, type QueueContext } from "./context.ts";
import { bury, logAttempt } from "./dead-letter.ts";
import { OUTCOME, type Lease, type LeaseRun } from "./leases.ts";
import { putReturn, returnRow } from "./remove.ts";
import { isLastFailure, retryDelayMs } from "./retry.ts";
import type { Segment } from "./segments.ts";
import { RETURN_STATE, type History, type ReturnRow } from "./stores.ts";

export interface OpenMessage {
  readonly lease: Lease;
  readonly run: LeaseRun;
  readonly index: number;
  readonly at: number;
}

export interface Ending {
  readonly outcome: AttemptLogEntry["outcome"];
  readonly nowMs: number;
  readonly isFailure: boolean;
  /** The consumer's own wish, over every policy. */
  readonly delayMs?: number;
  /** The consumer says that no further attempt can help. */
  readonly isFinal?: boolean;
  readonly error?: string;
}

export function endDelivery(queue: QueueContext, message: OpenMessage, ending: Ending): void {
  const { lease, run, index, at } = message;
  const segment = queue.segments.get(run.segment);
  const row = run.isReturned ? queue.stores.returns.get(segment.first + index) : null;
  const history = historyAfter(message, row, ending);
  const outcome = {
    nack: OUTCOME.nacked,
    reject: OUTCOME.rejected,
    lease_expired: OUTCOME.lost,
    consumer_lost: OUTCOME.lost,
    released: OUTCOME.lost,
  };
  queue.leases.close(lease, at, ending.isFinal ? OUTCOME.dead : outcome[ending.outcome]);
  if (ending.isFailure) queue.ledger.now.totals.failed++;
  queue.ledger.isDirty = true;

  const key = keyAt(queue, segment, index);
  const expiresMs = segment.expiresMs(index);
  if (expiresMs !== null && expiresMs <= ending.nowMs && !ending.isFinal) {
    bury(queue, segment, index, { reason: "expired", nowMs: ending.nowMs, history });
  } else if (ending.isFinal || isLastFailure(configOf(queue), history.failures)) {
    giveUp(queue, { segment, index, key, row, history }, ending);
  } else {
    giveBack(queue, { segment, index, key, row, history }, ending);
  }
  if (key !== null) queue.keys.leave(queue, key, segment.first + index);
}

function historyAfter({ lease, run }: OpenMessage, row: ReturnRow | null, ending: Ending): History {
  const entry: AttemptLogEntry = {
    attempt: run.attempt,
    consumer: lease.consumer,
    atMs: ending.nowMs,
    outcome: ending.outcome,
    ...(ending.error === undefined ? {} : { error: ending.error }),
  };
  return {
    attempts: run.attempt,
    failures: run.failures + (ending.isFailure ? 1 : 0),
    firstSentMs: run.firstSentMs,
    log: logAttempt(row?.log ?? [], entry),
  };
}

/** A message that came back without an ack. */
interface Returned {
  readonly segment: Segment;
  readonly index: number;
  readonly key: string | null;
  readonly row: ReturnRow | null;
  readonly history: History;
}

function giveBack(queue: QueueContext, message: Returned, ending: Ending): void {
  const config = configOf(queue);
  const policyMs =
    ending.outcome === "nack"
      ? config.nackDelayMs
      : ending.isFailure
        ? retryDelayMs(config.retry, message.history.attempts, queue.random())
        : 0;
  const delayMs = ending.delayMs ?? policyMs;
  const state = delayMs > 0 ? RETURN_STATE.waiting : RETURN_STATE.ready;
  store(queue, message, { state, availableMs: delayMs > 0 ? ending.nowMs + delayMs : 0, death: null });
}

function store(
  queue: QueueContext,
  { segment, index, key, row, history }: Returned,
  state: Pick<ReturnRow, "state" | "availableMs" | "death">,
): void {
  const returned: ReturnRow = { ...returnRow(segment, index, history, row), ...state, key };
  putReturn(queue, row, returned, segment);
  // While it was out its expiry may have been passed over; now that it waits or is parked, the alarm must know.
  const expiresMs = segment.expiresMs(index);
  if (expiresMs !== null) queue.stores.timers.putExpiry(segment.id, expiresMs);
}

/** Failures are used up, or the consumer said so. In a FIFO queue the key's policy decides what follows. */
function giveUp(queue: QueueContext, message: Returned, ending: Ending): void {
  const { segment, index, key, history } = message;
  const policy = configOf(queue).onKeyFailure;
  const { nowMs } = ending;
  const reason = ending.isFinal ? "rejected" : "failed";
  if (key !== null && policy === "park") {
    store(queue, message, { state: RETURN_STATE.parked, availableMs: 0, death: { reason, atMs: nowMs } });
    return;
  }
  bury(queue, segment, index, { reason, nowMs, history });
  if (key !== null && policy === "drain") drainKey(queue, key, segment.first + index, nowMs);
}

/** Buries a key's line, and marks what the cursor has not reached yet to be buried when it comes up. */
export function drainKey(queue: QueueContext, key: string, sequence: number, nowMs: number): number {
  let count = 0;
  const note = `its key was drained after message ${sequence} failed`;
  for (;;) {
    const first = queue.keys.first(queue, key);
    if (first === null) break;
    bury(queue, first.segment, first.index, { reason: "failed", nowMs, note });
    count++;
  }
  if (queue.stores.keys.drain(key) === null) queue.ledger.now.drains++;
  queue.stores.keys.putDrain(key, queue.ledger.now.nextSequence);
  queue.ledger.isDirty = true;
  return count;
}
