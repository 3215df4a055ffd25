// What an exchange holds itself: messages on a delay, dead letters, and what is on its way to a queue.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LIMITS } from "../../../src/protocol/limits.ts";
import {
  encodeBodyReference,
  readBodyReference,
  type BodyReference,
} from "../../../src/protocol/message-json.ts";
import {
  EvictedExchange,
  ExchangeHarness,
  expectRefused,
  inBothLives,
} from "../../support/exchange-harness.ts";
import { fuzzRun } from "../../support/seed.ts";

const KEPT = { config: { history: { eventsMax: 100, ageMs: null } } };
const ALL = { destination: { queue: "q" }, key: "#" };

/** `target: bodies` of all that may leave now. */
function leaving(e: ExchangeHarness): string[] {
  return e.carried().map(({ target, batch }) => `${target}: ${e.bodies(batch).join()}`);
}

describe("a message on a delay", () => {
  inBothLives("is held until it is due, and routed by the bindings of that time", (make) => {
    const e = make(KEPT);
    e.bind(ALL);
    const plan = e.publish({ text: "late", delayMs: 1_000 }, "a=now", { text: "later", delayMs: 2_000 });
    expect(plan).toMatchObject({
      places: [[1, 1]],
      delayed: [
        [0, 1],
        [2, 1],
      ],
      step: { queues: [{ queue: "q", messages: [[0, 1]] }] },
    });
    expect(e.bodies(plan.now!.batch)).toEqual(["now"]);
    expect(e.info()).toMatchObject({ delayed: 2, offset: 1 });
    e.advance(999);
    expect(leaving(e)).toEqual([]);
    e.run((exchange) => exchange.unbindAll({ queue: "q" }));
    e.bind({ destination: { queue: "r" }, key: "#" });
    e.advance(1);
    expect(leaving(e)).toEqual(["r: late"]);
    e.advance(1_000);
    expect(leaving(e)).toEqual(["r: later"]);
    expect(e.info()).toMatchObject({ delayed: 0, moving: 0, offset: 3 });
  });

  inBothLives("becomes an event when it is due, not before", (make) => {
    const e = make(KEPT);
    e.bind(ALL);
    e.publish({ text: "late", delayMs: 5 });
    expect([e.turns, e.info().offset]).toEqual([[], 0]);
    e.advance(5);
    expect(e.since("25:0").events).toEqual(["1:late"]);
  });

  inBothLives("loses its delay and keeps all else", (make) => {
    const e = make();
    e.bind(ALL);
    const fields = { routingKey: "k", ttlMs: 9_000, priority: 3, dedupId: "d", headers: { h: 1 } };
    e.publish({ text: "x", delayMs: 5, ...fields });
    e.advance(5);
    const [record] = e.records(e.carried()[0]!.batch);
    expect(record).toMatchObject(fields);
    expect(record).not.toHaveProperty("delayMs");
  });

  inBothLives(
    "comes in the order of due times, and in that of publishing where they are the same",
    (make) => {
      const e = make();
      e.bind(ALL);
      e.publish({ text: "3", delayMs: 300 }, { text: "1a", delayMs: 100 }, { text: "1b", delayMs: 100 });
      e.nowMs += 50;
      e.publish({ text: "1c", delayMs: 50 }, { text: "0", delayMs: 1 });
      e.advance(1_000);
      expect(leaving(e)).toEqual(["q: 0,1a,1b,1c,3"]);
    },
  );

  inBothLives("of 0 goes at once", (make) => {
    const e = make();
    e.bind(ALL);
    expect(e.publish({ text: "x", delayMs: 0 })).toMatchObject({ places: [[0, 1]], delayed: [] });
  });

  inBothLives("is dropped when it is due and no binding matches, as any publish is", (make) => {
    const e = make();
    e.publish({ text: "x", delayMs: 5 });
    e.advance(5);
    expect([leaving(e), e.info().delayed, e.wakeMs()]).toEqual([[], 0, null]);
  });

  inBothLives("is tried again when its ways could not be told, and loses its turn", (make) => {
    const e = make();
    e.bind(ALL);
    e.publish({ text: "1", delayMs: 10 }, { text: "2", delayMs: 5_009 });
    e.nowMs += 10;
    e.run((exchange, nowMs) => {
      exchange.takeDue(exchange.firstDue(nowMs)!, { shares: [], failed: [[0, 1]] }, nowMs);
    });
    expect(e.run((exchange, nowMs) => exchange.firstDue(nowMs))).toBeNull();
    expect([e.info().delayed, e.wakeMs()]).toEqual([2, e.nowMs + 4_999]);
    e.advance(5_000);
    expect(leaving(e)).toEqual(["q: 2,1"]);
  });

  inBothLives("does not wait for others of its batch whose ways could not be told", (make) => {
    const e = make(KEPT);
    const late = (text: string, delayMs: number) => ({ text, delayMs });
    for (const told of [late("1", 4), late("2", 2), late("3", 3)]) e.publish(told);
    e.publish(late("4", 4), late("5", 4));
    e.nowMs += 4;
    // In the order of due time: 2, 3, 1, 4 and 5. The last two are one row, of which one message's ways are known.
    const shares = [
      {
        queue: "q",
        messages: [
          [0, 1],
          [2, 2],
        ] as const,
      },
      { queue: "r", messages: [[1, 2]] as const },
    ];
    e.run((exchange, nowMs) =>
      exchange.takeDue(exchange.firstDue(nowMs)!, { shares, failed: [[4, 1]] }, nowMs),
    );
    expect(leaving(e)).toEqual(["q: 2,1", "r: 3,1"]);
    expect([e.info().delayed, e.since("25:0").events]).toEqual([2, ["1:2", "2:3", "3:1"]]);
  });

  inBothLives("leaves with all that is due, one move for each queue, in the order of due time", (make) => {
    const e = make();
    e.bind({ destination: { queue: "q" }, key: "q" });
    e.bind({ destination: { queue: "r" }, key: "#" });
    for (const delayMs of [3, 1, 2, 1]) e.publish({ routingKey: "q", text: `${delayMs}`, delayMs });
    e.advance(3);
    expect(leaving(e)).toEqual(["q: 1,1,2,3", "r: 1,1,2,3"]);
  });

  it("leaves in as few batches as hold it", () => {
    const e = new ExchangeHarness();
    e.bind(ALL);
    const body = new Uint8Array(LIMITS.batchBytesMax / 4);
    for (let i = 0; i < 10; i++) e.publish({ body, delayMs: 1 + (i % 2) });
    e.advance(2);
    const counts = e.carried().map(({ count, batch }) => [count, batch.length <= LIMITS.batchBytesMax]);
    expect(counts).toEqual([
      [3, true],
      [3, true],
      [3, true],
      [1, true],
    ]);
  });

  it("is refused when the exchange holds its bytes, and nothing of its batch is taken", () => {
    const e = new ExchangeHarness(KEPT);
    e.stores.delayed.totals = () => ({ count: 1, bytes: LIMITS.delayedBytesMax });
    const batch = e.batch("a=now", { text: "late", delayMs: 5 });
    expectRefused(e.tryPublish({ batch }), "exchange_busy");
    expect([e.info().offset, e.wakeMs()]).toEqual([0, null]);
    e.publish("a=now");
    expect(e.acceptMoved("d", 1, "a=dead")).toMatchObject({ code: "exchange_busy" });
    expect(e.run((exchange) => exchange.hasMoved("d", 1))).toBe(false);
  });
});

