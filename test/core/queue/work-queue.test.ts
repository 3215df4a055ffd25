import { describe, expect, it } from "vitest";
import { leaseOf, QueueHarness } from "../../support/queue-harness.ts";

const bodies = (messages: readonly { body?: string }[]): (string | undefined)[] =>
  messages.map(({ body }) => body);

describe("a work queue", () => {
  it("hands out messages in publish order and forgets them when they are acked", () => {
    const q = new QueueHarness();
    q.publish("one", "two");
    q.publish("three");
    const messages = q.take(10);
    expect(bodies(messages)).toEqual(["one", "two", "three"]);
    const [result] = q.settle({ lease: leaseOf(messages[0]!), verdict: "ack" });
    expect(result).toEqual({ settled: 3, refused: [] });
    q.evict();
    expect(q.info().counts).toMatchObject({ ready: 0, leased: 0, bytes: 0 });
    expect(q.take(10)).toEqual([]);
  });

  it("returns a message that was given back to its original place", () => {
    const q = new QueueHarness();
    q.publish("1", "2", "3");
    const first = q.take(2);
    q.settle({
      lease: leaseOf(first[0]!),
      sequences: [[first[0]!.sequence, 1]],
      verdict: "nack",
      delayMs: 0,
    });
    q.evict();
    const next = q.take(5);
    expect(bodies(next)).toEqual(["1", "3"]);
    expect(next[0]).toMatchObject({ attempt: 2, failures: 0 });
  });

  it("refuses an ack from the consumer that lost the lease", () => {
    const q = new QueueHarness({
      config: { leaseMs: 5_000, retry: { kind: "fixed", baseMs: 1_000, maxMs: 1_000, jitter: 0 } },
    });
    q.publish("x");
    const [message] = q.take();
    q.advance(5_000);
    q.evict();
    q.advance(1_000);
    const [again] = q.take();
    expect(again).toMatchObject({ attempt: 2, failures: 1 });
    const [late] = q.settle({
      lease: leaseOf(message!),
      sequences: [[message!.sequence, 1]],
      verdict: "ack",
    });
    expect(late!.refused[0]).toMatchObject({ code: "lease_lost" });
    const [good] = q.settle({ lease: leaseOf(again!), verdict: "ack" });
    expect(good!.settled).toBe(1);
  });

  it("finds settling twice the same way harmless, also after an eviction", () => {
    const q = new QueueHarness();
    q.publish("x", "y");
    const [one] = q.take(2);
    const ack = { lease: leaseOf(one!), sequences: [[one!.sequence, 1] as const], verdict: "ack" as const };
    expect(q.settle(ack)).toEqual([{ settled: 1, refused: [] }]);
    q.evict();
    expect(q.settle(ack)).toEqual([{ settled: 1, refused: [] }]);
    expect(q.settle({ ...ack, verdict: "nack" })[0]!.refused[0]).toMatchObject({ code: "already_settled" });
  });
});
