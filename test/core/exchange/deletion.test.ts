// When an exchange may be deleted, and what is said when it may not.
import { describe, expect, it } from "vitest";
import { judgeRemoval, type ExchangeRemoval } from "../../../src/exchange/deletion-rules.ts";
import { ExchangeHarness, inBothLives } from "../../support/exchange-harness.ts";

const inUse = (detail: string) => ({ ok: false, code: "exchange_in_use", detail });

function judge(e: ExchangeHarness, options: Partial<ExchangeRemoval> = {}) {
  return e.run((exchange, nowMs) => judgeRemoval(exchange, { ifUnused: false, ...options }, nowMs));
}

describe("an exchange", () => {
  inBothLives(
    "goes with its bindings and what waits for its time, unless only an unused one may go",
    (make) => {
      const e = make();
      expect(judge(e, { ifUnused: true })).toEqual({ ok: true, value: { bindings: 0, delayed: 0 } });
      e.publish({ delayMs: 1_000 }, { delayMs: 2_000 });
      expect(judge(e, { ifUnused: true })).toEqual(inUse("2 messages wait for their time"));
      e.bind({ destination: { queue: "q" } });
      e.run((exchange, nowMs) => exchange.attach("1", nowMs));
      expect(judge(e, { ifUnused: true })).toEqual(
        inUse("the exchange has 1 bindings and 1 hubs with subscribers"),
      );
      expect(judge(e)).toEqual({ ok: true, value: { bindings: 1, delayed: 2 } });
    },
  );

  inBothLives(
    "stays while it holds dead letters that lead nowhere, and until they have reached a queue",
    (make) => {
      const e = make({ config: { kind: "fanout" } });
      e.acceptMoved("work#7", 1, "a=1", "a=2");
      for (const ifUnused of [true, false]) {
        expect(judge(e, { ifUnused })).toEqual(
          inUse("2 dead letters lead nowhere; bind a queue that takes them"),
        );
      }
      e.bind({ destination: { queue: "morgue" } });
      e.advance(60_000);
      expect(judge(e)).toEqual(inUse("2 messages are on their way to queues; try again"));
      expect(e.carried()).toMatchObject([{ target: "morgue", count: 2 }]);
      expect(judge(e)).toMatchObject({ ok: true });
    },
  );

  it("that would go by itself stays when it is used again meanwhile", () => {
    const e = new ExchangeHarness({ config: { autoDelete: true } });
    const itself = { ifUnused: true, ifAbandoned: true };
    expect(judge(e, itself)).toEqual(inUse("the exchange is used again"));
    const { id } = e.bind({ destination: { queue: "q" } });
    e.run((exchange) => exchange.unbind(id));
    expect(judge(e, itself)).toMatchObject({ ok: true });
  });
});
