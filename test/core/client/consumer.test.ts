import { beforeEach, describe, expect, it } from "vitest";
import {
  connect,
  DeadLetter,
  isMillraceError,
  Retry,
  type Client,
  type ConsumeOptions,
  type Handler,
  type Message,
  type Queue,
} from "../../../src/client/index.ts";
import { FakeBroker } from "./fake-broker.ts";
import { ManualClock, settle } from "./manual-clock.ts";

let clock: ManualClock;
let broker: FakeBroker;
let client: Client;
let queue: Queue;
let errors: Error[];
let bodies: Map<string, Response>;

beforeEach(() => {
  clock = new ManualClock();
  broker = new FakeBroker(clock);
  errors = [];
  bodies = new Map();
  client = connect({
    url: "http://broker.test/",
    clock,
    WebSocket: broker.WebSocket,
    fetch: (url) => Promise.resolve(bodies.get(url)?.clone() ?? new Response("{}", { status: 404 })),
  });
  queue = client.queue("orders");
});

async function consume(handler: Handler, options: ConsumeOptions = {}) {
  const consumer = queue.consume(handler, { onError: (error) => errors.push(error), ...options });
  await settle();
  return consumer;
}
/** A handler whose messages end when the test says so. */
function byHand() {
  const begun: Message[] = [];
  const ends: (() => void)[] = [];
  const handler: Handler = (message) => {
    begun.push(message);
    return new Promise<void>((resolve) => ends.push(resolve));
  };
  return { begun, ends, handler };
}
const texts = (messages: readonly Message[]): string[] => messages.map((message) => message.text());

