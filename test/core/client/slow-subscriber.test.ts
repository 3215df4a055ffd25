import { beforeEach, describe, expect, it } from "vitest";
import {
  connect,
  type Client,
  type ExchangeEvent,
  type SubscribeOptions,
} from "../../../src/client/index.ts";
import { FakeHub } from "./fake-hub.ts";
import { ManualClock, settle } from "./manual-clock.ts";

let clock: ManualClock;
let hub: FakeHub;
let client: Client;
let told: string[];
/** Lets the handler that runs go on. */
let release: () => void;

beforeEach(() => {
  clock = new ManualClock();
  hub = new FakeHub();
  told = [];
  release = () => undefined;
  client = connect({ url: "http://broker.test", clock, WebSocket: hub.WebSocket });
});

/** Its handler waits for `release` each time. */
async function subscribeSlowly(options: SubscribeOptions = {}): Promise<void> {
  const subscription = client.exchange("orders").subscribe(
    "#",
    ({ topic }) => {
      told.push(topic);
      return new Promise<void>((resolve) => (release = resolve));
    },
    {
      onGap: ({ reason, events, after }) => told.push(`gap ${reason} ${events ?? "?"} ${after}`),
      onRecovered: ({ cause }) => told.push(`recovered ${cause}`),
      ...options,
    },
  );
  await subscription.ready;
}
async function publish(count: number, body = "x"): Promise<void> {
  for (let i = 0; i < count; i++) hub.publish(`t${hub.offset + 1}`, body);
  await settle();
}
async function work(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    release();
    await settle();
  }
}
function seen(): number[] {
  return hub.last.of("seen").map(({ frames }) => frames);
}

describe("seen", () => {
  it("is said as events are handled, before as many frames as the broker asks for", async () => {
    await subscribeSlowly();
    await publish(40);
    await work(15);
    expect(seen()).toEqual([]);
    await work(1);
    expect(seen()).toEqual([16]);
    await work(24);
    expect(seen()).toEqual([16, 32]);
  });

  it("is said sooner when the events are large", async () => {
    await subscribeSlowly();
    await publish(4, "x".repeat(100_000));
    await work(2);
    expect(seen()).toEqual([2]);
  });

  it("counts a frame that nobody here wants at once", async () => {
    await subscribeSlowly();
    await publish(1);
    for (let i = 0; i < 8; i++) {
      hub.send(hub.last, { exchange: "orders", pattern: "#" }, hub.log);
      hub.send(hub.last, { exchange: "orders", pattern: "left" }, hub.log);
    }
    await settle();
    expect(seen()).toEqual([16]);
  });

  it("begins anew with each connection, and leaves out what came over the last one", async () => {
    await subscribeSlowly();
    await publish(30);
    await work(20);
    expect(seen()).toEqual([16]);
    hub.last.lose();
    await clock.advance(1_000);
    await work(10);
    expect(seen()).toEqual([]);
    await publish(16);
    await work(16);
    expect(seen()).toEqual([16]);
  });

  it("is said no sooner because the broker tells that the session is slow", async () => {
    await subscribeSlowly();
    await publish(2);
    hub.last.tell({ type: "slow", frames: 2 });
    await work(2);
    expect([told, seen()]).toEqual([["t1", "t2"], []]);
  });

  it("counts a frame with several readers when the last has read it", async () => {
    await subscribeSlowly();
    client.exchange("orders").subscribe("#", () => undefined);
    await settle();
    await publish(20);
    await work(15);
    expect(seen()).toEqual([]);
    await work(1);
    expect(seen()).toEqual([16]);
  });
});

