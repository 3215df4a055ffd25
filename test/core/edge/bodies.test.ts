// Bodies over the inline limit, over a bucket in memory.
import { describe, expect, it } from "vitest";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { readBodyReference } from "../../../src/protocol/message-json.ts";
import { ok, refuse } from "../../../src/protocol/result.ts";
import { FakeBroker, problemOf } from "../../support/fake-broker.ts";

const text = new TextEncoder();

class MemoryBodies {
  readonly held = new Map<string, Uint8Array>();
  async put(key: string, body: ReadableStream | Uint8Array) {
    this.held.set(key, new Uint8Array(await new Response(body).arrayBuffer()));
  }
  async get(key: string) {
    const bytes = this.held.get(key);
    if (bytes === undefined) return null;
    const response = new Response(bytes);
    return { size: bytes.length, body: response.body!, arrayBuffer: () => response.arrayBuffer() };
  }
  async delete(key: string) {
    this.held.delete(key);
  }
}

describe("a body over the inline limit, with a bucket", () => {
  const large = new Uint8Array(LIMITS.bodyBytesMax + 1).fill(65);
  const headers = { "Content-Length": String(large.length) };
  const once = { publish: async () => ok({ origin: 1, sequences: [[1, 1]] as const, duplicates: [] }) };

  it("goes into the bucket, and the message refers to it", async () => {
    const bodies = new MemoryBodies();
    const broker = new FakeBroker({ queue: once, bodies });
    const response = await broker.request("POST", "/v1/queues/orders/messages", { body: large, headers });
    expect(response.status).toBe(201);
    const [record] = broker.published();
    expect(record).toMatchObject({ bodyReference: true });
    expect(broker.inputs("publish")[0]).toMatchObject([{ source: "broker" }]);
    const { key, bytes, reference } = readBodyReference(record!.body);
    expect([...bodies.held.keys()]).toEqual([key]);
    expect(key).toMatch(/^default\/orders\/[0-9a-f-]{36}$/);
    expect(bytes).toBe(large.length);
    const fetched = await broker.request("GET", `/v1/queues/orders/bodies/${reference}`);
    expect((await fetched.arrayBuffer()).byteLength).toBe(large.length);
  });

  it.each([
    ["refused", async () => refuse("queue_full", "queue: is full"), 0],
    ["a duplicate", async () => ok({ origin: 1, sequences: [[1, 1]] as const, duplicates: [0] }), 0],
    ["lost in between", async () => refuse("unavailable", "queue: was lost"), 1],
  ])(
    "is in the bucket no more when the publish was %s, unless it may have been stored",
    async (_name, publish, held) => {
      const bodies = new MemoryBodies();
      const broker = new FakeBroker({ queue: { publish }, bodies });
      await broker.request("POST", "/v1/queues/orders/messages", { body: large, headers });
      expect(bodies.held.size).toBe(held);
    },
  );

  it("is shown inline, and stays a reference when it is gone", async () => {
    const bodies = new MemoryBodies();
    const uuid = "0f3c2f0e-0d6b-4a54-9d5a-111111111111";
    const view = {
      id: "1-1",
      sequence: 1,
      state: "ready",
      timeMs: 1,
      priority: 0,
      attempts: 0,
      failures: 0,
      bodyBytes: 9,
      bodyReference: true,
      body: text.encode(JSON.stringify({ key: `default/orders/${uuid}`, bytes: 3 })),
    } as const;
    const broker = new FakeBroker({ queue: { find: async () => ok(view) }, bodies });
    const find = async () => (await broker.request("GET", "/v1/queues/orders/messages/1-1")).json();
    expect(await find()).toMatchObject({ bodyReference: `orders.${uuid}` });
    await bodies.put(`default/orders/${uuid}`, text.encode("big"));
    const shown = await find();
    expect(shown).toMatchObject({ body: "big" });
    expect(shown).not.toHaveProperty("bodyReference");
    const other = await broker.request("GET", `/v1/queues/orders/bodies/orders.${uuid}`, {
      headers: { "Millrace-Namespace": "other" },
    });
    expect(await problemOf(other)).toMatchObject({ code: "message_not_found" });
  });
});
