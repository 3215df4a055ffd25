/**
 * What consumers say of their deliveries. Fenced: only the lease under which a message is open settles it. Saying
 * the same again is harmless; saying something else, or saying it too late, is refused and changes nothing.
 */
import type { SequenceRun, Settlement, SettlementResult, Verdict } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { ErrorCode } from "../protocol/errors.ts";
import { configOf, keyAt, type QueueContext } from "./context.ts";
import { endDelivery } from "./fail.ts";
import {
  endOf,
  openMessages,
  OUTCOME,
  placeOf,
  sequencesOf,
  untilOf,
  type Lease,
  type LeaseRun,
} from "./leases.ts";
import { putReturn, removeMessage, removePlain } from "./remove.ts";
import { RETURN_STATE } from "./stores.ts";

type Mutable = {
  settled: number;
  untilMs?: number;
  isCut?: true;
  refused: SettlementResult["refused"][number][];
  /** Places of messages that are to be extended. */
  extended: Set<number>;
};

export function settleAll(
  queue: QueueContext,
  settlements: readonly Settlement[],
  nowMs: number,
): SettlementResult[] {
  const clockMs = queue.ledger.tickClock(nowMs);
  return settlements.map((settlement) => settleOne(queue, settlement, clockMs));
}

function settleOne(queue: QueueContext, settlement: Settlement, nowMs: number): SettlementResult {
  const result: Mutable = { settled: 0, refused: [], extended: new Set() };
  const lease = queue.leases.find(settlement.lease);
  if (lease === null) {
    for (const run of settlement.sequences ?? [[0, 0] as const])
      refuseRun(result, run, "lease_lost", "no such lease, or it ended long ago");
    return result;
  }
  // A lease whose time is up is over, even if the alarm has not come round to it yet.
  endOverdue(queue, lease, nowMs);
  // Once nothing is open, the whole delivery is being settled again: each message is judged as if it were named.
  const named = settlement.sequences ?? (lease.open > 0 ? null : sequencesOf(lease));
  if (named === null) settleOpen(queue, lease, settlement, nowMs, result);
  else for (const run of named) settleRun(queue, lease, run, settlement, nowMs, result);
  if (result.extended.size > 0) {
    const end = extendedUntilMs(queue, lease, settlement, nowMs);
    queue.leases.extend(lease, end.untilMs, result.extended);
    Object.assign(result, end);
  }
  const { extended: _places, ...told } = result;
  return told;
}

/** When an extended message's stay ends: no lease runs longer than the longest in all. */
function extendedUntilMs(
  queue: QueueContext,
  lease: Lease,
  // Where the queue's own is none, it would end the lease.
  { leaseMs = Math.max(configOf(queue).leaseMs, LIMITS.leaseMsMin) }: Settlement,
  nowMs: number,
): { untilMs: number; isCut?: true } {
  const lastMs = lease.grantedMs + LIMITS.leaseMsMax;
  return nowMs + leaseMs > lastMs ? { untilMs: lastMs, isCut: true } : { untilMs: nowMs + leaseMs };
}

/** Every message still open under a lease whose time is up for it counts as failed. */
export function endOverdue(queue: QueueContext, lease: Lease, nowMs: number): void {
  if (lease.open === 0 || endOf(lease) > nowMs) return;
  for (const message of openMessages(lease)) {
    if (untilOf(lease, message.at) > nowMs) continue;
    endDelivery(queue, message, { outcome: "lease_expired", nowMs, isFailure: true });
  }
}

function settleOpen(
  queue: QueueContext,
  lease: Lease,
  settlement: Settlement,
  nowMs: number,
  result: Mutable,
): void {
  for (const message of openMessages(lease)) {
    result.settled++;
    apply(queue, lease, message.run, message.index, message.at, settlement, nowMs);
    if (settlement.verdict === "extend") result.extended.add(message.at);
  }
}

function settleRun(
  queue: QueueContext,
  lease: Lease,
  sequences: SequenceRun,
  settlement: Settlement,
  nowMs: number,
  result: Mutable,
): void {
  const [first, count] = sequences;
  for (let i = 0; i < count; i++) {
    const place = placeOf(lease, first + i);
    if (place === null) {
      refuseRun(result, [first + i, 1], "lease_lost", "the message is not part of this lease");
      continue;
    }
    // Runs are long: the messages beside the first are found without another search.
    const end = Math.min(count - i, place.run.index + place.run.count - place.index);
    for (let j = 0; j < end; j++)
      settleMessage(queue, lease, place, j, first + i + j, settlement, nowMs, result);
    i += end - 1;
  }
}