describe("consuming", () => {
  it("asks for binary deliveries with its options, over a socket that offers the subprotocol", async () => {
    await consume(() => undefined, { credit: 7, leaseMs: 5_000, priority: 3, exclusive: true, name: "me" });
    expect(broker.last.url).toBe("ws://broker.test/v1/queues/orders/socket");
    expect(broker.last.protocols).toEqual(["millrace.v1"]);
    expect(broker.last.of("consume")).toEqual([
      {
        type: "consume",
        format: "binary",
        credit: 7,
        heartbeatMs: 25_000,
        consumer: "me",
        leaseMs: 5_000,
        priority: 3,
        exclusive: true,
      },
    ]);
  });

  it("hands a delivery's messages to the handler, and acks them as one run", async () => {
    const seen: unknown[] = [];
    await consume(
      (message) => void seen.push([message.id, message.text(), message.attempt, message.sequence]),
    );
    broker.deliver(5, 10, ["a", "b", "c"]);
    await settle();
    expect(seen).toEqual([
      ["10-a", "a", 1, 10],
      ["10-b", "b", 1, 11],
      ["10-c", "c", 1, 12],
    ]);
    expect(broker.settlements).toEqual([{ lease: 5, sequences: [[10, 3]], verdict: "ack" }]);
    expect(broker.last.of("settle")).toHaveLength(1);
  });

  it("runs as many handlers as asked for", async () => {
    const { begun, ends, handler } = byHand();
    await consume(handler, { concurrency: 2 });
    broker.deliver(1, 1, ["a", "b", "c"]);
    await settle();
    expect(texts(begun)).toEqual(["a", "b"]);
    ends[0]!();
    await settle();
    expect(texts(begun)).toEqual(["a", "b", "c"]);
  });

  it("gathers settlements: by linger while others run, at once at half the credit or when idle", async () => {
    const { ends, handler } = byHand();
    await consume(handler, { credit: 6 });
    broker.deliver(1, 1, ["a", "b", "c", "d", "e"]);
    broker.deliver(2, 6, ["f"]);
    await settle();
    ends[0]!();
    await clock.advance(4);
    expect(broker.settlements).toEqual([]);
    await clock.advance(1);
    expect(broker.settlements).toEqual([{ lease: 1, sequences: [[1, 1]], verdict: "ack" }]);
    for (const at of [4, 1, 5]) ends[at]!();
    await settle();
    expect(broker.settlements.slice(1)).toEqual([
      {
        lease: 1,
        sequences: [
          [2, 1],
          [5, 1],
        ],
        verdict: "ack",
      },
      { lease: 2, sequences: [[6, 1]], verdict: "ack" },
    ]);
    ends[2]!();
    ends[3]!();
    await settle();
    expect(broker.settlements.slice(3)).toEqual([{ lease: 1, sequences: [[3, 2]], verdict: "ack" }]);
  });

  it("turns what a handler throws into a verdict", async () => {
    const outcomes: Record<string, () => unknown> = {
      ok: () => undefined,
      error: () => Promise.reject(new Error("broke")),
      type: () => {
        throw new TypeError("odd");
      },
      retry: () => Promise.reject(new Retry({ delayMs: 250 })),
      soon: () => Promise.reject(new Retry()),
      dead: () => Promise.reject(new DeadLetter("no such customer")),
    };
    await consume((message) => outcomes[message.text()]!());
    broker.deliver(1, 1, Object.keys(outcomes));
    await clock.advance(5);
    expect(broker.settlements).toEqual([
      { lease: 1, sequences: [[1, 1]], verdict: "ack" },
      { lease: 1, sequences: [[3, 1]], verdict: "reject", error: "TypeError: odd" },
      { lease: 1, sequences: [[2, 1]], verdict: "reject", error: "broke" },
      { lease: 1, sequences: [[4, 1]], verdict: "nack", delayMs: 250 },
      { lease: 1, sequences: [[5, 1]], verdict: "nack" },
      { lease: 1, sequences: [[6, 1]], verdict: "reject", dead: true, error: "no such customer" },
    ]);
    expect(errors.map(String)).toEqual(["TypeError: odd", "Error: broke"]);
  });

  it("leaves alone what the handler settled, and settles nothing in manual mode", async () => {
    await consume((message) => message.nack({ delayMs: 9 }));
    broker.deliver(1, 1, ["a"]);
    await settle();
    expect(broker.settlements).toEqual([{ lease: 1, sequences: [[1, 1]], verdict: "nack", delayMs: 9 }]);

    const held: Message[] = [];
    await consume((message) => void held.push(message), { ack: "manual" });
    broker.deliver(2, 2, ["b"]);
    await clock.advance(100);
    expect(broker.settlements).toHaveLength(1);
    await held[0]!.ack();
    expect(broker.settlements[1]).toEqual({ lease: 2, sequences: [[2, 1]], verdict: "ack" });
    await held[0]!.ack();
    await expect(held[0]!.reject()).rejects.toMatchObject({ code: "already_settled" });
  });

  it("reports a lost lease once, to whoever waits and to onError, and does not try again", async () => {
    broker.settleResult = ({ sequences }) => ({
      settled: 0,
      refused: [{ sequences: sequences![0]!, code: "lease_lost", detail: "gone" }],
    });
    const held: Message[] = [];
    await consume((message) => void held.push(message), { ack: "manual" });
    broker.deliver(1, 1, ["a"]);
    await settle();
    await expect(held[0]!.ack()).rejects.toMatchObject({ code: "lease_lost" });
    await clock.advance(1_000);
    expect(broker.settlements).toHaveLength(1);
    expect(errors).toHaveLength(1);
    expect(isMillraceError(errors[0], "lease_lost")).toBe(true);
  });

  it("survives thousands of handlers that settle at once inside each other's turn", async () => {
    await consume((message) => message.ack(), { credit: 4_000, concurrency: 1 });
    broker.deliver(
      1,
      1,
      Array.from({ length: 4_000 }, () => "x"),
    );
    await clock.advance(10);
    const settled = broker.settlements.flatMap(({ sequences }) => sequences!);
    expect(settled.reduce((sum, [, count]) => sum + count, 0)).toBe(4_000);
  });
});

describe("leases", () => {
  it("renews the lease of what is not settled, when half of it is over", async () => {
    const { ends, handler } = byHand();
    await consume(handler);
    // The broker's clock is an hour ahead: only differences within its own times may count.
    broker.aheadMs = 3_600_000;
    broker.deliver(1, 1, ["a", "b"], 10_000);
    await clock.advance(4_000);
    ends[0]!();
    await clock.advance(500);
    expect(broker.settlements).toEqual([{ lease: 1, sequences: [[1, 1]], verdict: "ack" }]);
    await clock.advance(500);
    expect(broker.settlements.slice(1)).toEqual([{ lease: 1, verdict: "extend" }]);
    await clock.advance(5_000);
    expect(broker.settlements.slice(2)).toEqual([{ lease: 1, verdict: "extend" }]);
    ends[1]!();
    await clock.advance(60_000);
    expect(broker.settlements).toHaveLength(4);
  });

  it("does not where that is not wanted; asks for the same time where one was named", async () => {
    const { handler } = byHand();
    await consume(handler, { autoExtend: false });
    broker.deliver(1, 1, ["a"], 2_000);
    await clock.advance(10_000);
    expect(broker.settlements).toEqual([]);
    await consume(handler, { leaseMs: 4_000 });
    broker.deliver(2, 2, ["b"], 4_000);
    await clock.advance(2_000);
    expect(broker.settlements).toEqual([{ lease: 2, verdict: "extend", leaseMs: 4_000 }]);
  });

  it("does not renew over a new connection what the old one held", async () => {
    broker.answersSettles = false;
    await consume(byHand().handler);
    broker.deliver(1, 1, ["a"], 2_000);
    await clock.advance(1_000);
    expect(broker.settlements).toEqual([{ lease: 1, verdict: "extend" }]);
    broker.last.lose();
    await clock.advance(10_000);
    expect(broker.sockets).toHaveLength(2);
    expect(broker.settlements).toHaveLength(1);
  });

  it("tells the handler when its lease was lost at a renewal, and then settles nothing", async () => {
    broker.settleResult = () => ({
      settled: 0,
      refused: [{ sequences: [1, 1], code: "lease_lost", detail: "gone" }],
    });
    let signal: AbortSignal | null = null;
    const { ends, handler } = byHand();
    await consume((message, context) => {
      ({ signal } = context);
      return handler(message, context);
    });
    broker.deliver(1, 1, ["a"], 2_000);
    await clock.advance(1_000);
    expect(signal!.aborted).toBe(true);
    expect(signal!.reason).toMatchObject({ code: "lease_lost" });
    ends[0]!();
    await clock.advance(10);
    expect(broker.settlements).toEqual([{ lease: 1, verdict: "extend" }]);
  });
});

