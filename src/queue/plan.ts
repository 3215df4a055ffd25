// Which segments a turn's messages become: one or more for each lane, below the limits of a batch.
import type { BatchCodec, BatchHeader, RecordSlice, RecordTable } from "../protocol/batch.ts";
import { assert } from "../protocol/assert.ts";
import { BATCH_HEADER_BYTES, stampBatch } from "../protocol/batch.ts";
import { LIMITS } from "../protocol/limits.ts";
import { isDelayedLane } from "./lane.ts";

/** A message's place in the segments to be: its sequence is known once all batches are judged. */
export interface Place {
  readonly lane: LaneBuilder;
  readonly at: number;
}

export interface Entry {
  /** The place of its first message among all that the turn publishes. */
  readonly order: number;
  readonly slice: RecordSlice;
  readonly delayMs: number;
  /** What a scan found, where the slice is a whole batch. */
  readonly table: RecordTable | null;
}

export class LaneBuilder {
  readonly lane: number;
  readonly entries: Entry[] = [];
  /** Entries before each entry's messages; a whole batch is one entry. */
  count = 0;
  recordBytes = 0;
  flags = 0;
  /** Where message `at` of the builder went. */
  sequences: number[] = [];

  constructor(lane: number) {
    this.lane = lane;
  }

  add(entry: Entry, flags: number): Place {
    const { slice } = entry;
    const place = { lane: this, at: this.count };
    this.entries.push(entry);
    this.count += slice.count;
    this.recordBytes += slice.size;
    this.flags |= flags;
    return place;
  }
}

export interface SegmentPlan {
  readonly lane: LaneBuilder;
  readonly entries: readonly Entry[];
  readonly count: number;
  /** Position in the builder of the plan's first message, where its messages are in order… */
  readonly from: number;
  /** …and of each message where they were sorted by due time. */
  readonly positions: readonly number[] | null;
  first: number;
}

/** Cuts a lane's entries into segments below the limits. Delayed entries are put in order of due time first. */
export function cut(lane: LaneBuilder): SegmentPlan[] {
  const isSorted = isDelayedLane(lane.lane);
  const order = lane.entries.map((entry, position) => ({ entry, position }));
  if (isSorted) order.sort((a, b) => a.entry.delayMs - b.entry.delayMs || a.position - b.position);
  const plans: SegmentPlan[] = [];
  let from = 0;
  let start = 0;
  let count = 0;
  let bytes = BATCH_HEADER_BYTES;
  const close = (end: number): void => {
    if (end === start) return;
    const part = order.slice(start, end);
    const positions = isSorted ? part.map((one) => one.position) : null;
    plans.push({ lane, entries: part.map((one) => one.entry), count, from, positions, first: 0 });
    from += count;
    start = end;
    count = 0;
    bytes = BATCH_HEADER_BYTES;
  };
  for (let i = 0; i < order.length; i++) {
    const { slice } = order[i]!.entry;
    if (count + slice.count > LIMITS.recordsMax || bytes + slice.size > LIMITS.batchBytesMax) close(i);
    count += slice.count;
    bytes += slice.size;
  }
  close(order.length);
  return plans;
}

export function assemble(
  codec: BatchCodec,
  plan: SegmentPlan,
  header: BatchHeader,
): { bytes: Uint8Array; table: RecordTable } {
  const [only] = plan.entries;
  // One whole batch is stored as it came: only its header is written over.
  if (plan.entries.length === 1 && only!.table !== null) {
    stampBatch(only!.slice.bytes, header);
    return { bytes: only!.slice.bytes, table: only!.table };
  }
  const slices = plan.entries.map((entry) => entry.slice);
  const bytes = codec.join(slices, header);
  const scanned = codec.scan(bytes, "broker");
  assert(scanned.ok, "a batch just made is damaged");
  return { bytes, table: scanned.value };
}