function settleMessage(
  queue: QueueContext,
  lease: Lease,
  place: { run: LeaseRun; index: number; at: number },
  step: number,
  sequence: number,
  settlement: Settlement,
  nowMs: number,
  result: Mutable,
): void {
  const outcome = lease.outcomes[place.at + step];
  if (outcome === OUTCOME.open) {
    result.settled++;
    apply(queue, lease, place.run, place.index + step, place.at + step, settlement, nowMs);
    if (settlement.verdict === "extend") result.extended.add(place.at + step);
  } else if (outcome === outcomeOf(settlement)) {
    result.settled++;
  } else if (settlement.late && settleLate(queue, lease, place, step, settlement, nowMs, result)) {
    result.settled++;
  } else if (settlement.late && settleFollowing(queue, sequence, settlement, nowMs, result)) {
    result.settled++;
  } else if (settlement.verdict === "extend" && outcome !== OUTCOME.lost) {
    refuseRun(
      result,
      [sequence, 1],
      "lease_lost",
      "this delivery was settled before; there is nothing to extend",
    );
  } else if (outcome === OUTCOME.lost) {
    const holder = queue.leases.holderOf(sequence);
    const now = holder === null ? "it is with nobody" : `${holder.consumer} holds it now`;
    refuseRun(result, [sequence, 1], "lease_lost", `the lease ended at ${lease.untilMs}; ${now}`);
  } else {
    refuseRun(result, [sequence, 1], "already_settled", "this delivery was settled another way before");
  }
}

function outcomeOf(settlement: Settlement): number | null {
  const byVerdict: Record<Verdict, number | null> = {
    ack: OUTCOME.acked,
    nack: OUTCOME.nacked,
    reject: settlement.dead ? OUTCOME.dead : OUTCOME.rejected,
    extend: null,
  };
  return byVerdict[settlement.verdict];
}

function apply(
  queue: QueueContext,
  lease: Lease,
  run: LeaseRun,
  index: number,
  at: number,
  settlement: Settlement,
  nowMs: number,
): void {
  switch (settlement.verdict) {
    case "extend":
      return;
    case "ack":
      ack(queue, lease, run, index, at);
      return;
    case "nack":
    case "reject":
      endDelivery(
        queue,
        { lease, run, index, at },
        {
          outcome: settlement.verdict,
          nowMs,
          isFailure: settlement.verdict === "reject",
          isFinal: settlement.verdict === "reject" && settlement.dead === true,
          ...(settlement.delayMs === undefined ? {} : { delayMs: settlement.delayMs }),
          ...(settlement.error === undefined ? {} : { error: settlement.error }),
        },
      );
  }
}

function ack(queue: QueueContext, lease: Lease, run: LeaseRun, index: number, at: number): void {
  const segment = queue.segments.get(run.segment);
  const key = keyAt(queue, segment, index);
  queue.leases.close(lease, at, OUTCOME.acked);
  if (run.isReturned) removeMessage(queue, segment, index, "delete");
  else removePlain(queue, segment, index, "delete");
  queue.ledger.now.totals.acked++;
  if (key !== null) queue.keys.leave(queue, key, segment.first + index);
}

/** Of a delivery that ended without an ack, as long as nobody was given the message since. False when it can't be. */
function settleLate(
  queue: QueueContext,
  lease: Lease,
  { run, index: from, at }: { run: LeaseRun; index: number; at: number },
  step: number,
  settlement: Settlement,
  nowMs: number,
  result: Mutable,
): boolean {
  const segment = queue.segments.find(run.segment);
  if (segment === null) return false;
  const index = from + step;
  const row = queue.stores.returns.get(segment.first + index);
  const isWaiting = row?.state === RETURN_STATE.waiting || row?.state === RETURN_STATE.ready;
  if (!isWaiting || row.attempts !== run.attempt) return false;
  if (settlement.verdict === "ack") {
    removeMessage(queue, segment, index, "delete");
    queue.leases.amend(lease, at + step, OUTCOME.acked);
    queue.ledger.now.totals.acked++;
    return true;
  }
  const end = extendedUntilMs(queue, lease, settlement, nowMs);
  // Its key's order may have gone on without it.
  if (settlement.verdict !== "extend" || row.key !== null || end.untilMs <= nowMs) return false;
  // The attempt goes on: its failure is taken back.
  const leased = { ...row, state: RETURN_STATE.leased, failures: run.failures, availableMs: 0 };
  putReturn(queue, row, leased, segment.table.size(index));
  queue.leases.reopen(lease, at + step, end.untilMs);
  Object.assign(result, end);
  return true;
}

/** Of a message that was given out again: acts on the delivery that holds it now, where the queue allows it. */
function settleFollowing(
  queue: QueueContext,
  sequence: number,
  settlement: Settlement,
  nowMs: number,
  result: Mutable,
): boolean {
  const { verdict } = settlement;
  if (configOf(queue).lateChanges !== "follow" || (verdict !== "extend" && verdict !== "reject"))
    return false;
  const holder = queue.leases.holderOf(sequence);
  const place = holder && placeOf(holder, sequence);
  if (holder === null || place === null) return false;
  if (untilOf(holder, place.at) <= nowMs) {
    endOverdue(queue, holder, nowMs);
    return false;
  }
  apply(queue, holder, place.run, place.index, place.at, settlement, nowMs);
  if (verdict !== "extend") return true;
  const end = extendedUntilMs(queue, holder, settlement, nowMs);
  queue.leases.extend(holder, end.untilMs, new Set([place.at]));
  Object.assign(result, end);
  return true;
}

function refuseRun(result: Mutable, sequences: SequenceRun, code: ErrorCode, detail: string): void {
  const last = result.refused.at(-1);
  if (
    last &&
    last.code === code &&
    last.detail === detail &&
    last.sequences[0] + last.sequences[1] === sequences[0]
  ) {
    const [first, count] = last.sequences;
    result.refused[result.refused.length - 1] = { sequences: [first, count + sequences[1]], code, detail };
  } else {
    result.refused.push({ sequences, code, detail });
  }
}
