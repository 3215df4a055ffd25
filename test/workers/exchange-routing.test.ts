// Messages through exchanges to the real queues: who gets what, in which order, and what the publisher is told.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it } from "vitest";
import type { ExchangeObject } from "../../src/objects/exchange-object.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import { ok } from "../../src/protocol/result.ts";
import {
  bind,
  bodiesIn,
  declareExchange,
  exchangeRows,
  publish,
  taken,
  told,
  tryPublish,
} from "../support/exchange-client.ts";
import { fakeExchanges, fakeQueues, restorePeers } from "../support/fake-peers.ts";
import { declare, must } from "../support/queue-client.ts";

afterEach(async () => {
  restorePeers();
  await reset();
});

describe("a publish", () => {
  it("gives a queue a message once, however many bindings match", async () => {
    const stub = await declareExchange("e");
    const queue = await declare("q");
    for (const key of ["#", "a.*", "*.b", "a.b"]) await bind(stub, "q", key);
    expect(await publish(stub, "a.b=1", "c=2")).toMatchObject({ matched: [1, 1], returned: [], failed: [] });
    expect(await bodiesIn(queue)).toEqual(["1", "2"]);
  });

  it("keeps the order of many at the same time, through every kind of way, and evictions between", async () => {
    const stub = await declareExchange("e");
    const via = await declareExchange("via");
    const queue = await declare("q");
    await bind(stub, "q", "direct");
    await bind(stub, ">via", "via");
    await bind(via, "q", "#");
    const expected: string[] = [];
    for (let round = 0; round < 4; round++) {
      const publishes = Array.from({ length: 25 }, (_, i) => {
        const body = `${round}-${i}`;
        expected.push(body);
        // Some know their queue at once, some have to ask.
        return tryPublish(stub, `${i % 3 === 0 ? "via" : "direct"}=${body}`);
      });
      for (const answer of await Promise.all(publishes)) expect(must(answer).matched).toEqual([1]);
      await evictDurableObject(round % 2 === 0 ? stub : via);
    }
    expect(await bodiesIn(queue)).toEqual(expected);
  });

  it("that a queue refuses tells which messages failed there; the other queues have theirs", async () => {
    const stub = await declareExchange("e");
    const full = await declare("full", { maxMessages: 2, overflow: "reject" });
    const open = await declare("open");
    await bind(stub, "full", "a");
    await bind(stub, "open", "#");
    await publish(stub, "a=0");
    const confirm = await publish(stub, "b=1", "a=2", "c=3", "a=4");
    expect(confirm).toMatchObject({ matched: [1, 1, 1, 1], returned: [] });
    expect(confirm.failed).toMatchObject([
      {
        destination: { queue: "full" },
        code: "queue_full",
        messages: [
          [1, 1],
          [3, 1],
        ],
      },
    ]);
    expect(await bodiesIn(open)).toEqual(["0", "1", "2", "3", "4"]);
    expect(await bodiesIn(full)).toEqual(["0"]);
  });

  it("tells what was returned beside what is delayed, by the indexes of the whole batch", async () => {
    const stub = await declareExchange("e");
    await declare("q");
    await bind(stub, "q", "a");
    const later = { routingKey: "a", delayMs: 60_000 };
    expect(await publish(stub, later, "none=1", "a=2", later, "none=3")).toMatchObject({
      matched: [0, 0, 1, 0, 0],
      delayed: [
        [0, 1],
        [3, 1],
      ],
      returned: [
        [1, 1],
        [4, 1],
      ],
    });
    expect(must(await stub.publish({ batch: told("none") })).returned).toEqual([]);
  });

  it("takes as many records as a batch may have, and keys as long as they may be", async () => {
    const stub = await declareExchange("e");
    const queue = await declare("q");
    const long = `${"k".repeat(LIMITS.textBytesMax - 2)}.x`;
    await bind(stub, "q", "*.x");
    const batch = Array.from({ length: LIMITS.recordsMax }, (_, i) =>
      i % 2 === 0 ? `${long}=${i}` : `none=${i}`,
    );
    const confirm = await publish(stub, ...batch);
    expect(confirm.matched).toHaveLength(LIMITS.recordsMax);
    expect(confirm.matched.filter((count) => count === 1)).toHaveLength(LIMITS.recordsMax / 2);
    expect(confirm.returned).toHaveLength(LIMITS.recordsMax / 2);
    const messages = await taken(queue);
    expect(messages.map(({ body }) => Number(body))).toEqual(
      Array.from({ length: LIMITS.recordsMax / 2 }, (_, i) => 2 * i),
    );
    expect(messages[0]!.routingKey).toBe(long);
  });

  it("is refused whole when the batch is not one", async () => {
    const stub = await declareExchange("e");
    const batch = told("a");
    batch[batch.length - 1]! ^= 1;
    expect(await stub.publish({ batch })).toMatchObject({ ok: false });
    expect(must(await stub.inspect())).toMatchObject({ published: 0, offset: 0 });
  });

  it("is refused while too many bytes wait for their queues, and taken when they have gone", async () => {
    const stub = await declareExchange("e");
    await declare("q");
    await bind(stub, "q", "#");
    const one = { routingKey: "a", body: new Uint8Array(LIMITS.bodyBytesMax) };
    const fits = Math.floor(LIMITS.exchangeInFlightBytesMax / told(one).length);
    let open = (): void => undefined;
    await runInDurableObject(stub, (object) => {
      const wait = new Promise<void>((resolve) => (open = resolve));
      fakeQueues(object, () => ({
        publishAll: async (commands) => {
          await wait;
          return commands.map(() => ok({ origin: 1, sequences: [], duplicates: [] }));
        },
      }));
    });
    const waiting = Array.from({ length: fits }, () => tryPublish(stub, one));
    await expect.poll(async () => must(await stub.inspect()).published).toBe(fits);
    expect(await tryPublish(stub, one)).toMatchObject({
      code: "exchange_busy",
      facts: { retryAfterMs: 1_000 },
    });
    await runInDurableObject(stub, () => open());
    for (const answer of await Promise.all(waiting)) must(answer);
    restorePeers();
    must(await tryPublish(stub, "a"));
  });

  it("finds its way among two thousand bindings", async () => {
    const stub = await declareExchange("e");
    const queues = await Promise.all(["q0", "q1"].map((name) => declare(name)));
    const keys = Array.from({ length: 2_000 }, (_, i) => `t${i}.#.x.*`);
    await runInDurableObject(stub, async (object: ExchangeObject) => {
      const all = keys.map((key, i) =>
        object.bind({ destination: { queue: `q${i % 2}` }, key, headers: null }),
      );
      for (const answer of await Promise.all(all)) must(answer);
    });
    await evictDurableObject(stub);
    expect(must(await stub.inspect()).bindings).toBe(2_000);
    expect(await publish(stub, "t1998.a.b.x.y=1", "t1999.x.z=2", "t1.x=3")).toMatchObject({
      matched: [1, 1, 0],
    });
    expect(await bodiesIn(queues[0]!)).toEqual(["1"]);
    expect(await bodiesIn(queues[1]!)).toEqual(["2"]);
    const other = await declareExchange("other");
    await bind(other, "q0", "#.a.#");
    // The worst topic for the worst pattern.
    const topic = Array.from({ length: 127 }, () => "a").join(".");
    expect((await publish(other, ...Array.from({ length: 1_000 }, () => topic))).matched).toHaveLength(1_000);
  }, 60_000);
});

