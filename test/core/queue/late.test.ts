// Settlements that come after their time, and messages of one delivery with times of their own.
import { describe, expect } from "vitest";
import type { DeliveredJson } from "../../../src/protocol/message-json.ts";
import type { Settlement, SettlementResult } from "../../../src/protocol/commands.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { leaseOf, type QueueHarness } from "../../support/queue-harness.ts";
import { bodies, carry, inBothLives, must, settleMessage, takeOne } from "../../support/queue-lives.ts";

const retry = { kind: "fixed", baseMs: 1_000, maxMs: 1_000, jitter: 0 } as const;
const config = { leaseMs: 5_000, retry, nackDelayMs: 2_000 };

/** Settles one message late. */
function late(
  q: QueueHarness,
  message: DeliveredJson,
  verdict: "ack" | "extend" | "reject" = "ack",
  wishes: Partial<Settlement> = {},
): SettlementResult {
  const sequences = [[message.sequence, 1]] as const;
  return q.settle({ lease: leaseOf(message), sequences, verdict, late: true, ...wishes })[0]!;
}

const LOST = { settled: 0, refused: [{ code: "lease_lost" }] };

describe("a late ack", () => {
  inBothLives("counts after the lease ran out, while the message waits or is ready", (make) => {
    for (const waitedMs of [0, 999, 1_000]) {
      const q = make({ config });
      q.publish("x");
      const x = takeOne(q, "x");
      q.advance(5_000);
      q.advance(waitedMs);
      expect(settleMessage(q, x, "ack")).toMatchObject(LOST);
      expect(late(q, x)).toEqual({ settled: 1, refused: [] });
      expect(q.info().counts).toMatchObject({ ready: 0, delayed: 0, bytes: 0 });
      expect(q.info().totals).toMatchObject({ acked: 1, failed: 1 });
      expect(late(q, x)).toEqual({ settled: 1, refused: [] });
      expect(settleMessage(q, x, "ack")).toEqual({ settled: 1, refused: [] });
      q.advance(60_000);
      expect(q.take()).toEqual([]);
    }
  });

  inBothLives("counts at the last millisecond too, whether or not the alarm came", (make) => {
    const q = make({ config });
    q.publish("x");
    const x = takeOne(q, "x");
    q.nowMs += 5_000;
    expect(late(q, x)).toEqual({ settled: 1, refused: [] });
    expect(q.info().counts).toMatchObject({ leased: 0, delayed: 0 });
  });

  inBothLives("in time is an ack like any other", (make) => {
    const q = make({ config });
    q.publish("x");
    expect(late(q, takeOne(q, "x"))).toEqual({ settled: 1, refused: [] });
  });

  inBothLives(
    "counts after the message was given back or failed, and after its consumer was lost",
    (make) => {
      const q = make({ config });
      q.publish("nack", "reject");
      for (const verdict of ["nack", "reject"] as const) {
        const message = takeOne(q, verdict);
        settleMessage(q, message, verdict);
        expect(settleMessage(q, message, "ack")).toMatchObject({ refused: [{ code: "already_settled" }] });
        expect(late(q, message).settled).toBe(1);
      }
      q.publish("lost");
      const id = q.attach();
      const { lease } = q.dispatch()[0]!.delivery;
      q.detach(id, "lost");
      expect(q.settle({ lease, verdict: "ack", late: true })).toEqual([{ settled: 1, refused: [] }]);
      expect(q.info().totals).toMatchObject({ acked: 3, published: 3 });
    },
  );

  inBothLives("is refused once someone was given the message since, whatever came of it", (make) => {
    const q = make({ config });
    q.publish("x");
    const first = takeOne(q, "x");
    q.advance(5_000);
    q.advance(1_000);
    const second = takeOne(q, "x");
    expect(late(q, first)).toMatchObject(LOST);
    settleMessage(q, second, "nack");
    expect(late(q, first)).toMatchObject(LOST);
    expect(late(q, second).settled).toBe(1);
    expect(late(q, first)).toMatchObject(LOST);
  });

  inBothLives("is refused once the message was given up, parked, taken back or purged", (make) => {
    const q = make({ config: { ...config, maxFailures: 0, fifo: true } });
    must(q.publish("dead", { text: "parked", orderingKey: "k" }));
    const [dead, parked] = q.take(2);
    q.advance(5_000);
    expect(q.info().counts).toMatchObject({ dead: 1, parked: 1 });
    for (const message of [dead!, parked!]) expect(late(q, message)).toMatchObject(LOST);
    must(q.publish({ text: "cancelled", cancelKey: "c" }, "purged"));
    const [cancelled, purged] = q.take(2);
    for (const message of [cancelled!, purged!]) settleMessage(q, message, "nack");
    must(q.run((queue) => queue.cancel({ cancelKey: "c" })));
    q.run((queue) => queue.purge({}));
    for (const message of [cancelled!, purged!])
      expect(late(q, message)).toMatchObject({ settled: 0, refused: [{ code: "already_settled" }] });
  });

  inBothLives("is refused once the message is in another queue", (make) => {
    const q = make({ config: { ...config, maxFailures: 0, deadLetter: { queue: "dlq" } } });
    const dlq = make({ name: "dlq" });
    q.publish("x");
    const x = takeOne(q, "x");
    q.advance(5_000);
    expect(late(q, x)).toMatchObject(LOST);
    expect(carry(q, dlq)).toBe(1);
  });

  inBothLives("frees the key of its message", (make) => {
    const q = make({ config: { ...config, fifo: true } });
    must(q.publish({ text: "1", orderingKey: "k" }, { text: "2", orderingKey: "k" }));
    const one = takeOne(q, "1");
    q.advance(5_000);
    expect(q.take()).toEqual([]);
    expect(late(q, one).settled).toBe(1);
    takeOne(q, "2");
  });

  inBothLives("judges each message of a delivery for itself", (make) => {
    const q = make({ config: { ...config, nackDelayMs: 0 } });
    q.publish("1", "2", "3");
    const [one, two] = q.take(3);
    const lease = leaseOf(one!);
    settleMessage(q, two!, "nack");
    takeOne(q, "2");
    q.advance(4_999);
    settleMessage(q, one!, "ack");
    q.nowMs += 1;
    expect(q.settle({ lease, verdict: "ack", late: true })).toMatchObject([
      { settled: 2, refused: [{ code: "already_settled", sequences: [2, 1] }] },
    ]);
  });
});

