import { beforeEach, describe, expect, it } from "vitest";
import {
  connect,
  isMillraceError,
  PublishManyError,
  type Client,
  type ConnectOptions,
  type Queue,
} from "../../../src/client/index.ts";
import { FakeBroker } from "./fake-broker.ts";
import { ManualClock, settle } from "./manual-clock.ts";

let clock: ManualClock;
let broker: FakeBroker;
let client: Client;
let queue: Queue;

function start(options: Partial<ConnectOptions> = {}): void {
  client = connect({
    url: "http://broker.test",
    clock,
    WebSocket: broker.WebSocket,
    fetch: () => Promise.reject(new Error("no HTTP in this test")),
    ...options,
  });
  queue = client.queue("orders");
}

beforeEach(() => {
  clock = new ManualClock();
  broker = new FakeBroker(clock);
  start();
});

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error: unknown) => (isMillraceError(error) ? error.code : String(error)),
  );
}
/** A first message on its own, so that the producer is known and several batches may be in flight. */
async function warmUp(): Promise<void> {
  const published = queue.publish("warm");
  await clock.advance(10);
  await published;
}
function numbers(first: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `m${first + i}`);
}

describe("batching", () => {
  it("gathers for the linger while a batch is in flight, and not at all when none is", async () => {
    await warmUp();
    broker.fates = ["hold"];
    void queue.publish("alone");
    await settle();
    expect(broker.last.of("publish")).toHaveLength(2);
    void queue.publish("a");
    void queue.publish("b");
    await clock.advance(4);
    expect(broker.last.of("publish")).toHaveLength(2);
    await clock.advance(1);
    expect(broker.last.of("publish")).toHaveLength(3);
    expect(broker.last.of("publish")[2]).toMatchObject({ sequence: 3 });
  });

  it("sends what was gathered as soon as nothing is in flight any more", async () => {
    start({ publisher: { lingerMs: 1_000 } });
    await Promise.all([queue.publish("first"), settle().then(() => queue.publish("second"))]);
    expect(broker.texts()).toEqual(["first", "second"]);
  });

  it("sends what one turn published as one frame, and confirms each message", async () => {
    const all = Promise.all([
      queue.publish("a"),
      queue.publish({ b: 1 }),
      queue.publish(new Uint8Array([99])),
    ]);
    await settle();
    expect(broker.last.of("publish")).toEqual([
      { type: "publish", ref: 1, producer: "producer-1", sequence: 1 },
    ]);
    expect(await all).toEqual([
      { id: "10-1", duplicate: false },
      { id: "10-2", duplicate: false },
      { id: "10-3", duplicate: false },
    ]);
    expect(broker.texts()).toEqual(["a", '{"b":1}', "c"]);
    expect(broker.stored[1]!.contentType).toBe("application/json");
  });

  it("does not wait for the linger when the batch is full by count or by bytes", async () => {
    start({ publisher: { batchMessagesMax: 2, batchBytesMax: 1_000, lingerMs: 1_000 } });
    void queue.publish("a");
    void queue.publish("b");
    await settle();
    expect(broker.texts()).toEqual(["a", "b"]);
    void queue.publish("x".repeat(2_000));
    await settle();
    expect(broker.stored).toHaveLength(3);
  });

  it("with a linger of 0 sends what one turn published", async () => {
    start({ publisher: { lingerMs: 0 } });
    void queue.publish("a");
    void queue.publish("b");
    await settle();
    expect(broker.last.of("publish")).toHaveLength(1);
    expect(broker.texts()).toEqual(["a", "b"]);
  });

  it("keeps a limited number of batches in flight, and none behind a producer's first", async () => {
    start({ publisher: { batchMessagesMax: 1, batchesInFlightMax: 2 } });
    broker.fates = ["hold", "hold", "hold"];
    for (const body of numbers(1, 4)) void queue.publish(body);
    await settle();
    expect(broker.held).toHaveLength(1);
    broker.held[0]!();
    await settle();
    expect(broker.held).toHaveLength(3);
    broker.held[1]!();
    broker.held[2]!();
    await settle();
    expect(broker.texts()).toEqual(numbers(1, 4));
  });

  it("copies the body at once", async () => {
    const body = new Uint8Array([97]);
    void queue.publish(body);
    body[0] = 98;
    await clock.advance(5);
    expect(broker.texts()).toEqual(["a"]);
  });

  it("rejects a message against the format alone, and publishes its neighbours", async () => {
    const good = queue.publish("good");
    const bad = codeOf(queue.publish("bad", { priority: 99 }));
    const last = queue.publish("last");
    await clock.advance(5);
    expect(await bad).toBe("bad_batch");
    expect((await good).id).toBe("10-1");
    expect((await last).id).toBe("10-2");
  });

  it("tells a duplicate, with the first one's id", async () => {
    const all = queue.publishMany([
      { body: "a", dedupId: "d" },
      { body: "a", dedupId: "d" },
    ]);
    await clock.advance(5);
    expect(await all).toEqual([
      { id: "10-1", duplicate: false },
      { id: "10-1", duplicate: true },
    ]);
  });

  it("tells for each of many what became of it", async () => {
    const many = queue
      .publishMany([{ body: "a" }, { body: "b", priority: 99 }])
      .catch((error: unknown) => error);
    await clock.advance(5);
    const error = await many;
    expect(error).toBeInstanceOf(PublishManyError);
    const { results } = error as PublishManyError;
    expect(results[0]).toEqual({ id: "10-1", duplicate: false });
    expect(isMillraceError(results[1], "bad_batch")).toBe(true);
  });
});