describe("exchanges that lead to exchanges", () => {
  it("pass messages on through chains, diamonds and loops: each queue gets each message once", async () => {
    const [a, b, c, d] = await Promise.all(["a", "b", "c", "d"].map((name) => declareExchange(name)));
    const end = await declare("end");
    const side = await declare("side");
    await bind(a!, ">b");
    await bind(a!, ">c");
    await bind(b!, ">d");
    await bind(c!, ">d");
    await bind(d!, ">a");
    await bind(d!, "end");
    await bind(a!, "end", "direct");
    await bind(b!, "side", "x");
    for (const start of [a!, b!, d!]) {
      expect(await publish(start, "x=1", "direct=2")).toMatchObject({ matched: [2, 1], failed: [] });
      expect(await bodiesIn(end)).toEqual(["1", "2"]);
      expect(await bodiesIn(side)).toEqual(["1"]);
      await evictDurableObject(d!);
    }
  });

  it("bound to themselves take a message once", async () => {
    const stub = await declareExchange("e");
    const queue = await declare("q");
    await bind(stub, ">e");
    await bind(stub, "q");
    await publish(stub, "a=1");
    expect(await bodiesIn(queue)).toEqual(["1"]);
    must(await stub.remove({ ifUnused: false }));
  });

  it("give what no binding matches to the alternate, which need not be bound", async () => {
    const other = await declareExchange("other");
    const stub = await declareExchange("e", { alternate: "other" });
    const queue = await declare("q");
    const rest = await declare("rest");
    await bind(stub, "q", "a");
    await bind(other, "rest", "b");
    expect(await publish(stub, "a=1", "b=2", "c=3")).toMatchObject({
      matched: [1, 1, 0],
      returned: [[2, 1]],
    });
    expect([await bodiesIn(queue), await bodiesIn(rest)]).toEqual([["1"], ["2"]]);
    must(await other.remove({ ifUnused: false }));
    expect(await publish(stub, "b=4")).toMatchObject({ matched: [0], failed: [], returned: [[0, 1]] });
  });

  it("may be internal: they refuse clients and take from others", async () => {
    const inner = await declareExchange("inner", { internal: true });
    const outer = await declareExchange("outer");
    const queue = await declare("q");
    await bind(inner, "q");
    await bind(outer, ">inner");
    expect(await tryPublish(inner, "a=1")).toMatchObject({ code: "exchange_internal" });
    await publish(outer, "a=2");
    expect(await bodiesIn(queue)).toEqual(["2"]);
  });

  it("that can't answer fail their share; the rest has arrived", async () => {
    const outer = await declareExchange("outer");
    await declareExchange("inner");
    const queue = await declare("q");
    await bind(outer, ">inner", "a");
    await bind(outer, "q", "#");
    await runInDurableObject(outer, (object) =>
      fakeExchanges(object, () => ({ step: () => Promise.reject(new Error("away")) })),
    );
    const confirm = await publish(outer, "b=1", "a=2");
    expect(confirm).toMatchObject({ matched: [1, 1], returned: [] });
    restorePeers();
    expect(confirm.failed).toMatchObject([
      { destination: { exchange: "inner" }, code: "unavailable", messages: [[1, 1]] },
    ]);
    expect(await bodiesIn(queue)).toEqual(["1", "2"]);
  });
});