describe("a late extend", () => {
  inBothLives("gives the message back to its delivery, and takes its failure back", (make) => {
    const q = make({ config: { ...config, maxFailures: 1 } });
    q.publish("x");
    const x = takeOne(q, "x");
    q.advance(5_000);
    expect(settleMessage(q, x, "extend")).toMatchObject(LOST);
    expect(late(q, x, "extend", { leaseMs: 2_000 })).toEqual({
      settled: 1,
      untilMs: q.nowMs + 2_000,
      refused: [],
    });
    expect(q.info().counts).toMatchObject({ leased: 1, delayed: 0 });
    const view = must(q.run((queue, nowMs) => queue.find({ id: x.id }, nowMs)));
    expect(view).toMatchObject({ state: "leased", attempts: 1, failures: 0, leaseUntilMs: q.nowMs + 2_000 });
    expect(q.wakeMs()).toBe(q.nowMs + 2_000);
    expect(q.take()).toEqual([]);
    q.advance(2_000);
    q.advance(1_000);
    expect(takeOne(q, "x")).toMatchObject({ attempt: 2, failures: 1 });
  });

  inBothLives("lets the message be acked in time, nacked and extended again", (make) => {
    const q = make({ config });
    q.publish("1", "2", "3");
    const all = q.take(3);
    q.advance(5_000);
    for (const message of all) expect(late(q, message, "extend").settled).toBe(1);
    expect(settleMessage(q, all[0]!, "ack").settled).toBe(1);
    expect(settleMessage(q, all[1]!, "nack", { delayMs: 0 }).settled).toBe(1);
    expect(settleMessage(q, all[2]!, "extend", { leaseMs: 9_000 }).untilMs).toBe(q.nowMs + 9_000);
    expect(q.info().counts).toMatchObject({ leased: 1, ready: 1 });
    expect(takeOne(q, "2")).toMatchObject({ attempt: 2, failures: 0 });
    q.advance(8_999);
    expect(settleMessage(q, all[2]!, "ack").settled).toBe(1);
    q.run((queue) => queue.purge({}));
    for (const table of ["segment", "returned"]) expect([table, q.rowsIn(table)]).toEqual([table, 0]);
  });

  inBothLives("brings a lease back for as long as it holds something, however many end meanwhile", (make) => {
    const q = make({ config });
    q.publish("x");
    const x = takeOne(q, "x");
    q.advance(5_000);
    expect(late(q, x, "extend", { leaseMs: 60_000 }).settled).toBe(1);
    // More than the ended leases that a queue remembers, and then some that take the places of those.
    for (let i = 0; i < 300; i++) {
      q.publish("other");
      settleMessage(q, takeOne(q, "other"), "ack");
    }
    q.evict();
    expect(q.info().counts).toMatchObject({ leased: 1, ready: 0, delayed: 0 });
    expect(settleMessage(q, x, "ack")).toEqual({ settled: 1, refused: [] });
  });

  inBothLives("is refused of a message with a key, and once someone else was given the message", (make) => {
    const q = make({ config: { ...config, fifo: true } });
    must(q.publish({ text: "key", orderingKey: "k" }, "none"));
    const [key, none] = q.take(2);
    q.advance(5_000);
    expect(late(q, key!, "extend")).toMatchObject(LOST);
    q.advance(1_000);
    expect(bodies(q.take(2))).toEqual(["key", "none"]);
    expect(late(q, none!, "extend")).toMatchObject(LOST);
  });

  inBothLives("is refused twelve hours after the lease began", (make) => {
    const q = make({ config: { ...config, retry: { ...retry, baseMs: 86_400_000, maxMs: 86_400_000 } } });
    q.publish("x");
    const x = takeOne(q, "x");
    q.advance(LIMITS.leaseMsMax - 1);
    expect(late(q, x, "extend")).toEqual({ settled: 1, untilMs: q.nowMs + 1, isCut: true, refused: [] });
    q.advance(1);
    expect(late(q, x, "extend")).toMatchObject(LOST);
  });

  inBothLives("is no socket's, so that nothing but its time ends it", (make) => {
    const q = make({ config });
    q.publish("x");
    const id = q.attach({ credit: 1 });
    const { lease } = q.dispatch()[0]!.delivery;
    q.detach(id, "lost");
    const at = { lease, sequences: [[1, 1]] as const };
    expect(q.settle({ ...at, verdict: "extend", late: true })[0]!.settled).toBe(1);
    q.evict();
    expect(q.info().counts).toMatchObject({ leased: 1 });
    expect(q.settle({ ...at, verdict: "ack" })[0]!.settled).toBe(1);
  });
});

