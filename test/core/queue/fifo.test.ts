// Order by key: one message of a key at a time, and the rest of the queue goes on.
import { describe, expect, it } from "vitest";
import type { QueueConfig } from "../../../src/protocol/queue-config.ts";
import { leaseOf, QueueHarness } from "../../support/queue-harness.ts";
import {
  bodies,
  carry,
  drain,
  inBothLives,
  must,
  numbered,
  settleMessage,
  takeOne,
} from "../../support/queue-lives.ts";

const retry = { kind: "fixed", baseMs: 1_000, maxMs: 1_000, jitter: 0 } as const;
const config: Partial<QueueConfig> = { fifo: true, retry, nackDelayMs: 0, maxFailures: 0 };

/** "a1" is the first message of key a; a body that starts with a dash has no key. */
function publish(q: QueueHarness, ...names: string[]): void {
  must(
    q.publish(...names.map((text) => (text.startsWith("-") ? { text } : { text, orderingKey: text[0]! }))),
  );
}

describe("a FIFO queue", () => {
  inBothLives("hands out one message of each key, and others without a key", (make) => {
    const q = make({ config });
    publish(q, "a1", "a2", "b1", "-x", "b2", "c1", "a3");
    expect(bodies(q.take(9))).toEqual(["a1", "b1", "-x", "c1"]);
    expect(q.take(9)).toEqual([]);
  });

  inBothLives("goes on with a key when its message is settled, line before later ones", (make) => {
    const q = make({ config });
    publish(q, "a1", "a2");
    const a1 = takeOne(q, "a1");
    expect(q.take(9)).toEqual([]);
    publish(q, "a3", "b1");
    settleMessage(q, a1, "ack");
    expect(bodies(q.take(9))).toEqual(["a2", "b1"]);
    expect(bodies(drain(q))).toEqual([]);
  });

  inBothLives("delivers each key in order, however its messages are mixed", (make) => {
    const q = make({ config });
    const keys = ["a", "b", "c", "d"];
    for (let i = 0; i < 6; i++)
      publish(q, ...keys.flatMap((key) => [`${key}${i * 2}`, `${key}${i * 2 + 1}`]));
    const messages = drain(q, 3);
    expect(messages).toHaveLength(48);
    for (const key of keys) {
      const own = bodies(messages).filter((body) => body![0] === key);
      expect(own).toEqual(numbered(12).map((i) => key + i));
    }
  });

  inBothLives("holds a key back while its message was given back, and takes that one first", (make) => {
    const q = make({ config });
    publish(q, "a1", "a2", "b1");
    settleMessage(q, takeOne(q, "a1"), "nack", { delayMs: 1_000 });
    expect(bodies(q.take(9))).toEqual(["b1"]);
    q.advance(1_000);
    settleMessage(q, takeOne(q, "a1"), "nack");
    settleMessage(q, takeOne(q, "a1"), "ack");
    takeOne(q, "a2");
  });

  inBothLives("holds a key back while its failed message backs off", (make) => {
    const q = make({ config: { ...config, maxFailures: 3 } });
    publish(q, "a1", "a2", "b1", "b2");
    settleMessage(q, takeOne(q, "a1"), "reject");
    expect(bodies(drain(q, 1))).toEqual(["b1", "b2"]);
    q.advance(1_000);
    expect(bodies(drain(q))).toEqual(["a1", "a2"]);
  });

  inBothLives("lets as many of a key out as it is told", (make) => {
    const q = make({ config: { ...config, maxPerKey: 2 } });
    publish(q, "a1", "a2", "a3", "a4", "b1");
    const first = q.take(9);
    expect(bodies(first)).toEqual(["a1", "a2", "b1"]);
    settleMessage(q, first[1]!, "ack");
    takeOne(q, "a3");
    expect(q.take(9)).toEqual([]);
    settleMessage(q, first[0]!, "ack");
    takeOne(q, "a4");
  });

  inBothLives("sends a key's message that is delayed in its due order", (make) => {
    const q = make({ config });
    must(q.publish({ text: "late", orderingKey: "a", delayMs: 1_000 }, { text: "now", orderingKey: "a" }));
    const now = takeOne(q, "now");
    q.advance(1_000);
    publish(q, "a3");
    expect(q.take(9)).toEqual([]);
    settleMessage(q, now, "ack");
    expect(bodies(drain(q, 1))).toEqual(["late", "a3"]);
  });

  inBothLives("keeps the order when the head of a line is cancelled or expires", (make) => {
    const q = make({ config });
    const orderingKey = "a";
    must(
      q.publish(
        { text: "a1", orderingKey },
        { text: "a2", orderingKey, cancelKey: "k" },
        { text: "a3", orderingKey, ttlMs: 500 },
        { text: "a4", orderingKey },
      ),
    );
    const a1 = takeOne(q, "a1");
    must(q.run((queue) => queue.cancel({ cancelKey: "k" })));
    q.advance(500);
    settleMessage(q, a1, "ack");
    expect(bodies(drain(q))).toEqual(["a4"]);
    expect(q.info().counts).toMatchObject({ ready: 0, bytes: 0 });
    expect(q.counted.value("SELECT count(*) AS value FROM blocked")).toBe(0);
  });

  it("finds all free keys again after an eviction, a few at a time", () => {
    const q = new QueueHarness({ config: { ...config, leaseMs: 1_000_000 } });
    const keys = numbered(600).map((i) => `key-${i}`);
    must(q.publish(...keys.map((orderingKey) => ({ text: "1", orderingKey }))));
    must(q.publish(...keys.map((orderingKey) => ({ text: "2", orderingKey }))));
    const first = q.take(600);
    expect(q.take(9)).toEqual([]);
    q.settle({ lease: leaseOf(first[0]!), verdict: "ack" });
    q.evict();
    const second = [];
    for (let tries = 0; tries < 9 && second.length < 600; tries++) {
      if (tries > 0) expect(q.wakeMs()).toBe(q.nowMs);
      second.push(...q.take(600));
    }
    expect(second).toHaveLength(600);
    expect(new Set(second.map(({ orderingKey }) => orderingKey)).size).toBe(600);
  });

  it("passes ten thousand messages of a hot key with few rows", () => {
    const q = new QueueHarness({ config });
    for (let i = 0; i < 10; i++) {
      must(q.publish(...numbered(1_000).map((text) => ({ text, orderingKey: "hot" }))));
    }
    publish(q, "b1", "b2");
    const before = { read: q.counted.rowsRead, written: q.counted.rowsWritten };
    const messages = [...q.take(9), ...q.take(9)];
    expect(messages.map(({ orderingKey }) => orderingKey)).toEqual(["hot", "b"]);
    expect(q.counted.rowsWritten - before.written).toBeLessThan(100);
    expect(q.counted.rowsRead - before.read).toBeLessThan(300);
    q.evict();
    expect(q.take(9)).toEqual([]);
    expect(q.counted.value("SELECT count(*) AS value FROM blocked")).toBeLessThanOrEqual(11);
  });

  it("does not keep a key in memory when nothing of it is here", () => {
    const q = new QueueHarness({ config });
    for (const i of numbered(300)) publish(q, `${i}x`, `${i}y`);
    drain(q, 10);
    for (const table of ["blocked", "returned", "segment", "drain"]) {
      expect([table, q.rowsIn(table)]).toEqual([table, 0]);
    }
    expect(q.wakeMs()).toBeNull();
  });
});

