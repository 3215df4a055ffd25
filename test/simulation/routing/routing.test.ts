import { describe, expect, it } from "vitest";
import { fuzzRun } from "../../support/seed.ts";
import { loadRoutingSimulator } from "./native.ts";

const { simulateRouting } = loadRoutingSimulator();
const STEPS = 60;

function firstSteps(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

async function run(seed: number): Promise<void> {
  const { failure } = await simulateRouting(seed, firstSteps(STEPS));
  const replay = `npm run sim -- --world routing --seed ${seed} --steps ${STEPS}`;
  expect(failure, failure ? `${replay}\n${failure.message}` : "").toBeNull();
}

/** Seeds that once failed, with what they found. */
const FOUND: readonly (readonly [seed: number, found: string])[] = [
  [3, "a subscription that its exchange had ended was asked for again by the next connection, for nobody"],
  [19, "a frame larger than what was left of the bound made a session slow that had read all, for ever"],
  [57, "a client that read a large frame before a small one never said so, and its session stayed slow"],
  [221, "a push that failed was followed by the next, so that its events were missing without a word"],
  [243, "a hub that slept while a session was slow forgot to tell what it had left out"],
  [1107, "an unsubscribe that was repeated over the next connection ended a subscription made meanwhile"],
  [
    12_129,
    "somebody who came while the hub let go of an exchange was told a place from before, and missed events",
  ],
];

describe("exchanges, hubs and subscribers under faults", () => {
  for (const [seed, found] of FOUND) it(`keep their promises with seed ${seed}: ${found}`, () => run(seed));

  const { seed, numRuns } = fuzzRun(12);
  it(`keep their promises with seeds from ${seed} on`, async () => {
    for (let i = 0; i < numRuns; i++) await run(seed + i);
  });
});

describe("a history", () => {
  it("is the same whenever it is run again", async () => {
    const runs = [];
    for (let i = 0; i < 2; i++) runs.push(await simulateRouting(4_711, firstSteps(STEPS)));
    expect(runs[0]!.history.length).toBeGreaterThan(50);
    expect(runs[1]).toEqual(runs[0]);
  });
});
