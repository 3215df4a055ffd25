/**
 * Small limits, so that a short history reaches them. To be set before the broker's other modules are loaded, some of
 * which look at limits then; the simulation has these modules to itself.
 */
import { LIMITS } from "../../../src/protocol/limits.ts";

export function shrinkLimits(): void {
  Object.assign(LIMITS, SMALL);
}

const SMALL = {
  exchangeInFlightBytesMax: 8_000,
  historyBytesMax: 20_000,
  memoryHistoryEventsMax: 12,
  memoryHistoryBytesMax: 6_000,
  memoryLastValuesMax: 4,
  delayedBytesMax: 8_000,
  replayEventsMax: 30,
  replayBytesMax: 12_000,
  unseenBytesMax: 6_000,
  conflatedTopicsMax: 3,
  conflatedBytesMax: 1_500,
} satisfies Partial<Record<keyof typeof LIMITS, number>>;