describe("a key whose message has used up its failures", () => {
  inBothLives("parks: its line waits, others go on, and the place is kept", (make) => {
    const q = make({ config: { ...config, onKeyFailure: "park" } });
    publish(q, "a1", "b1", "a2", "b2");
    settleMessage(q, takeOne(q, "a1"), "reject", { error: "broken" });
    expect(q.info().counts).toMatchObject({ parked: 1, dead: 0 });
    expect(bodies(drain(q))).toEqual(["b1", "b2"]);
    q.advance(1_000_000);
    publish(q, "a3");
    expect(q.take(9)).toEqual([]);
    const page = must(q.run((queue, nowMs) => queue.peek({ state: "parked", limit: 9 }, nowMs)));
    expect(page.messages.map(({ body }) => new TextDecoder().decode(body))).toEqual(["a1"]);
    expect(page.messages[0]!.death).toMatchObject({
      reason: "failed",
      atMs: 1_000_000,
      log: [{ error: "broken" }],
    });
  });

  inBothLives("skips: it dies and its line goes on", (make) => {
    const q = make({ config: { ...config, onKeyFailure: "skip" } });
    publish(q, "a1", "a2", "b1");
    settleMessage(q, takeOne(q, "a1"), "reject");
    expect(q.info().counts).toMatchObject({ parked: 0, dead: 1 });
    expect(bodies(drain(q))).toEqual(["a2", "b1"]);
  });

  inBothLives("drains: all that was published of the key dies with it, and later ones live", (make) => {
    const q = make({ config: { ...config, onKeyFailure: "drain", deadLetter: { queue: "dlq" } } });
    const dlq = make({ name: "dlq" });
    publish(q, "a1", "a2", "b1");
    const a1 = takeOne(q, "a1");
    expect(bodies(q.take(9))).toEqual(["b1"]);
    publish(q, "a3");
    settleMessage(q, a1, "reject");
    publish(q, "a4");
    expect(bodies(drain(q))).toEqual(["a4"]);
    carry(q, dlq);
    const dead = dlq.take(9);
    expect(bodies(dead)).toEqual(["a1", "a2", "a3"]);
    expect(dead[0]!.death).not.toHaveProperty("note");
    for (const { death } of dead.slice(1)) {
      expect(death).toMatchObject({ reason: "failed", note: expect.stringContaining("drained") as string });
    }
    expect(q.counted.value("SELECT count(*) AS value FROM drain")).toBe(0);
  });

  inBothLives("is resumed by a retry: the message goes first, its failures forgiven", (make) => {
    const q = make({ config: { ...config, onKeyFailure: "park" } });
    publish(q, "a1", "a2");
    settleMessage(q, takeOne(q, "a1"), "reject");
    const resumed = q.run((queue, nowMs) => queue.resumeKey("a", "retry", nowMs));
    expect(resumed).toEqual({ ok: true, value: { messages: 1 } });
    expect(q.info().counts).toMatchObject({ parked: 0, ready: 2 });
    const a1 = takeOne(q, "a1");
    expect(a1).toMatchObject({ attempt: 2, failures: 0 });
    settleMessage(q, a1, "ack");
    takeOne(q, "a2");
  });

  inBothLives("is resumed by a skip: the message dies, the line goes on", (make) => {
    const q = make({ config: { ...config, onKeyFailure: "park" } });
    publish(q, "a1", "a2", "a3");
    settleMessage(q, takeOne(q, "a1"), "reject");
    must(q.run((queue, nowMs) => queue.resumeKey("a", "skip", nowMs)));
    expect(q.info().counts).toMatchObject({ parked: 0, dead: 1, ready: 2 });
    expect(bodies(drain(q, 1))).toEqual(["a2", "a3"]);
  });

  inBothLives("is resumed by draining it: the line dies as well, later ones live", (make) => {
    const q = make({ config: { ...config, onKeyFailure: "park" } });
    publish(q, "a1", "a2", "a3", "b1");
    settleMessage(q, takeOne(q, "a1"), "reject");
    expect(bodies(q.take(9))).toEqual(["b1"]);
    expect(q.run((queue, nowMs) => queue.resumeKey("a", "drain", nowMs))).toEqual({
      ok: true,
      value: { messages: 3 },
    });
    publish(q, "a4");
    expect(bodies(drain(q))).toEqual(["a4"]);
    expect(q.info().counts).toMatchObject({ parked: 0, dead: 3, ready: 0 });
  });

  inBothLives("is not found when nothing of it is parked", (make) => {
    const q = make({ config });
    publish(q, "a1");
    for (const action of ["retry", "skip", "drain"] as const) {
      expect(q.run((queue, nowMs) => queue.resumeKey("a", action, nowMs))).toMatchObject({
        code: "message_not_found",
      });
    }
    takeOne(q, "a1");
  });
});