describe("an iterator", () => {
  it("gives events one by one; leaving the loop unsubscribes", async () => {
    const stream = client.subscribe("#", { exchange: "orders" });
    await stream.subscription.ready;
    await publish(3);
    const topics: string[] = [];
    for await (const event of stream) {
      topics.push(event.topic);
      if (topics.length === 2) break;
    }
    expect(topics).toEqual(["t1", "t2"]);
    expect(hub.last.of("unsubscribe")).toHaveLength(1);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  it("holds so many events before it counts them as unread", async () => {
    const stream = client.exchange("orders").subscribe("#", { bufferEvents: 20 });
    await stream.subscription.ready;
    await publish(100);
    expect(seen()).toEqual([16]);
    const taken: ExchangeEvent[] = [];
    for (let i = 0; i < 13; i++) taken.push((await stream.next()).value as ExchangeEvent);
    await settle();
    expect(seen()).toEqual([16, 32]);
    expect(taken.map(({ offset }) => offset)).toEqual(Array.from({ length: 13 }, (_, i) => i + 1));
  });

  it("tells a gap in its place", async () => {
    const stream = client.exchange("orders").subscribe("#", {
      recoverSlow: false,
      onGap: ({ reason, events }) => told.push(`gap ${reason} ${events}`),
    });
    await stream.subscription.ready;
    await publish(1);
    hub.tellGap("#", 7);
    hub.offset = 9;
    await publish(1);
    expect(told).toEqual([]);
    told.push(((await stream.next()).value as ExchangeEvent).topic);
    told.push(((await stream.next()).value as ExchangeEvent).topic);
    expect(told).toEqual(["t1", "gap slow 7", "t10"]);
  });
});

describe("a gap for slowness", () => {
  it("is asked for when all was read, not before, and what comes meanwhile is left for then", async () => {
    await subscribeSlowly();
    await publish(2);
    hub.publishUnheard("missed");
    hub.tellGap("#", 1);
    await publish(1);
    await work(1);
    expect(hub.last.of("subscribe")).toHaveLength(1);
    await work(1);
    expect(hub.last.of("subscribe")[1]).toMatchObject({ since: "e1:2" });
    // The broker is told first that it is no longer slow.
    expect(seen()).toEqual([3]);
    expect(hub.last.frames.slice(-3).map(({ type }) => type)).toEqual(["seen", "subscribe", "ping"]);
    await work(2);
    expect(told).toEqual(["t1", "t2", "recovered slow", "missed", "t4"]);
  });

  it("is told as one when the exchange keeps no history", async () => {
    hub.historyMax = 0;
    await subscribeSlowly();
    await publish(1);
    hub.publishUnheard("missed");
    hub.tellGap("#", 1);
    await work(1);
    await publish(1);
    await work(1);
    expect(told).toEqual(["t1", "gap slow 1 e1:1", "t3"]);
  });

  it("is told when asking once more would lead to the same place", async () => {
    await subscribeSlowly();
    await publish(1);
    hub.publishUnheard("missed");
    hub.silent.add("ping");
    hub.tellGap("#", 1);
    const { log } = hub;
    hub.send = () => undefined;
    await work(1);
    expect(told).toEqual(["t1", "recovered slow"]);
    hub.tellGap("#", log.length - 1);
    await settle();
    expect(told).toEqual(["t1", "recovered slow", "gap slow 1 e1:1"]);
    expect(hub.last.of("subscribe")).toHaveLength(2);
  });

  it.each([{ recoverSlow: false }, { onSlow: "conflate" } as const])(
    "is told at once with %o",
    async (options) => {
      await subscribeSlowly(options);
      await publish(1);
      hub.tellGap("#", 5);
      await work(1);
      expect(told).toEqual(["t1", "gap slow 5 e1:1"]);
      expect(hub.last.of("subscribe")).toHaveLength(1);
    },
  );

  it("does not keep out what conflation sends behind it", async () => {
    await subscribeSlowly({ onSlow: "conflate" });
    await publish(1);
    hub.publishUnheard("kept");
    hub.publishUnheard("dropped");
    hub.tellGap("#", 1);
    hub.send(hub.last, { exchange: "orders", pattern: "#" }, [hub.log[1]!]);
    await work(2);
    expect(told).toEqual(["t1", "gap slow 1 e1:1", "kept"]);
  });

  it("of a connection that broke is one interruption with one verdict", async () => {
    await subscribeSlowly();
    await publish(1);
    hub.publishUnheard("missed");
    hub.tellGap("#", 1);
    hub.last.lose();
    await clock.advance(1_000);
    await work(2);
    expect(told).toEqual(["t1", "recovered slow", "missed"]);
  });
});

describe("the end of a subscription", () => {
  it("drain handles what is here; unsubscribe lets it go", async () => {
    await subscribeSlowly();
    await publish(3);
    const drained = client.drain();
    await settle();
    expect(hub.last.of("unsubscribe")).toHaveLength(1);
    await publish(1);
    await work(3);
    await drained;
    expect(told).toEqual(["t1", "t2", "t3"]);
    expect(clock.timerCount).toBe(0);
  });

  it("a drain gives up in time", async () => {
    await subscribeSlowly();
    await publish(1);
    const drained = expect(client.drain({ timeoutMs: 1_000 })).rejects.toMatchObject({ code: "timeout" });
    await clock.advance(1_000);
    await drained;
  });

  it("close ends all at once", async () => {
    const stream = client.subscribe("#", { exchange: "orders" });
    await stream.subscription.ready;
    const next = expect(stream.next()).rejects.toMatchObject({ code: "closed" });
    client.close();
    await next;
    expect(() => client.exchange("orders").subscribe("#")).toThrow(
      expect.objectContaining({ code: "closed" }) as Error,
    );
    expect(clock.timerCount).toBe(0);
  });
});
