// Bringing dead messages back.
import { describe, expect } from "vitest";
import type { DeathRecord, RedriveCommand, RedriveStatus } from "../../../src/protocol/commands.ts";
import type { QueueHarness } from "../../support/queue-harness.ts";
import {
  bodies,
  carry,
  drain,
  inBothLives,
  must,
  numbered,
  settleMessage,
  takeOne,
  type MakeQueue,
} from "../../support/queue-lives.ts";

const retry = { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } as const;

function redrive(q: QueueHarness, command: Partial<RedriveCommand> = {}): RedriveStatus {
  const whole = { filter: {}, dryRun: false, ...command };
  return must(q.run((queue, nowMs) => queue.redrive(whole, nowMs)));
}

function status(q: QueueHarness, task: number): RedriveStatus {
  return must(q.run((queue) => queue.redriveStatus(task)));
}

/** A dead-letter queue with messages that died in several ways in two queues. */
function makeDeadLetters(make: MakeQueue): { q: QueueHarness; dlq: QueueHarness; ids: Map<string, string> } {
  const config = { retry, maxFailures: 0, deadLetter: { queue: "dlq" } };
  const q = make({ name: "q", config });
  const other = make({ name: "other", config });
  const dlq = make({ name: "dlq" });
  const ids = new Map<string, string>();
  const kill = (from: QueueHarness, error: string, dead: boolean): void => {
    const message = from.take()[0]!;
    ids.set(message.body!, message.id);
    settleMessage(from, message, "reject", { dead, error });
  };
  must(q.publish({ text: "a", routingKey: "r.1", orderingKey: "k", headers: { shop: "7", n: 5 } }));
  must(q.publish({ text: "b", routingKey: "r.2" }, "c", { text: "d", ttlMs: 100 }));
  kill(q, "no stock", false);
  q.advance(50);
  kill(q, "timeout at shop", false);
  kill(q, "no stock", true);
  q.advance(50);
  other.nowMs = q.nowMs;
  must(other.publish("e"));
  kill(other, "gone", true);
  dlq.nowMs = q.nowMs;
  carry(q, dlq);
  carry(other, dlq);
  return { q, dlq, ids };
}

