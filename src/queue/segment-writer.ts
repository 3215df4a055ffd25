/**
 * Writes a turn's segments and what is kept beside them: when their messages are due or die of age, and by which
 * names single messages are found.
 */
import { BATCH_HEADER_BYTES, FIELD } from "../protocol/batch.ts";
import { readCancelKey } from "../protocol/record.ts";
import { noteIds } from "./carried-ids.ts";
import { configOf, type QueueContext } from "./context.ts";
import { segmentId } from "./lane.ts";
import { assemble, type SegmentPlan } from "./plan.ts";
import { giveWay } from "./remove.ts";
import { Segment } from "./segments.ts";
import { segmentWeight } from "./weight.ts";

interface CancelKey {
  readonly order: number;
  readonly key: string;
  /** It was accepted elsewhere before: its key must not be taken from a message that waits here. */
  readonly hasMoved: boolean;
  readonly sequence: number;
  readonly segment: number;
}

export class SegmentWriter {
  private readonly queue: QueueContext;
  private readonly nowMs: number;
  private readonly cancelKeys: CancelKey[] = [];

  constructor(queue: QueueContext, nowMs: number) {
    this.queue = queue;
    this.nowMs = nowMs;
  }

  write(plan: SegmentPlan, producers: string | null): void {
    const { queue } = this;
    const header = { origin: queue.stored.origin, firstSequence: plan.first, timeMs: this.nowMs };
    const { bytes, table } = assemble(queue.codec, plan, header);
    const head = {
      id: segmentId(plan.lane.lane, plan.first),
      count: plan.count,
      timeMs: this.nowMs,
      ttlMs: configOf(queue).ttlMs ?? 0,
      flags: table.allFlags(),
      recordBytes: bytes.byteLength - BATCH_HEADER_BYTES,
    };
    queue.ledger.openLane(plan.lane.lane);
    const segment = new Segment(head, bytes, table);
    queue.segments.add(segment, producers);
    queue.ledger.addSegment(plan.first, plan.count, segmentWeight(segment));
    // No head tells what lies in the bucket.
    if ((head.flags & FIELD.bodyReference) !== 0) queue.ledger.isDirty = true;
    writeTimers(queue, segment);
    this.writeHandles(segment, plan);
  }

  private writeHandles(segment: Segment, plan: SegmentPlan): void {
    noteIds(this.queue, segment);
    if ((segment.flags & FIELD.cancelKey) === 0) return;
    let i = 0;
    for (const entry of plan.entries) {
      for (let n = 0; n < entry.slice.count; n++, i++) {
        const key = readCancelKey(segment.bytes, segment.table.offset(i));
        if (key === null) continue;
        const hasMoved = (segment.table.flags(i) & FIELD.id) !== 0;
        const sequence = segment.first + i;
        this.cancelKeys.push({ order: entry.order + n, key, hasMoved, sequence, segment: segment.id });
      }
    }
  }

  /** In the order of publishing, which is not that of the segments: the last one with a key must win. */
  writeCancelKeys(): void {
    for (const { key, hasMoved, sequence, segment } of this.cancelKeys.sort((a, b) => a.order - b.order)) {
      if (!hasMoved) giveWay(this.queue, key);
      else if (this.queue.stores.identities.handle("cancelKey", key) !== null) continue;
      this.queue.stores.identities.putHandle("cancelKey", key, sequence, segment);
    }
  }
}

function writeTimers(queue: QueueContext, segment: Segment): void {
  if (segment.isDelayed) {
    queue.stores.timers.putDelayed({
      segment: segment.id,
      dueMs: segment.rankMs(0),
      lastDueMs: segment.rankMs(segment.count - 1),
      nextIndex: 0,
      remaining: segment.count,
    });
  }
  const isInOrder = queue.retention.take(queue, segment);
  if (isInOrder || !segment.mayExpire) return;
  let first = Number.POSITIVE_INFINITY;
  for (let i = 0; i < segment.count; i++) first = Math.min(first, segment.expiresMs(i) ?? first);
  if (first < Number.POSITIVE_INFINITY) queue.expiries.set(segment.id, first);
}
