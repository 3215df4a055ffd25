// The state of each message of a segment, put together from what is stored. For looking and for rare work only.
import type { MessageState } from "../protocol/commands.ts";
import type { QueueContext } from "./context.ts";
import { untilOf, type Lease } from "./leases.ts";
import type { Segment } from "./segments.ts";
import { RETURN_STATE, type ReturnRow, type ReturnState } from "./stores.ts";

export interface SegmentStates {
  /** Null when the message is gone. */
  of(index: number, nowMs: number): MessageState | null;
  lease(index: number): Pick<Lease, "consumer" | "untilMs"> | null;
  row(index: number): ReturnRow | null;
}

export function segmentStates(queue: QueueContext, segment: Segment): SegmentStates {
  const leased = new Map<number, Pick<Lease, "consumer" | "untilMs">>();
  for (const { lease, index, at } of queue.leases.openIn(segment.id)) {
    leased.set(index, { consumer: lease.consumer, untilMs: untilOf(lease, at) });
  }
  const rows = new Map<number, ReturnRow>();
  for (const row of queue.stores.returns.between(segment.first, segment.first + segment.count - 1)) {
    rows.set(row.index, row);
  }
  const fresh = segment.isDelayed ? (queue.stores.timers.delayed(segment.id)?.nextIndex ?? segment.count) : 0;
  return {
    lease: (index) => leased.get(index) ?? null,
    row: (index) => rows.get(index) ?? null,
    of(index, nowMs) {
      if (segment.isSettled(index)) return null;
      if (leased.has(index)) return "leased";
      const row = rows.get(index);
      if (row) return STATE_OF_ROW[row.state];
      if (segment.isDelayed && index >= fresh && segment.rankMs(index) > nowMs) return "delayed";
      return "ready";
    },
  };
}

const STATE_OF_ROW: Readonly<Record<ReturnState, MessageState>> = {
  [RETURN_STATE.waiting]: "delayed",
  [RETURN_STATE.ready]: "ready",
  [RETURN_STATE.leased]: "leased",
  [RETURN_STATE.parked]: "parked",
  [RETURN_STATE.dead]: "dead",
};
