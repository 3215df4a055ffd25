// What a queue's settings and its managing mean where it lies on several objects.
import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { queueOf } from "../../src/objects/peers.ts";
import type { Delivery } from "../../src/protocol/commands.ts";
import { deliveryToJson, type DeliveredJson } from "../../src/protocol/message-json.ts";
import { QUEUE_DEFAULTS, type QueueConfig } from "../../src/protocol/queue-config.ts";
import type { QueueApi } from "../../src/protocol/rpc.ts";
import { batchOf, codec, must } from "../support/queue-client.ts";

afterEach(() => reset());

const text = new TextEncoder();
const KEYS = ["a", "b", "c", "d", "e", "f", "g", "h"];

async function declare(name: string, config: Partial<QueueConfig>): Promise<QueueApi> {
  const queue = queueOf(env, "test", name);
  must(await queue.declare({ ...QUEUE_DEFAULTS, ...config }));
  return queue;
}

/** `rounds` messages of each key: "a0", "b0" … "a1" … */
function rounds(count: number): Uint8Array {
  const records = Array.from({ length: count }, (_, round) =>
    KEYS.map((orderingKey) => ({ orderingKey, body: text.encode(orderingKey + round) })),
  );
  return batchOf(...records.flat());
}

const messagesOf = (delivery: Delivery): DeliveredJson[] => deliveryToJson(delivery, codec);

async function receive(queue: QueueApi, max = 100): Promise<Delivery> {
  return must(await queue.receive({ consumer: "c", max }));
}

describe("a queue of several partitions", () => {
  it("holds each of them to a setting from the change on", async () => {
    const queue = await declare("q", { fifo: true, partitions: 3 });
    must(await queue.update({ delayMs: 3_600_000, receiveWaitMs: 7_000, labels: { team: "shop" } }));
    must(await queue.publish({ batch: rounds(1) }));
    const { counts, config, partitions } = must(await queue.inspect());
    expect([counts.ready, counts.delayed, config.labels]).toEqual([0, 8, { team: "shop" }]);
    expect(partitions!.filter((one) => one.counts.delayed > 0).length).toBeGreaterThan(1);
    expect(await receive(queue)).toMatchObject({ lease: 0, waitMs: 7_000 });
  });

  it("has a key's messages in one delivery, in order, and none behind them", async () => {
    const queue = await declare("q", { fifo: true, partitions: 3, maxPerKey: 2, oneDeliveryPerKey: true });
    must(await queue.publish({ batch: rounds(3) }));
    const got: string[] = [];
    for (let round = 0; round < 2; round++) {
      const deliveries: Delivery[] = [];
      for (let one = await receive(queue); one.lease !== 0; one = await receive(queue)) deliveries.push(one);
      got.push(...deliveries.flatMap(messagesOf).map(({ body }) => body!));
      for (const { lease } of deliveries) must(await queue.settle([{ lease, verdict: "ack" }]));
    }
    expect(got).toHaveLength(24);
    for (const key of KEYS)
      expect(got.filter((body) => body[0] === key)).toEqual([0, 1, 2].map((i) => key + i));
  });

  it("deduplicates by content within a key", async () => {
    const config = { fifo: true, partitions: 3, dedupByContent: true, dedupScope: "key" } as const;
    const queue = await declare("q", config);
    const batch = batchOf(...KEYS.map((orderingKey) => ({ orderingKey, body: text.encode("same") })));
    expect(must(await queue.publish({ batch })).duplicates).toEqual([]);
    expect(must(await queue.publish({ batch })).duplicates).toEqual(KEYS.map((_, i) => i));
    expect(must(await queue.inspect()).counts.ready).toBe(8);
  });

  it("refuses what lacks a field part by part, and says which", async () => {
    const queue = await declare("q", { fifo: true, partitions: 3, required: ["orderingKey"] });
    expect(await queue.publish({ batch: batchOf("x") })).toMatchObject({
      code: "field_required",
      facts: { field: "orderingKey" },
    });
  });

  it("is purged of what consumers hold, wherever they have it from, and forgets dedup ids", async () => {
    const queue = await declare("q", { fifo: true, partitions: 3, dedupScope: "key" });
    const batch = batchOf(...KEYS.map((orderingKey) => ({ orderingKey, dedupId: "d" })));
    must(await queue.publish({ batch }));
    const held = [await receive(queue, 1), await receive(queue, 2)];
    expect(must(await queue.purge({ leased: true, dedup: true }))).toEqual({ messages: 8 });
    expect(must(await queue.inspect()).counts).toMatchObject({ leased: 0, ready: 0 });
    for (const { lease } of held)
      expect(must(await queue.settle([{ lease, verdict: "ack" }]))).toMatchObject([{ refused: [] }]);
    expect(must(await queue.publish({ batch })).duplicates).toEqual([]);
  });
});

describe("a redrive of a queue of several partitions", () => {
  it("moves all of it, tells the whole, and is listed once", async () => {
    const queue = await declare("q", { fifo: true, partitions: 3 });
    const to = await declare("to", {});
    must(await queue.publish({ batch: rounds(2) }));
    const wish = { filter: {}, all: true, to: "to" };
    expect(must(await queue.redrive({ ...wish, dryRun: true }))).toMatchObject({ matched: 16, total: 16 });
    const begun = must(await queue.redrive({ ...wish, dryRun: false }));
    expect(begun).toMatchObject({ task: 1, state: "done", moved: 16, total: 16, to: "to" });
    await vi.waitFor(async () => expect(must(await to.inspect()).counts.ready).toBe(16));
    expect(must(await queue.redrives(9))).toEqual([begun]);
    expect(must(await queue.inspect()).counts).toMatchObject({ ready: 0, deadLettering: 0 });
  });

  it("that wants to be alone waits for what goes on in any of them", async () => {
    const queue = await declare("q", { fifo: true, partitions: 3 });
    await declare("to", {});
    must(await queue.publish({ batch: rounds(3) }));
    const wish = { filter: {}, dryRun: false, all: true, to: "to" };
    const { task } = must(await queue.redrive({ ...wish, ratePerSecond: 0.3 }));
    expect(must(await queue.redriveStatus(task!))).toMatchObject({ state: "running", ratePerSecond: 0.3 });
    expect(await queue.redrive({ ...wish, alone: true })).toMatchObject({ code: "redrive_running" });
    expect(must(await queue.redriveCancel(task!))).toMatchObject({ state: "cancelled" });
    const alone = must(await queue.redrive({ ...wish, alone: true }));
    expect(alone).toMatchObject({ task: task! + 1, state: "done" });
    expect(must(await queue.redrives(1))).toEqual([alone]);
  });
});