describe("an extend of some messages of a delivery", () => {
  inBothLives("changes their time and that of no other", (make) => {
    const q = make({ config });
    q.publish("1", "2", "3");
    const [one, two, three] = q.take(3);
    q.advance(1_000);
    expect(settleMessage(q, two!, "extend", { leaseMs: 60_000 }).untilMs).toBe(q.nowMs + 60_000);
    expect(settleMessage(q, three!, "extend", { leaseMs: 1_000 }).untilMs).toBe(q.nowMs + 1_000);
    expect(q.wakeMs()).toBe(q.nowMs + 1_000);
    q.advance(1_000);
    expect(settleMessage(q, three!, "ack")).toMatchObject(LOST);
    q.advance(3_000);
    expect(q.info().counts).toMatchObject({ leased: 1 });
    expect(settleMessage(q, one!, "ack")).toMatchObject(LOST);
    q.advance(55_999);
    expect(settleMessage(q, two!, "ack")).toEqual({ settled: 1, refused: [] });
  });

  inBothLives("is of the whole delivery when it names all that is open, or none", (make) => {
    for (const isNamed of [true, false]) {
      const q = make({ config });
      q.publish("1", "2", "3");
      const [one, two] = q.take(3);
      const lease = leaseOf(one!);
      settleMessage(q, two!, "extend", { leaseMs: 1_000 });
      settleMessage(q, one!, "ack");
      const named = isNamed ? { sequences: [[2, 2]] as const } : {};
      expect(q.settle({ lease, ...named, verdict: "extend", leaseMs: 9_000 })).toMatchObject([
        { settled: 2 },
      ]);
      q.advance(8_999);
      expect(q.settle({ lease, verdict: "ack" })).toEqual([{ settled: 2, refused: [] }]);
    }
  });

  inBothLives("shows in a look at the message, and ends a repeated receive", (make) => {
    const q = make({ config });
    q.publish("1", "2", "3");
    const first = q.receive(2, { attemptId: "a" });
    const sequences = [[2, 1]] as const;
    q.settle({ lease: first.lease, sequences, verdict: "extend", leaseMs: 60_000 });
    const page = must(q.run((queue, nowMs) => queue.peek({ state: "leased", limit: 9 }, nowMs)));
    expect(page.messages.map(({ leaseUntilMs }) => leaseUntilMs)).toEqual([
      q.nowMs + 5_000,
      q.nowMs + 60_000,
    ]);
    expect(q.receive(1, { attemptId: "a" }).lease).not.toBe(first.lease);
  });

  inBothLives("is cut at twelve hours from the grant, and says so", (make) => {
    const q = make({ config });
    q.publish("1", "2");
    const [one] = q.take(2);
    q.advance(1_000);
    const result = settleMessage(q, one!, "extend", { leaseMs: LIMITS.leaseMsMax });
    expect(result).toEqual({
      settled: 1,
      untilMs: q.nowMs - 1_000 + LIMITS.leaseMsMax,
      isCut: true,
      refused: [],
    });
  });
});

