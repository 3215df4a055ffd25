// Leases and their fences.
import { describe, expect, it } from "vitest";
import { leaseOf, QueueHarness } from "../../support/queue-harness.ts";
import { bodies, inBothLives, numbered, settleMessage, takeOne } from "../../support/queue-lives.ts";

const retry = { kind: "fixed", baseMs: 1_000, maxMs: 1_000, jitter: 0 } as const;
const config = { leaseMs: 5_000, retry };

describe("a lease", () => {
  inBothLives("redelivers a message whose lease ran out, after the retry policy's wait", (make) => {
    const q = make({ config });
    q.publish("x");
    takeOne(q, "x");
    q.advance(4_999);
    expect(q.info().counts).toMatchObject({ leased: 1, delayed: 0 });
    q.advance(1);
    expect(q.info().counts).toMatchObject({ leased: 0, delayed: 1 });
    expect(q.take()).toEqual([]);
    q.advance(1_000);
    expect(takeOne(q, "x")).toMatchObject({ attempt: 2, failures: 1 });
  });

  inBothLives("wakes the queue when the first of its leases runs out", (make) => {
    const q = make({ config });
    q.publish("x", "y");
    const startMs = q.nowMs;
    q.take(1, { leaseMs: 9_000 });
    q.take(1, { leaseMs: 2_000 });
    expect(q.wakeMs()).toBe(startMs + 2_000);
  });

  inBothLives("tells the first and the latest time a message was sent", (make) => {
    const q = make({ config });
    q.publish("x");
    const first = q.nowMs;
    settleMessage(q, takeOne(q, "x"), "nack", { delayMs: 100 });
    q.advance(100);
    expect(takeOne(q, "x")).toMatchObject({
      firstSentMs: first,
      timeMs: first,
      leaseUntilMs: q.nowMs + 5_000,
    });
  });

  inBothLives("refuses a late ack and names who holds the message now", (make) => {
    const q = make({ config });
    q.publish("x");
    const [late] = q.take(1, { consumer: "slow" });
    q.advance(5_000);
    q.advance(1_000);
    const [now] = q.take(1, { consumer: "quick" });
    const result = settleMessage(q, late!, "ack");
    expect(result).toMatchObject({
      settled: 0,
      refused: [{ code: "lease_lost", sequences: [late!.sequence, 1] }],
    });
    expect(result.refused[0]!.detail).toContain("quick holds it now");
    expect(settleMessage(q, now!, "ack")).toEqual({ settled: 1, refused: [] });
  });

  inBothLives("is over at its last millisecond, whether or not the alarm came", (make) => {
    const q = make({ config });
    q.publish("x", "y");
    const [x, y] = q.take(2);
    q.nowMs += 4_999;
    expect(settleMessage(q, x!, "ack").settled).toBe(1);
    q.nowMs += 1;
    expect(settleMessage(q, y!, "ack").refused[0]).toMatchObject({ code: "lease_lost" });
    expect(q.info().counts).toMatchObject({ leased: 0, delayed: 1 });
  });

  inBothLives("is not settled by what names another queue of the name, by its origin", (make) => {
    const q = make({ config });
    q.publish("x");
    const at = { lease: leaseOf(takeOne(q, "x")), verdict: "ack" } as const;
    const { origin } = q.run((queue) => queue.stored);
    expect(q.settle({ ...at, origin: origin + 1 })).toMatchObject([
      { settled: 0, refused: [{ code: "lease_lost" }] },
    ]);
    expect(q.settle({ ...at, origin })).toEqual([{ settled: 1, refused: [] }]);
  });

  inBothLives("refuses a late ack of the whole delivery too", (make) => {
    const q = make({ config });
    q.publish("x", "y");
    const [x] = q.take(2);
    q.advance(5_000);
    const [result] = q.settle({ lease: leaseOf(x!), verdict: "ack" });
    expect(result).toMatchObject({ settled: 0, refused: [{ code: "lease_lost", sequences: [1, 2] }] });
  });

  inBothLives("finds the same verdict twice harmless and another one refused", (make) => {
    for (const first of ["ack", "nack", "reject"] as const) {
      const q = make({ config });
      q.publish("x", "y");
      const [x] = q.take(2);
      expect(settleMessage(q, x!, first)).toEqual({ settled: 1, refused: [] });
      for (const second of ["ack", "nack", "reject"] as const) {
        const result = settleMessage(q, x!, second);
        if (second === first) expect(result).toEqual({ settled: 1, refused: [] });
        else expect(result).toMatchObject({ settled: 0, refused: [{ code: "already_settled" }] });
      }
      expect(q.info().counts.leased).toBe(1);
    }
  });

  inBothLives(
    "finds the same verdict for the whole delivery twice harmless and another one refused",
    (make) => {
      const q = make({ config });
      q.publish("x", "y");
      const lease = leaseOf(q.take(2)[0]!);
      expect(q.settle({ lease, verdict: "ack" })).toEqual([{ settled: 2, refused: [] }]);
      expect(q.settle({ lease, verdict: "ack" })).toEqual([{ settled: 2, refused: [] }]);
      expect(q.settle({ lease, verdict: "nack" })).toMatchObject([
        { settled: 0, refused: [{ code: "already_settled", sequences: [1, 2] }] },
      ]);
    },
  );

  inBothLives("tells a rejected message from one that was rejected for good", (make) => {
    const q = make({ config });
    q.publish("x", "y");
    const [x] = q.take(2);
    settleMessage(q, x!, "reject", { dead: true });
    expect(settleMessage(q, x!, "reject", { dead: true }).settled).toBe(1);
    expect(settleMessage(q, x!, "reject").refused[0]).toMatchObject({ code: "already_settled" });
  });

  inBothLives("lets the first of two verdicts in one request win", (make) => {
    const q = make({ config });
    q.publish("x");
    const x = takeOne(q, "x");
    const one = { lease: leaseOf(x), sequences: [[x.sequence, 1]] as const };
    const results = q.settle({ ...one, verdict: "nack", delayMs: 0 }, { ...one, verdict: "ack" });
    expect(results).toMatchObject([{ settled: 1 }, { settled: 0, refused: [{ code: "already_settled" }] }]);
    expect(q.info().counts.ready).toBe(1);
  });

  inBothLives("refuses an id that no lease has", (make) => {
    const q = make({ config });
    q.publish("x");
    const x = takeOne(q, "x");
    const foreign = { lease: leaseOf(x) + 1, verdict: "ack" } as const;
    expect(q.settle(foreign)[0]!.refused[0]).toMatchObject({ code: "lease_lost" });
    expect(q.settle({ ...foreign, sequences: [[1, 1]] })[0]!.refused).toMatchObject([
      { code: "lease_lost", sequences: [1, 1] },
    ]);
    expect(q.info().counts.leased).toBe(1);
  });

  inBothLives("settles no message of another lease", (make) => {
    const q = make({ config });
    q.publish("x", "y");
    const x = takeOne(q, "x");
    const y = takeOne(q, "y");
    const [result] = q.settle({ lease: leaseOf(x), sequences: [[y.sequence, 1]], verdict: "ack" });
    expect(result).toMatchObject({
      settled: 0,
      refused: [{ code: "lease_lost", sequences: [y.sequence, 1] }],
    });
    expect(q.info().counts.leased).toBe(2);
  });

  inBothLives("takes an ack of a part, and the rest stays out", (make) => {
    const q = make({ config });
    q.publish("1", "2", "3", "4", "5");
    const lease = leaseOf(q.take(5)[0]!);
    expect(q.settle({ lease, sequences: [[2, 2]], verdict: "ack" })).toEqual([{ settled: 2, refused: [] }]);
    expect(q.info().counts).toMatchObject({ leased: 3, ready: 0 });
    expect(q.settle({ lease, verdict: "nack", delayMs: 0 })).toEqual([{ settled: 3, refused: [] }]);
    expect(bodies(q.take(9))).toEqual(["1", "4", "5"]);
  });

  inBothLives("answers each sequence of a run that reaches beyond the delivery", (make) => {
    const q = make({ config });
    q.publish("1", "2", "3");
    const lease = leaseOf(q.take(2)[0]!);
    const [result] = q.settle({ lease, sequences: [[1, 9]], verdict: "ack" });
    expect(result).toMatchObject({ settled: 2, refused: [{ code: "lease_lost", sequences: [3, 7] }] });
  });

  inBothLives("remembers what became of a delivery through hundreds of later ones", (make) => {
    const q = make({ config });
    q.publish(...numbered(200));
    const first = takeOne(q, "0");
    settleMessage(q, first, "nack", { delayMs: 60_000 });
    for (let i = 1; i < 200; i++) settleMessage(q, takeOne(q, String(i)), "ack");
    expect(settleMessage(q, first, "nack").settled).toBe(1);
    expect(settleMessage(q, first, "ack").refused[0]).toMatchObject({ code: "already_settled" });
  });

  it("forgets the oldest ended deliveries and uses their rows again", () => {
    const q = new QueueHarness({ config });
    q.publish(...numbered(600));
    const first = takeOne(q, "0");
    settleMessage(q, first, "ack");
    for (let i = 1; i < 600; i++) settleMessage(q, takeOne(q, String(i)), "ack");
    expect(settleMessage(q, first, "ack").refused[0]).toMatchObject({ code: "lease_lost" });
    expect(q.counted.value("SELECT count(*) AS value FROM lease")).toBeLessThan(300);
  });
});