describe("a redrive", () => {
  inBothLives("in a dry run counts and moves nothing", (make) => {
    const { dlq } = makeDeadLetters(make);
    const dry = redrive(dlq, { dryRun: true, filter: { reason: "failed" } });
    expect(dry).toMatchObject({ task: null, state: "dry_run", scanned: 5, matched: 2, moved: 0, total: 5 });
    expect(redrive(dlq, { dryRun: true, limit: 3 })).toMatchObject({ matched: 3 });
    expect(dlq.info().counts).toMatchObject({ ready: 5, deadLettering: 0 });
  });

  inBothLives("moves each message to the queue it died in, with its id, and counts it", (make) => {
    const { q, dlq, ids } = makeDeadLetters(make);
    const done = redrive(dlq, { filter: { queue: "q" } });
    expect(done).toMatchObject({ state: "done", scanned: 5, matched: 4, moved: 4 });
    expect(dlq.info().counts.ready).toBe(1);
    expect(dlq.info().totals.redriven).toBe(4);
    expect(carry(dlq, q)).toBe(4);
    const messages = q.take(9);
    expect(bodies(messages)).toEqual(["a", "b", "c", "d"]);
    for (const { body, id, attempt, failures } of messages.slice(0, 3)) {
      expect([id, attempt, failures]).toEqual([ids.get(body!), 1, 0]);
    }
    expect(messages[0]).toMatchObject({ routingKey: "r.1", orderingKey: "k", headers: { shop: "7", n: 5 } });
    expect(messages.map(({ death }) => death)).toMatchObject(
      numbered(4).map(() => ({ redrives: 1, hops: 0 })),
    );
  });

  inBothLives("keeps counting when the message dies and is redriven again", (make) => {
    const { q, dlq } = makeDeadLetters(make);
    for (let times = 1; times <= 3; times++) {
      redrive(dlq, { filter: { routingKey: "r.1" } });
      expect(carry(dlq, q)).toBe(1);
      const message = takeOne(q, "a");
      expect((message.death as DeathRecord).redrives).toBe(times);
      settleMessage(q, message, "reject", { dead: true });
      expect(carry(q, dlq)).toBe(1);
    }
  });

  const filters: readonly [name: string, filter: RedriveCommand["filter"], expected: string][] = [
    ["reason", { reason: "expired" }, "d"],
    ["reason rejected", { reason: "rejected" }, "ce"],
    ["queue", { queue: "other" }, "e"],
    ["routing key", { routingKey: "r.2" }, "b"],
    ["ordering key", { orderingKey: "k" }, "a"],
    ["headers, as text", { headers: { shop: "7", n: "5" } }, "a"],
    ["a header that differs", { headers: { shop: "7", n: "6" } }, ""],
    [
      "a header's name that every object has",
      { headers: { toString: "function toString() { [native code] }" } },
      "",
    ],
    ["the error's text", { errorIncludes: "no stock" }, "ac"],
    ["death before", { diedBeforeMs: 1_000_000 }, "a"],
    ["death after", { diedAfterMs: 1_000_100 }, "de"],
    ["death between", { diedAfterMs: 1_000_050, diedBeforeMs: 1_000_099 }, "bc"],
    ["several at once", { reason: "failed", errorIncludes: "no stock" }, "a"],
  ];
  for (const [name, filter, expected] of filters) {
    inBothLives(`takes only what its filter lets through: ${name}`, (make) => {
      const { q, dlq } = makeDeadLetters(make);
      expect(redrive(dlq, { filter, to: "q" })).toMatchObject({
        matched: expected.length,
        moved: expected.length,
      });
      carry(dlq, q);
      expect(bodies(q.take(9)).join("")).toBe(expected);
    });
  }

  inBothLives("takes only the ids it is given", (make) => {
    const { q, dlq, ids } = makeDeadLetters(make);
    redrive(dlq, { filter: { ids: [ids.get("b")!, ids.get("c")!, "none"] } });
    carry(dlq, q);
    expect(bodies(q.take(9))).toEqual(["b", "c"]);
  });

  inBothLives("stops at its limit", (make) => {
    const { q, dlq } = makeDeadLetters(make);
    expect(redrive(dlq, { limit: 2, to: "q" })).toMatchObject({ state: "done", moved: 2 });
    carry(dlq, q);
    expect(bodies(q.take(9))).toEqual(["a", "b"]);
    expect(dlq.info().counts.ready).toBe(3);
  });

  inBothLives("is paced over the ticks, and ends by itself", (make) => {
    const { dlq } = makeDeadLetters(make);
    const { task } = redrive(dlq, { ratePerSecond: 2, to: "q" });
    for (let moved = 1; moved <= 5; moved++) {
      expect(status(dlq, task!)).toMatchObject({ moved });
      expect(dlq.info().counts.deadLettering).toBe(moved);
      expect(dlq.wakeMs()).toBeLessThanOrEqual(dlq.nowMs + 500);
      dlq.advance(499);
      expect(status(dlq, task!)).toMatchObject({ moved });
      dlq.advance(1);
    }
    expect(status(dlq, task!)).toMatchObject({ state: "done", moved: 5, scanned: 5 });
  });

  inBothLives("can be stopped, and what it moved stays moved", (make) => {
    const { q, dlq } = makeDeadLetters(make);
    const { task } = redrive(dlq, { ratePerSecond: 10, to: "q" });
    dlq.advance(100);
    expect(must(dlq.run((queue) => queue.redriveCancel(task!)))).toMatchObject({
      state: "cancelled",
      moved: 2,
    });
    dlq.advance(10_000);
    expect(status(dlq, task!)).toMatchObject({ state: "cancelled", moved: 2 });
    expect(carry(dlq, q)).toBe(2);
    expect(dlq.info().counts.ready).toBe(3);
    expect(dlq.run((queue) => queue.redriveStatus(99))).toMatchObject({ code: "task_not_found" });
  });

  inBothLives("of many goes on in steps until all are moved, each once", (make) => {
    const config = { retry, maxFailures: 0 };
    const q = make({ config });
    must(q.publish(...numbered(1_200)));
    const all = q.take(1_200);
    q.settle({ lease: Number.parseInt(all[0]!.receipt, 36), verdict: "reject" });
    expect(q.info().counts.dead).toBe(1_200);
    const { task } = redrive(q);
    while (status(q, task!).state === "running") q.advance(0);
    expect(status(q, task!)).toMatchObject({ state: "done", scanned: 1_200, matched: 1_200, moved: 1_200 });
    expect(q.info().counts).toMatchObject({ dead: 0, ready: 1_200 });
  });

  inBothLives("leaves what a consumer holds, and what came after it was started", (make) => {
    const { dlq } = makeDeadLetters(make);
    takeOne(dlq, "a");
    expect(redrive(dlq, { to: "q" })).toMatchObject({ scanned: 4, moved: 4 });
    expect(dlq.info().counts).toMatchObject({ leased: 1, ready: 0 });
  });
});

