/**
 * Durability where it counts: the whole broker is killed with SIGKILL while messages are being published and worked
 * off, and started again on the same storage. Every confirmed message must be there, once.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBroker } from "../../examples/demo/broker.ts";
import { connect, type Client } from "../../src/client/index.ts";

const KILLS = 3;
const MESSAGES_BETWEEN_KILLS = 400;

let broker: Awaited<ReturnType<typeof startBroker>>;
let client: Client;

beforeAll(async () => {
  broker = await startBroker();
  client = connect({ url: broker.url, timeoutMs: 90_000, reconnect: { baseMs: 50, maxMs: 500 } });
});

afterAll(async () => {
  client.close();
  await broker.stop();
});

async function crash(): Promise<void> {
  await broker.kill();
  broker = await startBroker({ port: broker.port, folder: broker.folder });
}

/** Publishes until `stop`, one turn's worth at a time; returns every body whose confirm came. */
function publishOn(name: string): {
  confirmed: Set<string>;
  reach(count: number): Promise<void>;
  stop(): Promise<void>;
} {
  const confirmed = new Set<string>();
  let wanted = 0;
  let wake: () => void = () => undefined;
  let isStopped = false;
  const done = (async () => {
    for (let round = 0; !isStopped; round++) {
      const bodies = Array.from({ length: 20 }, (_, i) => `${round}.${i}`);
      await Promise.all(bodies.map((body) => client.queue(name).publish(body)));
      for (const body of bodies) confirmed.add(body);
      if (confirmed.size >= wanted) wake();
    }
  })();
  return {
    confirmed,
    reach: (count) => {
      wanted = count;
      return Promise.race([done, new Promise<void>((resolve) => (wake = resolve))]);
    },
    stop: async () => {
      isStopped = true;
      await done;
    },
  };
}

describe("after SIGKILL under load", () => {
  it("every confirmed message is there, once, in publish order", async () => {
    await client.queue("crash").declare();
    const publisher = publishOn("crash");
    for (let i = 1; i <= KILLS; i++) {
      await publisher.reach(publisher.confirmed.size + MESSAGES_BETWEEN_KILLS);
      // In the middle of a publish: the loop goes on while the broker dies.
      await crash();
    }
    await publisher.stop();
    const { counts, totals } = await client.queue("crash").inspect();
    expect(counts.ready).toBe(publisher.confirmed.size);
    expect(totals.published).toBe(publisher.confirmed.size);

    const seen: string[] = [];
    const consumer = client
      .queue("crash")
      .consume((message) => void seen.push(message.text()), { credit: 500 });
    while (seen.length < publisher.confirmed.size) await new Promise((resolve) => setImmediate(resolve));
    await consumer.drain();
    expect(seen).toEqual([...publisher.confirmed]);
    expect((await client.queue("crash").inspect()).counts).toMatchObject({ ready: 0, leased: 0 });
  });

  it("no acked message comes back, and what was out comes again", async () => {
    const queue = client.queue("acks");
    // Long enough for a slow machine to ack under; what was out comes again when it ends.
    await queue.declare({ leaseMs: 10_000, retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } });
    const bodies = Array.from({ length: 300 }, (_, i) => `m${i}`);
    await queue.publishMany(bodies.map((body) => ({ body })));
    const acked: string[] = [];
    const messages = await queue.receive({ max: 200 });
    for (const message of messages.slice(0, 120)) {
      void message.ack().then(
        () => acked.push(message.text()),
        () => undefined,
      );
    }
    while (acked.length < 40) await new Promise((resolve) => setImmediate(resolve));
    await crash();
    const again: string[] = [];
    const consumer = queue.consume((message) => void again.push(message.text()), { credit: 50 });
    while ((await queue.inspect()).totals.acked < bodies.length)
      await new Promise((resolve) => setImmediate(resolve));
    await consumer.drain();
    expect(new Set(again).size).toBe(again.length);
    expect(again.filter((body) => acked.includes(body))).toEqual([]);
    expect(again.length).toBeGreaterThanOrEqual(bodies.length - 120);
    expect((await queue.inspect()).counts).toMatchObject({ ready: 0, leased: 0 });
  });
});
