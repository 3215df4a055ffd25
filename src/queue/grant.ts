// Leasing what was picked, and the bytes that go to the consumer.
import { BATCH_HEADER_BYTES } from "../protocol/batch.ts";
import type { Delivery, DeliveryRun } from "../protocol/commands.ts";
import { leaseId } from "../protocol/partitions.ts";
import { configOf, type QueueContext } from "./context.ts";
import type { Lease, LeaseRun } from "./leases.ts";
import { partitionOf } from "./partition.ts";
import type { Pick } from "./pick.ts";
import { putReturn } from "./remove.ts";
import { RETURN_STATE } from "./stores.ts";

export interface LeaseHolder {
  readonly consumer: string;
  readonly subject: string;
  /** The consumer's socket; 0 when the lease is to outlive it. */
  readonly consumerId: number;
  readonly attemptId: string | null;
  readonly leaseMs: number;
}

export const EMPTY_DELIVERY: Delivery = { lease: 0, untilMs: 0, runs: [], payload: new Uint8Array(0) };

export function grant(
  queue: QueueContext,
  picks: readonly Pick[],
  holder: LeaseHolder,
  nowMs: number,
): Delivery {
  const { ledger } = queue;
  const runs: LeaseRun[] = picks.map(({ segment, index, count, row }) => ({
    segment: segment.id,
    index,
    count,
    attempt: (row?.attempts ?? 0) + 1,
    failures: row?.failures ?? 0,
    firstSentMs: row && row.firstSentMs > 0 ? row.firstSentMs : nowMs,
    ...(row === null ? {} : { isReturned: true }),
  }));
  for (const { segment, row } of picks) {
    if (row === null) continue;
    const leased = { ...row, state: RETURN_STATE.leased, attempts: row.attempts + 1, availableMs: 0 };
    putReturn(queue, row, leased, segment);
    // Where a key may have several out, what waited behind this one may follow now.
    if (row.key !== null && configOf(queue).maxPerKey > 1) queue.keys.offer(queue, row.key);
  }
  const id = leaseId(ledger.now.nextLease++, partitionOf(queue).index, queue.random());
  const { consumer, subject, consumerId, attemptId, leaseMs } = holder;
  const lease = queue.leases.grant({
    id,
    consumer,
    subject,
    key: drawKey(queue.random),
    consumerId,
    attemptId,
    grantedMs: nowMs,
    untilMs: nowMs + leaseMs,
    runs,
  });
  ledger.now.totals.delivered += lease.outcomes.length;
  ledger.hasHandedOut = true;
  return deliveryOf(queue, lease);
}

/** 72 bits that nobody can guess. */
function drawKey(random: () => number): string {
  const part = (): string =>
    Math.floor(random() * 2 ** 24)
      .toString(36)
      .padStart(5, "0");
  return part() + part() + part();
}

/** The delivery of a lease none of whose messages is settled. */
export function deliveryOf(queue: QueueContext, lease: Lease): Delivery {
  const runs: DeliveryRun[] = [];
  const batches: Uint8Array[] = [];
  for (const run of lease.runs) {
    const batch = sliceOf(queue, run);
    batches.push(batch);
    runs.push({
      attempt: run.attempt,
      failures: run.failures,
      firstSentMs: run.firstSentMs,
      bytes: batch.byteLength,
    });
  }
  const [only] = batches;
  const payload = batches.length === 1 ? only! : concat(batches);
  return { lease: lease.id, ...(lease.key && { key: lease.key }), untilMs: lease.untilMs, runs, payload };
}

function sliceOf(queue: QueueContext, run: LeaseRun): Uint8Array {
  const segment = queue.segments.get(run.segment);
  if (run.index === 0 && run.count === segment.count) return segment.bytes;
  const last = run.index + run.count - 1;
  const offset = segment.table.offset(run.index);
  const size = segment.table.offset(last) + segment.table.size(last) - offset;
  return queue.codec.join([{ bytes: segment.bytes, offset, size, count: run.count }], {
    origin: queue.stored.origin,
    firstSequence: segment.first + run.index,
    timeMs: segment.timeMs,
  });
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

export const DELIVERY_BYTES_MAX = 1_000_000 - BATCH_HEADER_BYTES;
