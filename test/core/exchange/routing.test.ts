// One exchange's step: each destination once, the alternate for the rest, and what a confirm says of it all.
import { describe, expect, it } from "vitest";
import { ConfirmBuilder } from "../../../src/exchange/confirm.ts";
import { shareOf } from "../../../src/protocol/runs.ts";
import { ExchangeHarness, expectRefused, inBothLives, ways } from "../../support/exchange-harness.ts";
import { must } from "../../support/queue-lives.ts";

describe("a batch", () => {
  inBothLives("goes to each destination once, however many bindings lead there", (make) => {
    const e = make();
    for (const key of ["a", "a.#", "#", "*"]) e.bind({ destination: { queue: "q" }, key });
    e.bind({ destination: { queue: "r" }, key: "b" });
    e.bind({ destination: { exchange: "q" }, key: "a" });
    expect(ways(e.publish("a=1", "b=2", "a=3"))).toEqual([">q:0,2", "q:0,1,2", "r:1"]);
  });

  inBothLives(
    "that no binding matches goes to the alternate exchange, beside what is bound to it",
    (make) => {
      const e = make({ config: { alternate: "rest" } });
      e.bind({ destination: { queue: "q" }, key: "a" });
      e.bind({ destination: { exchange: "rest" }, key: "b" });
      expect(ways(e.publish("c=1", "b=2", "a=3", "c=4", "b=5"))).toEqual([">rest:0,1,3,4", "q:2"]);
      expect(ways(e.publish("c=1"))).toEqual([">rest:0"]);
      expect(ways(e.publish("a=1"))).toEqual(["q:0"]);
      expect(e.run((exchange) => exchange.explain({ routingKey: "c" })).alternate).toBe("rest");
      expect(e.run((exchange) => exchange.explain({ routingKey: "a" }))).not.toHaveProperty("alternate");
    },
  );

  inBothLives("that is damaged is refused and leaves no event", (make) => {
    const e = make({ config: { history: { eventsMax: 9, ageMs: null } } });
    const batch = e.batch("a=1");
    batch[batch.length - 1]! ^= 1;
    expectRefused(e.tryPublish({ batch }), "bad_batch");
    expectRefused(
      e.run((exchange) => exchange.step(batch, false)),
      "bad_batch",
    );
    expect(e.info().offset).toBe(0);
  });

  inBothLives("of an internal exchange comes from exchanges and queues alone", (make) => {
    const e = make({ config: { internal: true } });
    e.bind({ destination: { queue: "q" }, key: "#" });
    expectRefused(e.tryPublish({ batch: e.batch("a=1") }), "exchange_internal");
    const step = must(e.run((exchange) => exchange.step(e.batch("a=1"), false)));
    expect(step.queues).toEqual([{ queue: "q", messages: [[0, 1]] }]);
  });

  it("is counted, and counted as unroutable, once", () => {
    const e = new ExchangeHarness();
    e.bind({ destination: { queue: "q" }, key: "a" });
    e.publish("a=1", "b=2", "b=3");
    e.publish({ routingKey: "b", delayMs: 10 });
    e.advance(10);
    e.acceptMoved("d", 1, "b=dead");
    e.advance(60_000);
    expect(e.info()).toMatchObject({ published: 5, unroutable: 3 });
  });

  it("that was rolled back is forgotten with its events", () => {
    const e = new ExchangeHarness({ config: { history: { eventsMax: 9, ageMs: null }, lastValuesMax: 9 } });
    e.publish("a=1");
    const fail = (): void =>
      e.run((exchange, nowMs) => {
        must(exchange.publish({ batch: e.batch("a=2", { delayMs: 5 }) }, nowMs));
        must(exchange.bind({ destination: { queue: "q" }, key: "", headers: null }));
        exchange.endTurn(nowMs);
        throw new Error("the disk is gone");
      });
    expect(fail).toThrow("the disk is gone");
    expect(e.info()).toMatchObject({ offset: 1, bindings: 0, delayed: 0, lastValues: 1 });
    e.publish("a=3");
    expect(e.since("25:0").events).toEqual(["1:1", "2:3"]);
  });
});

describe("a share of a batch", () => {
  it("is the very bytes when it is all of it, else a batch of its own", () => {
    const e = new ExchangeHarness();
    const batch = e.batch("a=1", "b=2", "c=3");
    const table = must(e.codec.scan(batch, "client"));
    expect(shareOf(e.codec, batch, table, [[0, 3]])).toBe(batch);
    const share = shareOf(e.codec, batch, table, [
      [0, 1],
      [2, 1],
    ]);
    expect(e.bodies(share)).toEqual(["1", "3"]);
    expect(e.codec.scan(share, "client").ok).toBe(true);
  });
});

describe("a confirm", () => {
  const refusal = { code: "queue_full", detail: "full" } as const;

  it("counts for each message the queues that hold it, where it lay in what was published", () => {
    // Of five messages the second and third are on a delay.
    const confirm = new ConfirmBuilder(
      5,
      [
        [0, 1],
        [3, 2],
      ],
      [[1, 2]],
    );
    confirm.tookAllBut("q", [[0, 2]], []);
    confirm.tookAllBut("q", [[1, 1]], []);
    expect(confirm.confirm(false, "e:9")).toEqual({
      matched: [1, 0, 0, 2, 0],
      delayed: [[1, 2]],
      failed: [],
      returned: [],
      position: "e:9",
    });
    expect(confirm.confirm(true, "e:9").returned).toEqual([[4, 1]]);
  });

  it("tells which messages a queue refused, and does not call them returned", () => {
    const confirm = new ConfirmBuilder(
      6,
      [
        [0, 1],
        [2, 4],
      ],
      [[1, 1]],
    );
    confirm.refused("q", [[0, 3]], refusal);
    confirm.fail({ destination: { exchange: "x" }, code: "unavailable", detail: "away", messages: [[4, 1]] });
    const { failed, returned, matched } = confirm.confirm(true, "");
    expect(failed).toEqual([
      {
        destination: { queue: "q" },
        ...refusal,
        messages: [
          [0, 1],
          [2, 2],
        ],
      },
      { destination: { exchange: "x" }, code: "unavailable", detail: "away", messages: [[5, 1]] },
    ]);
    expect(returned).toEqual([[4, 1]]);
    expect(matched).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it("of a batch that is all on a delay has nothing else", () => {
    expect(new ConfirmBuilder(2, [], [[0, 2]]).confirm(true, "")).toMatchObject({
      matched: [0, 0],
      delayed: [[0, 2]],
      returned: [],
    });
  });
});
