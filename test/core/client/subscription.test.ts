import { beforeEach, describe, expect, it } from "vitest";
import {
  connect,
  isMillraceError,
  type Client,
  type ConnectOptions,
  type EventHandler,
  type ExchangeEvent,
  type SubscribeOptions,
  type Subscription,
} from "../../../src/client/index.ts";
import { FakeHub } from "./fake-hub.ts";
import { ManualClock, settle } from "./manual-clock.ts";

let clock: ManualClock;
let hub: FakeHub;
let client: Client;
/** What a subscription told, in order: `topic`, `gap <reason>`, `recovered <cause>`. */
let told: string[];

beforeEach(() => {
  clock = new ManualClock();
  hub = new FakeHub();
  told = [];
  client = start();
});

function start(options: Partial<ConnectOptions> = {}): Client {
  return connect({
    url: "http://broker.test",
    clock,
    WebSocket: hub.WebSocket,
    fetch: () => Promise.reject(new Error("no HTTP in this test")),
    ...options,
  });
}

/** Writes down what it is told. */
function subscribe(
  options: SubscribeOptions = {},
  handler: EventHandler = () => undefined,
  pattern = "#",
): Subscription {
  return client.exchange("orders").subscribe(
    pattern,
    (event) => {
      told.push(event.topic);
      return handler(event);
    },
    {
      onGap: ({ reason, after }) => told.push(`gap ${reason} ${after}`),
      onRecovered: ({ cause, after }) => told.push(`recovered ${cause} ${after}`),
      ...options,
    },
  );
}
async function publish(...topics: string[]): Promise<void> {
  for (const topic of topics) hub.publish(topic);
  await settle();
}
async function reconnect(): Promise<void> {
  hub.last.lose();
  await clock.advance(1_000);
}
function subscribes() {
  return hub.sockets.flatMap((socket) => socket.of("subscribe"));
}

describe("subscribing", () => {
  it("opens the session when it is first needed, and hands out events in order", async () => {
    expect(hub.sockets).toHaveLength(0);
    const subscription = subscribe();
    await subscription.ready;
    expect(hub.last.url).toBe("ws://broker.test/v1/socket");
    await publish("a.b", "c");
    expect(told).toEqual(["a.b", "c"]);
    expect(subscription.position).toBe("e1:2");
    expect(subscription.state).toBe("live");
  });

  it("gives an event what it was published with, in both forms", async () => {
    for (const format of ["binary", "json"] as const) {
      const events: ExchangeEvent[] = [];
      const subscription = client.subscribe("x.*", (event) => events.push(event), {
        exchange: "orders",
        format,
      });
      await subscription.ready;
      await publish("x.y");
      expect(events).toHaveLength(1);
      const [event] = events;
      expect([event!.topic, event!.text(), event!.epoch, event!.position]).toEqual([
        "x.y",
        "x.y",
        "e1",
        `e1:${hub.offset}`,
      ]);
      expect(event!.from).toBeUndefined();
      expect(event!.id).toBeUndefined();
      expect(event!.timeMs).toBe(format === "json" ? 5 : 1_700_000_000_000);
      await subscription.unsubscribe();
    }
  });

  it("says nothing of the past unless it is asked for", async () => {
    await publish("a", "b", "c");
    subscribe({ last: 2 }, undefined, "#");
    await settle();
    subscribe({ lastValues: true }, (event) => told.push(event.from ?? "live"), "c");
    await settle();
    subscribe({}, undefined, "a");
    await settle();
    expect(told).toEqual(["b", "c", "c", "snapshot"]);
  });

  it("tells whether all since a position is there", async () => {
    await publish("a", "b", "c");
    subscribe({ since: "e1:1" });
    await settle();
    expect(told).toEqual(["recovered since e1:1", "b", "c"]);
    told = [];
    hub.historyMax = 1;
    subscribe({ since: "e1:1" }, undefined, "*");
    await settle();
    expect(told).toEqual(["gap expired e1:1", "c"]);
  });

  it("refuses what is malformed, and what does not go together", () => {
    const exchange = client.exchange("orders");
    const codeOf = (run: () => unknown): unknown => {
      try {
        return run();
      } catch (error) {
        return isMillraceError(error) ? error.code : error;
      }
    };
    expect(codeOf(() => client.exchange("a/b"))).toBe("bad_name");
    expect(codeOf(() => exchange.subscribe("#", { since: "later" }))).toBe("bad_request");
    expect(codeOf(() => exchange.subscribe("#", { since: "e:1", last: 1 }))).toBe("bad_request");
  });

  it("runs handlers one after the other, and goes on after one that threw", async () => {
    const errors: unknown[] = [];
    let release: () => void = () => undefined;
    subscribe({ onError: (error, event) => errors.push([error.message, event?.topic]) }, ({ topic }) => {
      if (topic === "slow") return new Promise<void>((resolve) => (release = resolve));
      if (topic === "bad") throw new Error("it broke");
      return undefined;
    });
    await settle();
    await publish("slow", "bad", "good");
    expect(told).toEqual(["slow"]);
    release();
    await settle();
    expect(told).toEqual(["slow", "bad", "good"]);
    expect(errors).toEqual([["it broke", "bad"]]);
  });
});