describe("a lost connection", () => {
  it.each(["lose", "store-and-lose"] as const)(
    "sends unconfirmed batches again, without doubles (%s)",
    async (fate) => {
      start({ publisher: { batchMessagesMax: 2 } });
      await warmUp();
      broker.fates = ["accept", fate];
      const all = Promise.all(numbers(1, 6).map((body) => queue.publish(body)));
      await clock.advance(1_000);
      expect(broker.sockets).toHaveLength(2);
      expect(broker.texts()).toEqual(["warm", ...numbers(1, 6)]);
      expect((await all).every(({ duplicate }) => !duplicate)).toBe(true);
      // The same frames under the same sequences, in order.
      const again = broker.last.of("publish").map(({ producer, sequence }) => [producer, sequence]);
      expect(again).toEqual([
        ["producer-1", 4],
        ["producer-1", 6],
      ]);
    },
  );

  it("treats `internal` and `unavailable` as a lost connection", async () => {
    await warmUp();
    broker.fates = [{ refuse: "unavailable" }, { refuse: "internal" }];
    const published = queue.publish("a");
    await clock.advance(2_000);
    expect((await published).id).toBe("10-2");
    expect(broker.sockets).toHaveLength(3);
    expect(broker.last.of("publish")[0]).toMatchObject({ producer: "producer-1", sequence: 2 });
  });

  it("keeps a batch whose messages timed out, so that those behind it still follow on", async () => {
    start({ timeoutMs: 1_000, publisher: { batchMessagesMax: 1 } });
    await warmUp();
    broker.fates = ["hold"];
    const first = queue.publish("first").catch((error: unknown) => error);
    await clock.advance(500);
    const second = queue.publish("second");
    broker.fates = ["hold"];
    await clock.advance(499);
    broker.fates = [];
    await clock.advance(400);
    // At 1,000 ms the broker was silent for too long: the first is answered, the connection is made again.
    expect(await first).toMatchObject({ code: "timeout", retry: true, facts: { outcome: "unknown" } });
    expect(broker.texts()).toEqual(["warm", "first", "second"]);
    expect((await second).id).toBe("10-3");
    await queue.flush();
  });

  it("does not publish what timed out before it was sent", async () => {
    broker.handshake = "hang";
    const late = queue.publish("late").catch((error: unknown) => error);
    await clock.advance(30_000);
    expect(await late).toMatchObject({ code: "timeout", facts: { outcome: "not_published" } });
    broker.handshake = "accept";
    await clock.advance(30_000);
    expect(broker.stored).toHaveLength(0);
  });
});

