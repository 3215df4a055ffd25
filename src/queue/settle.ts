/**
 * What consumers say of their deliveries. Fenced: only the lease under which a message is open settles it. Saying
 * the same again is harmless; saying something else, or saying it too late, is refused and changes nothing.
 */
import type { SequenceRun, Settlement, SettlementResult, Verdict } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { ErrorCode } from "../protocol/errors.ts";
import { configOf, keyAt, type QueueContext } from "./context.ts";
import { endDelivery, type Ending } from "./fail.ts";
import { endOf, openMessages, OUTCOME, sequencesOf, untilOf, type Lease, type LeaseRun } from "./leases.ts";
import { firstSequenceOf } from "./lane.ts";
import { partsOf, type LeasePart } from "./lease-parts.ts";
import { putReturn, removeMessage, removePlain } from "./remove.ts";
import { RETURN_STATE } from "./stores.ts";

/** The answer as it grows. */
type Answer = {
  settled: number;
  untilMs?: number;
  isCut?: true;
  refused: SettlementResult["refused"][number][];
};

export function settleAll(
  queue: QueueContext,
  settlements: readonly Settlement[],
  nowMs: number,
): SettlementResult[] {
  const clockMs = queue.ledger.tickClock(nowMs);
  const call = new SettleCall(queue);
  return settlements.map((settlement) => {
    const lease = queue.leases.find(settlement.lease);
    // Lease ids can be guessed: to others a lease is not there.
    if (lease === null || !isOfQueue(queue, settlement) || !maySettle(lease, settlement))
      return refuseAll(settlement, "lease_lost", "no such lease, or it ended long ago");
    call.endOverdue(lease, clockMs);
    const settling = new Settling(queue, lease, settlement, clockMs, call);
    if (settling.isWithin(call)) return settling.run();
    return refuseAll(settlement, "bad_request", `settlements: name over ${LIMITS.leasedMax} messages in all`);
  });
}

function isOfQueue(queue: QueueContext, { origin = queue.stored.origin }: Settlement): boolean {
  return origin === queue.stored.origin;
}

/** The subject that the messages were leased to, and who shows the lease's key. */
function maySettle(lease: Lease, { key, subject = "" }: Settlement): boolean {
  return lease.subject === null || lease.subject === subject || (key !== undefined && lease.key === key);
}

function refuseAll({ sequences }: Settlement, code: ErrorCode, detail: string): SettlementResult {
  const answer: Answer = { settled: 0, refused: [] };
  for (const run of sequences ?? [[0, 0] as const]) refuseRun(answer, run, code, detail);
  return answer;
}

/** Every message still open under a lease whose time is up for it counts as failed. */
export function endOverdue(queue: QueueContext, lease: Lease, nowMs: number): void {
  if (lease.open === 0 || endOf(lease) > nowMs) return;
  for (const message of openMessages(lease)) {
    if (untilOf(lease, message.at) > nowMs) continue;
    endDelivery(queue, message, { outcome: "lease_expired", nowMs, isFailure: true });
  }
}

/** What the settlements of one call share, so that the work for a call is bounded whatever it names. */
class SettleCall {
  private readonly queue: QueueContext;
  /** As many messages may be named as can be leased: nobody who holds them lacks any. */
  private left = LIMITS.leasedMax;
  private readonly judged = new Set<Lease>();
  /** By segment, which lease holds which of its messages, or did when the call came to it. */
  private readonly holders = new Map<number, Map<number, Lease>>();

  constructor(queue: QueueContext) {
    this.queue = queue;
  }

  /** A lease whose time is up is over, even if the alarm has not come round to it yet. */
  endOverdue(lease: Lease, nowMs: number): void {
    if (!this.judged.has(lease)) endOverdue(this.queue, lease, nowMs);
    this.judged.add(lease);
  }

  /** False: too many are named. */
  spend(messages: number): boolean {
    this.left -= messages;
    return this.left >= 0;
  }

