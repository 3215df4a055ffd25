// The history: numbers without a hole, and what is kept to the event, the millisecond and the byte.
import { describe, expect, it } from "vitest";
import { History } from "../../../src/exchange/history.ts";
import { MemoryHistoryStore } from "../../../src/exchange/memory-stores.ts";
import { readBatchHeader } from "../../../src/protocol/batch.ts";
import { EXCHANGE_DEFAULTS } from "../../../src/protocol/exchange-config.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { slicesOf } from "../../../src/protocol/runs.ts";
import { ExchangeHarness, inBothLives } from "../../support/exchange-harness.ts";
import { must } from "../../support/queue-lives.ts";

const KEPT = { config: { history: { eventsMax: 100, ageMs: null } } };

function keeping(eventsMax: number, ageMs: number | null = null) {
  return { config: { history: { eventsMax, ageMs } } };
}

function rows(e: ExchangeHarness): number {
  return e.counted.value("SELECT count(*) AS value FROM history")!;
}

describe("offsets", () => {
  inBothLives("follow one another over turns, under one epoch", (make) => {
    const e = make(KEPT);
    const seen: unknown[] = [];
    for (const batch of [["a=1"], ["a=2", "b=3"], ["c=4"]]) {
      e.publish(...batch);
      for (const turn of e.turns) {
        const { origin, firstSequence, count, timeMs } = readBatchHeader(turn.batch);
        expect([firstSequence, count, timeMs]).toEqual([turn.first, turn.count, e.nowMs]);
        seen.push([origin, firstSequence, count]);
      }
    }
    expect(seen).toEqual([
      [77, 1, 1],
      [77, 2, 2],
      [77, 4, 1],
    ]);
    expect(e.position()).toBe(`${(77).toString(36)}:4`);
    expect(e.since(`${(77).toString(36)}:0`)).toEqual({
      verdict: "complete",
      events: ["1:1", "2:2", "3:3", "4:4"],
    });
  });

  inBothLives("of one turn are in the order of its publishes, in one row", (make) => {
    const e = make(KEPT);
    const batches = [e.batch("a=1", "a=2"), e.batch("b=3"), e.batch("a=4")];
    e.run((exchange, nowMs) => {
      for (const batch of batches) must(exchange.publish({ batch }, nowMs));
    });
    expect(e.turns).toMatchObject([{ first: 1, count: 4 }]);
    expect(rows(e)).toBe(1);
    expect(e.since("25:1").events).toEqual(["2:2", "3:3", "4:4"]);
  });

  inBothLives("of a turn too large for one row go on in the next", (make) => {
    const e = make(keeping(10_000));
    const half = Array.from({ length: LIMITS.recordsMax / 2 + 1 }, (_, i) => `a=${i}`);
    e.run((exchange, nowMs) => {
      for (let i = 0; i < 2; i++) must(exchange.publish({ batch: e.batch(...half) }, nowMs));
    });
    expect(e.turns.map(({ first, count }) => [first, count])).toEqual([
      [1, half.length],
      [1 + half.length, half.length],
    ]);
    expect(e.info().offset).toBe(2 * half.length);
  });

  inBothLives(
    "are given to what is published to leads from another exchange, unless it was told before",
    (make) => {
      const e = make(KEPT);
      must(e.run((exchange) => exchange.step(e.batch("a=1"), false)));
      must(e.run((exchange) => exchange.step(e.batch("a=2"), true)));
      expect(e.since("25:0").events).toEqual(["1:1"]);
    },
  );

  inBothLives("go on where they were after every event has grown too old", (make) => {
    const e = make(keeping(100, 1_000));
    for (const body of ["1", "2", "3"]) e.publish(`a=${body}`);
    e.advance(1_000);
    expect(e.info()).toMatchObject({ offset: 3, earliestOffset: null, historyEvents: 0 });
    e.advance(LIMITS.hubLeaseMs);
    e.publish("a=4");
    expect(e.info()).toMatchObject({ offset: 4, earliestOffset: 4, historyEvents: 1 });
    expect(e.since("25:3")).toEqual({ verdict: "complete", events: ["4:4"] });
  });
});