describe("dead letters", () => {
  inBothLives("of one move are taken once", (make) => {
    const e = make(KEPT);
    e.bind(ALL);
    expect(e.acceptMoved("d", 3, "a=1", "b=2")).toBe("taken");
    expect(e.acceptMoved("d", 3, "a=1", "b=2")).toBeNull();
    expect(e.acceptMoved("d", 2, "a=0")).toBeNull();
    expect(e.acceptMoved("other", 3, "a=3")).toBe("taken");
    expect(leaving(e)).toEqual(["q: 1,2", "q: 3"]);
    expect(e.since("25:0").events).toEqual(["1:1", "2:2", "3:3"]);
  });

  inBothLives("that lead nowhere are held and tried again until they lead somewhere", (make) => {
    const e = make(KEPT);
    e.bind({ ...ALL, key: "a" });
    e.acceptMoved("d", 1, "a=1", "b=2", "c=3");
    expect([leaving(e), e.info().delayed]).toEqual([["q: 1"], 2]);
    for (let i = 0; i < 3; i++) e.advance(60_000);
    expect([leaving(e), e.info().delayed]).toEqual([[], 2]);
    e.bind({ ...ALL, key: "c" });
    e.advance(60_000);
    expect([leaving(e), e.info().delayed]).toEqual([["q: 3"], 1]);
    e.bind({ ...ALL, key: "b" });
    e.advance(60_000);
    expect([leaving(e), e.info().delayed]).toEqual([["q: 2"], 0]);
    // They became events when they came.
    expect(e.since("25:0").events).toEqual(["1:1", "2:2", "3:3"]);
  });
});

