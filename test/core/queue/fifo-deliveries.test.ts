// Order by key where one delivery may hold several messages of a key.
import { describe, expect } from "vitest";
import type { QueueConfig } from "../../../src/protocol/queue-config.ts";
import { leaseOf, type QueueHarness } from "../../support/queue-harness.ts";
import {
  bodies,
  drain,
  inBothLives,
  must,
  numbered,
  settleMessage,
  takeOne,
} from "../../support/queue-lives.ts";

const retry = { kind: "fixed", baseMs: 1_000, maxMs: 1_000, jitter: 0 } as const;
const config: Partial<QueueConfig> = {
  fifo: true,
  oneDeliveryPerKey: true,
  maxPerKey: 3,
  retry,
  nackDelayMs: 0,
  leaseMs: 5_000,
};

/** "a1" is the first message of key a. */
function publish(q: QueueHarness, ...names: string[]): void {
  must(q.publish(...names.map((text) => ({ text, orderingKey: text[0]! }))));
}

describe("a delivery with several messages of a key", () => {
  inBothLives("has them in order, up to so many of each key", (make) => {
    const q = make({ config });
    publish(q, "a1", "b1", "a2", "a3", "a4", "b2");
    expect(bodies(q.take(9))).toEqual(["a1", "b1", "a2", "a3", "b2"]);
  });

  inBothLives("keeps the rest of the key back until all of it is settled", (make) => {
    const q = make({ config });
    publish(q, "a1", "a2", "a3", "a4", "b1");
    const [a1, a2] = q.take(2);
    expect(bodies(q.take(9))).toEqual(["b1"]);
    settleMessage(q, a1!, "ack");
    publish(q, "a5");
    expect(q.take(9)).toEqual([]);
    settleMessage(q, a2!, "ack");
    expect(bodies(q.take(9))).toEqual(["a3", "a4", "a5"]);
  });

  inBothLives("is one consumer's: another gets nothing of the key beside it", (make) => {
    const q = make({ config });
    q.attach({ credit: 1 });
    q.attach({ credit: 1 });
    publish(q, "a1", "a2");
    expect(q.dispatch()).toHaveLength(1);
    publish(q, "b1");
    expect(q.dispatch()).toHaveLength(1);
    expect(q.info().counts).toMatchObject({ leased: 2, ready: 1 });
  });

  inBothLives("comes back in order, as a whole and before what was never sent", (make) => {
    const q = make({ config });
    publish(q, "a1", "a2", "a3", "a4");
    const lease = leaseOf(q.take(9)[0]!);
    q.settle({ lease, verdict: "nack" });
    const again = q.take(2);
    expect(again).toMatchObject([
      { body: "a1", attempt: 2 },
      { body: "a2", attempt: 2 },
    ]);
    expect(q.take(9)).toEqual([]);
    q.settle({ lease: leaseOf(again[0]!), verdict: "ack" });
    expect(bodies(drain(q))).toEqual(["a3", "a4"]);
  });

  inBothLives("has what came back, and behind it what was never sent", (make) => {
    const q = make({ config: { ...config, maxPerKey: 5 } });
    publish(q, "a1", "b1", "b2", "c1", "a2", "a3");
    const lease = leaseOf(q.take(2)[0]!);
    // b2 was passed over and stands in line now; the rest has not come up.
    expect(bodies(q.take(1))).toEqual(["c1"]);
    publish(q, "a4");
    q.settle({ lease, verdict: "nack" });
    expect(bodies(q.take(9))).toEqual(["a1", "b1", "b2", "a2", "a3", "a4"]);
  });

  inBothLives("has nothing of a key behind a message that came back and waits", (make) => {
    const q = make({ config });
    publish(q, "a1", "a2", "a3");
    const [a1, a2] = q.take(2);
    settleMessage(q, a1!, "nack");
    settleMessage(q, a2!, "nack", { delayMs: 2_000 });
    expect(bodies(q.take(9))).toEqual(["a1"]);
  });

  inBothLives("holds back those behind a message that waits for its next attempt", (make) => {
    const q = make({ config });
    publish(q, "a1", "a2", "a3", "b1");
    const [a1, a2] = q.take(2);
    settleMessage(q, a1!, "nack", { delayMs: 2_000 });
    settleMessage(q, a2!, "nack");
    expect(bodies(q.take(9))).toEqual(["b1"]);
    q.advance(1_999);
    expect(q.take(9)).toEqual([]);
    q.advance(1);
    expect(bodies(drain(q))).toEqual(["a1", "a2", "a3"]);
  });

  inBothLives("lets one that came back go before those that are still out, and none behind them", (make) => {
    const q = make({ config });
    publish(q, "a1", "a2", "a3", "a4");
    const [a1, a2, a3] = q.take(3);
    settleMessage(q, a2!, "nack");
    // a1 is out, and a2 stands behind it.
    expect(q.take(9)).toEqual([]);
    settleMessage(q, a1!, "nack");
    expect(bodies(q.take(9))).toEqual(["a1", "a2"]);
    expect(q.take(9)).toEqual([]);
    settleMessage(q, a3!, "ack");
    expect(q.take(9)).toEqual([]);
  });

  inBothLives("lets no more of a key out than it is told, whoever has them", (make) => {
    const q = make({ config: { ...config, maxPerKey: 2 } });
    publish(q, "a1", "a2", "a3");
    const [a1] = q.take(9);
    settleMessage(q, a1!, "nack");
    takeOne(q, "a1");
    expect(q.take(9)).toEqual([]);
    expect(q.info().counts).toMatchObject({ leased: 2, ready: 1 });
  });

  inBothLives("holds the key in order when its time runs out and others of it are in line", (make) => {
    const q = make({ config });
    publish(q, "a1", "a2", "a3", "a4", "a5");
    q.take(9);
    q.advance(5_000);
    publish(q, "a6");
    expect(q.take(9)).toEqual([]);
    q.advance(1_000);
    expect(bodies(drain(q, 2))).toEqual(["a1", "a2", "a3", "a4", "a5", "a6"]);
  });

  inBothLives("sends a message on its last attempt alone, and those behind it after it", (make) => {
    const q = make({ config: { ...config, maxFailures: 1, onKeyFailure: "skip" } });
    publish(q, "a1", "a2", "a3");
    const lease = leaseOf(q.take(9)[0]!);
    q.settle({ lease, verdict: "reject", delayMs: 0 });
    const a1 = q.take(9);
    expect(bodies(a1)).toEqual(["a1"]);
    expect(q.take(9)).toEqual([]);
    settleMessage(q, a1[0]!, "reject");
    takeOne(q, "a2");
  });

  inBothLives("sends messages on their last attempt along with others where it shall", (make) => {
    const q = make({
      config: { ...config, maxFailures: 1, onKeyFailure: "skip", lastAttemptAlone: false },
    });
    publish(q, "a1", "b1", "b2");
    q.settle({ lease: leaseOf(q.take(9)[0]!), verdict: "reject", delayMs: 0 });
    publish(q, "c1");
    expect(bodies(q.take(9))).toEqual(["a1", "b1", "b2", "c1"]);
  });

  inBothLives("holds the key while one of it is parked", (make) => {
    const q = make({ config: { ...config, maxFailures: 0 } });
    publish(q, "a1", "a2", "a3");
    const [a1, a2] = q.take(2);
    settleMessage(q, a1!, "reject");
    settleMessage(q, a2!, "nack");
    expect(q.info().counts.parked).toBe(1);
    expect(q.take(9)).toEqual([]);
    must(q.run((queue, nowMs) => queue.resumeKey("a", "skip", nowMs)));
    expect(bodies(drain(q))).toEqual(["a2", "a3"]);
  });

  inBothLives("delivers each key in order, however its messages are mixed and given back", (make) => {
    const q = make({ config: { ...config, maxFailures: null } });
    const names = numbered(12).flatMap((i) => ["a", "b"].map((key) => key + i));
    publish(q, ...names);
    const done: string[] = [];
    const firsts: string[] = [];
    for (let round = 0; done.length < names.length; round++) {
      const messages = q.take(5);
      firsts.push(...messages.filter(({ attempt }) => attempt === 1).map(({ body }) => body!));
      for (const key of ["a", "b"]) {
        const own = messages.filter(({ orderingKey }) => orderingKey === key).map(({ sequence }) => sequence);
        expect(own).toEqual([...own].sort((a, b) => a - b));
      }
      for (const message of messages) {
        // Every third time the rest of the delivery is given back.
        const isGivenBack = round % 3 === 0 && message.sequence % 2 === 0;
        settleMessage(q, message, isGivenBack ? "nack" : "ack");
        if (!isGivenBack) done.push(message.body!);
      }
    }
    expect([...done].sort()).toEqual([...names].sort());
    for (const key of ["a", "b"])
      expect(firsts.filter((name) => name[0] === key)).toEqual(names.filter((name) => name[0] === key));
  });

  inBothLives("is of no meaning without order by key", (make) => {
    const q = make({ config: { ...config, fifo: false } });
    publish(q, "a1", "a2", "a3", "a4", "a5");
    expect(q.take(2)).toHaveLength(2);
    expect(q.take(9)).toHaveLength(3);
  });

  inBothLives("leaves other keys their turn, and stores nothing when all is done", (make) => {
    const q = make({ config });
    publish(q, ...numbered(30).map((i) => "abcde"[Number(i) % 5]! + i));
    expect(drain(q, 4)).toHaveLength(30);
    for (const table of ["blocked", "returned", "segment"])
      expect([table, q.rowsIn(table)]).toEqual([table, 0]);
  });
});