describe("a redrive of all", () => {
  inBothLives("moves what never died as it is, and what died as it always does", (make) => {
    const { q, dlq } = makeDeadLetters(make);
    must(dlq.publish({ text: "new", routingKey: "r", delayMs: 0, headers: { n: 1 } }, "new2"));
    const { id } = must(
      dlq.run((queue, nowMs) => queue.peek({ state: "ready", limit: 9 }, nowMs)),
    ).messages.at(-1)!;
    const done = redrive(dlq, { all: true, to: "q" });
    expect(done).toMatchObject({ state: "done", scanned: 7, matched: 7, moved: 7, total: 7, to: "q" });
    expect(carry(dlq, q)).toBe(7);
    const messages = q.take(9);
    expect(bodies(messages)).toEqual(["a", "b", "c", "d", "e", "new", "new2"]);
    expect(messages.map(({ death }) => death === undefined)).toEqual([...Array(5).fill(false), true, true]);
    expect(messages[5]).toMatchObject({ routingKey: "r", headers: { n: 1 }, attempt: 1 });
    expect(messages[6]!.id).toBe(id);
    expect(dlq.info().counts).toMatchObject({ ready: 0, bytes: 0 });
    expect(dlq.info().totals.redriven).toBe(7);
  });

  inBothLives("leaves what is out, on a delay or parked", (make) => {
    const q = make({ config: { retry, maxFailures: 0, fifo: true } });
    must(
      q.publish("out", { text: "parked", orderingKey: "k" }, { text: "behind", orderingKey: "k" }, "dead"),
    );
    must(q.publish({ text: "delayed", delayMs: 1_000 }));
    takeOne(q, "out");
    settleMessage(q, takeOne(q, "parked"), "reject");
    settleMessage(q, takeOne(q, "dead"), "reject");
    expect(redrive(q, { all: true, to: "to" })).toMatchObject({ matched: 2, moved: 2, total: 3 });
    const to = make({ name: "to" });
    carry(q, to);
    expect(bodies(drain(to))).toEqual(["behind", "dead"]);
    expect(q.info().counts).toMatchObject({ leased: 1, parked: 1, delayed: 1, ready: 0, dead: 0 });
    must(q.run((queue, nowMs) => queue.resumeKey("k", "retry", nowMs)));
    takeOne(q, "parked");
  });

  inBothLives("keeps to its filter, and counts in a dry run", (make) => {
    const { dlq } = makeDeadLetters(make);
    must(dlq.publish({ text: "new", routingKey: "r.1" }));
    expect(redrive(dlq, { all: true, to: "q", dryRun: true })).toMatchObject({ matched: 6, moved: 0 });
    const filter = { routingKey: "r.1" };
    expect(redrive(dlq, { all: true, to: "q", filter })).toMatchObject({ matched: 2, moved: 2 });
  });

  inBothLives("needs to know where to", (make) => {
    const q = make();
    expect(
      q.run((queue, nowMs) => queue.redrive({ filter: {}, dryRun: false, all: true }, nowMs)),
    ).toMatchObject({
      code: "bad_request",
    });
  });

  inBothLives("goes on in steps, and does not meet what comes in meanwhile", (make) => {
    const q = make();
    must(q.publish(...numbered(1_200)));
    const { task, state } = redrive(q, { all: true, to: "to" });
    expect(state).toBe("running");
    must(q.publish("later"));
    while (status(q, task!).state === "running") q.advance(0);
    expect(status(q, task!)).toMatchObject({ scanned: 1_200, moved: 1_200, total: 1_200 });
    takeOne(q, "later");
  });
});

