// The last value of each topic.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { EvictedExchange, ExchangeHarness, inBothLives, type Told } from "../../support/exchange-harness.ts";
import { must } from "../../support/queue-lives.ts";
import { fuzzRun } from "../../support/seed.ts";

function keeping(lastValuesMax: number) {
  return { config: { lastValuesMax } };
}

function snapshot(e: ExchangeHarness, pattern = "#"): string[] {
  return e.told(e.replay({ lastValues: true, pattern }).snapshot);
}

describe("last values", () => {
  inBothLives("are the last event of each topic, in the order of their offsets", (make) => {
    const e = make(keeping(10));
    e.publish("b=1", "a=2");
    e.publish("c=3", "b=4");
    expect(snapshot(e)).toEqual(["2:2", "3:3", "4:4"]);
    expect(snapshot(e, "b")).toEqual(["4:4"]);
    expect(e.info().lastValues).toBe(3);
    expect(e.replay({ lastValues: true }).recovery).toBe("fresh");
  });

  inBothLives("of no topic, and of topics in any script, are values like others", (make) => {
    const e = make(keeping(10));
    e.publish({ text: "none" }, "=empty", "ü.€=x", "😀=y");
    expect(snapshot(e)).toEqual(["2:empty", "3:x", "4:y"]);
    expect(snapshot(e, "")).toEqual(["2:empty"]);
  });

  inBothLives("are more than one page of topics", (make) => {
    const e = make(keeping(1_000));
    e.publish(...Array.from({ length: 450 }, (_, i) => `t${i}=${i + 1}`));
    expect(snapshot(e)).toEqual(Array.from({ length: 450 }, (_, i) => `${i + 1}:${i + 1}`));
  });

  inBothLives("are taken away by an empty body, which is an event like others", (make) => {
    const e = make({ config: { lastValuesMax: 10, history: { eventsMax: 10, ageMs: null } } });
    e.publish("a=1", "b=2");
    e.publish("a=");
    expect(snapshot(e)).toEqual(["2:2"]);
    expect(e.info().lastValues).toBe(1);
    expect(e.since("25:2")).toEqual({ verdict: "complete", events: ["3:"] });
    e.publish("c=", "b=", "b=6");
    expect(snapshot(e)).toEqual(["6:6"]);
  });

  inBothLives("give way in the order in which their topics fell silent", (make) => {
    const e = make(keeping(20));
    for (let i = 1; i <= 20; i++) e.publish(`t${i}=${i}`);
    e.publish("t1=again");
    expect(e.info().lastValues).toBe(20);
    e.publish("new=22");
    // One over, and a tenth of the bound with it.
    expect(snapshot(e)[0]).toBe("5:5");
    expect(snapshot(e).slice(-2)).toEqual(["21:again", "22:22"]);
    expect(e.info().lastValues).toBe(18);
  });

  inBothLives("of one batch give way in the same order", (make) => {
    const e = make(keeping(2));
    e.publish("a=1", "b=2", "a=3", "c=4");
    expect(snapshot(e)).toEqual(["3:3", "4:4"]);
  });

  inBothLives("of all publishes of a turn are those of the last one", (make) => {
    const e = make(keeping(5));
    const batches = [e.batch("a=1", "b=2"), e.batch("a=3"), e.batch("b=")];
    e.run((exchange, nowMs) => {
      for (const batch of batches) must(exchange.publish({ batch }, nowMs));
    });
    expect(snapshot(e)).toEqual(["3:3"]);
  });

  inBothLives("come with what was missed, each on its own", (make) => {
    const e = make({ config: { lastValuesMax: 10, history: { eventsMax: 2, ageMs: null } } });
    e.publish("a=1", "b=2", "b=3");
    const answer = e.replay({ lastValues: true, since: "25:1" });
    expect([e.told(answer.snapshot), e.told(answer.events), answer.recovery]).toEqual([
      ["1:1", "3:3"],
      ["2:2", "3:3"],
      "complete",
    ]);
    expect(e.replay({ lastValues: true, since: "25:0" })).toMatchObject({
      recovery: "gap",
      reason: "expired",
    });
  });

  inBothLives("are none where none are kept", (make) => {
    const e = make({ config: { history: { eventsMax: 9, ageMs: null } } });
    e.publish("a=1");
    expect([snapshot(e), e.info().lastValues]).toEqual([[], 0]);
  });

  it("in memory are no more than memory may hold, and give way in the same order", () => {
    const e = new ExchangeHarness({ config: { durable: false, lastValuesMax: LIMITS.lastValuesMax } });
    e.publish(...Array.from({ length: LIMITS.memoryLastValuesMax }, (_, i) => `t${i}=${i}`));
    e.publish("new=1", "t0=2", "new=3");
    expect(e.info().lastValues).toBe(LIMITS.memoryLastValuesMax - 100);
    expect(snapshot(e)[0]).toBe("103:102");
    expect(snapshot(e).slice(-2)).toEqual(["1002:2", "1003:3"]);
    const two = new ExchangeHarness({ config: { durable: false, lastValuesMax: 2 } });
    two.publish("a=1", "b=2", "a=3", "c=4");
    expect(snapshot(two)).toEqual(["3:3", "4:4"]);
  });

  const { seed, numRuns } = fuzzRun(80);
  it(`are what a map of topics would hold (seed ${seed})`, () => {
    const event = fc.tuple(fc.constantFrom("a", "b", "c", "d.e", ""), fc.constantFrom("", "x", "y"));
    const batch = fc.array(event, { minLength: 1, maxLength: 5 });
    const turns = fc.array(fc.array(batch, { minLength: 1, maxLength: 3 }), { maxLength: 8 });
    const check = fc.property(turns, fc.boolean(), fc.boolean(), (all, durable, isEvicted) => {
      const Harness = isEvicted && durable ? EvictedExchange : ExchangeHarness;
      const e = new Harness({ config: { lastValuesMax: 9, durable } });
      const values = new Map<string, string>();
      let offset = 0;
      for (const turn of all) {
        const told = turn.map((events) => events.map(([routingKey, text]): Told => ({ routingKey, text })));
        e.run((exchange, nowMs) => {
          for (const events of told) must(exchange.publish({ batch: e.batch(...events) }, nowMs));
        });
        for (const [topic, body] of turn.flat()) {
          offset++;
          values.delete(topic);
          if (body !== "") values.set(topic, `${offset}:${body}`);
        }
      }
      expect(snapshot(e)).toEqual([...values.values()]);
      expect(e.info().lastValues).toBe(values.size);
    });
    fc.assert(check, { seed, numRuns });
  });
});