describe("a lost connection", () => {
  it("aborts what runs, drops what waits, consumes again, and still sends what was settled", async () => {
    broker.answersSettles = false;
    const { begun, ends, handler } = byHand();
    await consume(handler, { concurrency: 3 });
    broker.deliver(1, 1, ["a", "b", "c", "d", "e"]);
    await settle();
    const { signal } = begun[1]!;
    ends[0]!();
    await clock.advance(5);
    expect(broker.settlements).toHaveLength(1);
    broker.last.lose();
    await settle();
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toMatchObject({ code: "disconnected" });
    ends[1]!();
    await clock.advance(1_000);
    ends[2]!();
    broker.answersSettles = true;
    await clock.advance(1_000);
    expect(texts(begun)).toEqual(["a", "b", "c", "d"]);
    expect(broker.sockets).toHaveLength(2);
    // The unanswered one again, and the one that ended while there was no connection, before consuming.
    expect(broker.last.frames.map(({ type }) => type)).toEqual(["settle", "settle", "consume", "settle"]);
    expect(broker.settlements.slice(1)).toEqual([
      { lease: 1, sequences: [[1, 1]], verdict: "ack" },
      { lease: 1, sequences: [[2, 1]], verdict: "ack" },
      { lease: 1, sequences: [[3, 1]], verdict: "ack" },
    ]);
  });

  it("is also what the broker's silence or its word comes to", async () => {
    await consume(() => undefined);
    broker.last.tell({ type: "cancelled", consumer: "c", reason: "heartbeat_lost" });
    await clock.advance(1_000);
    expect(broker.sockets).toHaveLength(2);
    expect(broker.last.of("consume")).toHaveLength(1);
  });
});

