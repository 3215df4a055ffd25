/** A queue of several partitions through the SDK and over HTTP: to both it is one queue, also while it grows. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestHarness } from "wrangler";
import { connect, type Client } from "../../src/client/index.ts";
import { partitionName } from "../../src/protocol/names.ts";

const server = createTestHarness({
  workers: [{ configPath: "../../wrangler.toml" }],
  root: import.meta.dirname,
});
const clients: Client[] = [];
let url: string;

beforeAll(async () => {
  url = (await server.listen()).url.href;
});
afterAll(async () => {
  for (const client of clients) client.close();
  await server.close();
});

function open(): Client {
  const client = connect({ url, reconnect: { baseMs: 20, maxMs: 100 } });
  clients.push(client);
  return client;
}

interface Json {
  readonly ids: (string | null)[];
  readonly refused?: unknown[];
  readonly messages: { receipt: string; body: string }[];
  readonly code?: string;
}

async function call(method: string, path: string, body?: unknown): Promise<{ status: number; json: Json }> {
  const init = body === undefined ? {} : { body: JSON.stringify(body) };
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(new URL(`/v1/queues/${path}`, url), { method, headers, ...init });
  return { status: response.status, json: (await response.json()) as Json };
}

describe("through the SDK", () => {
  it("every message is worked off once, and a key's in their order, while partitions are added and evicted", async () => {
    const queue = open().queue("sdk-grows");
    await queue.declare({ fifo: true, partitions: 2 });
    const seen = new Map<string, number[]>();
    let count = 0;
    const consumer = queue.consume(
      (message) => {
        const { key, i } = message.json<{ key: string; i: number }>();
        seen.set(key, [...(seen.get(key) ?? []), i]);
        count++;
      },
      { credit: 64 },
    );
    const total = 3_000;
    const published: Promise<unknown>[] = [];
    for (let i = 0; i < total; i++) {
      const key = `k${i % 50}`;
      published.push(queue.publish({ key, i }, { orderingKey: key }));
      if (i === 1_000) await queue.update({ partitions: 3 });
      if (i === 2_000) await queue.update({ partitions: 5 });
      if (i % 700 === 0) {
        await server
          .getWorker()
          .evictDurableObject("QUEUES", { name: partitionName("default", "sdk-grows", (i / 700) % 2) });
      }
    }
    await Promise.all(published);
    await expect.poll(() => count, { timeout: 60_000 }).toBeGreaterThanOrEqual(total);
    await consumer.drain();
    // What an eviction interrupts may come twice, but nothing comes before what came first.
    for (const [key, numbers] of seen) {
      const firsts = numbers.filter((i, at) => numbers.indexOf(i) === at);
      expect(firsts, key).toEqual([...firsts].sort((a, b) => a - b));
      expect(firsts).toHaveLength(total / 50);
    }
    const info = await queue.inspect();
    expect(info.counts).toMatchObject({ ready: 0, leased: 0, delayed: 0, dead: 0 });
    expect(info.totals).toMatchObject({ published: total, acked: total });
    expect(info.partitions).toHaveLength(5);
    expect(info.partitions!.filter(({ waitsFor }) => waitsFor.length > 0)).toEqual([]);
  });

  it("a message that is refused makes no other one twice", async () => {
    const publisher = { batchMessagesMax: 1, lingerMs: 0, batchesInFlightMax: 8 };
    const client = connect({ url, publisher });
    clients.push(client);
    const queue = client.queue("refuses");
    await queue.declare({ partitions: 4, bodyBytesMax: 10 });
    const bodies = Array.from({ length: 60 }, (_, i) => (i % 11 === 7 ? "x".repeat(20) : `m${i}`));
    const results = await Promise.allSettled(bodies.map((body) => queue.publish(body)));
    const refused = bodies.filter((_, i) => results[i]!.status === "rejected");
    expect(refused).toEqual(bodies.filter((body) => body.length > 10));
    const stored: string[] = [];
    const consumer = queue.consume((message) => void stored.push(message.text()), { credit: 100 });
    await expect.poll(() => stored.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(60 - refused.length);
    await consumer.drain();
    expect(stored.toSorted()).toEqual(bodies.filter((body) => body.length <= 10).toSorted());
    expect((await queue.inspect()).counts.ready).toBe(0);
  });

  it("a session consumes all partitions, those too that are added", async () => {
    const client = open();
    const queue = client.queue("session-grows");
    await queue.declare({ partitions: 2 });
    const service = client.serve("session-grows", (request) => ({ twice: request.json<number>() * 2 }), {
      declare: false,
    });
    await service.ready;
    const ask = async (n: number): Promise<number> =>
      (await client.call("session-grows", n, { timeoutMs: 20_000 })).json<{ twice: number }>().twice;
    expect(await Promise.all([1, 2, 3, 4, 5, 6].map(ask))).toEqual([2, 4, 6, 8, 10, 12]);
    await queue.update({ partitions: 4 });
    await expect
      .poll(async () => (await queue.inspect()).consumers.map(({ active }) => active), { timeout: 20_000 })
      .toEqual([true]);
    expect(await Promise.all(Array.from({ length: 24 }, (_, n) => ask(n)))).toEqual(
      Array.from({ length: 24 }, (_, n) => n * 2),
    );
    await service.drain();
  });
});

describe("over HTTP", () => {
  it("publishes, waits, settles, looks and deletes", async () => {
    expect((await call("PUT", "http", { fifo: true, partitions: 3, maxMessages: 3 })).status).toBe(201);
    const waiting = call("POST", "http/receive", { max: 10, waitMs: 20_000 });
    const sent = await call("POST", "http/batches", {
      messages: ["a", "b", "c", "d"].map((orderingKey) => ({ orderingKey, body: orderingKey })),
    });
    const { ids, refused = [] } = sent.json;
    // One message of each partition has room; whose keys meet in one is told which was refused.
    expect(sent.status).toBe(refused.length === 0 ? 201 : 207);
    expect(ids.filter((id) => id === null).length > 0).toBe(refused.length > 0);
    const bodies: string[] = [];
    let delivery = await waiting;
    while (bodies.length < ids.filter((id) => id !== null).length) {
      const { messages } = delivery.json;
      bodies.push(...messages.map(({ body }) => body));
      const settlements = messages.map(({ receipt }) => ({ receipt, verdict: "ack" }));
      if (settlements.length > 0)
        expect((await call("POST", "http/settle", { settlements })).status).toBe(200);
      delivery = await call("POST", "http/receive", { max: 10 });
    }
    expect(new Set(bodies).size).toBe(bodies.length);
    const info = (await call("GET", "http")).json;
    expect(info).toMatchObject({ counts: { ready: 0, leased: 0 }, config: { partitions: 3 } });
    expect((await call("PATCH", "http", { partitions: 2 })).json.code).toBe("bad_request");
    expect((await call("PATCH", "http", { partitions: 33 })).json.code).toBe("bad_request");
    expect((await call("DELETE", "http")).json).toEqual({ messages: 0 });
    expect((await call("GET", "http")).json.code).toBe("queue_not_found");
  });
});