describe("a late change of a message that was given out again", () => {
  const follow = { ...config, lateChanges: "follow" } as const;

  /** A message that `slow` let expire and that `quick` holds now. */
  function givenAgain(q: QueueHarness) {
    q.publish("x", "y");
    const [slow] = q.take(2, { consumer: "slow" });
    q.advance(5_000);
    q.advance(1_000);
    const [quick] = q.take(2, { consumer: "quick" });
    return { slow: slow!, quick: quick! };
  }

  inBothLives("is refused by a queue that says nothing of it", (make) => {
    const q = make({ config });
    const { slow, quick } = givenAgain(q);
    for (const verdict of ["extend", "reject"] as const) expect(late(q, slow, verdict)).toMatchObject(LOST);
    expect(settleMessage(q, quick, "ack").settled).toBe(1);
  });

  inBothLives(
    "extends the delivery that holds it, for that message alone, where the queue follows",
    (make) => {
      const q = make({ config: follow });
      const { slow, quick } = givenAgain(q);
      const untilMs = q.nowMs + 9_000;
      expect(late(q, slow, "extend", { leaseMs: 9_000 })).toEqual({ settled: 1, untilMs, refused: [] });
      q.advance(5_000);
      expect(q.info().counts).toMatchObject({ leased: 1, delayed: 1 });
      expect(settleMessage(q, quick, "ack")).toEqual({ settled: 1, refused: [] });
    },
  );

  inBothLives("ends the delivery that holds it, where the queue follows", (make) => {
    const q = make({ config: follow });
    const { slow, quick } = givenAgain(q);
    expect(late(q, slow, "reject", { delayMs: 0 })).toEqual({ settled: 1, refused: [] });
    expect(settleMessage(q, quick, "ack")).toMatchObject({ refused: [{ code: "already_settled" }] });
    expect(takeOne(q, "x")).toMatchObject({ attempt: 3, failures: 2 });
  });

  inBothLives("is refused when the holder's time is over too, and when the message is gone", (make) => {
    const q = make({ config: follow });
    const { slow, quick } = givenAgain(q);
    q.nowMs += 5_000;
    expect(late(q, slow, "extend")).toMatchObject(LOST);
    expect(late(q, quick, "ack").settled).toBe(1);
    for (const verdict of ["extend", "reject"] as const) expect(late(q, slow, verdict)).toMatchObject(LOST);
  });

  inBothLives("leaves an ack fenced, and a change that does not say late", (make) => {
    const q = make({ config: follow });
    const { slow, quick } = givenAgain(q);
    expect(late(q, slow, "ack")).toMatchObject(LOST);
    expect(settleMessage(q, slow, "extend")).toMatchObject(LOST);
    expect(settleMessage(q, quick, "ack").settled).toBe(1);
  });
});