describe("a refused batch", () => {
  it("is tried again after the time the broker names, with all behind it, in order", async () => {
    start({ publisher: { batchMessagesMax: 2 } });
    await warmUp();
    broker.fates = [{ refuse: "queue_full", facts: { retryAfterMs: 700 } }];
    const all = Promise.all(numbers(1, 6).map((body) => queue.publish(body)));
    await settle();
    expect(broker.texts()).toEqual(["warm"]);
    await clock.advance(699);
    expect(broker.last.of("publish")).toHaveLength(4);
    await clock.advance(1);
    expect(broker.texts()).toEqual(["warm", ...numbers(1, 6)]);
    expect((await all).map(({ id }) => id)).toEqual(["10-2", "10-3", "10-4", "10-5", "10-6", "10-7"]);
    // Its sequences stay unused for ever: the messages go under a producer that has no gap.
    expect(broker.last.of("publish")[4]).toMatchObject({ producer: "producer-2", sequence: 1 });
  });

  it("is given up when its time is over, and those behind it are not", async () => {
    start({ timeoutMs: 1_000, publisher: { batchMessagesMax: 1 } });
    await warmUp();
    broker.fates = [{ refuse: "queue_full", facts: { retryAfterMs: 1_200 } }];
    const first = queue.publish("first").catch((error: unknown) => error);
    await clock.advance(500);
    const second = queue.publish("second");
    await clock.advance(1_000);
    const error = await first;
    expect(error).toMatchObject({ code: "timeout", facts: { outcome: "not_published" } });
    expect((error as Error).cause).toMatchObject({ code: "queue_full" });
    expect((await second).id).toBe("10-2");
    expect(broker.texts()).toEqual(["warm", "second"]);
  });

  it("for good rejects its own messages only", async () => {
    start({ publisher: { batchMessagesMax: 1 } });
    await warmUp();
    broker.fates = [{ refuse: "forbidden" }];
    const codes = Promise.all(numbers(1, 3).map((body) => codeOf(queue.publish(body))));
    await clock.advance(10);
    expect(await codes).toEqual(["forbidden", "none", "none"]);
    expect(broker.texts()).toEqual(["warm", "m2", "m3"]);
  });

  it("for one of its messages is taken apart until that one is found", async () => {
    await warmUp();
    const take = broker.take.bind(broker);
    const bodyBytesMax = 50;
    broker.take = (socket, frame, payload) => {
      const isOver = frame.type === "publish" && payload.includes(120) && payload.length > bodyBytesMax;
      if (isOver) broker.fates = [{ refuse: "body_too_large" }];
      take(socket, frame, payload);
    };
    const codes = Promise.all(
      ["a", "b", "c", "x".repeat(100), "d", "e"].map((body) => codeOf(queue.publish(body))),
    );
    await clock.advance(100);
    expect(await codes).toEqual(["none", "none", "none", "body_too_large", "none", "none"]);
    expect(broker.texts()).toEqual(["warm", "a", "b", "c", "d", "e"]);
  });

  it("rejects what is in flight when the broker does not know its sequence, and goes on as another producer", async () => {
    start({ publisher: { batchMessagesMax: 1, batchesInFlightMax: 2 } });
    await warmUp();
    broker.forgetProducers(77);
    const codes = Promise.all(numbers(1, 3).map((body) => codeOf(queue.publish(body))));
    await clock.advance(10);
    expect(await codes).toEqual(["sequence_gap", "sequence_gap", "none"]);
    expect(broker.texts()).toEqual(["warm", "m3"]);
  });

  it("does not trust a refusal that overtook the answer of the batch before it", async () => {
    start({ publisher: { batchMessagesMax: 1 } });
    await warmUp();
    broker.fates = ["hold", { refuse: "sequence_gap" }, { refuse: "sequence_gap" }];
    const all = Promise.all(numbers(1, 3).map((body) => queue.publish(body)));
    await settle();
    broker.held[0]!();
    await settle();
    expect((await all).map(({ id }) => id)).toEqual(["10-2", "10-3", "10-4"]);
    expect(broker.texts()).toEqual(["warm", "m1", "m2", "m3"]);
    expect(broker.sockets).toHaveLength(1);
  });

  it("takes a new producer id before the broker forgets an idle one", async () => {
    await warmUp();
    await clock.advance(13 * 3_600_000);
    void queue.publish("a");
    await clock.advance(10);
    expect(broker.last.of("publish").at(-1)).toMatchObject({ producer: "producer-2", sequence: 1 });
  });
});