describe("an extension", () => {
  inBothLives("counts from now and returns the absolute end", (make) => {
    const q = make({ config });
    q.publish("x");
    const x = takeOne(q, "x");
    q.advance(4_000);
    expect(settleMessage(q, x, "extend")).toEqual({ settled: 1, untilMs: q.nowMs + 5_000, refused: [] });
    expect(settleMessage(q, x, "extend", { leaseMs: 60_000 }).untilMs).toBe(q.nowMs + 60_000);
    q.advance(59_999);
    expect(settleMessage(q, x, "ack")).toEqual({ settled: 1, refused: [] });
  });

  inBothLives("may be repeated, and may shorten the lease", (make) => {
    const q = make({ config });
    q.publish("x");
    const x = takeOne(q, "x");
    settleMessage(q, x, "extend", { leaseMs: 60_000 });
    expect(settleMessage(q, x, "extend", { leaseMs: 1_000 }).untilMs).toBe(q.nowMs + 1_000);
    expect(q.wakeMs()).toBe(q.nowMs + 1_000);
    q.advance(1_000);
    expect(q.info().counts.leased).toBe(0);
  });

  inBothLives("does not bring back a lease that is over, nor one that is settled", (make) => {
    const q = make({ config });
    q.publish("x", "y");
    const x = takeOne(q, "x");
    const y = takeOne(q, "y");
    settleMessage(q, y, "ack");
    expect(settleMessage(q, y, "extend")).toMatchObject({ settled: 0, refused: [{ code: "lease_lost" }] });
    q.advance(5_000);
    const late = settleMessage(q, x, "extend");
    expect(late).toMatchObject({ settled: 0, refused: [{ code: "lease_lost" }] });
    expect(late.untilMs).toBeUndefined();
    expect(q.settle({ lease: leaseOf(x), verdict: "extend" })[0]!.refused[0]).toMatchObject({
      code: "lease_lost",
    });
  });

  inBothLives("of a foreign message extends nothing", (make) => {
    const q = make({ config });
    q.publish("x", "y");
    const x = takeOne(q, "x");
    const y = takeOne(q, "y");
    q.advance(1_000);
    const [result] = q.settle({ lease: leaseOf(x), sequences: [[y.sequence, 1]], verdict: "extend" });
    expect(result).toMatchObject({ settled: 0, refused: [{ code: "lease_lost" }] });
    expect(result!.untilMs).toBeUndefined();
    q.advance(4_000);
    expect(q.info().counts.leased).toBe(0);
  });
});

