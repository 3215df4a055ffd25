// Subscriptions of sessions: what they get of the past and the present, what they may see, and how they end.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it } from "vitest";
import { declareExchange, exchangeRows, publish } from "../support/exchange-client.ts";
import type { ExchangeApi } from "../../src/protocol/exchange-rpc.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import { fakeExchanges, restorePeers } from "../support/fake-peers.ts";
import { codec, must } from "../support/queue-client.ts";
import { eventsOf, hubStub, TestSession } from "../support/session-client.ts";

afterEach(async () => {
  restorePeers();
  await reset();
});

const history = { history: { eventsMax: 100, ageMs: null } };
const any = { ifUnused: false };

describe("a subscription", () => {
  it("gets what matches, once for each of its patterns, and costs the hub no row and the exchange one", async () => {
    const stub = await declareExchange("e");
    const session = await TestSession.open();
    // The exchange notes that it is used, once.
    await session.subscribe("e", "other");
    const before = await exchangeRows(stub);
    const { epoch, offset } = await session.subscribe("e", "a.*", { ref: 7 });
    await session.subscribe("e", "a.b");
    expect(await exchangeRows(stub)).toMatchObject({ written: before.written });
    expect(offset).toBe(0);
    await publish(stub, "a.b=1", "x=2", "a.c=3");
    const heads = [await session.next("events"), await session.next("events")];
    expect(heads.map(({ head }) => head.epoch)).toEqual([epoch, epoch]);
    expect(Object.fromEntries(heads.map((frame) => [frame.head.pattern, eventsOf(frame)]))).toEqual({
      "a.*": ["1:a.b=1", "3:a.c=3"],
      "a.b": ["1:a.b=1"],
    });
    expect(await session.restTypes()).toEqual([]);
    expect(must(await hubStub().inspect())).toMatchObject({ sessions: 1, subscriptions: 3, eventsSent: 3 });
  });

  it("goes on when hub and exchange were evicted; what comes twice is told by its offset", async () => {
    const stub = await declareExchange("e", history);
    const session = await TestSession.open();
    await session.subscribe("e", "#");
    const got = new Set<string>();
    for (let i = 1; i <= 6; i++) {
      if (i % 2 === 0) await evictDurableObject(hubStub());
      if (i % 3 === 0) await evictDurableObject(stub);
      await publish(stub, `t=${i}`);
      while (got.size < i) for (const event of await session.events(1)) got.add(event);
    }
    expect([...got]).toEqual(["1:t=1", "2:t=2", "3:t=3", "4:t=4", "5:t=5", "6:t=6"]);
  });

  it("takes events as batches too", async () => {
    const stub = await declareExchange("e");
    const session = await TestSession.open();
    await session.subscribe("e", "a", { format: "binary" });
    await publish(stub, "a=1", "b=2", "a=3");
    const frame = await session.next("events");
    expect(eventsOf(frame)).toEqual(["1:a=1", "3:a=3"]);
    expect(frame.head.events).toBeUndefined();
    expect(must(codec.scan(frame.payload, "broker")).count).toBe(2);
  });

  it("is replaced by one to the same pattern, which is told anew where it stands", async () => {
    const stub = await declareExchange("e", history);
    const session = await TestSession.open();
    await session.subscribe("e", "a");
    await publish(stub, "a=1", "a=2");
    expect(await session.events(2)).toEqual(["1:a=1", "2:a=2"]);
    const { epoch } = await session.subscribe("e", "a", { last: 1, format: "binary" });
    expect(eventsOf(await session.next("events"))).toEqual(["2:a=2"]);
    expect(must(await hubStub().inspect()).subscriptions).toBe(1);
    await publish(stub, "a=3");
    const frame = await session.next("events");
    expect(frame.head).toMatchObject({ epoch, offsets: [[3, 1]] });
    expect(await session.restTypes()).toEqual([]);
  });

  it("ends when it is asked to, and only once", async () => {
    const stub = await declareExchange("e");
    const session = await TestSession.open();
    await session.subscribe("e", "a");
    await session.subscribe("e", "b");
    const end = { type: "unsubscribe", ref: 1, exchange: "e", pattern: "a" } as const;
    expect(await session.ask(end, "unsubscribed")).toMatchObject({ ref: 1, reason: "asked" });
    expect(await session.ask(end, "error")).toMatchObject({ ref: 1, code: "not_subscribed" });
    await publish(stub, "a=1", "b=2");
    expect(await session.events(1)).toEqual(["2:b=2"]);
    expect(await session.restTypes()).toEqual([]);
  });

  it("to what does not exist is refused, and leaves nothing behind", async () => {
    const session = await TestSession.open();
    const subscribe = (exchange: string, pattern: string) =>
      session.ask({ type: "subscribe", ref: 3, exchange, pattern }, "error");
    expect(await subscribe("none", "a")).toMatchObject({ ref: 3, code: "exchange_not_found" });
    await declareExchange("e");
    expect(await subscribe("e", "#.a.#.b.#")).toMatchObject({ ref: 3, code: "bad_request" });
    expect(must(await hubStub().inspect())).toMatchObject({ subscriptions: 0, exchanges: 0 });
  });

  it("is told when its exchange is deleted, and that of a new one is another", async () => {
    const stub = await declareExchange("e", history);
    const sessions = [await TestSession.open(), await TestSession.open({ hub: 1 })];
    const { epoch } = await sessions[0]!.subscribe("e", "a");
    await sessions[1]!.subscribe("e", "b");
    must(await stub.remove(any));
    for (const session of sessions) {
      expect((await session.next("unsubscribed")).head).toMatchObject({ reason: "exchange_deleted" });
    }
    await declareExchange("e", history);
    await publish(stub, "a=1");
    const again = await sessions[0]!.subscribe("e", "a", { since: `${epoch}:0` });
    expect(again).toMatchObject({ recovery: "gap", reason: "new_epoch", offset: 1 });
    expect(again.epoch).not.toBe(epoch);
    expect(await sessions[0]!.events(1)).toEqual(["1:a=1"]);
  });

  it("lets the exchange go when it was the last: nothing is pushed any more", async () => {
    const stub = await declareExchange("e");
    const session = await TestSession.open();
    await session.subscribe("e", "a");
    await session.subscribe("e", "b");
    expect(must(await stub.inspect()).hubs).toBe(1);
    await session.ask({ type: "unsubscribe", exchange: "e", pattern: "a" }, "unsubscribed");
    expect(must(await stub.inspect()).hubs).toBe(1);
    await session.ask({ type: "unsubscribe", exchange: "e", pattern: "b" }, "unsubscribed");
    await expect.poll(async () => must(await stub.inspect()).hubs).toBe(0);
    const other = await TestSession.open();
    await other.subscribe("e", "a");
    expect(must(await stub.inspect()).hubs).toBe(1);
    other.close();
    await expect.poll(async () => must(await stub.inspect()).hubs).toBe(0);
  });
});

