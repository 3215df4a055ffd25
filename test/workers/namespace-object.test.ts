import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { NamespaceObject } from "../../src/objects/namespace-object.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import { ok, refuse } from "../../src/protocol/result.ts";
import { fakeHubs, restorePeers } from "../support/fake-peers.ts";
import { must } from "../support/queue-client.ts";

afterEach(async () => {
  vi.useRealTimers();
  restorePeers();
  await reset();
});

const open = (name = "acme") => env.NAMESPACES.getByName(name);

describe("the catalogue", () => {
  it("counts a queue once, however often it is declared, and outlives eviction", async () => {
    const stub = open();
    expect(must(await stub.registerQueue("orders"))).toEqual({ isNew: true });
    await evictDurableObject(stub);
    expect(must(await stub.registerQueue("orders"))).toEqual({ isNew: false });
    expect(must(await stub.hasQueue("orders"))).toBe(true);
    expect(must(await open("other").hasQueue("orders"))).toBe(false);
    must(await stub.unregisterQueue("orders"));
    must(await stub.unregisterQueue("orders"));
    await evictDurableObject(stub);
    expect(must(await stub.hasQueue("orders"))).toBe(false);
  });

  it("keeps the name of a deleted queue for as long as it was told, from those who respect that", async () => {
    const stub = open();
    must(await stub.registerQueue("brief"));
    must(await stub.unregisterQueue("brief", 60_000));
    expect(await stub.registerQueue("brief", { respectsRest: true })).toMatchObject({
      code: "deleted_recently",
    });
    must(await stub.registerQueue("other", { respectsRest: true }));
    expect(must(await stub.registerQueue("brief"))).toEqual({ isNew: true });
    must(await stub.unregisterQueue("brief"));
    must(await stub.registerQueue("free", { respectsRest: true }));
  });

  it("pages by prefix, in the order of the bytes", async () => {
    const stub = open();
    for (const queue of ["b", "a.2", "a.1", "a_1", "A", "a%", "a.3"]) await stub.registerQueue(queue);
    expect(must(await stub.listQueues({ prefix: "", limit: 9, after: "" }))).toEqual({
      queues: ["A", "a.1", "a.2", "a.3", "a_1", "b"],
    });
    const page = must(await stub.listQueues({ prefix: "a.", limit: 2, after: "" }));
    expect(page).toEqual({ queues: ["a.1", "a.2"], after: "a.2" });
    await evictDurableObject(stub);
    expect(must(await stub.listQueues({ prefix: "a.", limit: 2, after: "a.2" }))).toEqual({
      queues: ["a.3"],
    });
    expect(must(await stub.listQueues({ prefix: "a_", limit: 1, after: "" }))).toEqual({ queues: ["a_1"] });
  });

  it("pages through a caller's own names, and tells of no others", async () => {
    const stub = open();
    // Names of others lie before, between and behind, more than are looked at in one go.
    await runInDurableObject(stub, async (object: NamespaceObject) => {
      for (let i = 0; i < 1_100; i++) await object.registerQueue(`hidden.${i}`);
      for (const queue of ["a.1", "a.2", "z.1", "b"]) await object.registerQueue(queue);
    });
    const wanted = { prefix: "", limit: 2, patterns: ["a.*", "z.#"] };
    expect(must(await stub.listQueues({ ...wanted, after: "" }))).toEqual({
      queues: ["a.1", "a.2"],
      after: "a.2",
    });
    expect(must(await stub.listQueues({ ...wanted, after: "a.2" }))).toEqual({ queues: ["z.1"] });
    expect(must(await stub.listQueues({ ...wanted, patterns: [], after: "" }))).toEqual({ queues: [] });
  });

  it("takes no name that breaks the rules", async () => {
    expect(await open().registerQueue("a/b")).toMatchObject({ ok: false, code: "bad_name" });
  });
});