describe("sharing", () => {
  it("asks the broker once for the same exchange and pattern, and unsubscribes with the last", async () => {
    const first = subscribe({ last: 1 });
    await settle();
    await publish("a");
    const late: string[] = [];
    const second = client.exchange("orders").subscribe("#", ({ topic }) => late.push(topic));
    await second.ready;
    await publish("b");
    expect(late).toEqual(["b"]);
    expect(told).toEqual(["a", "b"]);
    expect(subscribes()).toHaveLength(1);
    await first.unsubscribe();
    expect(hub.last.of("unsubscribe")).toHaveLength(0);
    await publish("c");
    expect(late).toEqual(["b", "c"]);
    await second.unsubscribe();
    expect(hub.last.of("unsubscribe")).toHaveLength(1);
  });

  it("keeps the past that one asked for from another that did not", async () => {
    await publish("a");
    subscribe({ last: 5 });
    const other: string[] = [];
    client.exchange("orders").subscribe("#", ({ topic }) => other.push(topic));
    await settle();
    await publish("b");
    expect(told).toEqual(["a", "b"]);
    expect(other).toEqual(["b"]);
  });

  it("refuses a second one that asks for the past, or for another way", async () => {
    const exchange = client.exchange("orders");
    const first = exchange.subscribe("#", () => undefined, { onSlow: "conflate" });
    const bad = expect.objectContaining({ code: "bad_request" }) as Error;
    expect(() => exchange.subscribe("#", { last: 1 })).toThrow(bad);
    expect(() => exchange.subscribe("#", { since: "e1:0" })).toThrow(bad);
    expect(() => exchange.subscribe("#", { lastValues: true })).toThrow(bad);
    expect(() => exchange.subscribe("#", { onSlow: "drop" })).toThrow(bad);
    await first.unsubscribe();
    await exchange.subscribe("#", () => undefined, { last: 1 }).ready;
  });
});