describe("a repeated receive", () => {
  inBothLives("returns the same set while it is untouched", (make) => {
    const q = make({ config });
    q.publish("1", "2", "3");
    const first = q.receive(2, { attemptId: "a" });
    expect(q.receive(2, { attemptId: "a" })).toEqual(first);
    expect(q.info().counts).toMatchObject({ leased: 2, ready: 1 });
    expect(q.info().totals.delivered).toBe(2);
  });

  inBothLives("gets other messages under another attempt or another consumer", (make) => {
    const q = make({ config });
    q.publish("1", "2", "3");
    const first = q.receive(1, { attemptId: "a" });
    expect(q.receive(1, { attemptId: "b" }).lease).not.toBe(first.lease);
    expect(q.receive(1, { attemptId: "a", consumer: "other" }).lease).not.toBe(first.lease);
    expect(q.info().counts.leased).toBe(3);
  });

  inBothLives("gets other messages once one of the set is settled or the lease is over", (make) => {
    const q = make({ config });
    q.publish("1", "2", "3", "4");
    const first = q.receive(2, { attemptId: "a" });
    q.settle({ lease: first.lease, sequences: [[1, 1]], verdict: "ack" });
    const second = q.receive(1, { attemptId: "a" });
    expect(second.lease).not.toBe(first.lease);
    q.nowMs += 5_000;
    expect([first.lease, second.lease]).not.toContain(q.receive(1, { attemptId: "a" }).lease);
  });

  inBothLives("shows an extension of the lease", (make) => {
    const q = make({ config });
    q.publish("1");
    const { lease } = q.receive(1, { attemptId: "a" });
    const [extended] = q.settle({ lease, verdict: "extend", leaseMs: 60_000 });
    expect(q.receive(1, { attemptId: "a" })).toMatchObject({ lease, untilMs: extended!.untilMs });
  });
});
