// An exchange's life and its bindings, with the real queues and the real catalogue.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it } from "vitest";
import type { ExchangeObject } from "../../src/objects/exchange-object.ts";
import { EXCHANGE_DEFAULTS } from "../../src/protocol/exchange-config.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import { QUEUE_DEFAULTS } from "../../src/protocol/queue-config.ts";
import {
  bind,
  bodiesIn,
  declareExchange,
  exchangeStub,
  publish,
  runExchangeAlarm,
  tryPublish,
} from "../support/exchange-client.ts";
import { declare, must } from "../support/queue-client.ts";

afterEach(async () => {
  await reset();
});

const namespace = () => env.NAMESPACES.getByName("test");
const any = { ifUnused: false };
const all = { ifEmpty: false, ifUnused: false };

describe("an exchange", () => {
  it("is declared once, found again when it says the same, and kept through eviction", async () => {
    const stub = exchangeStub("e");
    expect(await stub.inspect()).toMatchObject({ ok: false, code: "exchange_not_found" });
    const first = must(await stub.declare(EXCHANGE_DEFAULTS));
    expect(first).toMatchObject({ created: true, info: { exchange: "e", namespace: "test", bindings: 0 } });
    await evictDurableObject(stub);
    expect(must(await stub.declare(EXCHANGE_DEFAULTS))).toMatchObject({
      created: false,
      info: { createdMs: first.info.createdMs },
    });
    const refused = await stub.declare({ ...EXCHANGE_DEFAULTS, kind: "fanout", presence: true });
    expect(refused).toMatchObject({ ok: false, code: "exchange_exists" });
    expect(refused).toHaveProperty("detail", "the exchange exists and differs in: kind, presence");
    expect(must(await namespace().hasExchange("e"))).toBe(true);
  });

  it("is made once by many declares at the same time", async () => {
    const stub = exchangeStub("e");
    const answers = await Promise.all(Array.from({ length: 5 }, () => stub.declare(EXCHANGE_DEFAULTS)));
    expect(answers.filter((answer) => must(answer).created)).toHaveLength(1);
  });

  it("changes what may change, and refuses what may not", async () => {
    const stub = await declareExchange("e");
    const config = { history: { eventsMax: 5, ageMs: null }, internal: true };
    expect(must(await stub.update(config)).config).toMatchObject(config);
    expect(await stub.update({ kind: "direct" })).toMatchObject({ ok: false, code: "bad_request" });
    expect(await stub.update({ durable: false })).toMatchObject({ ok: false, code: "bad_request" });
    await evictDurableObject(stub);
    expect(must(await stub.inspect()).config).toMatchObject({ ...config, kind: "topic", durable: true });
    expect(await exchangeStub("none").update({})).toMatchObject({ code: "exchange_not_found" });
  });

  it("names an alternate that exists, and never itself", async () => {
    const stub = await declareExchange("e");
    expect(await stub.update({ alternate: "none" })).toMatchObject({ code: "destination_missing" });
    expect(await stub.update({ alternate: "e" })).toMatchObject({ code: "bad_request" });
    expect(await exchangeStub("f").declare({ ...EXCHANGE_DEFAULTS, alternate: "none" })).toMatchObject({
      code: "destination_missing",
    });
    expect(must(await namespace().hasExchange("f"))).toBe(false);
    must(await exchangeStub("f").declare({ ...EXCHANGE_DEFAULTS, alternate: "e" }));
    must(await stub.update({ alternate: "f" }));
  });

  it("goes with all it has; one of the same name has nothing of it", async () => {
    const config = { history: { eventsMax: 5, ageMs: null }, lastValuesMax: 5 };
    const stub = await declareExchange("e", config);
    const queue = await declare("q");
    await bind(stub, "q");
    await publish(stub, "a=1", { routingKey: "later", delayMs: 3_600_000 });
    expect(must(await stub.inspect())).toMatchObject({ bindings: 1, delayed: 1, offset: 1, lastValues: 1 });
    expect(must(await stub.remove(any))).toEqual({ bindings: 1, delayed: 1 });
    expect(await stub.remove(any)).toMatchObject({ code: "exchange_not_found" });
    expect(await tryPublish(stub, "a")).toMatchObject({ code: "exchange_not_found" });
    expect(must(await namespace().hasExchange("e"))).toBe(false);
    expect(must(await namespace().boundTo({ queue: "q" }))).toEqual([]);
    await declareExchange("e", config);
    expect(must(await stub.inspect())).toMatchObject({ bindings: 0, delayed: 0, offset: 0, lastValues: 0 });
    await publish(stub, "a=2");
    expect(await bodiesIn(queue)).toEqual(["1"]);
  });

  it("is over before a declare that came during its removal", async () => {
    const stub = await declareExchange("e");
    await declare("q");
    await bind(stub, "q");
    const [removed, declared] = await Promise.all([stub.remove(any), stub.declare(EXCHANGE_DEFAULTS)]);
    expect(must(removed)).toEqual({ bindings: 1, delayed: 0 });
    expect(must(declared)).toMatchObject({ created: true, info: { bindings: 0 } });
    expect(must(await namespace().hasExchange("e"))).toBe(true);
  });

  it("stays while it is used, where only an unused one may go", async () => {
    const stub = await declareExchange("e");
    await declare("q");
    const { id } = await bind(stub, "q");
    expect(await stub.remove({ ifUnused: true })).toMatchObject({ code: "exchange_in_use" });
    must(await stub.unbind(id));
    must(await stub.attach("0"));
    expect(await stub.remove({ ifUnused: true })).toMatchObject({ code: "exchange_in_use" });
    must(await stub.detach("0"));
    must(await stub.remove({ ifUnused: true }));
  });

  it("goes by itself after its last binding, but only once it has had one, and never with messages", async () => {
    const stub = await declareExchange("e", { autoDelete: true });
    await declare("q");
    await runExchangeAlarm(stub);
    must(await stub.inspect());
    const one = await bind(stub, "q", "a");
    const two = await bind(stub, "q", "b");
    must(await stub.unbind(one.id));
    must(await stub.inspect());
    await publish(stub, { routingKey: "b", delayMs: 3_600_000 });
    must(await stub.unbind(two.id));
    expect(must(await stub.inspect())).toMatchObject({ bindings: 0, delayed: 1 });
    await runInDurableObject(stub, (_object: ExchangeObject, state) => {
      state.storage.sql.exec("UPDATE delayed SET due_ms = 0");
    });
    await runExchangeAlarm(stub);
    expect(await stub.inspect()).toMatchObject({ code: "exchange_not_found" });
    expect(must(await namespace().hasExchange("e"))).toBe(false);
  });

  it("goes by itself after its last hub", async () => {
    const stub = await declareExchange("e", { autoDelete: true });
    for (const hub of ["0", "1"]) must(await stub.attach(hub));
    must(await stub.detach("0"));
    await evictDurableObject(stub);
    must(await stub.inspect());
    must(await stub.detach("1"));
    expect(await stub.inspect()).toMatchObject({ code: "exchange_not_found" });
  });
});