describe("the past", () => {
  it("comes first: since a position, the last so many, the last values", async () => {
    const stub = await declareExchange("e", { ...history, lastValuesMax: 10 });
    await publish(stub, "a=1", "b=2", "a=3", "c=4");
    await publish(stub, "c=", "b=6");
    const { epoch } = must(await stub.inspect());
    const session = await TestSession.open();
    const ask = async (pattern: string, wish: object, count: number) => {
      const { recovery, reason, offset } = await session.subscribe("e", pattern, wish);
      const events = await session.events(count);
      expect(await session.restTypes()).toEqual([]);
      return { recovery, reason, offset, events };
    };
    expect(await ask("a", { since: `${epoch}:1` }, 1)).toEqual({
      recovery: "complete",
      offset: 6,
      events: ["3:a=3"],
    });
    expect(await ask("#", { last: 2 }, 2)).toEqual({
      recovery: "fresh",
      offset: 6,
      events: ["5:c=", "6:b=6"],
    });
    // The empty event took its topic's value away.
    expect(await ask("*", { lastValues: true }, 2)).toEqual({
      recovery: "fresh",
      offset: 6,
      events: ["3:a=3", "6:b=6"],
    });
    expect(await ask("b", { lastValues: true, since: `${epoch}:6` }, 1)).toEqual({
      recovery: "complete",
      offset: 6,
      events: ["6:b=6"],
    });
    expect(await ask("#.a", { since: "zzz:1" }, 2)).toMatchObject({ recovery: "gap", reason: "new_epoch" });
  });

  it("says what kind it is, and then the present follows", async () => {
    const stub = await declareExchange("e", { ...history, lastValuesMax: 10 });
    await publish(stub, "a=1", "b=2");
    const { epoch } = must(await stub.inspect());
    const session = await TestSession.open();
    await session.subscribe("e", "#", { since: `${epoch}:1`, lastValues: true });
    await publish(stub, "a=3");
    const frames = [await session.next("events"), await session.next("events"), await session.next("events")];
    expect(frames.map((frame) => [frame.head.from, eventsOf(frame)])).toEqual([
      ["snapshot", ["1:a=1", "2:b=2"]],
      ["recovered", ["2:b=2"]],
      [undefined, ["3:a=3"]],
    ]);
  });

  it.each([
    ["before", 4],
    ["after", 0],
  ])("that is asked for %s more comes than can wait for it counts %i as lost", async (when, lost) => {
    const stub = await declareExchange("e", history);
    await publish(stub, "a=past");
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const exchanges = env.EXCHANGES;
    await runInDurableObject(hubStub(), (object) =>
      fakeExchanges(object, (name) => ({
        attach: (hub) => exchanges.getByName(`test/${name}`).attach(hub),
        replay: async (command) => {
          const real: ExchangeApi = exchanges.getByName(`test/${name}`) as unknown as ExchangeApi;
          if (when === "after") await gate;
          const answer = await real.replay(command);
          await gate;
          return answer;
        },
      })),
    );
    const session = await TestSession.open();
    session.send({ type: "subscribe", exchange: "e", pattern: "a", last: 20, format: "binary" });
    await expect.poll(async () => must(await stub.inspect()).hubs).toBe(1);
    const large = LIMITS.unseenBytesMax / 4 + 1;
    for (let i = 0; i < 5; i++)
      await publish(stub, { routingKey: "a", body: new Uint8Array(large) }, "b=", "a=");
    await runInDurableObject(hubStub(), () => open());
    await session.next("subscribed");
    const offsets = (await session.events(11 - lost)).map((one) => Number(one.split(":")[0]));
    expect(offsets).toEqual([1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16].slice(0, 11 - lost));
    if (lost > 0) {
      expect((await session.next("gap")).head).toMatchObject({ reason: "slow", offset: 16, events: lost });
    }
    session.send({ type: "seen", frames: 100 });
    await publish(stub, "a=1");
    expect(await session.events(1)).toEqual(["17:a=1"]);
  });

  it("that is not kept is a gap, and no history is told as such", async () => {
    const stub = await declareExchange("e");
    const session = await TestSession.open();
    const { epoch } = await session.subscribe("e", "#");
    await publish(stub, "a=1");
    await session.events(1);
    expect(await session.subscribe("e", "#", { since: `${epoch}:0` })).toMatchObject({
      recovery: "gap",
      reason: "no_history",
    });
    // Nothing happened since: nothing is lost.
    expect(await session.subscribe("e", "#", { since: `${epoch}:1` })).toMatchObject({
      recovery: "complete",
    });
    await evictDurableObject(stub);
    expect(await session.subscribe("e", "#", { since: `${epoch}:1` })).toMatchObject({
      recovery: "gap",
      reason: "new_epoch",
    });
  });

  it("of a durable history goes on under its epoch and numbers through eviction", async () => {
    const stub = await declareExchange("e", history);
    const session = await TestSession.open();
    const { epoch } = await session.subscribe("e", "#");
    await publish(stub, "a=1", "a=2");
    await evictDurableObject(stub);
    expect((await publish(stub, "a=3")).position).toBe(`${epoch}:3`);
    expect(await session.events(3)).toEqual(["1:a=1", "2:a=2", "3:a=3"]);
  });
});