describe("what is kept", () => {
  inBothLives("by count is exact, whatever the rows hold", (make) => {
    const e = make(keeping(3));
    e.publish("a=1", "a=2");
    e.publish("a=3", "a=4");
    expect(e.info()).toMatchObject({ earliestOffset: 2, historyEvents: 3, offset: 4 });
    expect(e.since("25:1")).toEqual({ verdict: "complete", events: ["2:2", "3:3", "4:4"] });
    expect(e.since("25:0")).toEqual({ verdict: "expired", events: ["2:2", "3:3", "4:4"] });
    e.publish("a=5");
    expect(e.since("25:0").events).toEqual(["3:3", "4:4", "5:5"]);
    expect(rows(e)).toBe(2);
  });

  inBothLives("by age is exact to the millisecond, before any row is taken away", (make) => {
    const e = make(keeping(100, 1_000));
    e.publish("a=1");
    e.nowMs += 400;
    e.publish("a=2");
    e.nowMs += 599;
    expect(e.since("25:0")).toEqual({ verdict: "complete", events: ["1:1", "2:2"] });
    e.nowMs += 1;
    expect(e.since("25:0")).toEqual({ verdict: "expired", events: ["2:2"] });
    expect(e.since("25:1").verdict).toBe("complete");
    e.nowMs += 399;
    expect(e.info().historyEvents).toBe(1);
    e.nowMs += 1;
    expect(e.info().historyEvents).toBe(0);
  });

  inBothLives("by age is taken from storage by the alarm, but for the last row", (make) => {
    const e = make(keeping(100, 1_000));
    for (let i = 0; i < 30; i++) e.publish(`a=${i}`);
    expect(e.wakeMs()).toBe(e.nowMs + 1_000 + 60_000);
    e.advance(e.wakeMs()! - e.nowMs);
    expect(rows(e)).toBe(1);
    expect(e.wakeMs()).toBeNull();
  });

  inBothLives("shrinks when less is asked, and is gone from storage after the next wake", (make) => {
    const e = make(keeping(1_000));
    for (let i = 1; i <= 40; i++) e.publish(`a=${i}`);
    e.update({ history: { eventsMax: 2, ageMs: null } });
    expect(e.since("25:0")).toEqual({ verdict: "expired", events: ["39:39", "40:40"] });
    expect(e.wakeMs()).toBe(e.nowMs);
    e.advance(0);
    expect(rows(e)).toBe(2);
    expect(e.wakeMs()).toBeNull();
  });

  inBothLives("is counted in bytes as the rows lie there", (make) => {
    const e = make(keeping(2));
    const sizes = [e.batch("a=1"), e.batch("a=22"), e.batch("a=333")].map(({ length }) => length);
    e.publish("a=1");
    expect(e.info().historyBytes).toBe(sizes[0]);
    e.publish("a=22");
    e.publish("a=333");
    expect(e.info().historyBytes).toBe(sizes[1]! + sizes[2]!);
  });

  it("in bytes stays within its bound and one row more", () => {
    const config = { ...EXCHANGE_DEFAULTS, durable: false, history: { eventsMax: 10_000, ageMs: null } };
    const e = new ExchangeHarness();
    const history = new History(config, 1, new MemoryHistoryStore(), e.codec);
    const batch = e.batch({ routingKey: "a", body: new Uint8Array(100_000) });
    const table = must(e.codec.scan(batch, "client"));
    for (let i = 0; i < 60; i++) {
      history.append(slicesOf(batch.slice(), table, [[0, 1]]), 1, 0);
      const { bytes } = history.size();
      expect(bytes).toBeLessThanOrEqual(LIMITS.memoryHistoryBytesMax + batch.length);
    }
    expect(history.size().bytes).toBeGreaterThan(LIMITS.memoryHistoryBytesMax - batch.length);
    expect(history.earliestOffset(0)).toBe(61 - history.size().events);
  });
});

describe("an exchange that is not durable", () => {
  const MEMORY = { config: { durable: false, history: { eventsMax: 100, ageMs: null }, lastValuesMax: 5 } };

  it("keeps its history as one that is, and begins a new epoch when it wakes", () => {
    const e = new ExchangeHarness(MEMORY);
    e.publish("a=1", "b=2");
    const before = e.position();
    e.publish("a=3");
    expect(e.since(before)).toEqual({ verdict: "complete", events: ["3:3"] });
    expect([rows(e), e.info().lastValues]).toEqual([0, 2]);
    e.evict();
    expect(e.position()).toMatch(/:0$/);
    expect(e.since(before)).toEqual({ verdict: "new_epoch", events: [] });
    expect(e.info()).toMatchObject({ historyEvents: 0, lastValues: 0 });
  });

  it("keeps no more events than its memory may hold, whatever was asked", () => {
    const e = new ExchangeHarness({
      config: { durable: false, history: { eventsMax: 1_000_000, ageMs: null } },
    });
    const batch = Array.from({ length: 4_000 }, () => "a=");
    for (let i = 0; i < 4; i++) e.publish(...batch);
    expect(e.info().historyEvents).toBe(LIMITS.memoryHistoryEventsMax);
  });

  it("is not disturbed by events of a batch that is written over later", () => {
    const e = new ExchangeHarness(MEMORY);
    const batch = e.batch("a=1");
    must(e.tryPublish({ batch }));
    const position = e.position().replace(/\d+$/, "0");
    batch.fill(0);
    expect(e.since(position).events).toEqual(["1:1"]);
  });
});
