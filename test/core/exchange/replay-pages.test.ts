// The past page by page is the past as a whole, but for what was replaced or dropped meanwhile.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ReplayCommand, ReplayRest } from "../../../src/protocol/exchange-commands.ts";
import { ExchangeHarness } from "../../support/exchange-harness.ts";
import { fuzzRun } from "../../support/seed.ts";

const CONFIG = { config: { history: { eventsMax: 1_000, ageMs: null }, lastValuesMax: 100 } };

function pages(e: ExchangeHarness, command: ReplayCommand, pageBytes: number): string[] {
  const first = e.run((exchange, nowMs) => exchange.replay(command, nowMs, pageBytes));
  const told = [...e.told(first.snapshot), ...e.told(first.events)];
  for (let rest: ReplayRest | undefined = first.rest; rest !== undefined;) {
    const from = rest;
    const page = e.run((exchange, nowMs) => exchange.page(command.pattern, from, pageBytes, nowMs));
    expect(page.isLost).toBeUndefined();
    told.push(...e.told(page.snapshot), ...e.told(page.events));
    rest = page.rest;
  }
  return told;
}

const run = fuzzRun(100);

describe(`the past in pages, FUZZ_SEED=${run.seed}`, () => {
  it("is the same as all of it", () => {
    const topic = fc.constantFrom("a.x", "a.y", "b");
    const batch = fc.array(topic, { minLength: 1, maxLength: 5 });
    const wish = fc.record({
      pattern: fc.constantFrom("#", "a.*", "b", "c"),
      since: fc.constantFrom(undefined, "25:0", "25:3"),
      lastValues: fc.boolean(),
    });
    const property = fc.property(
      fc.array(batch, { maxLength: 12 }),
      wish,
      fc.integer({ min: 1, max: 400 }),
      (batches, { pattern, since, lastValues }, pageBytes) => {
        const e = new ExchangeHarness(CONFIG);
        for (const [i, keys] of batches.entries()) e.publish(...keys.map((key, k) => `${key}=${i}.${k}`));
        const command = {
          pattern,
          ...(since === undefined ? {} : { since }),
          ...(lastValues && { lastValues }),
        };
        const { snapshot, events } = e.replay(command);
        expect(pages(e, command, pageBytes)).toEqual([...e.told(snapshot), ...e.told(events)]);
      },
    );
    fc.assert(property, run);
  });

  it("leaves out a last value that is replaced meanwhile, which comes live", () => {
    const e = new ExchangeHarness(CONFIG);
    e.publish("a=1", "b=2", "c=3");
    const { rest, snapshot } = e.run((exchange, nowMs) =>
      exchange.replay({ pattern: "#", lastValues: true }, nowMs, 1),
    );
    expect(e.told(snapshot)).toEqual(["1:1"]);
    e.publish("b=4");
    const page = e.run((exchange, nowMs) => exchange.page("#", rest!, 1_000, nowMs));
    expect([e.told(page.snapshot), page.rest]).toEqual([["3:3"], undefined]);
  });

  it("says so when what was to come is no longer kept, or the numbering is another", () => {
    const e = new ExchangeHarness({ config: { history: { eventsMax: 4, ageMs: null } } });
    e.publish("a=1", "a=2", "a=3");
    const { rest } = e.run((exchange, nowMs) => exchange.replay({ pattern: "#", since: "25:0" }, nowMs, 1));
    for (let i = 0; i < 10; i++) e.publish("a=x");
    const lost = e.run((exchange, nowMs) => exchange.page("#", rest!, 1_000, nowMs));
    expect(lost).toEqual({ isLost: true, snapshot: [], events: [] });
    const other = { ...rest!, epoch: "zz", after: 12, until: 13 };
    expect(e.run((exchange, nowMs) => exchange.page("#", other, 1_000, nowMs)).isLost).toBe(true);
  });
});
