// Peers that do not read: what they are sent is bounded, they are told, and in the end they lose what they hold.
import { evictDurableObject, reset } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { LIMITS } from "../../src/protocol/limits.ts";
import { declareExchange, publish } from "../support/exchange-client.ts";
import { batchOf, declare, must, runAlarm, TestSocket, type QueueStub } from "../support/queue-client.ts";
import { TestSession } from "../support/session-client.ts";

afterEach(async () => {
  vi.useRealTimers();
  await reset();
});

const LARGE = 500_000;
/** A bound may be passed by what was sent in one go. */
const MOST = LIMITS.unreadBytesMax + 2 * LARGE;

async function publishLarge(stub: QueueStub, messages: number): Promise<void> {
  for (let i = 0; i < messages; i++)
    must(await stub.publish({ batch: batchOf({ body: new Uint8Array(LARGE) }) }));
}

async function deafConsumer(name: string): Promise<{ stub: QueueStub; socket: TestSocket }> {
  vi.useFakeTimers({ toFake: ["Date"] });
  const retry = { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } as const;
  const stub = await declare(name, { maxFailures: null, retry });
  await publishLarge(stub, 30);
  const socket = await TestSocket.open(stub);
  socket.isDeaf = true;
  socket.send({ type: "consume", credit: 4_096, leaseMs: 1_000, format: "binary" });
  await socket.next("consuming");
  await vi.waitFor(async () => expect(must(await stub.inspect()).counts.leased).toBeGreaterThan(7));
  return { stub, socket };
}

/** The leases run out: today's lease gives the credit back. */
async function lapse(stub: QueueStub): Promise<void> {
  vi.setSystemTime(Date.now() + 1_000);
  await runAlarm(stub);
}

describe("a consumer that does not read", () => {
  it("gets no more than its bound though its leases run out, through an eviction, and is gone at last", async () => {
    const { stub, socket } = await deafConsumer("deaf");
    for (let i = 0; i < 5; i++) await lapse(stub);
    await evictDurableObject(stub);
    for (let i = 0; i < 5; i++) await lapse(stub);
    expect(socket.bytes).toBeLessThan(MOST);
    expect(must(await stub.inspect()).counts).toMatchObject({ ready: 30, leased: 0 });
    vi.setSystemTime(Date.now() + LIMITS.deafMs);
    await runAlarm(stub);
    expect(await socket.closed).toMatchObject({ code: 1008, reason: "too_slow" });
    expect(must(await stub.inspect()).consumers).toEqual([]);
  });

  it("gets more as soon as it says that it has read, by a mark or by settling", async () => {
    const { stub, socket } = await deafConsumer("slow");
    const { lease } = (await socket.next("deliver")).head;
    let last = lease;
    await lapse(stub);
    const before = socket.bytes;
    socket.send({ type: "reached", mark: 1 });
    socket.send({ type: "ping", ref: 1 });
    for (let head = (await socket.any()).head; head.type !== "pong"; head = (await socket.any()).head)
      if (head.type === "deliver") last = head.lease;
    expect(socket.bytes).toBe(before);
    socket.send({ type: "settle", settlements: [{ lease: last, verdict: "ack" }] });
    await vi.waitFor(() => expect(socket.bytes).toBeGreaterThan(before + LIMITS.unreadBytesMax / 2));
    const then = socket.bytes;
    await vi.waitFor(() => expect(socket.marks.length).toBeGreaterThan(4));
    await lapse(stub);
    socket.send({ type: "reached", mark: socket.marks.at(-1)! });
    await vi.waitFor(() => expect(socket.bytes).toBeGreaterThan(then));
  });

  it("is closed when it asks and does not read what it is answered", async () => {
    const stub = await declare("asker");
    const socket = await TestSocket.open(stub);
    socket.isDeaf = true;
    const settlements = Array.from({ length: LIMITS.settlementsMax }, (_, i) => ({
      lease: i + 1,
      verdict: "ack" as const,
    }));
    for (let i = 0; i < 40; i++) socket.send({ type: "settle", ref: i, settlements });
    expect(await socket.closed).toMatchObject({ code: 1008, reason: "too_slow" });
  });

  it("leaves others their deliveries", async () => {
    const { stub, socket } = await deafConsumer("shared");
    const other = await TestSocket.open(stub);
    other.send({ type: "consume", credit: 4_096, format: "binary" });
    await other.next("consuming");
    await lapse(stub);
    await vi.waitFor(() => expect(other.bytes).toBeGreaterThan(29 * LARGE));
    expect(socket.bytes).toBeLessThan(MOST);
  });
});

describe("a session that does not read", () => {
  const history = { history: { eventsMax: 1_000, ageMs: null } };

  async function withPast(): Promise<Awaited<ReturnType<typeof declareExchange>>> {
    const stub = await declareExchange("e", history);
    for (let i = 0; i < 14; i++)
      await publish(stub, { routingKey: `t.${i % 2}`, body: new Uint8Array(LARGE) });
    return stub;
  }

  it("is replayed no more than its bound, however many subscriptions ask", async () => {
    await withPast();
    const session = await TestSession.open();
    session.isDeaf = true;
    for (const pattern of ["#", "t.*", "*.0", "*.1", "t.#"])
      session.send({ type: "subscribe", exchange: "e", pattern, last: 1_000, format: "binary" });
    await vi.waitFor(() => expect(session.bytes).toBeGreaterThan(LIMITS.unreadBytesMax / 4));
    for (let i = 0; i < 5; i++) await session.rest();
    expect(session.bytes).toBeLessThan(MOST);
  });

  it("is told the rest of the past, then what came meanwhile, as soon as it reads", async () => {
    const stub = await withPast();
    const session = await TestSession.open();
    session.isDeaf = true;
    session.send({ type: "subscribe", exchange: "e", pattern: "#", last: 1_000, format: "binary" });
    await session.next("subscribed");
    await vi.waitFor(() => expect(session.bytes).toBeGreaterThan(3 * LARGE));
    await publish(stub, "live=1");
    session.isDeaf = false;
    session.send({ type: "reached", mark: session.marks.at(-1)! });
    const events = await session.events(14);
    const offsets = events.map((one) => Number(one.split(":")[0]));
    expect(offsets).toEqual(Array.from({ length: 14 }, (_, i) => i + 1));
    // Its application has not said that it has seen the past, which alone is more than it may have unseen.
    await session.next("slow");
    session.send({ type: "seen", frames: 14 });
    expect((await session.next("gap")).head).toMatchObject({ offset: 15, events: 1 });
    await publish(stub, "live=2");
    expect(await session.events(1)).toEqual(["16:live=2"]);
  });

  it("gets no events beyond its bound though it claims to have seen them", async () => {
    const stub = await declareExchange("e");
    const session = await TestSession.open();
    session.isDeaf = true;
    await session.subscribe("e", "#", { format: "binary" });
    for (let i = 0; i < 20; i++) {
      await publish(stub, { routingKey: "a", body: new Uint8Array(LARGE) });
      session.send({ type: "seen", frames: 1_000 });
    }
    expect(session.bytes).toBeLessThan(MOST);
    expect(session.bytes).toBeGreaterThan(LIMITS.unreadBytesMax - 2 * LARGE);
  });
});