  holderOf(segment: number, index: number): Lease | null {
    let holders = this.holders.get(segment);
    if (holders === undefined) {
      holders = new Map();
      for (const open of this.queue.leases.openIn(segment)) holders.set(open.index, open.lease);
      this.holders.set(segment, holders);
    }
    return holders.get(index) ?? null;
  }
}

/** One settlement of a lease. */
class Settling {
  private readonly queue: QueueContext;
  private readonly lease: Lease;
  private readonly settlement: Settlement;
  private readonly nowMs: number;
  private readonly call: SettleCall;
  private readonly answer: Answer = { settled: 0, refused: [] };
  /** Null: all that are open. */
  private readonly named: readonly SequenceRun[] | null;
  /** Places of messages that are to be extended. */
  private readonly extended = new Set<number>();

  constructor(queue: QueueContext, lease: Lease, settlement: Settlement, nowMs: number, call: SettleCall) {
    this.queue = queue;
    this.lease = lease;
    this.settlement = settlement;
    this.nowMs = nowMs;
    this.call = call;
    // Once nothing is open, the whole delivery is being settled again: each message is judged as if it were named.
    this.named = settlement.sequences ?? (lease.open > 0 ? null : sequencesOf(lease));
  }

  /** Whether the call may name as many messages. A message counts as often as it is named. */
  isWithin(call: SettleCall): boolean {
    if (this.named === null) return call.spend(this.lease.outcomes.length);
    for (const run of this.named)
      for (const { count } of partsOf(this.lease.runs, run)) if (!call.spend(count)) return false;
    return true;
  }

  run(): SettlementResult {
    if (this.named === null) this.settleOpen();
    else for (const run of this.named) this.settleRun(run);
    if (this.extended.size > 0) {
      const end = extendedUntilMs(this.queue, this.lease, this.settlement, this.nowMs);
      this.queue.leases.extend(this.lease, end.untilMs, this.extended);
      Object.assign(this.answer, end);
    }
    return this.answer;
  }

  private settleOpen(): void {
    for (const { run, index, at } of openMessages(this.lease)) this.settle(run, index, at);
  }

  /** However long the run is, only messages of the lease are stepped through. */
  private settleRun([first, count]: SequenceRun): void {
    let next = first;
    for (const part of partsOf(this.lease.runs, [first, count])) {
      this.refuseForeign(next, part.sequence);
      for (let i = 0; i < part.count; i++) this.judge(part, i);
      next = part.sequence + part.count;
    }
    this.refuseForeign(next, first + count);
  }

  private refuseForeign(from: number, until: number): void {
    if (until > from)
      this.refuse([from, until - from], "lease_lost", "the message is not part of this lease");
  }

  private judge(part: LeasePart, step: number): void {
    const { lease, settlement } = this;
    const at = part.at + step;
    const outcome = lease.outcomes[at];
    if (outcome === OUTCOME.open) this.settle(part.run, part.index + step, at);
    else if (outcome === outcomeOf(settlement)) this.answer.settled++;
    else if (settlement.late && this.settleLate(part.run, part.index + step, at)) this.answer.settled++;
    else if (settlement.late && this.settleFollowing(part.run.segment, part.index + step)) return;
    else this.refuse([part.sequence + step, 1], ...this.whyNot(part.run.segment, part.index + step, outcome));
  }

  private whyNot(segment: number, index: number, outcome: number | undefined): [ErrorCode, string] {
    if (outcome === OUTCOME.lost) {
      const holder = this.call.holderOf(segment, index);
      const now = holder === null ? "it is with nobody" : `${holder.consumer} holds it now`;
      return ["lease_lost", `the lease ended at ${this.lease.untilMs}; ${now}`];
    }
    if (this.settlement.verdict === "extend")
      return ["lease_lost", "this delivery was settled before; there is nothing to extend"];
    return ["already_settled", "this delivery was settled another way before"];
  }

  /** A message that is open under the lease. */
  private settle(run: LeaseRun, index: number, at: number): void {
    const { queue, lease, settlement, nowMs } = this;
    this.answer.settled++;
    if (settlement.verdict === "extend") this.extended.add(at);
    else if (settlement.verdict === "ack") ack(queue, lease, run, index, at);
    else endDelivery(queue, { lease, run, index, at }, endingOf(settlement, nowMs));
  }