describe("a token", () => {
  const grants = [
    { verb: "subscribe", pattern: "a.*", exchange: "e" },
    { verb: "subscribe", pattern: "#.x", exchange: "e" },
    { verb: "publish", pattern: "a.b", exchange: "e" },
  ] as const;

  it("that is narrower than the pattern gives what both match, of past and present", async () => {
    const stub = await declareExchange("e", history);
    await publish(stub, "a.b=1", "b.c=2", "b.x=3");
    const session = await TestSession.open({ claims: { grants } });
    await session.subscribe("e", "#", { last: 10 });
    expect(await session.events(2)).toEqual(["1:a.b=1", "3:b.x=3"]);
    await publish(stub, "b.c=4", "a.c=5", "c.x=6");
    expect(await session.events(2)).toEqual(["5:a.c=5", "6:c.x=6"]);
    await evictDurableObject(hubStub());
    await publish(stub, "b.c=7", "a.c=8");
    expect(await session.events(1)).toEqual(["8:a.c=8"]);
    expect(await session.restTypes()).toEqual([]);
  });

  it("that shares no topic with the pattern gives nothing", async () => {
    await declareExchange("e");
    await declareExchange("f");
    const session = await TestSession.open({ claims: { grants } });
    const ask = (exchange: string, pattern: string) =>
      session.ask({ type: "subscribe", exchange, pattern }, "error");
    expect(await ask("e", "b.c")).toMatchObject({ code: "forbidden" });
    expect(await ask("f", "a.b")).toMatchObject({ code: "forbidden" });
    expect(await session.ask({ type: "presence", exchange: "e", pattern: "b.c" }, "error")).toMatchObject({
      code: "forbidden",
    });
    expect(must(await hubStub().inspect()).subscriptions).toBe(0);
  });

  it("lets a session publish its topics, and nothing when one of them is another's", async () => {
    const stub = await declareExchange("e");
    const session = await TestSession.open({ claims: { grants } });
    const messages = [{ routingKey: "a.b", body: "1" }];
    expect(await session.ask({ type: "publish", ref: 1, exchange: "e", messages }, "routed")).toMatchObject({
      ref: 1,
      exchange: "e",
      matched: [0],
      returned: [],
    });
    const more = [...messages, { routingKey: "a.c", body: "2" }];
    expect(
      await session.ask({ type: "publish", ref: 2, exchange: "e", messages: more }, "error"),
    ).toMatchObject({ ref: 2, code: "forbidden" });
    expect(await session.ask({ type: "publish", ref: 3, queue: "a.b", messages }, "error")).toMatchObject({
      ref: 3,
      code: "forbidden",
    });
    expect(must(await stub.inspect()).published).toBe(1);
  });
});
