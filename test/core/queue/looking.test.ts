// Looking at a queue without touching it, and emptying it.
import { describe, expect, it } from "vitest";
import type {
  MessageState,
  MessageView,
  QueueCounts,
  SettlementResult,
  Verdict,
} from "../../../src/protocol/commands.ts";
import { QueueHarness } from "../../support/queue-harness.ts";
import {
  bodies,
  drain,
  inBothLives,
  must,
  numbered,
  settleMessage,
  takeOne,
  type MakeQueue,
} from "../../support/queue-lives.ts";

const STATES = ["ready", "leased", "delayed", "parked", "dead"] as const;

function peekAll(q: QueueHarness, state: MessageState, limit = 100): MessageView[] {
  const all: MessageView[] = [];
  let cursor: string | undefined;
  do {
    const command = { state, limit, ...(cursor === undefined ? {} : { cursor }) };
    const page = must(q.run((queue, nowMs) => queue.peek(command, nowMs)));
    expect(page.messages.length).toBeLessThanOrEqual(limit);
    all.push(...page.messages);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return all;
}

function texts(views: readonly MessageView[]): string[] {
  return views.map(({ body }) => new TextDecoder().decode(body));
}

/** A queue with two messages in every state. */
function makeZoo(make: MakeQueue): QueueHarness {
  const q = make({ config: { fifo: true, maxFailures: 0, leaseMs: 60_000, onKeyFailure: "park" } });
  must(q.publish("dead1", "dead2", { text: "parked", orderingKey: "k" }, "leased1", "back", "leased2"));
  for (const name of ["dead1", "dead2"])
    settleMessage(q, takeOne(q, name), "reject", { dead: true, error: "why" });
  settleMessage(q, takeOne(q, "parked"), "reject");
  const [, back] = q.take(3, { consumer: "holder" });
  settleMessage(q, back!, "nack", { delayMs: 5_000 });
  must(q.publish({ text: "ready2", priority: 1 }, "ready1", { text: "delayed", delayMs: 9_000 }));
  return q;
}

describe("a peek", () => {
  inBothLives("shows every state, page by page", (make) => {
    const q = makeZoo(make);
    const expected: Record<MessageState, string[]> = {
      ready: ["ready2", "ready1"],
      leased: ["leased1", "leased2"],
      delayed: ["back", "delayed"],
      parked: ["parked"],
      dead: ["dead1", "dead2"],
    };
    for (const state of STATES) {
      for (const limit of [100, 2, 1]) {
        const views = peekAll(q, state, limit);
        expect([state, limit, texts(views)]).toEqual([state, limit, expected[state]]);
        for (const view of views) expect(view.state).toBe(state);
      }
    }
  });

  inBothLives("tells who holds a message, until when a message waits, and what happened to it", (make) => {
    const q = makeZoo(make);
    expect(peekAll(q, "leased")[0]).toMatchObject({
      consumer: "holder",
      leaseUntilMs: q.nowMs + 60_000,
      attempts: 1,
    });
    expect(peekAll(q, "delayed")).toMatchObject([
      { dueMs: q.nowMs + 5_000, attempts: 1, log: [{ outcome: "nack" }] },
      { dueMs: q.nowMs + 9_000, attempts: 0 },
    ]);
    expect(peekAll(q, "dead")[0]).toMatchObject({ failures: 1, log: [{ error: "why" }] });
  });

  inBothLives("changes nothing", (make) => {
    const q = makeZoo(make);
    const before = { info: q.info(), wakeMs: q.wakeMs() };
    const written = q.counted.rowsWritten;
    for (const state of STATES) peekAll(q, state, 1);
    expect(q.counted.rowsWritten).toBe(written);
    expect({ info: q.info(), wakeMs: q.wakeMs() }).toEqual(before);
    expect(bodies(q.take(9))).toEqual(["ready2", "ready1"]);
  });

  inBothLives("agrees with the counts", (make) => {
    const q = makeZoo(make);
    const { counts } = q.info();
    for (const state of STATES) expect([state, counts[state]]).toEqual([state, peekAll(q, state).length]);
  });

  it("looks at a bounded part of a long queue, and goes on from there", () => {
    const q = new QueueHarness();
    for (let i = 0; i < 200; i++) must(q.publish(String(i)));
    const q1 = q.run((queue, nowMs) => queue.peek({ state: "delayed", limit: 10 }, nowMs));
    expect(must(q1)).toMatchObject({ messages: [], cursor: expect.any(String) as string });
    expect(peekAll(q, "delayed")).toEqual([]);
    expect(texts(peekAll(q, "ready", 7))).toEqual(numbered(200));
  });

  inBothLives("refuses a cursor it did not give", (make) => {
    const q = makeZoo(make);
    for (const state of STATES) {
      for (const cursor of ["x", "1", "1.2.3", "-1.0", "99999999999999999.1"]) {
        const page = q.run((queue, nowMs) => queue.peek({ state, limit: 1, cursor }, nowMs));
        expect([state, cursor, page.ok ? "taken" : page.code]).toEqual([state, cursor, "bad_request"]);
      }
    }
  });

  inBothLives("finds one message by its id or its cancel key", (make) => {
    const q = make();
    must(q.publish({ text: "x", cancelKey: "k", headers: { a: 1 }, correlationId: "c", ttlMs: 1_000 }));
    const found = must(q.run((queue, nowMs) => queue.find({ cancelKey: "k" }, nowMs)));
    expect(found).toMatchObject({
      state: "ready",
      sequence: 1,
      correlationId: "c",
      expiresMs: q.nowMs + 1_000,
    });
    expect(must(q.run((queue, nowMs) => queue.find({ id: found.id }, nowMs)))).toEqual(found);
    drain(q);
    expect(q.run((queue, nowMs) => queue.find({ id: found.id }, nowMs))).toMatchObject({
      code: "message_not_found",
    });
  });
});

describe("the counts", () => {
  inBothLives("add up to what was published", (make) => {
    const q = makeZoo(make);
    must(q.publish({ text: "gone", cancelKey: "k" }));
    must(q.run((queue) => queue.cancel({ cancelKey: "k" })));
    drain(q);
    const { counts, totals, lastSequence } = q.info();
    const here = STATES.reduce((sum, state) => sum + counts[state], 0);
    const { acked, cancelled, purged, dropped, deadLettered } = totals;
    expect(totals.published).toBe(acked + cancelled + purged + dropped + deadLettered + here);
    expect([totals.published, lastSequence]).toEqual([10, 10]);
  });

  inBothLives("tell the age of the oldest message that is ready", (make) => {
    const q = make();
    expect(q.info().oldestReadyMs).toBe(0);
    must(q.publish("1"));
    q.advance(1_000);
    must(q.publish("2"));
    expect(q.info().oldestReadyMs).toBe(1_000);
    settleMessage(q, takeOne(q, "1"), "ack");
    q.advance(500);
    expect(q.info().oldestReadyMs).toBe(500);
    drain(q);
    expect(q.info().oldestReadyMs).toBe(0);
  });
});

describe("a purge", () => {
  const EMPTY: Partial<QueueCounts> = { ready: 0, delayed: 0, parked: 0, dead: 0 };

  inBothLives("removes what waits or is dead, and leaves what a consumer holds", (make) => {
    const q = makeZoo(make);
    expect(q.run((queue) => queue.purge({}))).toEqual({ messages: 7 });
    expect(q.info().counts).toMatchObject({ ...EMPTY, leased: 2 });
    expect(q.info().totals.purged).toBe(7);
    const lease = peekAll(q, "leased")[0]!;
    must(q.publish("after"));
    expect(bodies(q.take(9))).toEqual(["after"]);
    expect(lease.consumer).toBe("holder");
  });

  inBothLives("leaves what was published later than the sequence it names", (make) => {
    const q = make();
    for (let i = 0; i < 5; i++) must(q.publish(`${i}a`, `${i}b`, { text: `${i}c`, delayMs: 1_000 }));
    const upTo = 7;
    const { messages } = q.run((queue) => queue.purge(upTo === undefined ? {} : { upToSequence: upTo }));
    expect(messages).toBe(upTo);
    q.advance(1_000);
    const rest = drain(q);
    expect(rest).toHaveLength(15 - upTo);
    for (const { sequence } of rest) expect(sequence).toBeGreaterThan(upTo);
  });

  inBothLives("may take what consumers hold as well, to whom it is as if they had acked", (make) => {
    const q = makeZoo(make);
    const id = q.attach({ credit: 1 });
    expect(q.dispatch()).toHaveLength(1);
    const held = peekAll(q, "leased");
    expect(q.run((queue) => queue.purge({ leased: true }))).toEqual({ messages: 9 });
    expect(q.info().counts).toMatchObject({ ...EMPTY, leased: 0, bytes: 0 });
    expect(q.info().totals).toMatchObject({ purged: 9, acked: 0 });
    const leases = q.counted.all<{ lease: number }>("SELECT lease FROM lease WHERE slot > 0");
    const settle = (lease: number, verdict: Verdict, sequence: number): SettlementResult =>
      q.settle({ lease, sequences: [[sequence, 1]], verdict })[0]!;
    let settled = 0;
    for (const { lease } of leases) {
      for (const { sequence } of held) {
        if (settle(lease, "ack", sequence).settled === 0) continue;
        settled++;
        expect(settle(lease, "nack", sequence).refused).toMatchObject([{ code: "already_settled" }]);
        expect(settle(lease, "extend", sequence).refused).toMatchObject([{ code: "lease_lost" }]);
      }
    }
    expect(settled).toBe(3);
    expect(q.info().consumers).toMatchObject([{ unsettled: 0 }]);
    must(q.publish({ text: "next", orderingKey: "k" }));
    expect(q.dispatch()).toMatchObject([{ consumer: { id } }]);
  });

  inBothLives("leaves to consumers what was published after what it takes from them", (make) => {
    const q = make({ config: { fifo: true } });
    must(q.publish({ text: "1", orderingKey: "k" }, { text: "2", orderingKey: "k" }, "3", "4"));
    expect(bodies(q.take(3))).toEqual(["1", "3", "4"]);
    expect(q.run((queue) => queue.purge({ leased: true, upToSequence: 3 }))).toEqual({ messages: 3 });
    expect(texts(peekAll(q, "leased"))).toEqual(["4"]);
    must(q.publish({ text: "5", orderingKey: "k" }));
    takeOne(q, "5");
  });

  inBothLives("takes away the timers, keys and handles of what it removes", (make) => {
    const q = makeZoo(make);
    must(q.publish({ cancelKey: "k", ttlMs: 100, delayMs: 50 }, { orderingKey: "k" }));
    q.run((queue) => queue.purge({}));
    q.advance(60_000);
    q.run((queue) => queue.purge({}));
    for (const table of ["segment", "progress", "returned", "delayed", "expiry", "blocked", "handle"]) {
      expect([table, q.rowsIn(table)]).toEqual([table, 0]);
    }
    expect(q.info().counts).toMatchObject({ ...EMPTY, leased: 0, bytes: 0 });
    expect(q.wakeMs()).toBeNull();
  });

  inBothLives("leaves what comes back later", (make) => {
    const q = make();
    must(q.publish("1", "2"));
    const one = takeOne(q, "1");
    expect(q.run((queue) => queue.purge({}))).toEqual({ messages: 1 });
    settleMessage(q, one, "nack", { delayMs: 0 });
    expect(takeOne(q, "1")).toMatchObject({ attempt: 2 });
  });
});
