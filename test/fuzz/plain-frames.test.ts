// Frames that are checked by hand are checked as the schemas would: what the one takes, the other takes unchanged.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { plainFrame } from "../../src/protocol/plain-frames.ts";
import { parseBySchema } from "../../src/protocol/schemas.ts";
import { fuzzRun } from "../support/seed.ts";

const parameters = fuzzRun(20_000);

const number = fc.oneof(
  { weight: 30, arbitrary: fc.integer({ min: 1, max: 9 }) },
  fc.constantFrom(0, -1, 0.5, -0, 2 ** 53 - 1, 2 ** 53, 4_096, 100_000, 100_001, Number.NaN, Infinity),
);
const odd = fc.constantFrom<unknown>(null, "", "1", true, [], {}, [1], undefined);
const value = fc.oneof({ weight: 30, arbitrary: number }, odd);
const name = fc.constantFrom<unknown>(
  "p",
  "p-1",
  "",
  "-p",
  "_",
  ".p",
  "p\n",
  "x".repeat(128),
  "x".repeat(129),
  7,
  null,
);
const run = fc.oneof(
  { weight: 20, arbitrary: fc.tuple(value, value) },
  { weight: 1, arbitrary: fc.array(value, { maxLength: 3 }) },
  odd,
);
const runs = fc.oneof({ weight: 8, arbitrary: fc.array(run, { maxLength: 3 }) }, odd);
const settlement = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record(
      {
        lease: value,
        verdict: fc.constantFrom<unknown>("ack", "ack", "ack", "nack", "reject", "extend", "acks", 1),
        sequences: runs,
        delayMs: value,
        late: fc.constantFrom<unknown>(true, false, "true"),
        extra: value,
      },
      { requiredKeys: ["lease", "verdict"] },
    ),
  },
  odd,
);
const settle = fc.record(
  {
    type: fc.constant("settle"),
    ref: value,
    settlements: fc.oneof({ weight: 20, arbitrary: fc.array(settlement, { maxLength: 3 }) }, odd),
  },
  { requiredKeys: ["type", "settlements"] },
);
const publish = fc.record(
  { type: fc.constant("publish"), ref: value, producer: name, sequence: value, messages: odd, text: odd },
  { requiredKeys: ["type"] },
);
const frame = fc.oneof(settle, publish, odd, fc.record({ type: odd }));

describe("a frame that is checked by hand", () => {
  it(`is one that the schemas take, and means the same (seed ${parameters.seed})`, () => {
    let taken = 0;
    fc.assert(
      fc.property(frame, (made) => {
        // As it comes over the wire.
        const head: unknown = JSON.parse(JSON.stringify(made) ?? "null");
        const plain = plainFrame(head);
        if (plain === null) return;
        taken++;
        expect(parseBySchema(head)).toEqual({ ok: true, value: plain });
      }),
      parameters,
    );
    expect(taken, "frames taken by hand").toBeGreaterThan(0);
  });

  it("takes what the SDK sends all day", () => {
    for (const head of [
      { type: "publish", ref: 7, producer: "a1", sequence: 1 },
      { type: "publish" },
      { type: "settle", ref: 3, settlements: [{ lease: 5, verdict: "ack", sequences: [[1, 100]] }] },
      { type: "settle", settlements: [{ lease: 5, verdict: "ack" }] },
    ]) {
      expect(plainFrame(head)).toEqual(head);
    }
  });
});
