// What a subscriber gets of the past. The verdict is never better than the truth.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MessageRecord } from "../../../src/protocol/batch.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { countOf } from "../../../src/protocol/runs.ts";
import { matches } from "../../../src/routing/topic.ts";
import { EvictedExchange, ExchangeHarness, inBothLives } from "../../support/exchange-harness.ts";
import { fuzzRun } from "../../support/seed.ts";

const KEPT = { config: { history: { eventsMax: 100, ageMs: null } } };
const LARGE = { config: { history: { eventsMax: 1_000_000, ageMs: null }, lastValuesMax: 100 } };

function fill(e: ExchangeHarness, batches: number, record: Partial<MessageRecord>): void {
  const count = Math.min(LIMITS.recordsMax, 4_000);
  const batch = Array.from({ length: count }, () => ({ routingKey: "a", ...record }));
  for (let i = 0; i < batches; i++) e.publish(...batch);
}

describe("since a position", () => {
  inBothLives("everything that matches comes, once, after the place and not at it", (make) => {
    const e = make(KEPT);
    e.publish("a.x=1", "b.x=2");
    e.publish("a.y=3");
    expect(e.since("25:0")).toEqual({ verdict: "complete", events: ["1:1", "2:2", "3:3"] });
    expect(e.since("25:1")).toEqual({ verdict: "complete", events: ["2:2", "3:3"] });
    expect(e.since("25:3")).toEqual({ verdict: "complete", events: [] });
    expect(e.since("25:0", "a.*")).toEqual({ verdict: "complete", events: ["1:1", "3:3"] });
    expect(e.since("25:0", "c")).toEqual({ verdict: "complete", events: [] });
  });

  inBothLives("the answer tells where live events begin", (make) => {
    const e = make(KEPT);
    e.publish("a=1", "a=2");
    expect(e.replay()).toMatchObject({ epoch: "25", offset: 2, recovery: "fresh", events: [], snapshot: [] });
    expect(e.replay()).not.toHaveProperty("reason");
  });

  inBothLives("each event has its record and its own time", (make) => {
    const e = make({ config: { history: { eventsMax: 100, ageMs: null }, lastValuesMax: 5 } });
    e.publish({ routingKey: "a", text: "1", headers: { h: 1 }, correlationId: "c" });
    e.nowMs += 10;
    e.publish("a=2");
    const { events, snapshot } = e.replay({ since: "25:0", lastValues: true });
    expect(events.flatMap(({ batch }) => e.records(batch))).toMatchObject([
      { headers: { h: 1 }, correlationId: "c", timeMs: e.nowMs - 10 },
      { routingKey: "a", timeMs: e.nowMs },
    ]);
    expect(snapshot.flatMap(({ batch }) => e.records(batch))).toMatchObject([{ timeMs: e.nowMs }]);
  });

  inBothLives("the edge of what is kept is complete, one before it is expired", (make) => {
    const e = make({ config: { history: { eventsMax: 2, ageMs: null } } });
    e.publish("a=1", "a=2", "a=3");
    expect(e.since("25:1")).toEqual({ verdict: "complete", events: ["2:2", "3:3"] });
    expect(e.since("25:0")).toEqual({ verdict: "expired", events: ["2:2", "3:3"] });
  });

  inBothLives("all of it too old is expired, not a history that never was", (make) => {
    const e = make({ config: { history: { eventsMax: 10, ageMs: 100 } } });
    e.publish("a=1", "a=2");
    e.nowMs += 100;
    expect(e.since("25:1")).toEqual({ verdict: "expired", events: [] });
    expect(e.since("25:2")).toEqual({ verdict: "complete", events: [] });
  });

  inBothLives(
    "of another epoch, or of a place that is still to come, tells all there is and a gap",
    (make) => {
      const e = make(KEPT);
      e.publish("a=1", "a=2");
      for (const position of ["26:2", "26:1", "25:3", "25:9007199254740991", "zzzzzzzzzzz:0"]) {
        expect(e.since(position)).toEqual({ verdict: "new_epoch", events: ["1:1", "2:2"] });
      }
    },
  );

  it("is a gap where no history is kept, unless nothing happened", () => {
    const e = new ExchangeHarness();
    e.publish("a=1");
    const position = e.position();
    expect(e.since(position)).toEqual({ verdict: "complete", events: [] });
    e.publish("a=2");
    expect(e.since(position)).toEqual({ verdict: "no_history", events: [] });
  });

  inBothLives("is a gap where history is kept for its numbers only", (make) => {
    const e = make({ config: { lastValuesMax: 5 } });
    e.publish("a=1");
    e.publish("a=2");
    expect(e.since("25:2")).toEqual({ verdict: "complete", events: [] });
    expect(e.since("25:1")).toEqual({ verdict: "no_history", events: [] });
  });
});