describe("the end", () => {
  it("drain takes nothing new, waits for handlers and for the broker's word on their acks", async () => {
    const { ends, handler } = byHand();
    const consumer = await consume(handler, { concurrency: 1 });
    broker.deliver(1, 1, ["a", "b"]);
    await settle();
    broker.answersSettles = false;
    let isDrained = false;
    const drained = consumer.drain().then(() => (isDrained = true));
    await settle();
    expect(broker.last.of("drain")).toHaveLength(1);
    ends[0]!();
    await settle();
    ends[1]!();
    await clock.advance(10);
    expect(broker.settlements.length).toBeGreaterThan(0);
    expect(isDrained).toBe(false);
    broker.last.of("settle").forEach((frame, i) => {
      broker.last.tell({ type: "settled", ref: i + 1, results: frame.settlements.map(broker.settleResult) });
    });
    await drained;
    expect(broker.last.isOpen).toBe(false);
    expect(clock.timerCount).toBe(0);
    await consumer.closed;
  });

  it("drain over a lost connection comes back to settle, but not to consume", async () => {
    const { ends, handler } = byHand();
    const consumer = await consume(handler);
    broker.deliver(1, 1, ["a"]);
    await settle();
    const drained = consumer.drain();
    broker.last.lose();
    ends[0]!();
    await clock.advance(1_000);
    await drained;
    expect(broker.last.frames.map(({ type }) => type)).toEqual(["settle"]);
  });

  it("drain gives up in time", async () => {
    const consumer = await consume(byHand().handler);
    broker.deliver(1, 1, ["a"]);
    await settle();
    const failed = expect(consumer.drain({ timeoutMs: 100 })).rejects.toMatchObject({ code: "timeout" });
    await clock.advance(100);
    await failed;
    expect(broker.last.of("cancel")).toHaveLength(1);
  });

  it("cancel settles what is done and gives back the rest", async () => {
    const { begun, ends, handler } = byHand();
    const consumer = await consume(handler);
    broker.deliver(1, 1, ["a", "b"]);
    await settle();
    ends[0]!();
    await settle();
    await consumer.cancel();
    expect(broker.settlements).toEqual([{ lease: 1, sequences: [[1, 1]], verdict: "ack" }]);
    expect(broker.last.frames.at(-1)).toEqual({ type: "cancel" });
    expect(begun[1]!.signal.reason).toMatchObject({ code: "closed" });
    expect(clock.timerCount).toBe(0);
  });

  it("comes with a reason when the queue is deleted, or another holds it", async () => {
    const reasons: string[] = [];
    const consumer = await consume(() => undefined, { onCancel: (reason) => reasons.push(reason) });
    broker.last.tell({ type: "cancelled", consumer: "c", reason: "queue_deleted" });
    await expect(consumer.closed).rejects.toMatchObject({ code: "queue_not_found" });
    expect(reasons).toEqual(["queue_deleted"]);

    const take = broker.take.bind(broker);
    broker.take = (socket, frame, payload) => {
      if (frame.type === "consume")
        socket.tell({ type: "error", ref: null, code: "consumer_exclusive", detail: "" });
      else take(socket, frame, payload);
    };
    const second = await consume(() => undefined, { exclusive: true });
    await expect(second.closed).rejects.toMatchObject({ code: "consumer_exclusive" });
  });

  it("client.drain lets handlers publish to the last", async () => {
    const { ends, handler } = byHand();
    await consume(async (message, context) => {
      await handler(message, context);
      await queue.publish("result");
    });
    broker.deliver(1, 1, ["a"]);
    await settle();
    const drained = client.drain();
    ends[0]!();
    await clock.advance(20);
    await drained;
    expect(broker.texts()).toEqual(["result"]);
    expect(clock.timerCount).toBe(0);
  });
});

describe("for await", () => {
  it("acks a message when the loop comes back for the next, and gives back the one it leaves with", async () => {
    const seen: string[] = [];
    const loop = (async () => {
      for await (const message of queue.messages()) {
        seen.push(message.text());
        if (message.text() === "b") await message.reject({ error: "bad" });
        if (message.text() === "c") break;
      }
    })();
    await settle();
    broker.deliver(1, 1, ["a", "b", "c", "d"]);
    await clock.advance(10);
    await loop;
    expect(seen).toEqual(["a", "b", "c"]);
    const by = (verdict: string) => broker.settlements.filter((one) => one.verdict === verdict);
    expect(by("ack").flatMap(({ sequences }) => sequences!)).toEqual([[1, 1]]);
    expect(by("reject")).toMatchObject([{ sequences: [[2, 1]], error: "bad" }]);
    expect(by("nack")).toMatchObject([{ sequences: [[3, 1]] }]);
    expect(broker.last.frames.at(-1)).toEqual({ type: "cancel" });
  });

  it("throws what ended the consumer", async () => {
    const next = queue.messages().next();
    await settle();
    broker.last.tell({ type: "cancelled", consumer: "c", reason: "queue_deleted" });
    await expect(next).rejects.toMatchObject({ code: "queue_not_found" });
  });
});

describe("a body that lies elsewhere", () => {
  const reference = "http://broker.test/v1/queues/orders/bodies/key-1";
  const options = { reference: true };

  it("is fetched before the handler is called", async () => {
    bodies.set(reference, new Response("the large body"));
    const seen: string[] = [];
    await consume((message) => void seen.push(message.text()));
    broker.deliver(1, 1, ["key-1"], 30_000, options);
    await clock.advance(10);
    expect(seen).toEqual(["the large body"]);
    expect(broker.settlements).toMatchObject([{ verdict: "ack" }]);
  });

  it("gives the message back while it can't be had, and rejects it when it is gone", async () => {
    const problem = { code: "unavailable", detail: "R2 is away" };
    bodies.set(reference, new Response(JSON.stringify(problem), { status: 503 }));
    await consume(() => expect.unreachable());
    broker.deliver(1, 1, ["key-1"], 60_000, options);
    await clock.advance(29_000);
    expect(broker.settlements.at(-1)).toMatchObject({ verdict: "nack" });
    bodies.delete(reference);
    broker.deliver(2, 2, ["key-1"], 60_000, options);
    await clock.advance(10);
    expect(broker.settlements.at(-1)).toMatchObject({ lease: 2, verdict: "reject" });
    expect(errors).toHaveLength(2);
  });
});
