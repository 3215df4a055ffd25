import type { Random } from "./random.ts";

/** What goes wrong in a history, each by its own probability. */
export interface Faults {
  /** The object is thrown out of memory between two events; its sockets hibernate. */
  readonly evictProbability: number;
  /** The object and some of its sockets are lost together. */
  readonly crashProbability: number;
  /** A statement of the turn's transaction throws: all of the turn must be as if it had not been. */
  readonly storageFaultProbability: number;
  /** A settlement was stored and its answer lost, so the client settles again. */
  readonly ackLostProbability: number;
  /** A publish was stored and its answer lost; an idempotent producer sends it again. */
  readonly confirmLostProbability: number;
  /** A publish or a settlement arrives twice. */
  readonly duplicateProbability: number;
  /** A client settles what it held long ago, or names messages that are another's. */
  readonly staleSettleProbability: number;
  /** A move reaches its target twice, or its answer is lost. */
  readonly moveRepeatedProbability: number;
  /** The alarm comes after the event that follows it. */
  readonly lateAlarmProbability: number;
  /** A consumer's socket breaks while it holds messages. */
  readonly consumerCrashProbability: number;
  readonly clockJumpProbability: number;
  readonly clockJumpMsMax: number;
  /** Jumps go backwards as often as forwards. */
  readonly clockBackwards: boolean;
}

export const NO_FAULTS: Faults = {
  evictProbability: 0,
  crashProbability: 0,
  storageFaultProbability: 0,
  ackLostProbability: 0,
  confirmLostProbability: 0,
  duplicateProbability: 0,
  staleSettleProbability: 0,
  moveRepeatedProbability: 0,
  lateAlarmProbability: 0,
  consumerCrashProbability: 0,
  clockJumpProbability: 0,
  clockJumpMsMax: 0,
  clockBackwards: false,
};

/** One history in six has no faults at all, so that what they hide is seen too. */
export function drawFaults(random: Random): Faults {
  if (random.chance(1 / 6)) return NO_FAULTS;
  const some = (max: number): number => (random.chance(0.3) ? 0 : random.next() * max);
  return {
    evictProbability: some(0.3),
    crashProbability: some(0.03),
    storageFaultProbability: some(0.15),
    ackLostProbability: some(0.3),
    confirmLostProbability: some(0.3),
    duplicateProbability: some(0.2),
    staleSettleProbability: some(0.3),
    moveRepeatedProbability: some(0.4),
    lateAlarmProbability: some(0.6),
    consumerCrashProbability: some(0.3),
    clockJumpProbability: some(0.1),
    clockJumpMsMax: random.pick([500, 5_000, 60_000]),
    clockBackwards: random.chance(0.5),
  };
}