describe("backpressure", () => {
  it("waits for room, in order", async () => {
    start({ publisher: { bufferMessagesMax: 2, lingerMs: 0 } });
    broker.fates = ["hold"];
    const all = Promise.all(numbers(1, 5).map((body) => queue.publish(body)));
    let hasRoom = false;
    void queue.whenRoom().then(() => (hasRoom = true));
    await settle();
    expect(queue.tryPublish("no")).toBeNull();
    expect(broker.last.of("publish")).toHaveLength(1);
    expect(hasRoom).toBe(false);
    broker.held[0]!();
    await settle();
    await all;
    expect(broker.texts()).toEqual(numbers(1, 5));
    expect(hasRoom).toBe(true);
  });

  it("has room again after messages timed out and their batch was refused", async () => {
    start({ timeoutMs: 1_000, publisher: { bufferMessagesMax: 1 } });
    await warmUp();
    broker.fates = ["hold", { refuse: "queue_full" }];
    const code = codeOf(queue.publish("a"));
    await clock.advance(1_500);
    expect(await code).toBe("timeout");
    void queue.publish("b");
    await clock.advance(10);
    expect(broker.texts()).toEqual(["warm", "b"]);
  });

  it("throws buffer_full where that was asked for, and bounds bytes", async () => {
    start({ publisher: { bufferBytesMax: 1_000, whenFull: "throw" } });
    void queue.publish("x".repeat(1_000));
    expect(await codeOf(queue.publish("y"))).toBe("buffer_full");
  });

  it("times out what never got room", async () => {
    start({ timeoutMs: 1_000, publisher: { bufferMessagesMax: 1 } });
    broker.handshake = "hang";
    const codes = Promise.all([codeOf(queue.publish("a")), codeOf(queue.publish("b"))]);
    await clock.advance(1_000);
    expect(await codes).toEqual(["timeout", "timeout"]);
  });

  it("hands the platform no more while its send buffer is full", async () => {
    start({ publisher: { lingerMs: 0 } });
    await warmUp();
    broker.last.bufferedAmount = 5 * 1024 ** 2;
    void queue.publish("a");
    await clock.advance(100);
    expect(broker.last.of("publish")).toHaveLength(1);
    broker.last.bufferedAmount = 0;
    await clock.advance(10);
    expect(broker.texts()).toEqual(["warm", "a"]);
  });
});

describe("the end", () => {
  it("flush sends at once and resolves with the last confirm", async () => {
    await warmUp();
    void queue.publish("a");
    await queue.flush();
    expect(broker.texts()).toEqual(["warm", "a"]);
  });

  it("drain confirms everything, then closes", async () => {
    await warmUp();
    const published = queue.publish("a");
    await client.drain();
    expect((await published).id).toBe("10-2");
    expect(broker.last.isOpen).toBe(false);
    expect(clock.timerCount).toBe(0);
    expect(await codeOf(queue.publish("b"))).toBe("closed");
  });

  it("close rejects what is not confirmed", async () => {
    broker.fates = ["hold"];
    const code = codeOf(queue.publish("a"));
    await clock.advance(10);
    client.close();
    expect(await code).toBe("closed");
    expect(clock.timerCount).toBe(0);
  });
});