describe("exchanges in the catalogue", () => {
  it("are counted once, and their names are not those of queues", async () => {
    const stub = open();
    must(await stub.registerQueue("orders"));
    expect(must(await stub.hasExchange("orders"))).toBe(false);
    expect(must(await stub.registerExchange("orders"))).toEqual({ isNew: true });
    await evictDurableObject(stub);
    expect(must(await stub.registerExchange("orders"))).toEqual({ isNew: false });
    expect(await stub.registerExchange("a/b")).toMatchObject({ ok: false, code: "bad_name" });
    expect(must(await stub.usage())).toMatchObject({ queues: 1, exchanges: 1 });
    must(await stub.unregisterExchange("orders"));
    must(await stub.unregisterExchange("orders"));
    expect(must(await stub.hasExchange("orders"))).toBe(false);
    expect(must(await stub.hasQueue("orders"))).toBe(true);
  });

  it("are listed by pages, as queues are", async () => {
    const stub = open();
    for (const exchange of ["b", "a.2", "a.1", "A"]) must(await stub.registerExchange(exchange));
    must(await stub.registerQueue("a.0"));
    expect(must(await stub.listExchanges({ prefix: "", limit: 9, after: "" }))).toEqual({
      exchanges: ["A", "a.1", "a.2", "b"],
    });
    expect(must(await stub.listExchanges({ prefix: "a.", limit: 1, after: "" }))).toEqual({
      exchanges: ["a.1"],
      after: "a.1",
    });
    expect(must(await stub.listExchanges({ prefix: "a.", limit: 1, after: "a.1" }))).toEqual({
      exchanges: ["a.2"],
    });
  });

  it("have a quota of their own", async () => {
    const stub = open();
    const usage = must(await stub.setQuota({ exchangesMax: 1 }));
    expect(usage).toMatchObject({ exchangesMax: 1, queuesMax: LIMITS.queuesMax });
    must(await stub.setQuota({ queuesMax: 5 }));
    must(await stub.registerExchange("one"));
    await evictDurableObject(stub);
    expect(await stub.registerExchange("two")).toMatchObject({
      ok: false,
      code: "quota_exceeded",
      facts: { exchangesMax: 1 },
    });
    must(await stub.registerQueue("two"));
  });
});

describe("what leads where", () => {
  it("is noted once for each exchange and destination, and only where there is one", async () => {
    const stub = open();
    must(await stub.registerQueue("x"));
    expect(await stub.noteBinding("e1", { exchange: "x" })).toMatchObject({ code: "destination_missing" });
    must(await stub.registerExchange("x"));
    for (const exchange of ["e2", "e1", "e1"]) must(await stub.noteBinding(exchange, { queue: "x" }));
    must(await stub.noteBinding("e3", { exchange: "x" }));
    await evictDurableObject(stub);
    expect(must(await stub.boundTo({ queue: "x" }))).toEqual(["e1", "e2"]);
    expect(must(await stub.boundTo({ exchange: "x" }))).toEqual(["e3"]);
    must(await stub.forgetBinding("e1", { queue: "x" }));
    must(await stub.forgetBinding("e1", { queue: "x" }));
    expect(must(await stub.boundTo({ queue: "x" }))).toEqual(["e2"]);
  });

  it("outlives its destination until it is forgotten, but not the exchange that led there", async () => {
    const stub = open();
    must(await stub.registerQueue("q"));
    for (const exchange of ["e1", "e2"]) must(await stub.registerExchange(exchange));
    must(await stub.noteBinding("e1", { queue: "q" }));
    must(await stub.noteBinding("e1", { exchange: "e2" }));
    must(await stub.noteBinding("e2", { queue: "q" }));
    must(await stub.unregisterQueue("q"));
    expect(await stub.noteBinding("e1", { queue: "q" })).toMatchObject({ code: "destination_missing" });
    expect(must(await stub.boundTo({ queue: "q" }))).toEqual(["e1", "e2"]);
    must(await stub.unregisterExchange("e2"));
    expect(must(await stub.boundTo({ queue: "q" }))).toEqual(["e1"]);
    expect(must(await stub.boundTo({ exchange: "e2" }))).toEqual(["e1"]);
  });
});