describe("after a lost connection", () => {
  it("gets what it missed, each event once, and is told that nothing is missing", async () => {
    const states: string[] = [];
    subscribe({ onState: (state) => states.push(state) });
    await settle();
    await publish("a", "b");
    hub.goDeaf();
    await publish("c");
    await reconnect();
    expect(subscribes()[1]).toMatchObject({ since: "e1:2" });
    await publish("d");
    expect(told).toEqual(["a", "b", "recovered connection e1:2", "c", "d"]);
    expect(states).toEqual(["live", "interrupted", "live"]);
  });

  it("goes on from where it subscribed when no event came yet", async () => {
    await publish("before");
    subscribe();
    await settle();
    hub.goDeaf();
    hub.publishUnheard("missed");
    await reconnect();
    expect(subscribes()[1]).toMatchObject({ since: "e1:1" });
    expect(told).toEqual(["recovered connection e1:1", "missed"]);
  });

  it("goes on from the end of the past that it asked for, when none of it matched", async () => {
    await publish("other");
    subscribe({ last: 3 }, undefined, "mine");
    await settle();
    hub.publishUnheard("mine");
    await reconnect();
    expect(subscribes()[1]).toMatchObject({ since: "e1:1" });
    expect(told).toEqual(["recovered connection e1:1", "mine"]);
  });

  it("asks for the past again when the connection broke before all of it was here", async () => {
    await publish("a", "b");
    hub.silent.add("ping");
    hub.silent.add("subscribe");
    subscribe({ last: 2 });
    await settle();
    const { ref = 0 } = subscribes()[0]!;
    const [exchange, pattern] = ["orders", "#"];
    hub.last.tell({
      type: "subscribed",
      ref,
      exchange,
      pattern,
      epoch: "e1",
      offset: 2,
      recovery: "fresh",
    });
    hub.silent.clear();
    await reconnect();
    expect(subscribes()[1]).toMatchObject({ last: 2 });
    expect(told).toEqual(["a", "b"]);
  });

  it("tells the gap, with its reason, before the next event", async () => {
    for (const reason of ["expired", "new_epoch", "no_history"] as const) {
      hub = new FakeHub();
      client = start();
      told = [];
      if (reason === "no_history") hub.historyMax = 0;
      subscribe();
      await settle();
      await publish("a");
      hub.goDeaf();
      if (reason === "expired") hub.historyMax = 1;
      if (reason === "new_epoch") hub.startEpoch("e2");
      await publish("b", "c");
      await reconnect();
      const kept = { expired: ["c"], new_epoch: ["b", "c"], no_history: [] }[reason];
      await publish("d");
      expect(told).toEqual(["a", `gap ${reason} e1:1`, ...kept, "d"]);
    }
  });

  it("numbers anew after a new epoch, and does not take a low offset for a duplicate", async () => {
    subscribe();
    await settle();
    await publish("a", "b", "c");
    hub.startEpoch("e2");
    await reconnect();
    await publish("d");
    hub.goDeaf();
    await publish("e");
    await reconnect();
    expect(subscribes()[2]).toMatchObject({ since: "e2:1" });
    expect(told).toEqual(["a", "b", "c", "gap new_epoch e1:3", "d", "recovered connection e2:1", "e"]);
  });

  it("asks for all of a new epoch when the connection broke again before any of it was here", async () => {
    subscribe();
    await settle();
    await publish("a", "b");
    hub.startEpoch("e2");
    hub.silent.add("ping");
    hub.last.lose();
    await clock.advance(1_000);
    hub.publishUnheard("c");
    await reconnect();
    expect(subscribes()[2]).toMatchObject({ since: "e2:0" });
    expect(told).toEqual(["a", "b", "gap new_epoch e1:2", "recovered connection e2:0", "c"]);
  });

  it("gives all last values to one that asks for them beside what it missed", async () => {
    await publish("a", "b");
    subscribe({ since: "e1:1", lastValues: true }, ({ from }) => void told.push(from ?? "live"));
    await settle();
    expect(told).toEqual(["recovered since e1:1", "a", "snapshot", "b", "snapshot", "b", "recovered"]);
  });

  it("tells the last values again only where something was lost", async () => {
    await publish("x", "y");
    const subscription = subscribe({ lastValues: true });
    await settle();
    expect(told).toEqual(["x", "y"]);
    // They come in no order of time with what follows, so none of them is a place to go on from.
    expect(subscription.position).toBeNull();
    hub.goDeaf();
    await publish("x");
    await reconnect();
    expect(told).toEqual(["x", "y", "recovered connection e1:2", "x"]);
    hub.goDeaf();
    await publish("y");
    await publish("z");
    hub.historyMax = 0;
    told = [];
    await reconnect();
    expect(told).toEqual(["gap no_history e1:3", "y", "z"]);
  });

  it("asks again until the broker takes it, when the refusal may pass", async () => {
    hub.refusals.push({ type: "subscribe", code: "rate_limited" });
    hub.refusals.push({ type: "subscribe", code: "internal" });
    hub.refusals.push({ type: "subscribe", code: "unauthenticated" });
    const subscription = subscribe();
    for (let i = 0; i < 4; i++) await clock.advance(1_000);
    expect(subscribes()).toHaveLength(4);
    expect(subscription.state).toBe("live");
  });

  it("comes again over another connection when the token ran out, or the hub is silent", async () => {
    const subscription = subscribe();
    await settle();
    hub.last.tell({ type: "error", ref: null, code: "unauthenticated", detail: "expired" });
    await clock.advance(1_000);
    expect(hub.sockets).toHaveLength(2);
    expect(told).toEqual(["recovered connection e1:0"]);
    hub.silent.add("subscribe");
    await reconnect();
    hub.silent.clear();
    await clock.advance(31_000);
    expect(subscription.state).toBe("live");
  });
});

