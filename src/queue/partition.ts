/**
 * What a queue that is one partition of several adds to its rules: it refuses callers who know of fewer partitions, and
 * in a FIFO queue a new one delivers nothing while an older one may hold earlier messages of its keys.
 */
import { hashText } from "../protocol/rendezvous.ts";
import { ownerOf } from "../protocol/partitions.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import type { PartitionSetup } from "../protocol/rpc.ts";
import { configOf, type QueueContext } from "./context.ts";
import { openMessages } from "./leases.ts";
import { firstSequenceOf, isDelayedLane, LANE_SPAN, segmentId } from "./lane.ts";
import type { Fence, Partition, StoredQueue } from "./stores.ts";

/** A queue of one partition. */
export const WHOLE: Partition = {
  index: 0,
  count: 1,
  waitsFor: [],
  fences: [],
  changes: 0,
  told: 0,
};

export function partitionOf(queue: QueueContext): Partition {
  return queue.stored.partition ?? WHOLE;
}

function store(queue: QueueContext, changes: Partial<Partition>): void {
  queue.stored = { ...queue.stored, partition: { ...partitionOf(queue), ...changes } };
  queue.stores.writeQueue(queue.stored);
}

export function refuseLayout(queue: QueueContext, known: number): Refusal | null {
  const { count } = partitionOf(queue);
  return known < count ? refuse("partitions_changed", `the queue has ${count} partitions`) : null;
}

export function mayDeliver(queue: QueueContext): boolean {
  return !queue.stored.paused && partitionOf(queue).waitsFor.length === 0;
}

/** Whether messages of the key are this partition's. */
export function ownsKey(queue: QueueContext, key: string | null): boolean {
  const { index, count } = partitionOf(queue);
  return key === null || count === 1 || ownerOf(hashText(key), count) === index;
}

/** Takes over what the head says. From here on nothing is taken under an older layout. */
export function learn(queue: QueueContext, { config, paused, partitions, change }: PartitionSetup): void {
  const { index, count, fences, told } = partitionOf(queue);
  const { nextSequence } = queue.ledger.now;
  // Word of the head may come after newer word. The head knows better itself: more may have changed since it began to tell.
  const isNews = index > 0 && change > told;
  if (isNews) queue.stored = { ...queue.stored, config, paused };
  const hasGrown = partitions > count;
  const added = Array.from({ length: partitions - count }, (_, i) => count + i);
  store(queue, {
    count: Math.max(count, partitions),
    told: isNews ? change : told,
    fences: hasGrown && configOf(queue).fifo ? withFence(fences, nextSequence, added) : fences,
  });
  if (config.fifo) queue.keys.searchAgain(queue);
}

function withFence(fences: readonly Fence[], sequence: number, tell: readonly number[]): Fence[] {
  const same = fences.find((fence) => fence.sequence === sequence);
  if (same === undefined) return [...fences, { sequence, tell }];
  return fences.map((fence) => (fence === same ? { sequence, tell: [...fence.tell, ...tell] } : fence));
}

export function endWait(queue: QueueContext, partition: number): void {
  const { waitsFor } = partitionOf(queue);
  if (waitsFor.includes(partition)) store(queue, { waitsFor: waitsFor.filter((one) => one !== partition) });
}

/** The head is to tell the others of what it stores now. */
export function withChange(stored: StoredQueue): StoredQueue {
  const { partition = WHOLE, config } = stored;
  if (partition.index > 0 || (config.partitions === 1 && partition.count === 1)) return stored;
  return { ...stored, partition: { ...partition, changes: partition.changes + 1 } };
}

export function noteTold(queue: QueueContext, changes: number): void {
  if (partitionOf(queue).told < changes) store(queue, { told: changes });
}

/** A partition's part of a limit on the whole queue. */
export function shareOfLimit(queue: QueueContext, max: number): number {
  return Math.ceil(max / partitionOf(queue).count);
}

export function workedOff(queue: QueueContext): Fence | null {
  return partitionOf(queue).fences.find(({ sequence }) => !hasLiveBelow(queue, sequence)) ?? null;
}

/** Those whom the fence names have been told. Others may have been added to it meanwhile. */
export function endFence(queue: QueueContext, { sequence, tell }: Fence): void {
  const fences = partitionOf(queue).fences.map((fence) =>
    fence.sequence === sequence ? { sequence, tell: fence.tell.filter((one) => !tell.includes(one)) } : fence,
  );
  store(queue, { fences: fences.filter((fence) => fence.tell.length > 0) });
}

/** Whether a message below the sequence is still to be delivered, or out. The dead are not; the parked may be. */
function hasLiveBelow(queue: QueueContext, sequence: number): boolean {
  const { returns, timers } = queue.stores;
  const { waiting, ready, parked, blocked } = queue.ledger.now;
  // What memory knows is asked first: this runs after every turn while a fence stands.
  return (
    queue.ledger.lanes().some((lane) => hasFreshBelow(queue, lane, sequence)) ||
    hasLeasedBelow(queue, sequence) ||
    (waiting + ready + parked > 0 && returns.hasLiveBelow(sequence)) ||
    (blocked > 0 && queue.keys.lines.hasBelow(queue, sequence)) ||
    timers.hasDelayedBelow(sequence)
  );
}

/** Messages that the lane's cursor has not reached. */
function hasFreshBelow(queue: QueueContext, lane: number, sequence: number): boolean {
  const cursor = queue.ledger.cursor(lane);
  if (isDelayedLane(lane) || cursor >= sequence) return false;
  const { segments } = queue.stores;
  const below = segments.atOrBelow(segmentId(lane, cursor), lane * LANE_SPAN);
  const under = below === null ? null : queue.segments.find(below);
  if (under !== null && under.first + under.count > cursor) return true;
  return segments.atOrAbove(segmentId(lane, cursor), segmentId(lane, sequence)) !== null;
}

function hasLeasedBelow(queue: QueueContext, sequence: number): boolean {
  for (const lease of queue.leases.active.values()) {
    for (const { run, index } of openMessages(lease)) {
      if (firstSequenceOf(run.segment) + index < sequence) return true;
    }
  }
  return false;
}