describe("redrives", () => {
  inBothLives("tell when they began, how much there was, and what was asked for", (make) => {
    const { dlq } = makeDeadLetters(make);
    const startedMs = dlq.nowMs;
    const { task } = redrive(dlq, { ratePerSecond: 2, to: "q", filter: { queue: "q" } });
    dlq.advance(500);
    expect(status(dlq, task!)).toEqual({
      task,
      state: "running",
      scanned: 2,
      matched: 2,
      moved: 2,
      startedMs,
      total: 5,
      to: "q",
      ratePerSecond: 2,
    });
  });

  inBothLives("are listed, the newest first, those that ended too", (make) => {
    const { dlq } = makeDeadLetters(make);
    redrive(dlq, { limit: 1, to: "q" });
    redrive(dlq, { ratePerSecond: 1, to: "q" });
    redrive(dlq, { limit: 1, dryRun: true });
    const list = (limit: number) => dlq.run((queue) => queue.redrives(limit));
    expect(list(9)).toMatchObject([
      { task: 2, state: "running", ratePerSecond: 1 },
      { task: 1, state: "done", total: 5 },
    ]);
    expect(list(1)).toMatchObject([{ task: 2 }]);
  });

  inBothLives("that want to be alone wait for those that go on", (make) => {
    const { dlq } = makeDeadLetters(make);
    const wish = { filter: {}, dryRun: false, alone: true, to: "q" };
    const start = () => dlq.run((queue, nowMs) => queue.redrive(wish, nowMs));
    const { task } = redrive(dlq, { ratePerSecond: 1, to: "q" });
    expect(start()).toMatchObject({ ok: false, code: "redrive_running" });
    expect(redrive(dlq, { ...wish, dryRun: true })).toMatchObject({ state: "dry_run" });
    must(dlq.run((queue) => queue.redriveCancel(task!)));
    expect(must(start())).toMatchObject({ state: "done", moved: 4 });
  });
});

describe("a redrive of what is dead in its own queue", () => {
  const config = { retry, maxFailures: 0 };

  inBothLives("puts it back at its place, its failures forgiven, its attempts and log kept", (make) => {
    const q = make({ config });
    must(q.publish("1", "2", "3"));
    settleMessage(q, takeOne(q, "1"), "reject", { error: "broken" });
    expect(redrive(q, { filter: { errorIncludes: "broken" } })).toMatchObject({ state: "done", moved: 1 });
    expect(q.info().counts).toMatchObject({ dead: 0, ready: 3 });
    const again = takeOne(q, "1");
    expect(again).toMatchObject({ attempt: 2, failures: 0 });
    const view = must(q.run((queue, nowMs) => queue.find({ id: again.id }, nowMs)));
    expect(view.log).toMatchObject([{ attempt: 1, error: "broken" }]);
    expect(bodies(drain(q))).toEqual(["2", "3"]);
  });

  inBothLives("sends it to another queue with its story", (make) => {
    const q = make({ config });
    const to = make({ name: "to" });
    must(q.publish({ text: "1", routingKey: "r" }));
    const first = takeOne(q, "1");
    settleMessage(q, first, "reject", { error: "broken" });
    expect(redrive(q, { to: "to" })).toMatchObject({ moved: 1 });
    expect(q.info().counts).toMatchObject({ dead: 0, bytes: 0, deadLettering: 1 });
    carry(q, to);
    const moved = takeOne(to, "1");
    expect(moved).toMatchObject({ id: first.id, routingKey: "r", attempt: 1 });
    expect(moved.death).toMatchObject({
      queue: "q",
      reason: "failed",
      redrives: 1,
      attempts: 1,
      failures: 1,
      hops: 0,
    });
    expect((moved.death as DeathRecord).log).toMatchObject([{ error: "broken" }]);
  });

  inBothLives("is counted when it dies again and goes to a dead-letter queue", (make) => {
    const q = make({ config });
    const dlq = make({ name: "dlq" });
    must(q.publish("1"));
    settleMessage(q, takeOne(q, "1"), "reject");
    redrive(q);
    q.run((queue) => queue.store({ config: { ...queue.config, deadLetter: { queue: "dlq" } } }));
    settleMessage(q, takeOne(q, "1"), "reject");
    carry(q, dlq);
    expect(takeOne(dlq, "1").death).toMatchObject({ redrives: 1, attempts: 2 });
  });
});