describe("interrupted by the broker", () => {
  it("subscribes again from where it was", async () => {
    subscribe();
    await settle();
    await publish("a");
    hub.interrupt();
    await publish("b");
    expect(hub.sockets).toHaveLength(1);
    expect(told).toEqual(["a", "recovered broker e1:1", "b"]);
  });

  it("drops an event that comes twice", async () => {
    subscribe();
    await settle();
    await publish("a", "b");
    hub.send(hub.last, { exchange: "orders", pattern: "#" }, hub.log);
    await publish("c");
    expect(told).toEqual(["a", "b", "c"]);
  });

  it("ends, after what had come, when the exchange is deleted", async () => {
    let release: () => void = () => undefined;
    const errors: string[] = [];
    const subscription = subscribe(
      { onError: (error) => errors.push(error.message) },
      () => new Promise<void>((resolve) => (release = resolve)),
    );
    await settle();
    await publish("a");
    hub.interrupt("exchange_deleted");
    await settle();
    expect(subscription.state).toBe("live");
    release();
    await expect(subscription.closed).rejects.toMatchObject({ code: "exchange_not_found" });
    expect(errors).toHaveLength(1);
  });

  it("asks for nothing more once its exchange is deleted, and may be made anew", async () => {
    const ended = subscribe();
    await settle();
    hub.interrupt("exchange_deleted");
    await expect(ended.closed).rejects.toMatchObject({ code: "exchange_not_found" });
    await reconnect();
    expect(subscribes()).toHaveLength(1);
    await subscribe({ last: 1 }).ready;
    expect(subscribes()).toHaveLength(2);
  });

  it("takes the word of the answer when the exchange was deleted while it asked", async () => {
    hub.silent.add("subscribe");
    const subscription = subscribe();
    await settle();
    const place = { exchange: "orders", pattern: "#" };
    hub.last.tell({ type: "unsubscribed", ref: null, ...place, reason: "exchange_deleted" });
    const { ref = 0 } = subscribes()[0]!;
    hub.last.tell({ type: "subscribed", ref, ...place, epoch: "e2", offset: 0, recovery: "fresh" });
    await subscription.ready;
    expect(subscription.state).toBe("live");
  });

  it("ends when the grant for it does", async () => {
    const subscription = subscribe();
    await settle();
    hub.interrupt("grant_ended");
    await expect(subscription.closed).rejects.toMatchObject({ code: "forbidden" });
  });

  it("ends when it may not subscribe, or comes back to nothing", async () => {
    hub.refusals.push({ type: "subscribe", code: "forbidden" });
    const forbidden = subscribe();
    await expect(forbidden.ready).rejects.toMatchObject({ code: "forbidden" });
    await expect(forbidden.closed).rejects.toMatchObject({ code: "forbidden" });
    const stream = client.exchange("orders").subscribe("#");
    await settle();
    hub.refusals.push({ type: "subscribe", code: "exchange_not_found" });
    const next = expect(stream.next()).rejects.toMatchObject({ code: "exchange_not_found" });
    await reconnect();
    await next;
  });
});
