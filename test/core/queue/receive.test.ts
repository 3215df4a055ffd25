// Receiving: leases of no time, what is due by then, and how long to wait.
import { describe, expect } from "vitest";
import { leaseOf } from "../../support/queue-harness.ts";
import { bodies, decode, inBothLives, must, settleMessage, takeOne } from "../../support/queue-lives.ts";

const retry = { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } as const;
const slow = { kind: "fixed", baseMs: 1_000, maxMs: 1_000, jitter: 0 } as const;

describe("a lease of no time", () => {
  inBothLives("counts as an attempt and a failure, and the message is back at once", (make) => {
    const q = make({ config: { retry } });
    q.publish("x");
    expect(q.take(1, { leaseMs: 0 })).toMatchObject([{ attempt: 1, leaseUntilMs: q.nowMs }]);
    expect(q.wakeMs()).toBe(q.nowMs);
    expect(q.take(1, { leaseMs: 0 })).toMatchObject([{ attempt: 2, failures: 1 }]);
    q.advance(0);
    expect(q.info().counts).toMatchObject({ ready: 1, leased: 0 });
    expect(takeOne(q, "x")).toMatchObject({ attempt: 3, failures: 2 });
  });

  inBothLives("waits as the retry policy says, where it says something", (make) => {
    const q = make({ config: { retry: slow, leaseMs: 0 } });
    q.publish("x");
    takeOne(q, "x");
    expect(q.take()).toEqual([]);
    expect(q.info().counts).toMatchObject({ delayed: 1, leased: 0 });
    q.nowMs += 1_000;
    expect(takeOne(q, "x")).toMatchObject({ attempt: 2, failures: 1 });
  });

  inBothLives("can be settled late alone", (make) => {
    const q = make({ config: { retry } });
    q.publish("x");
    const [x] = q.take(1, { leaseMs: 0 });
    expect(settleMessage(q, x!, "ack").refused).toMatchObject([{ code: "lease_lost" }]);
    expect(q.settle({ lease: leaseOf(x!), verdict: "ack", late: true })).toEqual([
      { settled: 1, refused: [] },
    ]);
  });

  inBothLives("uses up the failures", (make) => {
    const q = make({ config: { retry, maxFailures: 1 } });
    q.publish("x");
    for (let i = 0; i < 2; i++) expect(q.take(1, { leaseMs: 0 })).toHaveLength(1);
    expect(q.take(1, { leaseMs: 0 })).toEqual([]);
    expect(q.info().counts).toMatchObject({ dead: 1, ready: 0 });
  });

  inBothLives("may be had by a consumer for one delivery, and not by one that stays", (make) => {
    const q = make({ config: { retry, leaseMs: 0 } });
    q.publish("x");
    q.attach({ isOnce: true });
    const [once] = q.dispatch();
    expect(once!.delivery.untilMs).toBe(q.nowMs);
    expect(q.dispatch()).toEqual([]);
    q.attach({ leaseMs: 0 });
    q.advance(0);
    const [stays] = q.dispatch();
    expect(decode(q, stays!.delivery)).toMatchObject([{ attempt: 2, failures: 1 }]);
    expect(stays!.delivery.untilMs).toBe(q.nowMs + 1_000);
    expect(q.settle({ lease: stays!.delivery.lease, verdict: "extend" })).toMatchObject([
      { settled: 1, untilMs: q.nowMs + 1_000 },
    ]);
  });

  inBothLives("is not repeated by its attempt id", (make) => {
    const q = make({ config: { retry } });
    q.publish("x");
    const wish = { leaseMs: 0, attemptId: "a" };
    const first = q.receive(1, wish);
    expect(q.receive(1, wish).lease).not.toBe(first.lease);
  });
});

describe("a receive before the alarm has come round", () => {
  inBothLives("has what ran out, and what has waited its time", (make) => {
    const q = make({ config: { retry, leaseMs: 5_000 } });
    q.publish("ran out", "waited");
    takeOne(q, "ran out");
    settleMessage(q, takeOne(q, "waited"), "nack", { delayMs: 5_000 });
    q.nowMs += 4_999;
    expect(q.take(9)).toEqual([]);
    q.nowMs += 1;
    expect(bodies(q.take(9))).toEqual(["ran out", "waited"]);
  });

  inBothLives("is not kept from a queue whose active receiver's time is over", (make) => {
    const q = make({ config: { retry, leaseMs: 5_000, singleActiveConsumer: true } });
    q.publish("x");
    q.take(1, { consumer: "gone" });
    expect(q.take(1, { consumer: "next" })).toEqual([]);
    q.nowMs += 5_000;
    expect(bodies(q.take(1, { consumer: "next" }))).toEqual(["x"]);
  });
});

describe("a receive that finds nothing", () => {
  inBothLives("is told how long the queue would have it wait", (make) => {
    const q = make({ config: { receiveWaitMs: 20_000 } });
    expect(q.receive()).toMatchObject({ lease: 0, waitMs: 20_000 });
    q.publish("x");
    expect(q.receive()).not.toHaveProperty("waitMs");
    q.publish("y");
    q.run((queue) => queue.store({ paused: true }));
    expect(q.receive()).toMatchObject({ lease: 0, waitMs: 20_000 });
  });

  inBothLives("is told nothing where the queue has no time", (make) => {
    expect(make().receive()).not.toHaveProperty("waitMs");
  });
});

describe("a message whose failures nobody counts", () => {
  inBothLives("is tried for ever, and never alone", (make) => {
    const q = make({ config: { retry, maxFailures: null } });
    must(q.publish("1", "2"));
    for (let i = 0; i < 30; i++) {
      const both = q.take(9);
      expect(both).toMatchObject([
        { body: "1", failures: i },
        { body: "2", failures: i },
      ]);
      q.settle({ lease: leaseOf(both[0]!), verdict: "reject" });
    }
    expect(q.info().counts).toMatchObject({ ready: 2, dead: 0 });
    settleMessage(q, q.take(9)[0]!, "reject", { dead: true });
    expect(q.info().counts.dead).toBe(1);
  });
});
