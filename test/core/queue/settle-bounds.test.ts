// What one call of settle may cost, whatever its caller names.
import { describe, expect, it } from "vitest";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { QueueHarness } from "../../support/queue-harness.ts";

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i}`);

describe("a settlement", () => {
  // Stepped through one by one, these runs would take years.
  it("refuses what lies outside its lease in one step, however long the run", () => {
    const q = new QueueHarness();
    q.publish(...texts(3));
    const { lease } = q.receive(3);
    const [result] = q.settle({ lease, sequences: [[2, 2 ** 50]], verdict: "ack" });
    expect(result).toMatchObject({
      settled: 2,
      refused: [{ sequences: [4, 2 ** 50 - 2], code: "lease_lost" }],
    });
    const [foreign] = q.settle({ lease, sequences: [[100, 2 ** 50]], verdict: "ack" });
    expect(foreign).toMatchObject({ settled: 0, refused: [{ sequences: [100, 2 ** 50] }] });
    expect(q.info().counts).toMatchObject({ leased: 1 });
  });

  it("tells the gaps between the messages of its lease, whatever order they were delivered in", () => {
    const q = new QueueHarness();
    q.publish("a", { text: "b", priority: 5 }, "c", { text: "d", priority: 5 }, "e");
    const given = q.take(3);
    expect(given.map(({ sequence }) => sequence)).toHaveLength(3);
    const { lease } = q.receive(2);
    const others = given.map(({ sequence }) => sequence);
    const [result] = q.settle({ lease, sequences: [[1, 6]], verdict: "ack" });
    const refused = result!.refused.flatMap(({ sequences: [first, count] }) =>
      Array.from({ length: count }, (_, i) => first + i),
    );
    expect(result!.settled).toBe(2);
    expect(refused).toEqual([...others, 6].sort((a, b) => a - b));
  });

  it("names no more messages in one call than can be leased at all", () => {
    const q = new QueueHarness();
    const count = LIMITS.creditMax;
    q.publish(...texts(count));
    const { lease } = q.receive(count);
    const again = { lease, sequences: [[1, count] as const], verdict: "extend" as const };
    const calls = Math.floor(LIMITS.leasedMax / count);
    const results = q.settle(...Array.from({ length: calls + 2 }, () => again));
    expect(results.filter(({ settled }) => settled === count)).toHaveLength(calls);
    expect(results.at(-1)).toMatchObject({ settled: 0, refused: [{ code: "bad_request" }] });
    const whole = q.settle(
      ...Array.from({ length: calls + 2 }, () => ({ lease, verdict: "extend" as const })),
    );
    expect(whole.at(-1)).toMatchObject({ settled: 0, refused: [{ code: "bad_request" }] });
  });

  it("tells who holds each message of a delivery that was lost as a whole", () => {
    const q = new QueueHarness({
      config: { leaseMs: 5_000, retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } },
    });
    q.publish(...texts(40));
    const { lease } = q.receive(40);
    q.advance(5_000);
    for (let i = 0; i < 40; i++) q.receive(1, { consumer: `c${i}` });
    const [result] = q.settle({ lease, verdict: "ack" });
    expect(result!.refused).toHaveLength(40);
    result!.refused.forEach(({ detail }, i) => expect(detail).toContain(`c${i} holds it now`));
  });
});
