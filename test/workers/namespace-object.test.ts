import { evictDurableObject, reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it } from "vitest";
import { LIMITS } from "../../src/protocol/limits.ts";
import { must } from "../support/queue-client.ts";

afterEach(async () => {
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

  it("takes no name that breaks the rules", async () => {
    expect(await open().registerQueue("a/b")).toMatchObject({ ok: false, code: "bad_name" });
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
});
