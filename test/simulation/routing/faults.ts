// What goes wrong between and in the objects of a routing history, each by its own probability.
import type { Random } from "../random.ts";

export interface RoutingFaults {
  /** A call never arrives, and its caller learns that it failed. */
  readonly callLost: number;
  /** A call is carried out, and its caller learns that it failed. */
  readonly answerLost: number;
  /** A turn's transaction is rolled back. */
  readonly rollback: number;
  readonly alarmLate: number;
  readonly alarmTwice: number;
  /** An object is thrown out of memory, at each act. */
  readonly evict: number;
  /** With it, its sockets. */
  readonly crash: number;
  /** A hub never answers again, or comes back empty. */
  readonly vanish: number;
  /** A client's connection breaks. */
  readonly cut: number;
  /** How long a call or an answer is on its way. */
  readonly latency: (random: Random) => number;
}

const near = (random: Random): number => random.between(0, 4);

export const NO_FAULTS: RoutingFaults = {
  callLost: 0,
  answerLost: 0,
  rollback: 0,
  alarmLate: 0,
  alarmTwice: 0,
  evict: 0,
  crash: 0,
  vanish: 0,
  cut: 0,
  latency: near,
};

/** One history in six has no faults but the order in which things happen. */
export function drawRoutingFaults(random: Random): RoutingFaults {
  if (random.chance(1 / 6)) return NO_FAULTS;
  const some = (max: number): number => (random.chance(0.35) ? 0 : random.next() * max);
  const slow = some(0.1);
  return {
    callLost: some(0.04),
    answerLost: some(0.04),
    rollback: some(0.04),
    alarmLate: some(0.5),
    alarmTwice: some(0.4),
    evict: some(0.15),
    crash: some(0.5),
    vanish: some(0.02),
    cut: some(0.06),
    latency: (chance) => (chance.chance(slow) ? chance.between(20, 15_000) : near(chance)),
  };
}