describe("too much of the past", () => {
  it("in events gives the newest, and says that there were more", () => {
    const e = new ExchangeHarness(LARGE);
    fill(e, 3, {});
    const whole = e.since(`25:${12_000 - LIMITS.replayEventsMax}`);
    expect([whole.verdict, whole.events.length]).toEqual(["complete", LIMITS.replayEventsMax]);
    const more = e.since(`25:${12_000 - LIMITS.replayEventsMax - 1}`);
    expect([more.verdict, more.events[0]]).toEqual(["too_much", whole.events[0]]);
  });

  it("in looking is not looked through to the end for a pattern that never matches", () => {
    const e = new ExchangeHarness(LARGE);
    fill(e, 26, {});
    expect(e.since("25:0", "b")).toEqual({ verdict: "too_much", events: [] });
    expect(e.since("25:10000", "b")).toEqual({ verdict: "complete", events: [] });
  });

  it.each([
    ["bodies", { body: new Uint8Array(100_000) }, 100],
    ["headers", { headers: { h: "x".repeat(16_000) } }, 110],
  ])("in bytes gives what fits, in batches that fit, whether it lies in %s", (_where, record, count) => {
    const e = new ExchangeHarness(LARGE);
    for (let i = 0; i < count * 5 + 1; i += 10) {
      e.publish(...Array.from({ length: 10 }, () => ({ routingKey: "a", ...record })));
    }
    const { recovery, reason, events } = e.replay({ since: "25:0" });
    expect([recovery, reason]).toEqual(["gap", "too_much"]);
    const bytes = events.map(({ batch }) => batch.length);
    expect(Math.max(...bytes)).toBeLessThanOrEqual(1024 ** 2);
    const sum = bytes.reduce((all, one) => all + one, 0);
    expect(sum).toBeGreaterThan(LIMITS.replayBytesMax * 0.9);
    expect(sum).toBeLessThanOrEqual(LIMITS.replayBytesMax + 40 * bytes.length);
    expect(e.replay({ last: 9_999 })).toMatchObject({ recovery: "gap", reason: "too_much" });
  });

  it("in last values is a gap too", () => {
    const e = new ExchangeHarness(LARGE);
    for (let i = 0; i < 9; i++) e.publish({ routingKey: `t${i}`, body: new Uint8Array(1_000_000) });
    expect(e.replay({ lastValues: true })).toMatchObject({ recovery: "gap", reason: "too_much" });
    expect(e.replay({ lastValues: true, pattern: "t1" })).toMatchObject({ recovery: "fresh" });
  });

  it("is told in batches of at most 500 events", () => {
    const e = new ExchangeHarness(LARGE);
    e.publish(...Array.from({ length: 1_200 }, (_, i) => `a=${i}`));
    const { events } = e.replay({ since: "25:0" });
    expect(events.map(({ offsets }) => countOf(offsets))).toEqual([500, 500, 200]);
  });
});

describe("the last so many", () => {
  inBothLives("are those that match, over rows, in order", (make) => {
    const e = make(KEPT);
    e.publish("a=1", "b=2", "a=3");
    e.publish("b=4");
    e.publish("a=5", "b=6");
    const last = (count: number, pattern: string) => e.told(e.replay({ last: count, pattern }).events);
    expect(last(2, "a")).toEqual(["3:3", "5:5"]);
    expect(last(9, "a")).toEqual(["1:1", "3:3", "5:5"]);
    expect(last(1, "#")).toEqual(["6:6"]);
    expect(e.replay({ last: 2, pattern: "a" })).toMatchObject({ recovery: "fresh" });
    expect(e.replay({ last: 9, pattern: "c" })).toMatchObject({ recovery: "fresh", events: [] });
  });
});

const topic = fc.constantFrom("a", "b", "a.b", "");
const step = fc.oneof(
  { weight: 5, arbitrary: fc.array(topic, { minLength: 1, maxLength: 4 }) },
  fc.integer({ min: 1, max: 60 }),
);

describe("over any history", () => {
  const { seed, numRuns } = fuzzRun(60);

  it(`a verdict of complete means every event that matches (seed ${seed})`, () => {
    const scenario = fc.record({
      steps: fc.array(step, { maxLength: 12 }),
      eventsMax: fc.integer({ min: 1, max: 12 }),
      ageMs: fc.option(fc.integer({ min: 1, max: 120 }), { nil: null }),
      pattern: fc.constantFrom("#", "a", "*", "a.#"),
      isEvicted: fc.boolean(),
    });
    const check = fc.property(scenario, ({ steps, eventsMax, ageMs, pattern, isEvicted }) => {
      const Harness = isEvicted ? EvictedExchange : ExchangeHarness;
      const e = new Harness({ config: { history: { eventsMax, ageMs } } });
      const all: { topic: string; timeMs: number }[] = [];
      for (const one of steps) {
        if (typeof one === "number") e.advance(one);
        else {
          e.publish(...one.map((routingKey) => ({ routingKey, text: "x" })));
          all.push(...one.map((routingKey) => ({ topic: routingKey, timeMs: e.nowMs })));
        }
      }
      const isThere = (offset: number): boolean =>
        offset > all.length - eventsMax && (ageMs === null || all[offset - 1]!.timeMs + ageMs > e.nowMs);
      for (let since = 0; since <= all.length; since++) {
        const missed = all.map((_, i) => i + 1).filter((offset) => offset > since);
        const wanted = missed.filter((offset) => isThere(offset) && matches(pattern, all[offset - 1]!.topic));
        expect(e.since(`25:${since}`, pattern)).toEqual({
          verdict: missed.every(isThere) ? "complete" : "expired",
          events: wanted.map((offset) => `${offset}:x`),
        });
      }
    });
    fc.assert(check, { seed, numRuns });
  });
});
