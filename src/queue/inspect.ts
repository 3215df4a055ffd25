import type { ConsumerView, QueueInfo } from "../protocol/commands.ts";
import type { QueueContext } from "./context.ts";
import { LANE_SPAN, priorityOfLane, segmentId } from "./lane.ts";
import { partitionOf } from "./partition.ts";

/** Counts are exact. Reads a row for each segment of delayed messages, and nothing else that grows. */
export function inspect(queue: QueueContext, consumers: readonly ConsumerView[], nowMs: number): QueueInfo {
  const { now } = queue.ledger;
  const { queue: name, namespace, config, createdMs, changedMs = createdMs, paused } = queue.stored;
  const delayed = delayedCount(queue, nowMs) + now.waiting;
  const leased = queue.leases.openCount;
  const counts = {
    ready: now.messages - now.dead - now.parked - leased - delayed,
    leased,
    delayed,
    parked: now.parked,
    dead: now.dead,
    deadLettering: queue.stores.work.outboxCount(),
    bytes: now.bytes,
  };
  const { index, count, waitsFor } = partitionOf(queue);
  return {
    queue: name,
    namespace,
    config,
    createdMs,
    changedMs,
    paused,
    counts,
    totals: { ...now.totals },
    oldestReadyMs: oldestReadyMs(queue, nowMs),
    lastSequence: now.nextSequence - 1,
    consumers,
    ...(count === 1 ? {} : { partitions: [{ partition: index, counts, waitsFor }] }),
  };
}

function delayedCount(queue: QueueContext, nowMs: number): number {
  const { count, partly } = queue.stores.timers.sumDelayed(nowMs);
  let total = count;
  for (const row of partly) {
    const segment = queue.segments.get(row.segment);
    for (let i = row.nextIndex; i < segment.count; i++) {
      if (segment.rankMs(i) > nowMs && !segment.isSettled(i)) total++;
    }
  }
  return total;
}

/** Age of the oldest message under a lane's cursor or back from an attempt. A busy key's line is not looked at. */
function oldestReadyMs(queue: QueueContext, nowMs: number): number {
  let oldest = nowMs;
  for (const lane of queue.ledger.lanes()) {
    const [back] =
      queue.ledger.now.ready > 0 ? queue.stores.returns.ready(priorityOfLane(lane), null, 1) : [];
    if (back) oldest = Math.min(oldest, back.rankMs);
    if ((lane & 1) === 1) {
      const [due] = queue.stores.timers.dueDelayed(lane, nowMs, 1);
      if (due) oldest = Math.min(oldest, due.dueMs);
      continue;
    }
    const cursor = queue.ledger.cursor(lane);
    if (cursor >= queue.ledger.now.nextSequence) continue;
    const below = queue.stores.segments.atOrBelow(segmentId(lane, cursor), lane * LANE_SPAN);
    const from = below ?? segmentId(lane, cursor);
    for (const head of queue.stores.segments.heads(from, (lane + 1) * LANE_SPAN, 2)) {
      if ((head.id % LANE_SPAN) + head.count > cursor) oldest = Math.min(oldest, head.timeMs);
    }
  }
  return Math.max(0, nowMs - oldest);
}
