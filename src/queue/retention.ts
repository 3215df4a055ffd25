/**
 * Messages that die of age because the queue says so. As long as the queue's time to live is the only one and does not
 * get shorter, segments die in the order in which they were written: the oldest tells when, and nothing is stored for it.
 * Only what is not so has a row: messages with a time of their own, segments that die before an earlier one, and messages
 * that were out when their time came.
 *
 *   lane   ├── looked at ──┼─ dies first ─┼─ … ─┼─ dies last ─┤
 *                          └ aged
 */
import { FIELD } from "../protocol/batch.ts";
import { bury } from "./dead-letter.ts";
import type { QueueContext } from "./context.ts";
import { diesMs, NEVER } from "./ledger.ts";
import { firstSequenceOf, LANE_SPAN, segmentId } from "./lane.ts";
import type { Segment } from "./segments.ts";
import { segmentStates } from "./states.ts";
import type { SegmentHead } from "./stores.ts";

const SEGMENTS_MAX = 16;

export class Retention {
  /** No segment without a row dies before; null: none does. */
  private firstMs: number | null = null;

  restore(queue: QueueContext): void {
    this.firstMs = firstDeathMs(queue);
  }

  get nextMs(): number | null {
    return this.firstMs;
  }

  /** A segment was written. False: only rows can tell when its messages die. */
  take(queue: QueueContext, segment: Segment): boolean {
    const { now } = queue.ledger;
    if (now.messages === segment.count) {
      // There is no other: a new order begins.
      now.lastDeathMs = 0;
      this.firstMs = null;
    }
    const deathMs = diesMs(segment);
    const isLast = deathMs >= now.lastDeathMs;
    now.lastDeathMs = Math.max(now.lastDeathMs, deathMs);
    if (!isLast || segment.ttlMs === 0 || (segment.flags & FIELD.ttlMs) !== 0) return false;
    this.firstMs ??= deathMs;
    return true;
  }

  /** Buries what has died of age. */
  tick(queue: QueueContext, nowMs: number): void {
    if (this.firstMs === null || this.firstMs > nowMs) return;
    let left = SEGMENTS_MAX;
    for (const lane of queue.ledger.lanes()) {
      for (const head of youngerHeads(queue, lane, left)) {
        if (diesMs(head) > nowMs) break;
        const segment = queue.segments.find(head.id);
        if (segment !== null) buryExpired(queue, segment, nowMs);
        queue.ledger.now.aged[lane] = firstSequenceOf(head.id) + head.count;
        queue.ledger.isDirty = true;
        left--;
      }
      if (left === 0) break;
    }
    if (left === 0) queue.hasMoreWork = true;
    this.firstMs = firstDeathMs(queue);
  }
}

/** Heads of a lane's segments that were not looked at yet. */
function youngerHeads(queue: QueueContext, lane: number, limit: number): SegmentHead[] {
  const from = segmentId(lane, queue.ledger.now.aged[lane] ?? 0);
  return queue.stores.segments.heads(from, (lane + 1) * LANE_SPAN, limit);
}

function firstDeathMs(queue: QueueContext): number | null {
  let first = NEVER;
  for (const lane of queue.ledger.lanes()) {
    const [head] = youngerHeads(queue, lane, 1);
    if (head) first = Math.min(first, diesMs(head));
  }
  return first === NEVER ? null : first;
}

/** Buries the messages of a segment that are too old; when the first of the others will be, or null. */
export function buryExpired(queue: QueueContext, segment: Segment, nowMs: number): number | null {
  const states = segmentStates(queue, segment);
  let next = Number.POSITIVE_INFINITY;
  for (let i = 0; i < segment.count; i++) {
    const expiresMs = segment.expiresMs(i);
    const state = states.of(i, nowMs);
    // A leased message does not expire while it is out; when it comes back its age is looked at again.
    if (expiresMs === null || state === null || state === "leased" || state === "dead") continue;
    if (expiresMs > nowMs) next = Math.min(next, expiresMs);
    else bury(queue, segment, i, { reason: "expired", nowMs });
  }
  return next === Number.POSITIVE_INFINITY ? null : next;
}
