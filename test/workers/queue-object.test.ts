import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it } from "vitest";
import type { QueueObject } from "../../src/objects/queue-object.ts";
import { QUEUE_DEFAULTS } from "../../src/protocol/queue-config.ts";
import { deliveryToJson } from "../../src/protocol/message-json.ts";
import {
  batchOf,
  codec,
  declare,
  must,
  runAlarm,
  TestSocket,
  type QueueStub,
} from "../support/queue-client.ts";

afterEach(async () => {
  await reset();
});

const bodies = (messages: readonly { body?: string }[]): (string | undefined)[] =>
  messages.map(({ body }) => body);

async function take(stub: QueueStub, max = 10): Promise<ReturnType<typeof deliveryToJson>> {
  return deliveryToJson(must(await stub.receive({ consumer: "t", max })), codec);
}

describe("a queue's object", () => {
  it("keeps confirmed messages and their leases through eviction", async () => {
    const stub = await declare("orders");
    const confirm = must(await stub.publish({ batch: batchOf("one", "two", "three") }));
    expect(confirm.sequences).toEqual([[1, 3]]);
    await evictDurableObject(stub);
    const first = await take(stub, 2);
    expect(bodies(first)).toEqual(["one", "two"]);
    await evictDurableObject(stub);
    expect(bodies(await take(stub, 2))).toEqual(["three"]);
    const lease = Number.parseInt(first[0]!.receipt.split("-")[0]!, 36);
    await evictDurableObject(stub);
    expect(must(await stub.settle([{ lease, verdict: "ack" }]))).toEqual([{ settled: 2, refused: [] }]);
    await evictDurableObject(stub);
    expect(must(await stub.inspect()).counts).toMatchObject({ ready: 0, leased: 1 });
  });

  it("writes what arrives in one turn as one segment", async () => {
    const stub = await declare("burst");
    await Promise.all(Array.from({ length: 50 }, (_, i) => stub.publish({ batch: batchOf(`m${i}`) })));
    await runInDurableObject(stub, (_object: QueueObject, state) => {
      const { n } = state.storage.sql.exec<{ n: number }>("SELECT count(*) AS n FROM segment").one();
      expect(n).toBeLessThan(50);
    });
    expect(await take(stub, 50)).toHaveLength(50);
  });

  it("pushes to a consumer that slept while the object was evicted", async () => {
    const stub = await declare("push");
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", consumer: "c1", credit: 2 });
    await socket.next("consuming");
    await evictDurableObject(stub);
    must(await stub.publish({ batch: batchOf("a", "b", "c") }));
    const { head } = await socket.next("deliver");
    expect(bodies(head.messages!)).toEqual(["a", "b"]);
    await evictDurableObject(stub);
    socket.send({ type: "settle", ref: 7, settlements: [{ lease: head.lease, verdict: "ack" }] });
    const third = await socket.next("deliver");
    expect(bodies(third.head.messages!)).toEqual(["c"]);
    expect((await socket.next("settled")).head).toMatchObject({ ref: 7, results: [{ settled: 2 }] });
    socket.close();
  });

  it("gives back what a consumer held whose socket is gone after a restart", async () => {
    const stub = await declare("lost", { retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } });
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", credit: 5 });
    await socket.next("consuming");
    must(await stub.publish({ batch: batchOf("a", "b") }));
    await socket.next("deliver");
    await evictDurableObject(stub, { webSockets: "close" });
    const again = await take(stub);
    expect(again.map(({ body, attempt }) => [body, attempt])).toEqual([
      ["a", 2],
      ["b", 2],
    ]);
  });

  it("carries a dead message to its dead-letter queue by alarm, and keeps its id", async () => {
    const dead = await declare("work.dead");
    const stub = await declare("work", { deadLetter: { queue: "work.dead" }, maxFailures: 0 });
    const confirm = must(await stub.publish({ batch: batchOf("poison") }));
    const [message] = await take(stub);
    const lease = Number.parseInt(message!.receipt.split("-")[0]!, 36);
    must(await stub.settle([{ lease, verdict: "reject", error: "no such customer" }]));
    expect(must(await stub.inspect()).counts).toMatchObject({ deadLettering: 1, leased: 0 });
    await evictDurableObject(stub);
    await runAlarm(stub);
    expect(must(await stub.inspect()).counts).toMatchObject({ deadLettering: 0 });
    const [letter] = await take(dead);
    expect(letter).toMatchObject({ id: message!.id, body: "poison" });
    expect(letter!.death).toMatchObject({
      reason: "failed",
      queue: "work",
      log: [{ error: "no such customer" }],
    });
    expect(confirm.origin).toBeGreaterThan(0);
  });

  it("frees a lease that ran out when the alarm comes", async () => {
    const stub = await declare("lease", {
      leaseMs: 1_000,
      retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 },
    });
    must(await stub.publish({ batch: batchOf("x") }));
    await take(stub);
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume" });
    await socket.next("consuming");
    const { head } = await socket.next("deliver");
    expect(head.messages![0]).toMatchObject({ attempt: 2, failures: 1 });
    socket.close();
  });

  it("refuses everything on a queue that was never declared or is deleted", async () => {
    const stub = env.QUEUES.getByName("test/none");
    expect(await stub.publish({ batch: batchOf("x") })).toMatchObject({ ok: false, code: "queue_not_found" });
    const gone = await declare("gone");
    const socket = await TestSocket.open(gone);
    socket.send({ type: "consume", consumer: "c" });
    await socket.next("consuming");
    must(await gone.publish({ batch: batchOf({ priority: 3 }) }));
    await socket.next("deliver");
    expect(must(await gone.remove({ ifEmpty: false, ifUnused: false }))).toEqual({ messages: 1 });
    expect((await socket.next("cancelled")).head).toMatchObject({ reason: "queue_deleted", consumer: "c" });
    expect(await gone.inspect()).toMatchObject({ ok: false, code: "queue_not_found" });
    await declare("gone");
    expect(await take(gone)).toEqual([]);
  });

  it("is in the catalogue from its declaration to its deletion, and counts against the quota", async () => {
    const namespace = env.NAMESPACES.getByName("test");
    must(await namespace.setQuota({ queuesMax: 1 }));
    const stub = env.QUEUES.getByName("test/listed");
    must(await stub.declare(QUEUE_DEFAULTS));
    const list = async (): Promise<string[]> =>
      must(await namespace.listQueues({ prefix: "", limit: 10, after: "" })).queues;
    expect(await list()).toEqual(["listed"]);
    const second = env.QUEUES.getByName("test/second");
    expect(await second.declare(QUEUE_DEFAULTS)).toMatchObject({ ok: false, code: "quota_exceeded" });
    expect(await second.inspect()).toMatchObject({ ok: false, code: "queue_not_found" });
    const removed = stub.remove({ ifEmpty: false, ifUnused: false });
    const again = stub.declare(QUEUE_DEFAULTS);
    must(await removed);
    must(await again);
    expect(await list()).toEqual(["listed"]);
    must(await stub.inspect());
    must(await stub.remove({ ifEmpty: true, ifUnused: true }));
    expect(await list()).toEqual([]);
  });

  it("stops taking messages when the namespace's bytes are used up, and goes on when they are freed", async () => {
    const stub = await declare("full");
    must(await env.NAMESPACES.getByName("test").setQuota({ bytesMax: 2_000_000 }));
    const batch = batchOf({ body: new Uint8Array(900_000) });
    must(await stub.publish({ batch }));
    must(await stub.publish({ batch }));
    await evictDurableObject(stub);
    expect(await stub.publish({ batch })).toMatchObject({ ok: false, code: "quota_exceeded" });
    expect(must(await stub.inspect()).counts.ready).toBe(2);
    must(await stub.purge({}));
    must(await stub.publish({ batch }));
  });
});
