// Messages that die of age.
import { describe, expect } from "vitest";
import type { QueueHarness } from "../../support/queue-harness.ts";
import { bodies, drain, inBothLives, must, settleMessage, takeOne } from "../../support/queue-lives.ts";

function left(q: QueueHarness): (string | undefined)[] {
  return ["ready", "delayed", "leased", "parked"].flatMap((state) => {
    const command = { state: state as "ready", limit: 100 };
    const page = must(q.run((queue, nowMs) => queue.peek(command, nowMs)));
    return page.messages.map(({ body }) => new TextDecoder().decode(body));
  });
}

describe("a time to live", () => {
  inBothLives("is exact: the last millisecond counts, for the message's own and for the queue's", (make) => {
    for (const [config, fields] of [
      [{}, { ttlMs: 5_000 }],
      [{ ttlMs: 5_000 }, {}],
      [{ ttlMs: 5_000 }, { ttlMs: 9_000 }],
      [{ ttlMs: 9_000 }, { ttlMs: 5_000 }],
    ] as const) {
      const q = make({ config });
      must(q.publish({ text: "x", ...fields }));
      expect(q.wakeMs()).toBe(q.nowMs + 5_000);
      q.advance(4_999);
      expect(q.info().counts.ready).toBe(1);
      q.advance(1);
      expect(q.info().counts.ready).toBe(0);
      expect(q.info().totals).toMatchObject({ expired: 1, dropped: 1 });
      expect(q.wakeMs()).toBeNull();
    }
  });

  inBothLives("holds also when the alarm has not come yet", (make) => {
    const q = make();
    must(q.publish({ text: "x", ttlMs: 5_000 }, "y"));
    q.nowMs += 5_000;
    expect(bodies(q.take(9))).toEqual(["y"]);
  });

  inBothLives("ends a message wherever it stands, not only at the head", (make) => {
    const q = make();
    must(
      q.publish(
        "1",
        { text: "2", ttlMs: 10 },
        { text: "3", ttlMs: 3_600_000 },
        { text: "4", ttlMs: 10 },
        "5",
      ),
    );
    must(q.publish({ text: "6", ttlMs: 20 }));
    q.advance(10);
    expect(left(q)).toEqual(["1", "3", "5", "6"]);
    q.advance(10);
    expect(left(q)).toEqual(["1", "3", "5"]);
    expect(q.info().totals.expired).toBe(3);
  });

  inBothLives("ends a message of a lower priority behind others", (make) => {
    const q = make();
    must(q.publish({ text: "high", priority: 9 }, { text: "low", ttlMs: 10 }));
    q.advance(10);
    expect(left(q)).toEqual(["high"]);
  });

  inBothLives("ends a delayed message before it is due", (make) => {
    const q = make();
    must(q.publish({ text: "1", delayMs: 1_000, ttlMs: 500 }, { text: "2", delayMs: 1_000 }));
    q.advance(500);
    expect(q.info().counts).toMatchObject({ delayed: 1, ready: 0 });
    q.advance(500);
    expect(bodies(drain(q))).toEqual(["2"]);
  });

  inBothLives("does not end a message that a consumer holds, who may still ack it", (make) => {
    const q = make();
    must(q.publish({ text: "x", ttlMs: 1_000 }));
    const x = takeOne(q, "x");
    q.advance(20_000);
    expect(q.info().counts.leased).toBe(1);
    expect(settleMessage(q, x, "ack").settled).toBe(1);
    expect(q.info().totals).toMatchObject({ acked: 1, expired: 0 });
  });

  inBothLives("ends a message that comes back too late", (make) => {
    const q = make();
    must(q.publish({ text: "x", ttlMs: 1_000 }));
    const x = takeOne(q, "x");
    q.advance(1_000);
    settleMessage(q, x, "nack", { delayMs: 0 });
    expect(q.info().counts).toMatchObject({ ready: 0, delayed: 0, bytes: 0 });
    expect(q.info().totals.expired).toBe(1);
  });

  inBothLives("is not renewed by coming back: a message ends in its back-off or after it", (make) => {
    const q = make();
    must(q.publish({ text: "1", ttlMs: 1_000 }, { text: "2", ttlMs: 1_000 }));
    const [one, two] = [takeOne(q, "1"), takeOne(q, "2")];
    q.advance(900);
    settleMessage(q, one, "nack", { delayMs: 50 });
    settleMessage(q, two, "nack", { delayMs: 5_000 });
    q.advance(50);
    expect(q.info().counts).toMatchObject({ ready: 1, delayed: 1 });
    q.advance(50);
    expect(q.info().counts).toMatchObject({ ready: 0, delayed: 0 });
  });

  inBothLives("of nothing means deliverable now or never", (make) => {
    const q = make();
    const id = q.attach({ credit: 1 });
    must(q.publish({ text: "now", ttlMs: 0 }));
    expect(q.dispatch()).toHaveLength(1);
    must(q.publish({ text: "never", ttlMs: 0 }));
    expect(q.dispatch()).toHaveLength(0);
    expect(q.wakeMs()).toBe(q.nowMs);
    q.advance(0);
    expect(q.info().counts).toMatchObject({ ready: 0, leased: 1 });
    must(q.publish({ text: "late", ttlMs: 0 }));
    q.nowMs += 1;
    q.detach(id, "released");
    expect(q.take(9)).toEqual([]);
  });

  inBothLives("sends a message to the dead-letter queue, without its time to live", (make) => {
    const q = make({ config: { deadLetter: { queue: "dlq" } } });
    must(q.publish({ text: "x", ttlMs: 10 }));
    q.advance(10);
    expect(q.info().counts.deadLettering).toBe(1);
    expect(q.info().totals).toMatchObject({ expired: 1, deadLettered: 1, dropped: 0 });
  });

  inBothLives("goes by the queue's setting at the time of publishing", (make) => {
    const q = make({ config: { ttlMs: 1_000 } });
    must(q.publish("old"));
    q.run((queue) => queue.store({ config: { ...queue.config, ttlMs: 100 } }));
    must(q.publish("new"));
    q.advance(100);
    expect(left(q)).toEqual(["old"]);
    q.advance(900);
    expect(left(q)).toEqual([]);
  });

  inBothLives("ends a parked message, and frees its key", (make) => {
    const q = make({ config: { fifo: true, maxFailures: 0 } });
    must(
      q.publish(
        { text: "1", orderingKey: "k", ttlMs: 5_000 },
        { text: "2", orderingKey: "k" },
        { ttlMs: 1_000 },
      ),
    );
    const one = takeOne(q, "1");
    q.advance(1_000);
    settleMessage(q, one, "reject");
    expect(q.info().counts.parked).toBe(1);
    expect(q.take()).toEqual([]);
    q.advance(4_000);
    expect(bodies(drain(q))).toEqual(["2"]);
  });
});

