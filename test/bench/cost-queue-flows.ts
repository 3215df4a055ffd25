/** Ways of a message through a queue, as a client goes them. Each ends when all of its messages are acked. */
import type { MessageRecord } from "../../src/protocol/batch.ts";
import type { QueueConfig } from "../../src/protocol/queue-config.ts";
import { ask, batchOf, messagesIn, Wire } from "./wire.ts";

export interface Flow {
  readonly name: string;
  /** What it is a price of: "message", "delivery", "call". */
  readonly unit: string;
  /** Makes all that is needed, and lets it warm up. What it returns is measured, and returns how many units there were. */
  prepare(url: string): Promise<() => Promise<number>>;
}

export const BODY = new Uint8Array(100).fill(120);
const TEXT = "x".repeat(100);
const WARM_UP_ROUNDS = 3;

let queues = 0;

export async function declareQueue(url: string, config: Partial<QueueConfig> = {}): Promise<string> {
  const queue = `q${queues++}`;
  await ask(url, "PUT", `/v1/queues/${queue}`, config);
  return queue;
}

export async function openConsumer(url: string, queue: string, credit: number): Promise<Wire> {
  const wire = await Wire.open(url, queue);
  wire.send({ type: "consume", credit, format: "binary" });
  await wire.next("consuming");
  return wire;
}

/** Takes so many messages and settles each delivery, waiting for the answer. */
export async function takeAll(
  wire: Wire,
  messages: number,
  how: { verdict: "ack" } | { verdict: "reject"; dead: true } = { verdict: "ack" },
): Promise<void> {
  for (let taken = 0; taken < messages;) {
    const delivery = await wire.next("deliver");
    const count = messagesIn(delivery);
    wire.send({ type: "settle", ref: 1, settlements: [{ lease: delivery.head.lease, ...how }] });
    const { head } = await wire.next("settled");
    if (head.results[0]?.settled !== count) throw new Error(`settled ${JSON.stringify(head.results)}`);
    taken += count;
    if (taken > messages) throw new Error(`${taken} messages came where ${messages} were published`);
  }
}

export async function publish(wire: Wire, records: readonly MessageRecord[]): Promise<void> {
  wire.send({ type: "publish", ref: 1 }, batchOf(records));
  await confirmed(wire, records.length);
}

async function confirmed(wire: Wire, messages: number): Promise<void> {
  const { head } = await wire.next("confirm");
  const stored = head.sequences.reduce((sum, [, count]) => sum + count, 0);
  if (stored !== messages) throw new Error(`${stored} of ${messages} messages were stored`);
}

export async function expectAcked(url: string, queue: string, acked: number): Promise<void> {
  const info = await ask<{ totals: { acked: number }; counts: { ready: number; leased: number } }>(
    url,
    "GET",
    `/v1/queues/${queue}`,
  );
  if (info.totals.acked !== acked || info.counts.ready + info.counts.leased > 0) {
    throw new Error(`${queue}: ${info.totals.acked} of ${acked} messages were acked`);
  }
}

interface SocketOptions {
  readonly name: string;
  readonly size: number;
  readonly rounds: number;
  /** Published at a time; their confirms are waited for together. Default 1. */
  readonly frames?: number;
  readonly config?: Partial<QueueConfig>;
  readonly record?: (index: number) => MessageRecord;
}

/** Publish a frame, wait for its confirm, take what comes, settle it, wait for the answer: the dearest way for its size. */
export function overSockets(options: SocketOptions): Flow {
  const { name, size, rounds, frames = 1, config = {}, record = () => ({ body: BODY }) } = options;
  return {
    name,
    unit: "message",
    async prepare(url) {
      const queue = await declareQueue(url, config);
      const producer = await Wire.open(url, queue);
      const consumer = await openConsumer(url, queue, 2 * size * frames);
      let published = 0;
      const round = async (): Promise<void> => {
        for (let i = 0; i < frames; i++) {
          const records = Array.from({ length: size }, () => record(published++));
          producer.send({ type: "publish", ref: i }, batchOf(records));
        }
        for (let i = 0; i < frames; i++) await confirmed(producer, size);
        await takeAll(consumer, size * frames);
      };
      for (let i = 0; i < WARM_UP_ROUNDS; i++) await round();
      return async () => {
        for (let i = 0; i < rounds; i++) await round();
        await expectAcked(url, queue, published);
        producer.close();
        consumer.close();
        return rounds * size * frames;
      };
    },
  };
}

export function overHttp(name: string, size: number, rounds: number): Flow {
  return {
    name,
    unit: "message",
    async prepare(url) {
      const queue = await declareQueue(url);
      const path = `/v1/queues/${queue}`;
      const messages = Array.from({ length: size }, () => ({ body: TEXT }));
      const round = async (): Promise<void> => {
        await ask(url, "POST", `${path}/batches`, { messages });
        const got = await ask<{ messages: { receipt: string }[] }>(url, "POST", `${path}/receive`, {
          max: size,
        });
        if (got.messages.length !== size) throw new Error(`received ${got.messages.length} of ${size}`);
        const settlements = got.messages.map(({ receipt }) => ({ receipt, verdict: "ack" }));
        await ask(url, "POST", `${path}/settle`, { settlements });
      };
      for (let i = 0; i < WARM_UP_ROUNDS; i++) await round();
      return async () => {
        for (let i = 0; i < rounds; i++) await round();
        await expectAcked(url, queue, (WARM_UP_ROUNDS + rounds) * size);
        return rounds * size;
      };
    },
  };
}

/** Rejected for good, carried to the dead-letter queue, taken there and acked: two lives. */
export function deadLettered(name: string, size: number, rounds: number): Flow {
  return {
    name,
    unit: "message",
    async prepare(url) {
      const dead = await declareQueue(url);
      const queue = await declareQueue(url, { deadLetter: { queue: dead } });
      const producer = await Wire.open(url, queue);
      const worker = await openConsumer(url, queue, 2 * size);
      const undertaker = await openConsumer(url, dead, 2 * size);
      const records = Array.from({ length: size }, () => ({ body: BODY }));
      const round = async (): Promise<void> => {
        await publish(producer, records);
        await takeAll(worker, size, { verdict: "reject", dead: true });
        await takeAll(undertaker, size);
      };
      for (let i = 0; i < WARM_UP_ROUNDS; i++) await round();
      return async () => {
        for (let i = 0; i < rounds; i++) await round();
        await expectAcked(url, dead, (WARM_UP_ROUNDS + rounds) * size);
        return rounds * size;
      };
    },
  };
}

const DELAY_MS = 1_500;

/** All are published before the first is due. */
export function delayed(name: string, size: number, rounds: number): Flow {
  return {
    name,
    unit: "message",
    async prepare(url) {
      const queue = await declareQueue(url);
      const producer = await Wire.open(url, queue);
      const consumer = await openConsumer(url, queue, size);
      const records = Array.from({ length: size }, () => ({ body: BODY, delayMs: DELAY_MS }));
      await publish(producer, records);
      await takeAll(consumer, size);
      return async () => {
        for (let i = 0; i < rounds; i++) await publish(producer, records);
        await takeAll(consumer, rounds * size);
        await expectAcked(url, queue, (rounds + 1) * size);
        return rounds * size;
      };
    },
  };
}
