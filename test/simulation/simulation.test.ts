import { describe, expect, it } from "vitest";
import { firstSteps, replayLine, simulate } from "./simulator.ts";

const STEPS = 250;

function run(seed: number, steps = STEPS): void {
  const { failure } = simulate(seed, firstSteps(steps));
  expect(failure, failure ? `${replayLine(seed, failure)}\n${failure.message}` : "").toBeNull();
}

/** Seeds that failed once, with what they found. They run as far as they did then, and on. */
const FOUND: readonly (readonly [seed: number, found: string])[] = [
  [2, "a fresh message overtook one of its key that stood in line from a delayed lane"],
  [4, "a returned message overtook a parked one of its key"],
  [7, "inspect and receive disagreed after the clock had gone back"],
  [10, "the row of a message that was redriven before its first attempt stayed when it was acked"],
  [14, "of two messages due in the same millisecond the later published went first"],
  [16, "a raised maxPerKey left free keys standing"],
  [20, "a message of high priority stood in line behind its key and was overtaken by lower ones"],
  [21, "a delayed message that was cancelled or expired still counted as delayed"],
  [25, "a message that came back overtook an earlier one of its key that was backing off"],
  [28, "with several out a key, its line stood still when a returned message went out again"],
  [125, "a drain ended at the first later message of the key, with earlier ones still to come"],
];

describe("the queues under faults", () => {
  for (const [seed, found] of FOUND) it(`keeps its promises with seed ${seed}: ${found}`, () => run(seed));

  for (let seed = 20_000; seed < 20_060; seed++) it(`keeps its promises with seed ${seed}`, () => run(seed));

  it("keeps its promises in a long history", () => run(31, 1_500));

  it("runs the same history from the same seed", () => {
    const once = simulate(77, firstSteps(STEPS));
    const again = simulate(77, firstSteps(STEPS));
    expect(again.history).toEqual(once.history);
    expect(once.history.length).toBeGreaterThan(STEPS / 2);
  });
});
