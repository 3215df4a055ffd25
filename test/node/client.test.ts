/** The SDK against the real broker, over real sockets that break and objects that are evicted. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestHarness } from "wrangler";
import {
  connect,
  DeadLetter,
  isMillraceError,
  Retry,
  type Client,
  type ConnectOptions,
  type Message,
  type Queue,
  type WebSocketConstructor,
  type WebSocketLike,
} from "../../src/client/index.ts";
import { decodeFrame } from "../../src/protocol/frames.ts";
import { objectName } from "../../src/protocol/names.ts";

const server = createTestHarness({
  workers: [{ configPath: "../../wrangler.toml" }],
  root: import.meta.dirname,
});
let url: string;
const clients: Client[] = [];
let queueCount = 0;

beforeAll(async () => {
  url = (await server.listen()).url.href;
});
afterAll(async () => {
  for (const client of clients) client.close();
  await server.close();
});

function open(options: Partial<ConnectOptions> = {}): Client {
  const client = connect({ url, reconnect: { baseMs: 20, maxMs: 100 }, ...options });
  clients.push(client);
  return client;
}
async function fresh(config: Parameters<Queue["declare"]>[0] = {}, options: Partial<ConnectOptions> = {}) {
  const queue = open(options).queue(`sdk-${++queueCount}`);
  await queue.declare(config);
  return queue;
}
function evict(queue: Queue): Promise<void> {
  return server.getWorker().evictDurableObject("QUEUES", { name: objectName("default", queue.name) });
}
/** Consumes until `count` messages came, and acks them. */
async function take(queue: Queue, count: number): Promise<Message[]> {
  const taken: Message[] = [];
  const consumer = queue.consume((message) => void taken.push(message), { credit: 100 });
  await expect.poll(() => taken.length, { timeout: 60_000 }).toBeGreaterThanOrEqual(count);
  await consumer.drain();
  return taken;
}
const texts = (messages: readonly Message[]): string[] => messages.map((message) => message.text());
const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i}`);

/** The platform's WebSocket, with a way to break it at a frame: before it is sent, or before its answer is heard. */
function breakable() {
  const plan: ("lose" | "store-and-lose")[] = [];
  const sockets: { cut(): void }[] = [];
  let publishesUntilBreak = 3;
  class Breakable {
    private readonly inner: WebSocketLike;
    private readonly listeners = new Map<string, (event: { data?: unknown; code?: number }) => void>();
    private isDeaf = false;

    constructor(address: string, protocols: string[]) {
      const Inner = (globalThis as unknown as { WebSocket: WebSocketConstructor }).WebSocket;
      this.inner = new Inner(address, protocols);
      for (const type of ["open", "message", "close", "error"] as const) {
        this.inner.addEventListener(type, (event) => {
          if (!this.isDeaf) this.listeners.get(type)?.(event);
          // What was stored is answered; whoever is deaf by now never hears it.
          else if (type === "message") this.cut();
        });
      }
      sockets.push(this);
    }
    set binaryType(type: string) {
      this.inner.binaryType = type;
    }
    addEventListener(type: string, listener: (event: { data?: unknown; code?: number }) => void): void {
      this.listeners.set(type, listener);
    }
    cut(): void {
      this.isDeaf = true;
      this.inner.close();
      const close = this.listeners.get("close");
      this.listeners.clear();
      queueMicrotask(() => close?.({ code: 1006 }));
    }
    send(data: string | Uint8Array): void {
      if (this.isDeaf) return;
      if (isPublish(data) && --publishesUntilBreak === 0) {
        publishesUntilBreak = 3;
        const how = plan.shift();
        if (how === "lose") return this.cut();
        if (how === "store-and-lose") this.isDeaf = true;
      }
      this.inner.send(data);
    }
    close(code?: number, reason?: string): void {
      this.inner.close(code, reason);
    }
  }
  return { plan, sockets, WebSocket: Breakable as unknown as WebSocketConstructor };
}
function isPublish(data: string | Uint8Array): boolean {
  if (typeof data === "string") return false;
  const frame = decodeFrame(new Uint8Array(data).buffer);
  return frame.ok && (frame.value.head as { type: string }).type === "publish";
}

describe("a message", () => {
  it("arrives with everything it was sent with", async () => {
    const queue = await fresh();
    const beforeMs = Date.now();
    const { id } = await queue.publish(new Uint8Array([0, 255, 7]), {
      routingKey: "a.b",
      orderingKey: "k",
      priority: 9,
      ttlMs: 60_000,
      dedupId: "d",
      cancelKey: "c",
      correlationId: "r",
      replyTo: "back",
      contentType: "image/x",
      headers: { text: "ü", number: 1.5, yes: true, bytes: new Uint8Array([1]) },
    });
    expect(await queue.publish("again", { dedupId: "d" })).toEqual({ id, duplicate: true });
    const [message] = await take(queue, 1);
    expect(message).toMatchObject({
      id,
      routingKey: "a.b",
      orderingKey: "k",
      priority: 9,
      ttlMs: 60_000,
      dedupId: "d",
      cancelKey: "c",
      correlationId: "r",
      replyTo: "back",
      contentType: "image/x",
      headers: { text: "ü", number: 1.5, yes: true },
      attempt: 1,
      failures: 0,
    });
    expect([...message!.body]).toEqual([0, 255, 7]);
    expect([...(message!.headers["bytes"] as Uint8Array)]).toEqual([1]);
    expect(message!.timeMs).toBeGreaterThanOrEqual(beforeMs);
  });

  it("is tried again, and dies with the handler's words", async () => {
    const dead = await fresh();
    const retry = { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } as const;
    const queue = await fresh({ maxFailures: 1, retry, nackDelayMs: 0, deadLetter: { queue: dead.name } });
    await queue.publishMany([{ body: "fails" }, { body: "retries" }, { body: { dies: true } }]);
    const attempts: string[] = [];
    const consumer = queue.consume((message) => {
      attempts.push(message.text());
      if (message.text() === "fails") throw new TypeError("it broke");
      if (message.text() === "retries" && message.attempt < 3) throw new Retry();
      if (message.text().startsWith("{")) throw new DeadLetter("of no use");
    });
    const deaths = await take(dead, 2);
    await consumer.drain();
    const expected = ["fails", "fails", "retries", "retries", "retries", '{"dies":true}'];
    expect(attempts.toSorted()).toEqual(expected);
    const byText = new Map(deaths.map((message) => [message.text(), message.death]));
    expect(byText.get("fails")).toMatchObject({ reason: "failed", queue: queue.name, failures: 2 });
    expect(byText.get("fails")!.log.at(-1)).toMatchObject({
      outcome: "reject",
      error: "TypeError: it broke",
    });
    expect(byText.get('{"dies":true}')).toMatchObject({ reason: "rejected" });
    expect((await queue.inspect()).counts).toMatchObject({ ready: 0, leased: 0 });
  });
});

describe("nothing is lost and nothing doubled", () => {
  it("when the socket breaks in the middle of publishing", async () => {
    const { plan, sockets, WebSocket } = breakable();
    const publisher = { batchMessagesMax: 10, lingerMs: 0 };
    const queue = await fresh({}, { WebSocket, publisher });
    for (let i = 0; i < 10; i++) plan.push("lose", "store-and-lose");
    const bodies = numbered(1_000);
    const published = await Promise.all(bodies.map((body) => queue.publish(body)));
    expect(plan).toEqual([]);
    expect(sockets.length).toBeGreaterThan(20);
    expect(new Set(published.map(({ id }) => id)).size).toBe(1_000);
    expect(published.every(({ duplicate }) => !duplicate)).toBe(true);
    const { totals } = await queue.inspect();
    expect(totals.published).toBe(1_000);
    expect(totals.duplicates).toBeGreaterThan(0);
    const taken = await take(open().queue(queue.name), 1_000);
    expect(texts(taken)).toEqual(bodies);
    expect(taken.map(({ id }) => id)).toEqual(published.map(({ id }) => id));
  });

  it("when the object is evicted while it is published to and consumed from", async () => {
    const queue = await fresh({}, { publisher: { batchMessagesMax: 20 } });
    const seen: string[] = [];
    const errors: Error[] = [];
    const consumer = queue.consume((message) => void seen.push(message.text()), {
      credit: 50,
      onError: (error) => errors.push(error),
    });
    const bodies: string[] = [];
    const confirmed: string[] = [];
    const stop = new AbortController();
    const publishing = (async () => {
      while (!stop.signal.aborted) {
        const round = numbered(100).map((number) => `${bodies.length + Number(number)}`);
        bodies.push(...round);
        await Promise.all(round.map((body) => queue.publish(body).then(() => confirmed.push(body))));
      }
    })();
    for (let i = 0; i < 5; i++) {
      const mark = confirmed.length + 200;
      await expect.poll(() => confirmed.length, { timeout: 30_000, interval: 5 }).toBeGreaterThan(mark);
      await evict(queue);
    }
    stop.abort();
    await publishing;
    expect(confirmed).toEqual(bodies);
    await expect.poll(() => new Set(seen).size, { timeout: 30_000 }).toBe(bodies.length);
    await consumer.drain();
    const { counts, totals } = await queue.inspect();
    expect(counts).toMatchObject({ ready: 0, leased: 0, delayed: 0 });
    expect(totals).toMatchObject({ published: bodies.length, acked: bodies.length });
    // The sockets outlive an eviction, so no delivery comes twice either.
    expect(seen).toEqual(bodies);
    expect(errors).toEqual([]);
  });

  it("when the queue is full again and again, and order is kept", async () => {
    const queue = await fresh({ maxMessages: 30 }, { publisher: { batchMessagesMax: 10, lingerMs: 0 } });
    const bodies = numbered(120);
    const all = Promise.all(bodies.map((body) => queue.publish(body)));
    const taken = await take(open().queue(queue.name), 120);
    await all;
    expect(texts(taken)).toEqual(bodies);
    expect((await queue.inspect()).totals.published).toBe(120);
  });

  it("when a message of a batch is too large for the queue", async () => {
    const queue = await fresh({ bodyBytesMax: 100 });
    const bodies = [...numbered(20), "x".repeat(101), ...numbered(20)];
    const results = await Promise.all(
      bodies.map((body) => queue.publish(body).catch((error: unknown) => error)),
    );
    expect(results.filter((result) => isMillraceError(result, "body_too_large"))).toEqual([results[20]]);
    expect((await queue.inspect()).totals.published).toBe(40);
  });
});

describe("a consumer whose socket breaks", () => {
  it("is told, comes back, and gets its messages again", async () => {
    const { sockets, WebSocket } = breakable();
    const retry = { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } as const;
    const queue = await fresh({ retry }, { WebSocket });
    await open().queue(queue.name).publish("once more");
    const attempts: number[] = [];
    let reason: unknown;
    const consumer = queue.consume(async (message, { signal }) => {
      attempts.push(message.attempt);
      if (message.attempt > 1) return;
      sockets[0]!.cut();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      ({ reason } = signal);
      throw reason;
    });
    await expect.poll(async () => (await queue.inspect()).totals.acked).toBe(1);
    expect(attempts).toEqual([1, 2]);
    expect(isMillraceError(reason, "disconnected")).toBe(true);
    await consumer.drain();
  });

  it("keeps a lease by renewing it, and hears when it is lost", async () => {
    const queue = await fresh({ leaseMs: 1_000 });
    await queue.publish("slow");
    let attempts = 0;
    const consumer = queue.consume(async () => {
      attempts++;
      await new Promise((resolve) => setTimeout(resolve, 2_500));
    });
    await expect.poll(async () => (await queue.inspect()).totals.acked, { timeout: 10_000 }).toBe(1);
    expect(attempts).toBe(1);
    await consumer.drain();

    await queue.publish("late");
    const [message] = await queue.receive({ waitMs: 1_000 });
    await expect.poll(async () => (await queue.inspect()).counts.leased, { timeout: 10_000 }).toBe(0);
    await expect(message!.ack()).rejects.toMatchObject({ code: "lease_lost" });
  });
});

describe("over HTTP", () => {
  it("receives, settles and looks after messages", async () => {
    const queue = await fresh();
    const [first] = await queue.publishMany([{ body: "a" }, { body: "b" }, { body: "c", cancelKey: "mine" }]);
    const { id } = first!;
    expect((await queue.find(id)).body).toBe("a");
    expect((await queue.peek({ state: "ready", limit: 2 })).messages.map(({ body }) => body)).toEqual([
      "a",
      "b",
    ]);
    await queue.cancel({ cancelKey: "mine" });
    const replaced = await queue.replace(id, { new: 1 }, { headers: { h: "x" } });
    expect(replaced.id).not.toBe(id);
    await expect(queue.find(id)).rejects.toMatchObject({ code: "message_not_found", status: 404 });
    await queue.pause();
    expect(await queue.receive({ max: 10 })).toEqual([]);
    await queue.resume();
    const received = await queue.receive({ max: 10 });
    expect(received.map((message) => [message.text(), message.headers])).toEqual([
      ["b", {}],
      ['{"new":1}', { h: "x" }],
    ]);
    expect(received[1]!.json()).toEqual({ new: 1 });
    await received[0]!.extend(60_000);
    await received[0]!.ack();
    await received[1]!.reject({ dead: true, error: "why" });
    expect((await queue.peek({ state: "dead" })).messages).toHaveLength(1);
    expect(await queue.redrive({ dryRun: true })).toMatchObject({ state: "dry_run", matched: 1 });
    const { task } = await queue.redrive();
    await expect.poll(async () => (await queue.redriveStatus(task!)).state).toBe("done");
    expect(await queue.purge()).toEqual({ messages: 1 });
    expect((await queue.update({ maxFailures: 9 })).config.maxFailures).toBe(9);
    expect((await open().queues({ prefix: queue.name })).queues).toContain(queue.name);
    await queue.delete({ ifEmpty: true });
    await expect(queue.inspect()).rejects.toMatchObject({ code: "queue_not_found" });
  });

  it("waits for a message", async () => {
    const queue = await fresh();
    const waiting = queue.receive({ waitMs: 10_000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    await queue.publish("at last");
    expect(texts(await waiting)).toEqual(["at last"]);
  });
});

describe("a queue that is not there", () => {
  it("is a typed error for publishers and consumers, and publishing works once it is declared", async () => {
    const queue = open().queue("sdk-missing");
    await expect(queue.publish("a")).rejects.toMatchObject({ code: "queue_not_found" });
    await expect(queue.consume(() => undefined).closed).rejects.toMatchObject({ code: "queue_not_found" });
    await queue.declare();
    const consumer = queue.consume(() => undefined);
    expect((await queue.publish("a")).duplicate).toBe(false);
    await queue.delete();
    await expect(consumer.closed).rejects.toMatchObject({ code: "queue_not_found" });
  });
});

it("drain leaves nothing behind", async () => {
  const queue = await fresh();
  const results = await fresh();
  const client = open();
  client.queue(queue.name).consume(async (message) => {
    await client.queue(results.name).publish(message.text());
  });
  await queue.publishMany(numbered(100).map((body) => ({ body })));
  await expect.poll(async () => (await results.inspect()).counts.ready).toBeGreaterThan(0);
  await client.drain();
  const left = (await queue.inspect()).counts;
  expect(left.leased).toBe(0);
  expect(left.ready + (await results.inspect()).counts.ready).toBe(100);
  expect((await queue.inspect()).consumers).toEqual([]);
});
