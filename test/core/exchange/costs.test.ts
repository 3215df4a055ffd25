// What a publish costs in rows. Rows written are the bill.
import { describe, expect, it } from "vitest";
import { ExchangeHarness } from "../../support/exchange-harness.ts";
import { must } from "../../support/queue-lives.ts";

function rowsOf(e: ExchangeHarness, work: () => unknown): number {
  const before = e.counted.rowsWritten;
  work();
  return e.counted.rowsWritten - before;
}

/** Several publishes in one turn. */
function turn(e: ExchangeHarness, ...batches: string[][]): void {
  e.run((exchange, nowMs) => {
    for (const batch of batches) must(exchange.publish({ batch: e.batch(...batch) }, nowMs));
  });
}

describe("a publish", () => {
  it("writes no row where nothing is kept, whatever it leads to", () => {
    const e = new ExchangeHarness();
    for (let i = 0; i < 100; i++) e.bind({ destination: { queue: `q${i}` }, key: "#" });
    expect(rowsOf(e, () => e.publish("a=1", "b=2"))).toBe(0);
    expect(rowsOf(e, () => must(e.run((exchange) => exchange.step(e.batch("a=1"), false))))).toBe(0);
  });

  it("writes no row where what is kept lies in memory", () => {
    const config = { durable: false, history: { eventsMax: 9, ageMs: 1_000 }, lastValuesMax: 9 };
    const e = new ExchangeHarness({ config });
    expect(rowsOf(e, () => turn(e, ["a=1", "b=2"], ["c=3"]))).toBe(0);
  });

  it("into a history writes one row a turn, and takes away what it replaces", () => {
    const e = new ExchangeHarness({ config: { history: { eventsMax: 6, ageMs: null } } });
    expect(rowsOf(e, () => turn(e, ["a=1", "b=2"], ["c=3"]))).toBe(1);
    expect(rowsOf(e, () => turn(e, ["a=1", "b=2"], ["c=3"]))).toBe(1);
    for (let i = 0; i < 10; i++) expect(rowsOf(e, () => turn(e, ["a=1", "b=2"], ["c=3"]))).toBe(2);
  });

  it("with last values writes one row more for each topic and turn", () => {
    const e = new ExchangeHarness({
      config: { history: { eventsMax: 1_000, ageMs: null }, lastValuesMax: 10 },
    });
    expect(rowsOf(e, () => turn(e, ["a=1", "a=2", "b=3"], ["a=4", "b=5"]))).toBe(1 + 2);
    expect(rowsOf(e, () => turn(e, ["a=6"], ["a="]))).toBe(1 + 1);
    expect(rowsOf(e, () => turn(e, ["a="]))).toBe(1);
  });

  it("with last values alone writes no more rows than that, but for one that it takes away", () => {
    const e = new ExchangeHarness({ config: { lastValuesMax: 10 } });
    e.publish("a=1");
    for (let i = 0; i < 5; i++) expect(rowsOf(e, () => e.publish("a=1", "a=2"))).toBe(3);
  });

  it("on a delay writes one row for each moment, its number and its end", () => {
    const e = new ExchangeHarness();
    const late = { routingKey: "a", delayMs: 5 };
    expect(rowsOf(e, () => e.publish(late, late, late))).toBe(2);
    expect(rowsOf(e, () => e.advance(5))).toBe(1);
  });
});

describe("an exchange at rest", () => {
  it("reads a handful of rows for a publish, however much it keeps", () => {
    const e = new ExchangeHarness({
      config: { history: { eventsMax: 1_000, ageMs: 60_000 }, lastValuesMax: 1_000 },
    });
    for (let i = 0; i < 1_500; i++) e.publish(`t${i % 500}=${i}`);
    const read = e.counted.rowsRead;
    e.publish("t1=x");
    e.wakeMs();
    expect(e.counted.rowsRead - read).toBeLessThanOrEqual(20);
  });
});
