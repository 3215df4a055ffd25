/**
 * Removes what waits or is dead, up to a sequence: what is published later is never touched, and what a consumer
 * holds stays with it. Whole segments go without being read, unless something outside them refers to their messages.
 */
import { FIELD } from "../protocol/batch.ts";
import type { PurgeOptions } from "../protocol/commands.ts";
import { countBits } from "./bitmap.ts";
import { keyAt, type QueueContext } from "./context.ts";
import { OUTCOME } from "./leases.ts";
import { firstSequenceOf, LANE_SPAN } from "./lane.ts";
import { removeMessage } from "./remove.ts";
import { segmentStates } from "./states.ts";
import type { SegmentHead } from "./stores.ts";

const READ_FIRST = FIELD.cancelKey | FIELD.id | FIELD.bodyReference;
const PAGE = 500;

export function purge(queue: QueueContext, options: PurgeOptions): { messages: number } {
  const { upToSequence = queue.ledger.now.nextSequence - 1, leased = false, dedup = false } = options;
  const before = queue.ledger.now.messages;
  queue.segments.isClearing = true;
  if (leased) purgeLeased(queue, upToSequence);
  if (dedup) queue.stores.identities.removeDedups();
  const held = new Set<number>();
  for (const lease of queue.leases.active.values()) for (const run of lease.runs) held.add(run.segment);
  for (const lane of queue.ledger.lanes()) {
    let from = lane * LANE_SPAN;
    for (;;) {
      const heads = queue.stores.segments.heads(from, (lane + 1) * LANE_SPAN, PAGE);
      for (const head of heads) {
        const first = firstSequenceOf(head.id);
        if (first > upToSequence) break;
        const isWhole = first + head.count - 1 <= upToSequence && !held.has(head.id);
        if (isWhole && canDropUnread(queue, head)) dropSegment(queue, head);
        else purgeMessages(queue, head.id, upToSequence);
      }
      const last = heads.at(-1);
      if (!last || heads.length < PAGE) break;
      from = last.id + 1;
    }
  }
  const messages = before - queue.ledger.now.messages;
  queue.ledger.now.totals.purged += messages;
  queue.ledger.isDirty = true;
  return { messages };
}

/** Whoever holds one is told that it is done with, whatever it says. */
function purgeLeased(queue: QueueContext, upToSequence: number): void {
  for (const { lease, run, index, at } of queue.leases.openIn()) {
    const segment = queue.segments.get(run.segment);
    if (segment.first + index > upToSequence) continue;
    const key = keyAt(queue, segment, index);
    queue.leases.close(lease, at, OUTCOME.acked);
    removeMessage(queue, segment, index, "delete");
    if (key !== null) queue.keys.leave(queue, key, segment.first + index);
  }
}

/** Rows about single messages must be counted down one by one. */
function canDropUnread(queue: QueueContext, head: SegmentHead): boolean {
  const { waiting, ready, parked, dead, blocked } = queue.ledger.now;
  return (head.flags & READ_FIRST) === 0 && waiting + ready + parked + dead + blocked === 0;
}

function dropSegment(queue: QueueContext, head: SegmentHead): void {
  const progress = queue.segments.progressOf(head.id);
  queue.ledger.now.messages -= head.count - (progress === null ? 0 : countBits(progress.settled));
  queue.ledger.now.bytes -= head.recordBytes - (progress?.settledBytes ?? 0);
  queue.stores.segments.remove(head.id);
  queue.stores.segments.removeProgress(head.id);
  queue.stores.timers.removeDelayed(head.id);
  queue.stores.timers.removeExpiry(head.id);
  queue.segments.forget(head.id);
}

function purgeMessages(queue: QueueContext, id: number, upToSequence: number): void {
  const segment = queue.segments.find(id);
  if (segment === null) return;
  const states = segmentStates(queue, segment);
  for (let i = 0; i < segment.count && segment.first + i <= upToSequence; i++) {
    const state = states.of(i, queue.ledger.now.clockMs);
    if (state !== null && state !== "leased") removeMessage(queue, segment, i, "delete");
  }
}
