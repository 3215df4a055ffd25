// Rows are the bill: what a message's full life writes, counted from the cursors of the real storage.
import { reset, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { QueueObject } from "../../src/objects/queue-object.ts";
import type { MessageRecord } from "../../src/protocol/batch.ts";
import type { QueueConfig } from "../../src/protocol/queue-config.ts";
import { batchOf, declare, must, runAlarm, TestSocket, type QueueStub } from "../support/queue-client.ts";

afterEach(async () => {
  await reset();
});

const ROUNDS = 30;

async function rowsOf(stub: QueueStub): Promise<{ read: number; written: number }> {
  return runInDurableObject(stub, (object: QueueObject) => object.rows());
}

/** Publishes, receives and acks `size` messages at a time; rows written and read for each message. */
async function lifeCost(
  name: string,
  size: number,
  producer: boolean,
  config: Partial<QueueConfig> = {},
): Promise<{ read: number; written: number }> {
  const stub = await declare(name, config);
  const texts = Array.from({ length: size }, (_, i) => `message ${i}`);
  must(await stub.publish({ batch: batchOf("the allotment is made once") }));
  must(await stub.purge({}));
  const before = await rowsOf(stub);
  let sequence = 1;
  for (let i = 0; i < ROUNDS; i++) {
    const stamp = producer ? { producer: { id: "p", sequence } } : {};
    must(await stub.publish({ batch: batchOf(...texts), ...stamp }));
    sequence += size;
    const { lease } = must(await stub.receive({ consumer: "c", max: size }));
    must(await stub.settle([{ lease, verdict: "ack" }]));
  }
  expect(must(await stub.inspect()).totals.acked).toBe(ROUNDS * size);
  const after = await rowsOf(stub);
  const messages = ROUNDS * size;
  const cost = {
    read: (after.read - before.read) / messages,
    written: (after.written - before.written) / messages,
  };
  const kind = producer ? "idempotent" : "plain";
  console.log(
    `rows per message, ${size} at a time, ${kind}: ${cost.written} written, ${cost.read.toFixed(3)} read`,
  );
  return cost;
}

/** One message after the other to a consumer that waits for it, each acked before the next. */
async function trickleCost(
  producer: boolean,
  config: Partial<QueueConfig>,
  fields: Partial<MessageRecord> = {},
): Promise<number> {
  const stub = await declare("trickle", config);
  const socket = await TestSocket.open(stub);
  socket.send({ type: "consume", credit: 20, format: "binary" });
  await socket.next("consuming");
  const publish = async (sequence: number): Promise<void> => {
    const stamp = producer ? { producer: { id: "p", sequence } } : {};
    must(await stub.publish({ batch: batchOf({ body: new Uint8Array(9), ...fields }), ...stamp }));
    const { lease } = (await socket.next("deliver")).head;
    socket.send({ type: "settle", settlements: [{ lease, verdict: "ack" }] });
    await socket.next("settled");
  };
  // The first ones make the rows that later ones are written over.
  for (let i = 1; i <= 2; i++) await publish(i);
  const before = await rowsOf(stub);
  for (let i = 3; i < 3 + ROUNDS; i++) await publish(i);
  const { written } = await rowsOf(stub);
  expect(must(await stub.inspect()).totals.acked).toBe(ROUNDS + 2);
  socket.close();
  return (written - before.written) / ROUNDS;
}

describe("the rows of a message's full life", () => {
  for (const producer of [false, true]) {
    const kind = producer ? "idempotent producer" : "plain publish";
    it(`are at most 0.03 written in batches of 100 (${kind})`, async () => {
      expect((await lifeCost("hundreds", 100, producer)).written).toBeLessThanOrEqual(0.03);
    });
    it(`are at most 3 written singly, received without a socket (${kind})`, async () => {
      expect((await lifeCost("singly", 1, producer)).written).toBeLessThanOrEqual(3);
    });
    it(`are at most 2 written singly over a socket, with a time of its own to live, as a call has (${kind})`, async () => {
      expect(await trickleCost(producer, {}, { ttlMs: 30_000 })).toBeLessThanOrEqual(2.1);
    });
    it(`are at most 2 written singly over a socket (${kind})`, async () => {
      expect(await trickleCost(producer, {})).toBeLessThanOrEqual(2.1);
    });
  }

  it("are no more where the queue lets its messages live for a time", async () => {
    expect((await lifeCost("mortal", 1, false, { ttlMs: 345_600_000 })).written).toBeLessThanOrEqual(3);
  });

  it("are at most 1.3 in a trickle whose acks may wait for one another", async () => {
    const stub = await declare("patient", { ackDelayMs: 1_000 });
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", credit: 100, format: "binary" });
    await socket.next("consuming");
    must(await stub.publish({ batch: batchOf("the allotment is made once") }));
    const ack = async (): Promise<void> => {
      const { lease } = (await socket.next("deliver")).head;
      socket.send({ type: "settle", settlements: [{ lease, verdict: "ack" }] });
    };
    await ack();
    await socket.next("settled");
    const before = await rowsOf(stub);
    for (let i = 0; i < ROUNDS; i++) {
      must(await stub.publish({ batch: batchOf(`m${i}`) }));
      // Answers come when they are stored, which may be between two deliveries.
      let frame = await socket.any();
      while (frame.head.type === "settled") frame = await socket.any();
      if (frame.head.type !== "deliver") throw new Error(`expected deliver, got ${frame.head.type}`);
      socket.send({ type: "settle", settlements: [{ lease: frame.head.lease, verdict: "ack" }] });
    }
    await vi.waitFor(async () => expect(must(await stub.inspect()).totals.acked).toBe(ROUNDS + 1), 5_000);
    const { written } = await rowsOf(stub);
    expect((written - before.written) / ROUNDS).toBeLessThanOrEqual(1.3);
    socket.close();
  });

  it("are fewer still when a consumer is attached, because one turn settles and leases", async () => {
    const stub = await declare("pushed");
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", credit: 1, format: "binary" });
    await socket.next("consuming");
    must(await stub.publish({ batch: batchOf("first") }));
    let { lease } = (await socket.next("deliver")).head;
    const before = await rowsOf(stub);
    for (let i = 0; i < ROUNDS; i++) must(await stub.publish({ batch: batchOf(`m${i}`) }));
    for (let i = 0; i < ROUNDS; i++) {
      socket.send({ type: "settle", settlements: [{ lease, verdict: "ack" }] });
      lease = (await socket.next("deliver")).head.lease;
      await socket.next("settled");
    }
    const { written } = await rowsOf(stub);
    const cost = (written - before.written) / ROUNDS;
    console.log(`rows per message, singly, pushed from a backlog: ${cost.toFixed(3)} written`);
    expect(must(await stub.inspect()).totals.acked).toBe(ROUNDS);
    expect(cost).toBeLessThanOrEqual(2.1);
    socket.close();
  });
});

describe("the rows of a dead letter", () => {
  it("by hundreds are those of two lives and its way between them, though it keeps its id", async () => {
    const [dead, queue] = [await declare("dead"), await declare("q", { deadLetter: { queue: "dead" } })];
    const texts = Array.from({ length: 100 }, (_, i) => `message ${i}`);
    const round = async (): Promise<void> => {
      must(await queue.publish({ batch: batchOf(...texts) }));
      const first = must(await queue.receive({ consumer: "c", max: 100 }));
      must(await queue.settle([{ lease: first.lease, verdict: "reject", dead: true }]));
      await runAlarm(queue);
      const second = must(await dead.receive({ consumer: "c", max: 100 }));
      must(await dead.settle([{ lease: second.lease, verdict: "ack" }]));
    };
    await round();
    const before = (await rowsOf(queue)).written + (await rowsOf(dead)).written;
    for (let i = 0; i < 5; i++) await round();
    expect(must(await dead.inspect()).totals.acked).toBe(600);
    const written = (await rowsOf(queue)).written + (await rowsOf(dead)).written;
    const cost = (written - before) / 500;
    console.log(`rows per dead letter, 100 at a time: ${cost} written`);
    expect(cost).toBeLessThanOrEqual(0.25);
  });
});