describe("a binding", () => {
  it("is made once, whatever the order of its headers; listed by pages; taken away by its id", async () => {
    const stub = await declareExchange("e");
    await declare("q");
    const destination = { queue: "q" };
    const made = must(await stub.bind({ destination, key: "a.*", headers: null }));
    expect(made).toMatchObject({ created: true, binding: { id: 1, destination, key: "a.*" } });
    await evictDurableObject(stub);
    expect(must(await stub.bind({ destination, key: "a.*", headers: null }))).toEqual({
      ...made,
      created: false,
    });
    const headers = { match: "all", headers: { x: 1, y: null } } as const;
    const filtered = must(await stub.bind({ destination, key: "", headers }));
    const again = { match: "all", headers: { y: null, x: 1 } } as const;
    expect(must(await stub.bind({ destination, key: "", headers: again }))).toEqual({
      ...filtered,
      created: false,
    });
    expect(must(await stub.bindings({ after: 0, limit: 1 }))).toMatchObject({
      bindings: [{ id: 1 }],
      after: 1,
    });
    expect(must(await stub.bindings({ after: 1, limit: 1 }))).toEqual({ bindings: [filtered.binding] });
    expect(must(await stub.unbind(1))).toEqual(made.binding);
    expect(await stub.unbind(1)).toMatchObject({ code: "binding_not_found" });
  });

  it("to what does not exist is refused, and leaves no note", async () => {
    const stub = await declareExchange("e");
    await declare("x");
    expect(await stub.bind({ destination: { queue: "none" }, key: "a", headers: null })).toMatchObject({
      code: "destination_missing",
    });
    // A queue is no exchange, whatever its name.
    expect(await stub.bind({ destination: { exchange: "x" }, key: "a", headers: null })).toMatchObject({
      code: "destination_missing",
    });
    expect(
      await exchangeStub("none").bind({ destination: { queue: "x" }, key: "a", headers: null }),
    ).toMatchObject({ code: "exchange_not_found" });
    expect(await stub.bind({ destination: { queue: "x" }, key: "#.#.#", headers: null })).toMatchObject({
      ok: false,
    });
    expect(must(await namespace().boundTo({ queue: "x" }))).toEqual([]);
    expect(must(await stub.inspect()).bindings).toBe(0);
  });

  it("that has returned is seen by the next publish, through any eviction", async () => {
    const stub = await declareExchange("e");
    const queue = await declare("q");
    const expected: string[] = [];
    for (let i = 0; i < 10; i++) {
      if (i % 3 === 0) await evictDurableObject(stub);
      await bind(stub, "q", `t${i}`);
      expect(await publish(stub, `t${i}=${i}`)).toMatchObject({ matched: [1], returned: [] });
      expected.push(`${i}`);
    }
    expect(await bodiesIn(queue)).toEqual(expected);
  });

  it("is noted as long as one leads there, whatever comes at the same time", async () => {
    const stub = await declareExchange("e");
    await declare("q");
    const noted = async (): Promise<string[]> => must(await namespace().boundTo({ queue: "q" }));
    const { id } = await bind(stub, "q", "a");
    const [, bound] = await Promise.all([stub.unbind(id), bind(stub, "q", "b")]);
    expect(await noted()).toEqual(["e"]);
    const [, other] = await Promise.all([bind(stub, "q", "c"), stub.unbind(bound.id)]);
    expect(must(other).id).toBe(bound.id);
    expect(await noted()).toEqual(["e"]);
    must(await stub.unbindAll({ queue: "q" }));
    expect(await noted()).toEqual([]);
  });

  it("ends with its queue: one of the same name is not bound", async () => {
    const stub = await declareExchange("e");
    const queue = await declare("q");
    await declare("stays");
    await bind(stub, "q");
    await bind(stub, "stays");
    must(await queue.remove(all));
    expect(must(await stub.bindings({ after: 0, limit: 9 })).bindings).toMatchObject([
      { destination: { queue: "stays" } },
    ]);
    await declare("q");
    expect(await publish(stub, "a=1")).toMatchObject({ matched: [1], failed: [] });
    expect(must(await queue.inspect()).counts.ready).toBe(0);
  });

  it("that is made while its queue is removed ends with it too", async () => {
    const stub = await declareExchange("e");
    const queue = await declare("q");
    for (let i = 0; i < 5; i++) {
      const destination = { queue: "q" };
      await Promise.all([
        stub.bind({ destination, key: "a", headers: null }),
        queue.remove(all),
        stub.bind({ destination, key: "b", headers: null }),
      ]);
      await declare("q");
      expect(must(await stub.inspect()).bindings).toBe(0);
    }
  });

  it("ends with the exchange that it leads to, and an auto-deleting chain with it", async () => {
    const first = await declareExchange("first", { autoDelete: true });
    const middle = await declareExchange("middle", { autoDelete: true });
    const last = await declareExchange("last");
    await bind(first, ">middle");
    await bind(middle, ">last");
    await bind(last, ">middle");
    must(await last.remove(any));
    expect(await middle.inspect()).toMatchObject({ code: "exchange_not_found" });
    expect(await first.inspect()).toMatchObject({ code: "exchange_not_found" });
    await declareExchange("last");
    expect(must(await last.inspect()).bindings).toBe(0);
  });

  it("to a queue that is gone without a word is taken away by the first publish that finds it so", async () => {
    const stub = await declareExchange("e");
    await namespace().registerQueue("ghost");
    await bind(stub, "ghost", "a");
    // It is in the catalogue: it may be about to be declared, so its binding stays.
    expect(await publish(stub, "a")).toMatchObject({ matched: [0], failed: [], returned: [[0, 1]] });
    expect(must(await stub.inspect()).bindings).toBe(1);
    await namespace().unregisterQueue("ghost");
    expect(await publish(stub, "a")).toMatchObject({ matched: [0], failed: [], returned: [[0, 1]] });
    expect(must(await stub.inspect()).bindings).toBe(0);
    expect(must(await namespace().boundTo({ queue: "ghost" }))).toEqual([]);
    must(await env.QUEUES.getByName("test/ghost").declare(QUEUE_DEFAULTS));
    expect(await publish(stub, "a")).toMatchObject({ matched: [0] });
  });

  it("takes at most so many wildcards, and no key over its limit", async () => {
    const stub = await declareExchange("e");
    await declare("q");
    const make = (key: string) => stub.bind({ destination: { queue: "q" }, key, headers: null });
    must(await make("#.a.#"));
    expect(await make("#.a.#.b.#")).toMatchObject({ ok: false });
    must(await make("k".repeat(LIMITS.textBytesMax)));
    expect(await make("k".repeat(LIMITS.textBytesMax + 1))).toMatchObject({ ok: false });
  });
});