describe("quotas", () => {
  it("refuse the queue that is one too many, and count on after eviction", async () => {
    const stub = open();
    must(await stub.setQuota({ queuesMax: 1 }));
    must(await stub.registerQueue("one"));
    await evictDurableObject(stub);
    expect(await stub.registerQueue("two")).toMatchObject({
      ok: false,
      code: "quota_exceeded",
      facts: { queuesMax: 1 },
    });
    must(await stub.unregisterQueue("one"));
    expect(must(await stub.registerQueue("two"))).toEqual({ isNew: true });
  });

  it("never allot more than there is, over all queues", async () => {
    const stub = open();
    for (const queue of ["one", "two"]) must(await stub.registerQueue(queue));
    must(await stub.setQuota({ bytesMax: 100 }));
    expect(must(await stub.allotBytes("one", 70))).toEqual({ bytes: 70 });
    await evictDurableObject(stub);
    expect(must(await stub.allotBytes("two", 70))).toEqual({ bytes: 30 });
    expect(must(await stub.allotBytes("one", 80))).toEqual({ bytes: 70 });
    expect(must(await stub.allotBytes("one", 50))).toEqual({ bytes: 50 });
    expect(must(await stub.allotBytes("two", 70))).toEqual({ bytes: 50 });
    expect(must(await stub.usage())).toEqual({
      queues: 2,
      queuesMax: LIMITS.queuesMax,
      exchanges: 0,
      exchangesMax: LIMITS.exchangesMax,
      bytesAllotted: 100,
      bytesMax: 100,
    });
  });

  it("take nothing away when they shrink, and give back what a deleted queue had", async () => {
    const stub = open();
    for (const queue of ["one", "two"]) must(await stub.registerQueue(queue));
    must(await stub.allotBytes("one", 80));
    must(await stub.setQuota({ bytesMax: 50 }));
    expect(must(await stub.allotBytes("one", 90))).toEqual({ bytes: 80 });
    expect(must(await stub.allotBytes("two", 1))).toEqual({ bytes: 0 });
    must(await stub.unregisterQueue("one"));
    expect(must(await stub.allotBytes("two", 90))).toEqual({ bytes: 50 });
  });

  it("allot nothing to a queue that is not in the catalogue", async () => {
    expect(await open().allotBytes("nowhere", 1)).toMatchObject({ ok: false, code: "queue_not_found" });
  });
});

describe("revoked tokens", () => {
  it("are remembered until they would have run out, through eviction", async () => {
    const stub = open();
    const hourMs = 3_600_000;
    must(await stub.revokeToken("live", Date.now() + hourMs));
    must(await stub.revokeToken("gone", Date.now() - 1));
    // A shorter end does not bring a token back earlier.
    must(await stub.revokeToken("live", Date.now() + 1));
    await evictDurableObject(stub);
    expect(must(await stub.revokedTokens())).toEqual(["live"]);
    expect(must(await open("other").revokedTokens())).toEqual([]);
  });

  it("are told to every hub that has not lapsed, and a hub that fails does not undo it", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = open();
    const told: string[] = [];
    const answers: Record<string, () => Promise<ReturnType<typeof refuse> | ReturnType<typeof ok<void>>>> = {
      breaks: () => Promise.reject(new Error("broken")),
      refuses: async () => refuse("unavailable", "not now"),
    };
    await runInDurableObject(stub, (object) =>
      fakeHubs(object, (hub) => ({
        revoke: (jti) => {
          told.push(`${hub}: ${jti}`);
          return answers[hub]?.() ?? Promise.resolve(ok(undefined));
        },
      })),
    );
    const startMs = Date.now();
    for (const hub of ["breaks", "refuses", "late", "lapsed"]) {
      must(await stub.registerHub(hub, startMs + (hub === "lapsed" ? 1_000 : 60_000)));
    }
    // An earlier end does not take back a later one.
    must(await stub.registerHub("late", startMs + 1_000));
    vi.setSystemTime(startMs + 1_000);
    must(await stub.revokeToken("t1", startMs + 90_000));
    expect(told.sort()).toEqual(["breaks: t1", "late: t1", "refuses: t1"]);
    expect(must(await stub.revokedTokens())).toEqual(["t1"]);
    vi.setSystemTime(startMs + 60_000);
    must(await stub.revokeToken("t2", startMs + 90_000));
    expect(told).toHaveLength(3);
  });

  it("bound the hubs of a namespace: one that would not be told is refused", async () => {
    const stub = open();
    const untilMs = Date.now() + 60_000;
    for (let i = 0; i < LIMITS.hubsMax; i++) must(await stub.registerHub(`h${i}`, untilMs));
    expect(await stub.registerHub("more", untilMs)).toMatchObject({ ok: false, code: "quota_exceeded" });
    must(await stub.registerHub("h0", untilMs + 1));
    expect(await open("other").registerHub("a/b", untilMs)).toMatchObject({ code: "bad_name" });
  });
});