describe("the outbox", () => {
  inBothLives("never gives a number twice", (make) => {
    const e = make();
    e.bind(ALL);
    e.bind({ destination: { queue: "r" }, key: "#" });
    const numbers: number[] = [];
    for (let i = 1; i <= 3; i++) {
      e.acceptMoved("d", i, "a=x");
      numbers.push(...e.carried().map(({ number }) => number));
      e.publish({ text: "x", delayMs: 1 });
      e.advance(1);
      numbers.push(...e.carried().map(({ number }) => number));
    }
    expect(numbers).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
  });

  inBothLives("keeps a move until the queue has it, in order for each queue", (make) => {
    const e = make();
    e.bind({ destination: { queue: "q" }, key: "q" });
    e.bind({ destination: { queue: "r" }, key: "r" });
    for (const [i, told] of ["q=1", "q=2", "r=3"].entries()) e.acceptMoved("d", i + 1, told);
    const row = e.firstMove()!;
    e.run((exchange, nowMs) => exchange.moveFailed(row, nowMs));
    expect(leaving(e)).toEqual(["r: 3"]);
    expect([e.info().moving, e.wakeMs()]).toEqual([2, e.nowMs + 1_000]);
    e.nowMs += 1_000;
    expect(leaving(e)).toEqual(["q: 1", "q: 2"]);
  });

  it("is known to queues by the exchange's name and origin", () => {
    expect(new ExchangeHarness().run((exchange) => exchange.sender)).toBe("exchange:e#4242");
  });
});

describe("the wake time", () => {
  const { seed, numRuns } = fuzzRun(60);
  const step = fc.oneof(
    fc.record({ delayMs: fc.integer({ min: 1, max: 400 }) }),
    fc.record({ hub: fc.constantFrom("1", "2") }),
    fc.record({ event: fc.constantFrom("a", "b") }),
    fc.record({ dead: fc.constantFrom("a", "b") }),
    fc.record({ waitMs: fc.integer({ min: 0, max: 100_000 }) }),
  );

  it(`is never later than what is due first, and each wake moves on (seed ${seed})`, () => {
    const check = fc.property(fc.array(step, { maxLength: 15 }), fc.boolean(), (steps, isEvicted) => {
      const Harness = isEvicted ? EvictedExchange : ExchangeHarness;
      const e = new Harness({ config: { history: { eventsMax: 5, ageMs: 1_000 } } });
      e.bind({ ...ALL, key: "a" });
      let dues: number[] = [];
      const leases = new Map<string, number>();
      for (const [i, one] of steps.entries()) {
        if ("delayMs" in one) {
          e.publish({ routingKey: "b", delayMs: one.delayMs });
          dues.push(e.nowMs + one.delayMs);
        } else if ("hub" in one) {
          e.run((exchange, nowMs) => exchange.attach(one.hub, nowMs));
          // At the latest: a renewal may have written nothing.
          leases.set(one.hub, e.nowMs + LIMITS.hubLeaseMs);
        } else if ("event" in one) e.publish(`${one.event}=x`);
        else if ("dead" in one) {
          e.acceptMoved("d", i + 1, `${one.dead}=x`);
          dues.push(one.dead === "a" ? e.nowMs : e.nowMs + 60_000);
        } else {
          e.advance(one.waitMs);
          e.carried();
          dues = dues.filter((dueMs) => dueMs > e.nowMs);
          const attached = e.run((exchange) => exchange.hubs());
          for (const hub of leases.keys()) if (!attached.includes(hub)) leases.delete(hub);
        }
        const earliest = Math.min(...dues, ...leases.values());
        expect(e.wakeMs() ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(earliest);
      }
      for (let i = 0; i < 50 && e.wakeMs() !== null; i++) {
        e.advance(Math.max(0, e.wakeMs()! - e.nowMs));
        e.carried();
        expect(e.wakeMs() ?? Number.POSITIVE_INFINITY).toBeGreaterThan(e.nowMs);
      }
    });
    fc.assert(check, { seed, numRuns });
  });
});

describe("a dead letter whose body lies in a bucket", () => {
  const reference = { key: "ns/q/8c8b2f7e-0000-4000-8000-000000000000", bytes: 2_000_000 };
  const dead = {
    id: "1-1",
    timeMs: 1,
    routingKey: "k",
    bodyReference: true,
    body: encodeBodyReference(reference),
  } as const;
  const movedTo = (e: ExchangeHarness, queues: number): BodyReference[] => {
    for (let i = 0; i < queues; i++) e.bind({ destination: { queue: `dead-${i}` }, key: "#" });
    expect(e.acceptMoved("q#1", 1, dead)).toBe("taken");
    return e.carried().flatMap(({ batch }) => e.records(batch).map(({ body }) => readBodyReference(body)));
  };

  inBothLives("leaves the body to the one queue that it goes to", (make) => {
    expect(movedTo(make(), 1).map(({ isShared }) => isShared)).toEqual([undefined]);
  });

  inBothLives("tells each of several queues that the body is not theirs alone", (make) => {
    expect(movedTo(make(), 2)).toMatchObject([
      { ...reference, isShared: true },
      { ...reference, isShared: true },
    ]);
  });
});
