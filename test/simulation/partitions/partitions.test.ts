import { describe, expect, it } from "vitest";
import { fuzzRun } from "../../support/seed.ts";
import { loadPartitionsSimulator } from "../routing/native.ts";

const { simulatePartitions } = loadPartitionsSimulator();
const STEPS = 80;

function firstSteps(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

async function run(seed: number, { isPlain = false } = {}): Promise<void> {
  const { failure } = await simulatePartitions(seed, firstSteps(STEPS), { isPlain });
  const plain = isPlain ? " --plain" : "";
  const replay = `npm run sim -- --world partitions --seed ${seed} --steps ${STEPS}${plain}`;
  expect(failure, failure ? `${replay}\n${failure.message}` : "").toBeNull();
}

/** Seeds of plain histories that once failed, with what they found. */
const FOUND: readonly (readonly [seed: number, found: string])[] = [
  [1, "what an operator changed while partitions were being added was undone when they had been"],
  [28, "word of a change came to a partition after newer word, and the older held"],
  [241, "partitions were added while an older one told others that they need not wait, and waited for ever"],
];

describe("queues of several partitions under faults", () => {
  for (const [seed, found] of FOUND)
    it(`keep their promises with seed ${seed}: ${found}`, () => run(seed, { isPlain: true }));

  const { seed, numRuns } = fuzzRun(14);
  it(`keep their promises with seeds from ${seed} on`, async () => {
    for (let i = 0; i < numRuns; i++) await run(seed + i);
  });
});

describe("a history of partitions", () => {
  it("is the same whenever it is run again", async () => {
    const runs = [];
    for (let i = 0; i < 2; i++) runs.push(await simulatePartitions(4_711, firstSteps(STEPS)));
    expect(runs[0]!.history.length).toBeGreaterThan(50);
    expect(runs[1]).toEqual(runs[0]);
  });
});