describe("the exchange's own rows for a publish", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => `a=${i}`);

  it("are none without history, with or without subscribers", async () => {
    const stub = await declareExchange("e");
    await declare("q");
    await bind(stub, "q");
    const before = (await exchangeRows(stub)).written;
    for (let i = 0; i < 10; i++) await publish(stub, ...hundred);
    expect((await exchangeRows(stub)).written).toBe(before);
  });

  it("are one for each turn with history, however many publishes there are in it", async () => {
    const stub = await declareExchange("e", { history: { eventsMax: 1_000_000, ageMs: null } });
    await declare("q");
    await bind(stub, "q");
    await publish(stub, ...hundred);
    const before = (await exchangeRows(stub)).written;
    for (let i = 0; i < 10; i++) await publish(stub, ...hundred);
    expect((await exchangeRows(stub)).written - before).toBe(10);
    const commands = Array.from({ length: 10 }, () => ({ batch: told(...hundred) }));
    for (const answer of await stub.publishAll(commands)) must(answer);
    expect((await exchangeRows(stub)).written - before).toBe(11);
    await runInDurableObject(stub, (_object: ExchangeObject, state) => {
      expect(state.storage.sql.exec("SELECT count(*) AS n FROM history").one()).toEqual({ n: 12 });
    });
  });
});