describe("a message whose time is over in a queue that drops the expired", () => {
  const config = { onExpiry: "drop", deadLetter: { queue: "dlq" }, maxFailures: 0 } as const;

  inBothLives("is gone, wherever it stood, and its key goes on", (make) => {
    const q = make({ config: { ...config, fifo: true, maxFailures: 5 } });
    const orderingKey = "k";
    must(
      q.publish(
        { text: "held", orderingKey, ttlMs: 1_000 },
        { text: "in line", orderingKey, ttlMs: 500 },
        { text: "last", orderingKey },
        { text: "waits", ttlMs: 500 },
      ),
    );
    const held = takeOne(q, "held");
    q.advance(1_000);
    settleMessage(q, held, "nack", { delayMs: 0 });
    expect(q.info().totals).toMatchObject({ expired: 3, dropped: 3, deadLettered: 0 });
    expect(q.info().counts).toMatchObject({ deadLettering: 0, dead: 0 });
    expect(bodies(drain(q))).toEqual(["last"]);
  });

  inBothLives("does not take the failed and the overflown with it", (make) => {
    const q = make({ config: { ...config, maxMessages: 1, overflow: "dropOldest" } });
    must(q.publish("overflown"));
    must(q.publish("failed"));
    settleMessage(q, takeOne(q, "failed"), "reject");
    expect(q.info().totals).toMatchObject({ deadLettered: 2, dropped: 0 });
  });
});
