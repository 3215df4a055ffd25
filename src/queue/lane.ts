/**
 * Where a segment lies. A lane holds the segments of one priority, those published with a delay apart from the
 * others. A segment's id is its lane and the sequence of its first message in one number of 53 bits, so that one
 * row without any index is found by lane in order:
 *
 *     52        47 46                                     0
 *     ├─ lane (6) ─┼─ first sequence (47) ────────────────┤
 *
 * Lanes of a higher priority come first. A fair queue has no priorities: there the number tells lanes of keys apart.
 * Stored: never renumber.
 */
import { LIMITS } from "../protocol/limits.ts";

export const LANE_SPAN = 2 ** 47;

export function laneOf(priority: number, isDelayed: boolean): number {
  return (LIMITS.priorityMax - priority) * 2 + (isDelayed ? 1 : 0);
}

export function priorityOfLane(lane: number): number {
  return LIMITS.priorityMax - (lane >> 1);
}

export function isDelayedLane(lane: number): boolean {
  return (lane & 1) === 1;
}

export function segmentId(lane: number, firstSequence: number): number {
  return lane * LANE_SPAN + firstSequence;
}

export function laneOfSegment(id: number): number {
  return Math.floor(id / LANE_SPAN);
}

export function firstSequenceOf(id: number): number {
  return id % LANE_SPAN;
}
