import { describe, expect, it } from "vitest";
import { firstSteps, replayLine, simulate } from "./simulator.ts";

const STEPS = 250;

function run(seed: number, { steps = STEPS, isPlain = false } = {}): void {
  const { failure } = simulate(seed, firstSteps(steps), { isPlain });
  expect(failure, failure ? `${replayLine(seed, failure, { isPlain })}\n${failure.message}` : "").toBeNull();
}

/** Seeds of plain histories that fail when the mending of what the simulation found is undone, with what it was. */
const FOUND: readonly (readonly [seed: number, found: string])[] = [
  [2, "a delayed message stood in line behind later ones of its key"],
  [
    4,
    "with several out a key, its line stood still when a returned message went out; returned ones passed parked",
  ],
  [6, "a message of high priority stood in line behind its key and was overtaken by lower ones"],
  [8, "a drain ended at the first later message of its key, and what was left of the key was delivered"],
  [29, "a message that was parked after its time had passed unseen never expired"],
  [37, "inspect and receive disagreed after the clock had gone back"],
  [55, "the row of a message that was redriven before its first attempt stayed when it was acked"],
  [70, "a message that came back overtook an earlier one of its key that was backing off"],
  [134, "rows that their keys hold back filled the page and hid those that could go out"],
  [142, "a raised maxPerKey left keys standing"],
  [148, "of messages due in the same millisecond the later published went first"],
  [388, "replacing a dead message made room in a full queue"],
  [746, "a key was served in the turn of a priority whose message was gone"],
  [51_506, "a swept dedup id was missed when the clock had gone back over an eviction"],
];

/** The same of histories with everything. */
const FOUND_SINCE: readonly (readonly [seed: number, found: string])[] = [
  [
    90_035,
    "a publish of nothing but duplicates dropped the oldest messages of a queue that was over its length",
  ],
  [91_734, "starting a redrive moved another one on, before its time"],
  [300_364, "a dead message that was brought back after its time was over stayed till the next alarm"],
];

describe("the queues under faults", () => {
  for (const [seed, found] of FOUND_SINCE)
    it(`keeps its promises with seed ${seed}: ${found}`, () => run(seed));

  for (const [seed, found] of FOUND)
    it(`keeps its promises with seed ${seed}: ${found}`, () => run(seed, { isPlain: true }));

  for (let seed = 20_000; seed < 20_060; seed++) it(`keeps its promises with seed ${seed}`, () => run(seed));

  it("keeps its promises in a long history", () => run(31, { steps: 1_500 }));

  it("runs the same history from the same seed", () => {
    const once = simulate(77, firstSteps(STEPS));
    const again = simulate(77, firstSteps(STEPS));
    expect(again.history).toEqual(once.history);
    expect(once.history.length).toBeGreaterThan(STEPS / 2);
  });
});