  /** Of a delivery that ended without an ack, as long as nobody was given the message since. False when it can't be. */
  private settleLate(run: LeaseRun, index: number, at: number): boolean {
    const { queue, lease, settlement, nowMs } = this;
    const segment = queue.segments.find(run.segment);
    if (segment === null) return false;
    const row = queue.stores.returns.get(segment.first + index);
    const isWaiting = row?.state === RETURN_STATE.waiting || row?.state === RETURN_STATE.ready;
    if (!isWaiting || row.attempts !== run.attempt) return false;
    if (settlement.verdict === "ack") {
      removeMessage(queue, segment, index, "delete");
      queue.leases.amend(lease, at, OUTCOME.acked);
      queue.ledger.now.totals.acked++;
      return true;
    }
    const end = extendedUntilMs(queue, lease, settlement, nowMs);
    // Its key's order may have gone on without it.
    if (settlement.verdict !== "extend" || row.key !== null || end.untilMs <= nowMs) return false;
    // The attempt goes on: its failure is taken back.
    const leased = { ...row, state: RETURN_STATE.leased, failures: run.failures, availableMs: 0 };
    putReturn(queue, row, leased, segment);
    queue.leases.reopen(lease, at, end.untilMs);
    Object.assign(this.answer, end);
    return true;
  }

  /** Of a message that was given out again: acts on the delivery that holds it now, where the queue allows it. */
  private settleFollowing(segment: number, index: number): boolean {
    const { queue, settlement, nowMs } = this;
    const { verdict } = settlement;
    if (configOf(queue).lateChanges !== "follow" || (verdict !== "extend" && verdict !== "reject"))
      return false;
    const holder = this.call.holderOf(segment, index);
    const [place] = holder ? partsOf(holder.runs, [firstSequenceOf(segment) + index, 1]) : [];
    if (holder === null || place === undefined || holder.outcomes[place.at] !== OUTCOME.open) return false;
    if (untilOf(holder, place.at) <= nowMs) {
      endOverdue(queue, holder, nowMs);
      return false;
    }
    this.answer.settled++;
    if (verdict === "reject") {
      endDelivery(queue, { lease: holder, run: place.run, index, at: place.at }, endingOf(settlement, nowMs));
      return true;
    }
    const end = extendedUntilMs(queue, holder, settlement, nowMs);
    queue.leases.extend(holder, end.untilMs, new Set([place.at]));
    Object.assign(this.answer, end);
    return true;
  }

  private refuse(sequences: SequenceRun, code: ErrorCode, detail: string): void {
    refuseRun(this.answer, sequences, code, detail);
  }
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

function outcomeOf(settlement: Settlement): number | null {
  const byVerdict: Record<Verdict, number | null> = {
    ack: OUTCOME.acked,
    nack: OUTCOME.nacked,
    reject: settlement.dead ? OUTCOME.dead : OUTCOME.rejected,
    extend: null,
  };
  return byVerdict[settlement.verdict];
}

/** What a nack or a reject comes to. */
function endingOf({ verdict, dead, delayMs, error }: Settlement, nowMs: number): Ending {
  const isFailure = verdict === "reject";
  return {
    outcome: isFailure ? "reject" : "nack",
    nowMs,
    isFailure,
    isFinal: isFailure && dead === true,
    ...(delayMs === undefined ? {} : { delayMs }),
    ...(error === undefined ? {} : { error }),
  };
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

function refuseRun(answer: Answer, sequences: SequenceRun, code: ErrorCode, detail: string): void {
  const last = answer.refused.at(-1);
  if (
    last &&
    last.code === code &&
    last.detail === detail &&
    last.sequences[0] + last.sequences[1] === sequences[0]
  ) {
    const [first, count] = last.sequences;
    answer.refused[answer.refused.length - 1] = { sequences: [first, count + sequences[1]], code, detail };
  } else {
    answer.refused.push({ sequences, code, detail });
  }
}
