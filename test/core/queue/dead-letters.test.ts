// Where dead messages go, and what they carry.
import { describe, expect } from "vitest";
import { LIMITS } from "../../../src/protocol/limits.ts";
import type { DeathRecord } from "../../../src/protocol/commands.ts";
import type { DeliveredJson } from "../../../src/protocol/message-json.ts";
import type { QueueHarness } from "../../support/queue-harness.ts";
import {
  bodies,
  carried,
  carry,
  drain,
  firstMove,
  inBothLives,
  must,
  numbered,
  settleMessage,
  takeOne,
} from "../../support/queue-lives.ts";

const retry = { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } as const;
const config = { retry, nackDelayMs: 0, maxFailures: 1, deadLetter: { queue: "dlq" } };

function deathOf(message: DeliveredJson | undefined): DeathRecord {
  return message!.death as DeathRecord;
}

function kill(q: QueueHarness, body: string, error?: string): DeliveredJson {
  const message = takeOne(q, body);
  settleMessage(q, message, "reject", { dead: true, ...(error === undefined ? {} : { error }) });
  return message;
}

describe("a dead message", () => {
  inBothLives("arrives with its id, queue, key, times, log and last error", (make) => {
    const q = make({ config });
    const dlq = make({ name: "dlq", startMs: 5_000_000 });
    const headers = { shop: "7" };
    must(
      q.publish({ text: "x", routingKey: "orders.new", headers, priority: 3, ttlMs: 9_000, delayMs: 1_000 }),
    );
    const publishedMs = q.nowMs;
    q.advance(1_000);
    const first = q.take(1, { consumer: "one" })[0]!;
    settleMessage(q, first, "nack");
    settleMessage(q, q.take(1, { consumer: "two" })[0]!, "reject", { error: "no stock" });
    settleMessage(q, q.take(1, { consumer: "three" })[0]!, "reject", { error: "no stock again" });
    expect(q.info().counts).toMatchObject({ ready: 0, dead: 0, deadLettering: 1, bytes: 0 });
    expect(carry(q, dlq)).toBe(1);
    expect(q.info().counts.deadLettering).toBe(0);

    const message = takeOne(dlq, "x");
    expect(message).toMatchObject({
      id: first.id,
      timeMs: publishedMs,
      routingKey: "orders.new",
      headers,
      priority: 3,
    });
    expect(message).toMatchObject({ attempt: 1, failures: 0 });
    expect(message).not.toHaveProperty("ttlMs");
    expect(deathOf(message)).toEqual({
      reason: "failed",
      queue: "q",
      routingKey: "orders.new",
      atMs: q.nowMs,
      publishedMs,
      attempts: 3,
      failures: 2,
      hops: 1,
      redrives: 0,
      ttlMs: 9_000,
      log: [
        { attempt: 1, consumer: "one", atMs: q.nowMs, outcome: "nack" },
        { attempt: 2, consumer: "two", atMs: q.nowMs, outcome: "reject", error: "no stock" },
        { attempt: 3, consumer: "three", atMs: q.nowMs, outcome: "reject", error: "no stock again" },
      ],
    });
  });

  inBothLives("tells why it died", (make) => {
    const q = make({ config: { ...config, maxMessages: 4, overflow: "dropOldest", maxFailures: 0 } });
    const dlq = make({ name: "dlq" });
    must(q.publish({ text: "expired", ttlMs: 10 }));
    q.advance(10);
    must(q.publish("rejected"));
    kill(q, "rejected");
    must(q.publish("failed"));
    settleMessage(q, takeOne(q, "failed"), "reject");
    must(q.publish("lapsed"));
    q.take();
    q.advance(30_000);
    must(q.publish("overflow"));
    must(q.publish("1", "2", "3", "4"));
    carry(q, dlq);
    const reasons = dlq.take(9).map((message) => [message.body, deathOf(message).reason]);
    expect(reasons).toEqual([
      ["expired", "expired"],
      ["rejected", "rejected"],
      ["failed", "failed"],
      ["lapsed", "failed"],
      ["overflow", "overflow"],
    ]);
  });

  inBothLives("takes the routing key of the target, and remembers its own", (make) => {
    const q = make({ config: { ...config, deadLetter: { queue: "dlq", routingKey: "dead" } } });
    const dlq = make({ name: "dlq" });
    must(q.publish({ text: "x", routingKey: "orders.new" }, "y"));
    kill(q, "x");
    kill(q, "y");
    carry(q, dlq);
    const [x, y] = dlq.take(2);
    expect([x!.routingKey, deathOf(x).routingKey]).toEqual(["dead", "orders.new"]);
    expect([y!.routingKey, deathOf(y).routingKey]).toEqual(["dead", undefined]);
  });

  inBothLives("stays here where there is no target: seen, never delivered, purged at will", (make) => {
    const q = make({ config: { ...config, deadLetter: null } });
    must(q.publish("x", "y"));
    const { id } = kill(q, "x", "broken");
    expect(q.info().counts).toMatchObject({ dead: 1, ready: 1, deadLettering: 0 });
    expect(bodies(drain(q))).toEqual(["y"]);
    const view = must(q.run((queue, nowMs) => queue.find({ id }, nowMs)));
    expect(view).toMatchObject({ state: "dead", attempts: 1, failures: 1 });
    expect(view.log).toMatchObject([{ outcome: "reject", error: "broken" }]);
    expect(q.run((queue) => queue.purge({}))).toEqual({ messages: 1 });
    expect(q.info().counts).toMatchObject({ dead: 0, bytes: 0 });
  });

  inBothLives("has its own clock in the dead-letter queue", (make) => {
    const q = make({ config: { ...config, ttlMs: 1_000 } });
    const dlq = make({ name: "dlq", config: { ttlMs: 5_000 } });
    must(q.publish("x"));
    q.advance(1_000);
    dlq.nowMs = q.nowMs + 100_000;
    carry(q, dlq);
    dlq.advance(4_999);
    expect(dlq.info().counts.ready).toBe(1);
    dlq.advance(1);
    expect(dlq.info().counts.ready).toBe(0);
  });

  inBothLives("is moved once, however often it is sent", (make) => {
    const q = make({ config });
    const dlq = make({ name: "dlq" });
    must(q.publish("x"));
    kill(q, "x");
    const [row] = carried(q);
    const accept = (): unknown =>
      dlq.run((queue, nowMs) =>
        queue.acceptMoves("q#1", [{ number: row!.number, batch: row!.batch.slice() }], nowMs),
      );
    expect(accept()).toEqual({ ok: true, value: { accepted: 1, done: 1 } });
    expect(accept()).toEqual({ ok: true, value: { accepted: 0, done: 1 } });
    expect(dlq.info().counts.ready).toBe(1);
  });

  inBothLives("arrives in parts where it is more than its target may ever hold", (make) => {
    const q = make({ config });
    const dlq = make({ name: "dlq", config: { maxMessages: 2 } });
    must(q.publish("1", "2", "3", "4", "5"));
    const { lease } = q.receive(5);
    q.settle({ lease, verdict: "reject", dead: true });
    const row = firstMove(q)!;
    const send = (): { accepted: number; done: number } | string => {
      const answer = dlq.run((queue, nowMs) =>
        queue.acceptMoves("q#1", [{ number: row.number, batch: row.batch.slice() }], nowMs),
      );
      return answer.ok ? answer.value : answer.code;
    };
    const seen: (string | undefined)[] = [];
    expect(send()).toEqual({ accepted: 2, done: 0 });
    expect(send()).toBe("batch_too_large");
    seen.push(...drain(dlq).map(({ body }) => body));
    expect(send()).toEqual({ accepted: 2, done: 0 });
    seen.push(...drain(dlq).map(({ body }) => body));
    expect(send()).toEqual({ accepted: 1, done: 1 });
    seen.push(...drain(dlq).map(({ body }) => body));
    expect(send()).toEqual({ accepted: 0, done: 1 });
    expect(seen).toEqual(["1", "2", "3", "4", "5"]);
  });

  inBothLives("waits here when its target can't take it, longer each time", (make) => {
    const q = make({ config });
    const dlq = make({ name: "dlq", config: { maxMessages: 1 } });
    must(dlq.publish("full"));
    must(q.publish("x"));
    kill(q, "x");
    for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
      const row = firstMove(q)!;
      const answer = dlq.run((queue, nowMs) =>
        queue.acceptMoves("q#1", [{ number: row.number, batch: row.batch.slice() }], nowMs),
      );
      expect(answer).toMatchObject({ code: "queue_full" });
      q.run((queue, nowMs) => queue.moveFailed(row, nowMs));
      expect(q.wakeMs()).toBe(q.nowMs + waitMs);
      expect(firstMove(q)).toBeNull();
      q.advance(waitMs);
    }
    drain(dlq);
    expect(carry(q, dlq)).toBe(1);
  });

  inBothLives("counts its hops through a cycle of queues, and is parked when they are used up", (make) => {
    const a = make({ name: "a", config: { ...config, deadLetter: { queue: "b" } } });
    const b = make({ name: "b", config: { ...config, deadLetter: { queue: "a" } } });
    must(a.publish("x"));
    let [from, to] = [a, b];
    for (let hop = 1; hop <= LIMITS.hopsMax; hop++) {
      kill(from, "x");
      expect(carry(from, to)).toBe(1);
      expect(deathOf(takeOne(to, "x"))).toMatchObject({ hops: hop });
      to.run((queue, nowMs) => queue.releaseAll(nowMs));
      [from, to] = [to, from];
    }
    kill(from, "x");
    expect(from.info().counts).toMatchObject({ dead: 1, ready: 0, deadLettering: 0 });
    expect(from.take()).toEqual([]);
  });

  inBothLives("that died before anyone took it, with its hops used up, is not delivered either", (make) => {
    const q = make({ config: { ...config, maxMessages: 2, overflow: "dropOldest" } });
    const death = {
      reason: "failed",
      queue: "z",
      atMs: 1,
      publishedMs: 1,
      attempts: 1,
      failures: 1,
      log: [],
    };
    const encode = (id: string): Uint8Array => {
      const record = {
        id,
        death: JSON.stringify({ ...death, hops: 16, redrives: 0 }),
        body: new Uint8Array(1),
      };
      return must(
        q.codec.encode(
          [record, { ...record, id: `${id}2` }],
          { origin: 0, firstSequence: 0, timeMs: 0 },
          "broker",
        ),
      );
    };
    must(q.run((queue, nowMs) => queue.acceptMoves("z", [{ number: 1, batch: encode("a") }], nowMs)));
    must(q.publish("new"));
    expect(q.info().counts).toMatchObject({ dead: 1, ready: 2 });
    expect(q.take(9).map(({ sequence }) => sequence)).toEqual([2, 3]);
    const redriven = q.run((queue, nowMs) => queue.redrive({ filter: {}, dryRun: false, to: "q" }, nowMs));
    expect(redriven).toMatchObject({ value: { moved: 1 } });
    expect(q.take(9).map(({ sequence }) => sequence)).toEqual([1]);
    expect(q.take(9)).toEqual([]);
  });

  inBothLives("carries a bounded error text, cut between characters", (make) => {
    const q = make({ config });
    const dlq = make({ name: "dlq" });
    must(q.publish("x"));
    kill(q, "x", `${"ä".repeat(511)}€${"x".repeat(5_000)}`);
    carry(q, dlq);
    const error = deathOf(takeOne(dlq, "x")).log[0]!.error!;
    expect(error).toBe("ä".repeat(511));
    expect(new TextEncoder().encode(error).length).toBeLessThanOrEqual(LIMITS.errorBytesMax);
  });

  inBothLives("carries a bounded log, the newest attempts of it, and the count of all", (make) => {
    const q = make({ config: { ...config, maxFailures: 39 } });
    const dlq = make({ name: "dlq" });
    must(q.publish("x"));
    for (let i = 1; i <= 40; i++)
      settleMessage(q, takeOne(q, "x"), "reject", { error: `${i}${"\u0001".repeat(900)}` });
    carry(q, dlq);
    const death = deathOf(takeOne(dlq, "x"));
    expect(death).toMatchObject({ attempts: 40, failures: 40 });
    expect(death.log.at(-1)).toMatchObject({ attempt: 40 });
    expect(death.log.length).toBeGreaterThan(0);
    expect(death.log.length).toBeLessThanOrEqual(LIMITS.attemptLogMax);
    expect(new TextEncoder().encode(JSON.stringify(death)).length).toBeLessThanOrEqual(LIMITS.deathBytesMax);
  });

  inBothLives("keeps the newest attempts and counts the others, where it stays here too", (make) => {
    const q = make({ config: { ...config, maxFailures: 39, deadLetter: null } });
    must(q.publish("x"));
    for (let i = 1; i <= 40; i++) settleMessage(q, takeOne(q, "x"), "reject");
    const page = must(q.run((queue, nowMs) => queue.peek({ state: "dead", limit: 9 }, nowMs)));
    expect(page.messages[0]).toMatchObject({ attempts: 40, failures: 40 });
    expect(page.messages[0]!.log!.map(({ attempt }) => attempt)).toEqual(
      numbered(LIMITS.attemptLogMax).map((i) => Number(i) + 25),
    );
  });

  inBothLives("waits for no key in a FIFO dead-letter queue but its own", (make) => {
    const q = make({ config: { ...config, fifo: true, onKeyFailure: "skip" } });
    const dlq = make({ name: "dlq", config: { fifo: true } });
    must(
      q.publish(
        { text: "1", orderingKey: "a" },
        { text: "2", orderingKey: "a" },
        { text: "3", orderingKey: "b" },
      ),
    );
    kill(q, "1");
    kill(q, "2");
    kill(q, "3");
    carry(q, dlq);
    expect(bodies(dlq.take(9))).toEqual(["1", "3"]);
  });
});
