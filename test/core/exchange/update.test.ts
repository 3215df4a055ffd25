// Changing an exchange: what begins anew, what goes on, and what may not be changed.
import { describe, expect, it } from "vitest";
import { refuseAlternate, refuseRedeclare } from "../../../src/exchange/config-rules.ts";
import { EXCHANGE_DEFAULTS, type ExchangeConfig } from "../../../src/protocol/exchange-config.ts";
import { ExchangeHarness, expectRefused, inBothLives, ways } from "../../support/exchange-harness.ts";

const NONE = { eventsMax: 0, ageMs: null };
const SOME = { eventsMax: 100, ageMs: null };
const KEPT = { config: { history: SOME } };

function snapshot(e: ExchangeHarness): string[] {
  return e.told(e.replay({ lastValues: true }).snapshot);
}

describe("history that is turned off and on again", () => {
  inBothLives("begins a new epoch at 0, and nothing of before is told", (make) => {
    const e = make({ config: { history: SOME, lastValuesMax: 10 } });
    e.publish("a=1", "b=2");
    const before = e.position();
    e.update({ history: NONE, lastValuesMax: 0 });
    expect(e.since(before)).toEqual({ verdict: "new_epoch", events: [] });
    e.publish("a=3");
    e.update({ history: SOME, lastValuesMax: 10 });
    const again = e.position();
    expect(again.split(":")[1]).toBe("0");
    expect(again.split(":")[0]).not.toBe(before.split(":")[0]);
    expect(snapshot(e)).toEqual([]);
    e.publish("b=4");
    expect(e.since(before)).toEqual({ verdict: "new_epoch", events: ["1:4"] });
    expect(e.since(again)).toEqual({ verdict: "complete", events: ["1:4"] });
    expect(snapshot(e)).toEqual(["1:4"]);
  });

  inBothLives("goes on in its numbers while last values need them, and tells only what is whole", (make) => {
    const e = make({ config: { history: SOME, lastValuesMax: 10 } });
    for (const body of ["1", "2", "3"]) e.publish(`a=${body}`);
    e.update({ history: NONE });
    expect(e.info()).toMatchObject({ epoch: "25", offset: 3, historyEvents: 0, earliestOffset: null });
    expect(e.since("25:1")).toEqual({ verdict: "no_history", events: [] });
    e.publish("a=4");
    e.update({ history: SOME });
    e.publish("a=5");
    expect(e.position()).toBe("25:5");
    expect(e.since("25:4")).toEqual({ verdict: "complete", events: ["5:5"] });
    const { events } = e.since("25:0");
    expect(events).toEqual(["1:1", "2:2", "3:3", "4:4", "5:5"].slice(-events.length));
  });
});

describe("last values that are turned off and on again", () => {
  inBothLives("are none at first: what was kept before may be old", (make) => {
    const e = make({ config: { history: SOME, lastValuesMax: 10 } });
    e.publish("a=old", "b=old");
    e.update({ lastValuesMax: 0 });
    e.publish("a=unseen");
    e.update({ lastValuesMax: 10 });
    expect(snapshot(e)).toEqual([]);
    e.publish("b=new");
    expect([snapshot(e), e.info().lastValues]).toEqual([["4:new"], 1]);
    expect(e.since("25:0").verdict).toBe("complete");
  });
});

describe("a change of anything else", () => {
  inBothLives("leaves the history as it is", (make) => {
    const e = make(KEPT);
    e.publish("a=1");
    e.update({ presence: true, alternate: "other", history: { eventsMax: 50, ageMs: 9_000 } });
    e.publish("a=2");
    expect(e.since("25:0")).toEqual({ verdict: "complete", events: ["1:1", "2:2"] });
    expect(e.info().config).toMatchObject({ presence: true, alternate: "other" });
  });

  it("leaves what lies in memory as it is, and its epoch", () => {
    const e = new ExchangeHarness({ config: { durable: false, history: SOME, lastValuesMax: 5 } });
    e.publish("a=1");
    const position = e.position();
    e.update({ presence: true });
    expect(e.position()).toBe(position);
    e.publish("a=2");
    expect(e.since(position)).toEqual({ verdict: "complete", events: ["2:2"] });
    expect(snapshot(e)).toEqual(["2:2"]);
  });

  it("leaves the numbers of an exchange without a history as they are", () => {
    const e = new ExchangeHarness();
    e.publish("a=1");
    const position = e.position();
    e.update({ autoDelete: true });
    expect(e.position()).toBe(position);
  });

  inBothLives("is heeded by what comes next", (make) => {
    const e = make({ config: { kind: "consistent-hash" } });
    for (const queue of ["q", "r", "s", "t"]) e.bind({ destination: { queue }, key: "1" });
    const byKey = (orderingKey: string) => ways(e.publish({ routingKey: "same", orderingKey })).join();
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    expect(new Set(keys.map(byKey)).size).toBe(1);
    e.update({ hashOn: "orderingKey" });
    expect(new Set(keys.map(byKey)).size).toBeGreaterThan(1);
    e.update({ internal: true });
    expectRefused(e.tryPublish({ batch: e.batch("a=1") }), "exchange_internal");
  });

  inBothLives("may not be of the kind, nor of where events lie", (make) => {
    const e = make();
    for (const changes of [{ kind: "fanout" }, { durable: false }] as const) {
      expectRefused(
        e.run((exchange, nowMs) => exchange.update(changes, nowMs)),
        "bad_request",
      );
    }
    expect(e.update({ kind: "topic", durable: true }).config).toEqual(EXCHANGE_DEFAULTS);
  });
});

describe("declaring", () => {
  const declared: ExchangeConfig = { ...EXCHANGE_DEFAULTS, hashOn: { header: "h" }, history: SOME };

  it("the same again is harmless, whatever the order of the fields", () => {
    const { history, hashOn, ...rest } = declared;
    expect(
      refuseRedeclare(declared, { history: { ageMs: null, eventsMax: 100 }, hashOn, ...rest }),
    ).toBeNull();
    expect(history).toBe(SOME);
  });

  it("something else says what differs", () => {
    expect(refuseRedeclare(declared, { ...declared, kind: "direct", history: NONE })).toMatchObject({
      code: "exchange_exists",
      detail: "the exchange exists and differs in: kind, history",
    });
  });

  it("an exchange as its own alternate is refused", () => {
    expect(refuseAlternate("e", "e")).toMatchObject({ code: "bad_request" });
    expect(refuseAlternate("e", "f")).toBeNull();
  });
});
