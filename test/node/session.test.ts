/** The SDK's session against the real broker, over connections that are cut and objects that are evicted. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestHarness } from "wrangler";
import {
  connect,
  RouteError,
  type Client,
  type ConnectOptions,
  type Exchange,
  type ExchangeConfig,
  type PresenceMember,
  type SubscribeOptions,
  type Subscription,
} from "../../src/client/index.ts";
import { objectName } from "../../src/protocol/names.ts";
import { CutProxy } from "../support/cut-proxy.ts";

const server = createTestHarness({
  workers: [{ configPath: "../../wrangler.toml" }],
  root: import.meta.dirname,
});
let url: string;
let proxy: CutProxy;
const clients: Client[] = [];
let count = 0;

beforeAll(async () => {
  url = (await server.listen()).url.href;
  proxy = await CutProxy.start(url);
});
afterAll(async () => {
  for (const client of clients) client.close();
  await proxy.stop();
  await server.close();
});

function open(options: Partial<ConnectOptions> = {}): Client {
  const client = connect({ url, reconnect: { baseMs: 20, maxMs: 100 }, ...options });
  clients.push(client);
  return client;
}
/** A client whose connections can be cut. */
function openCuttable(options: Partial<ConnectOptions> = {}): Client {
  return open({ url: proxy.url, ...options });
}
/** Sessions go there while it has room. */
const FIRST_HUB = "0";
const fresh = (): string => `session-${++count}`;
async function declare(config: Partial<ExchangeConfig> = {}): Promise<Exchange> {
  const exchange = open().exchange(fresh());
  await exchange.declare({ history: { eventsMax: 1_000, ageMs: null }, ...config });
  return exchange;
}
function evict(binding: "EXCHANGES" | "HUBS", name: string): Promise<void> {
  return server.getWorker().evictDurableObject(binding, { name: objectName("default", name) });
}
const numbered = (from: number, size: number): string[] =>
  Array.from({ length: size }, (_, i) => `${from + i}`);

/** The machine may be busy. */
const eventually = <T>(read: () => T | Promise<T>) => expect.poll(read, { timeout: 30_000, interval: 5 });

/** A subscription over a connection that can be cut, and what it told. */
async function listen(
  exchange: Exchange,
  options: SubscribeOptions = {},
  pattern = "#",
): Promise<{ told: string[]; subscription: Subscription }> {
  const told: string[] = [];
  const subscription = openCuttable()
    .exchange(exchange.name)
    .subscribe(pattern, (event) => void told.push(event.text()), {
      onGap: ({ reason }) => told.push(`gap ${reason}`),
      onRecovered: ({ cause }) => told.push(`recovered ${cause}`),
      ...options,
    });
  await subscription.ready;
  return { told, subscription };
}
async function publish(exchange: Exchange, bodies: readonly string[], topic = "t.x"): Promise<void> {
  await Promise.all(bodies.map((body) => exchange.publish(topic, body)));
}

describe("events", () => {
  it("reach subscribers by pattern, with everything they were published with", async () => {
    const exchange = await declare({ lastValuesMax: 10 });
    const stream = open().exchange(exchange.name).subscribe("orders.*.new");
    await stream.subscription.ready;
    const beforeMs = Date.now();
    await exchange.publish("orders.eu.old", "no");
    const { position, matched } = await exchange.publish(
      "orders.eu.new",
      { a: 1 },
      {
        headers: { h: "x" },
        correlationId: "c",
      },
    );
    const { value: event } = await stream.next();
    expect(event).toMatchObject({
      topic: "orders.eu.new",
      headers: { h: "x" },
      correlationId: "c",
      position,
    });
    expect(event!.json()).toEqual({ a: 1 });
    expect(event!.timeMs).toBeGreaterThanOrEqual(beforeMs);
    expect(matched).toBe(0);
    await stream.return();
  });

  it("of the past come when they are asked for", async () => {
    const exchange = await declare({ lastValuesMax: 10 });
    await publish(exchange, ["1", "2"], "a");
    const { position } = await exchange.publish("a", "3");
    await publish(exchange, ["4", "5"], "b");
    const cases = [
      [{ last: 2 }, ["4", "5"]],
      [{ since: position }, ["recovered since", "4", "5"]],
      [{ lastValues: true }, ["3", "5"]],
      [{}, []],
    ] as const;
    const listeners = await Promise.all(cases.map(([options]) => listen(exchange, options)));
    await exchange.publish("c", "live");
    for (const [i, { told }] of listeners.entries()) {
      await eventually(() => told.at(-1)).toBe("live");
      expect(told.slice(0, -1)).toEqual(cases[i]![1]);
    }
  });

  it("missed while the connection was cut come later, each once and in order", async () => {
    const exchange = await declare();
    const { told } = await listen(exchange);
    const bodies: string[] = [];
    for (let round = 0; round < 6; round++) {
      const next = numbered(bodies.length, 40);
      bodies.push(...next);
      const publishing = publish(exchange, next.slice(0, 20));
      // Before the cut the way back may be gone already: what was sent meanwhile is lost on it.
      if (round % 2 === 0) proxy.deafen();
      await publishing;
      proxy.cut({ down: round % 3 === 0 });
      await publish(exchange, next.slice(20));
      proxy.up();
      await eventually(() => told.at(-1)).toBe(bodies.at(-1));
    }
    expect(told.filter((text) => !text.startsWith("recovered"))).toEqual(bodies);
    expect(told.filter((text) => text.startsWith("recovered")).length).toBeGreaterThanOrEqual(6);
  });

  it("that can't be had again are told as a gap", async () => {
    const short = await declare({ history: { eventsMax: 3, ageMs: null } });
    const none = await declare({ history: { eventsMax: 0, ageMs: null } });
    for (const [exchange, reason, kept] of [
      [short, "expired", ["10", "11", "12"]],
      [none, "no_history", []],
    ] as const) {
      const { told } = await listen(exchange);
      await publish(exchange, ["1"]);
      await eventually(() => told).toEqual(["1"]);
      proxy.cut({ down: true });
      for (const body of numbered(2, 11)) await exchange.publish("t.x", body);
      proxy.up();
      await eventually(() => told.length).toBeGreaterThan(1);
      await exchange.publish("t.x", "live");
      await eventually(() => told.at(-1)).toBe("live");
      expect(told).toEqual(["1", `gap ${reason}`, ...kept, "live"]);
    }
  });

  it("go on when the exchange and the hub are evicted", async () => {
    const exchange = await declare();
    const { told, subscription } = await listen(exchange);
    const bodies: string[] = [];
    for (const binding of ["EXCHANGES", "HUBS", "EXCHANGES", "HUBS"] as const) {
      const next = numbered(bodies.length, 10);
      bodies.push(...next);
      await publish(exchange, next);
      await evict(binding, binding === "HUBS" ? FIRST_HUB : exchange.name);
    }
    await publish(exchange, ["last"]);
    await eventually(() => told.at(-1)).toBe("last");
    expect(told.filter((text) => !text.startsWith("recovered"))).toEqual([...bodies, "last"]);
    expect(subscription.state).toBe("live");
  });

  it("end with their exchange", async () => {
    const exchange = await declare();
    const { subscription } = await listen(exchange);
    await exchange.delete();
    await expect(subscription.closed).rejects.toMatchObject({ code: "exchange_not_found" });
    await expect(open().exchange(exchange.name).subscribe("#").next()).rejects.toMatchObject({
      code: "exchange_not_found",
    });
  });

  it("are conflated for a subscriber that is slow and wants it so: the last of each topic comes", async () => {
    const exchange = await declare();
    const last = new Map<string, string>();
    let gaps = 0;
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const subscription = open()
      .exchange(exchange.name)
      .subscribe(
        "#",
        async (event) => {
          last.set(event.topic, event.text().slice(0, 2));
          await held;
        },
        { onSlow: "conflate", onGap: () => gaps++ },
      );
    await subscription.ready;
    for (const body of numbered(10, 50)) {
      await exchange.publish(`t.${Number(body) % 3}`, body + "x".repeat(40_000));
    }
    release();
    await eventually(() => [...last.values()].sort()).toEqual(["57", "58", "59"]);
    expect(gaps).toBeGreaterThan(0);
  });

  it("are recovered after a subscriber was slow", async () => {
    const exchange = await declare();
    const told: string[] = [];
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const subscription = open()
      .exchange(exchange.name)
      .subscribe(
        "#",
        async (event) => {
          told.push(event.text().slice(0, 3));
          await held;
        },
        {
          onGap: ({ reason }) => told.push(`gap ${reason}`),
          onRecovered: ({ cause }) => told.push(`recovered ${cause}`),
        },
      );
    await subscription.ready;
    const bodies = numbered(100, 40);
    for (const body of bodies) await exchange.publish("t.x", body + "x".repeat(60_000));
    expect(told).toEqual(["100"]);
    release();
    await expect.poll(() => told.filter((text) => !text.startsWith("r")).length).toBe(40);
    expect(told.filter((text) => !text.startsWith("recovered"))).toEqual(bodies);
    expect(told).toContain("recovered slow");
  });
});

describe("publishing to an exchange", () => {
  it("leads to queues and other exchanges, and says where", async () => {
    const exchange = await declare();
    const other = await declare({ kind: "fanout" });
    const client = open();
    const [eu, all] = [client.queue(fresh()), client.queue(fresh())];
    await eu.declare();
    await all.declare();
    const bound = await exchange.bind(eu.name, "orders.eu.#");
    await exchange.bind({ exchange: other.name }, "#", { headers: { match: "any", headers: { vip: true } } });
    await other.bind(all.name);
    expect(await exchange.publish("orders.eu.new", "1", { headers: { vip: true } })).toMatchObject({
      matched: 2,
    });
    expect(await exchange.publish("orders.us", "2")).toMatchObject({ matched: 0 });
    await expect(exchange.publish("orders.us", "3", { mandatory: true })).rejects.toMatchObject({
      code: "unroutable",
    });
    const explained = await exchange.explain("orders.eu.x", { headers: { vip: false } });
    expect(explained.destinations).toEqual([{ queue: eu.name }]);
    expect((await exchange.bindings()).bindings).toHaveLength(2);
    await exchange.unbind(bound.id);
    await expect(exchange.unbind(bound.id)).rejects.toMatchObject({ code: "binding_not_found" });
    await expect(exchange.bind("not-there")).rejects.toMatchObject({ code: "destination_missing" });
    await expect(other.delete({ ifUnused: true })).rejects.toMatchObject({ code: "exchange_in_use" });
    expect((await client.exchanges({ prefix: exchange.name })).exchanges).toContain(exchange.name);
    expect((await eu.receive()).map((message) => message.text())).toEqual(["1"]);
  });

  it("tells which queue did not take a message", async () => {
    const exchange = await declare({ kind: "fanout" });
    const client = open();
    const [full, fine] = [client.queue(fresh()), client.queue(fresh())];
    await full.declare({ maxMessages: 1 });
    await fine.declare();
    await exchange.bind(full.name);
    await exchange.bind(fine.name);
    expect((await exchange.publish("", "1")).matched).toBe(2);
    const error = await exchange.publish("", "2").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RouteError);
    expect(error).toMatchObject({
      code: "queue_full",
      matched: 1,
      failures: [{ destination: { queue: full.name }, code: "queue_full" }],
    });
  });

  it("loses nothing that has a dedup id, though connections are cut", async () => {
    const exchange = await declare({ kind: "fanout" });
    const client = openCuttable({ publisher: { batchMessagesMax: 10 } });
    const queue = open().queue(fresh());
    await queue.declare();
    await exchange.bind(queue.name);
    const bodies = numbered(0, 300);
    let confirmed = 0;
    const all = bodies.map((body) =>
      client
        .exchange(exchange.name)
        .publish("", body, { dedupId: body })
        .then(() => confirmed++),
    );
    for (let round = 1; round <= 4; round++) {
      await eventually(() => confirmed).toBeGreaterThanOrEqual(round * 40);
      proxy.cut();
    }
    await Promise.all(all);
    expect((await queue.inspect()).totals.published).toBe(300);
  });
});

describe("calls", () => {
  it("are answered, by several at a time, and fail with the responder's words", async () => {
    const queue = fresh();
    const service = open().serve(queue, (request) => {
      const { a, b } = request.json<{ a: number; b: number }>();
      if (a === 0) throw new RangeError("a is zero");
      return { sum: a + b };
    });
    await service.ready;
    const caller = open();
    const sums = await Promise.all(
      numbered(1, 50).map(async (n) => (await caller.call(queue, { a: Number(n), b: 1 })).json()),
    );
    expect(sums).toEqual(numbered(2, 50).map((n) => ({ sum: Number(n) })));
    await expect(caller.call(queue, { a: 0, b: 1 })).rejects.toMatchObject({
      code: "responder_failed",
      facts: { error: "RangeError: a is zero" },
    });
    await service.drain();
    await expect(caller.call(queue, {})).rejects.toMatchObject({ code: "no_responders" });
    expect((await caller.queue(queue).inspect()).counts).toMatchObject({ ready: 0, leased: 0, dead: 0 });
  });

  it("time out, and the request with them", async () => {
    const queue = fresh();
    const seen: string[] = [];
    const service = open().serve(
      queue,
      async (request) => {
        seen.push(request.text());
        if (request.text() === "slow") await new Promise((resolve) => setTimeout(resolve, 4_000));
        return "done";
      },
      { concurrency: 1 },
    );
    await service.ready;
    const caller = open();
    await caller.call(queue, "first");
    const [slow, never] = await Promise.allSettled(
      ["slow", "never"].map((body) => caller.call(queue, body, { timeoutMs: 2_000 })),
    );
    expect(slow).toMatchObject({ reason: { code: "timeout", facts: { outcome: "unknown" } } });
    expect(never).toMatchObject({ reason: { code: "timeout" } });
    expect((await caller.call(queue, "next")).text()).toBe("done");
    expect(seen).toEqual(["first", "slow", "next"]);
  });

  it("get their reply though the caller's and the responder's connections are cut meanwhile", async () => {
    const queue = fresh();
    const responder = openCuttable();
    let started: () => void = () => undefined;
    const running = new Promise<void>((resolve) => (started = resolve));
    const tries: number[] = [];
    const service = responder.serve(queue, async (request) => {
      tries.push(request.attempt);
      started();
      await new Promise((resolve) => setTimeout(resolve, 500));
      return "after all";
    });
    await service.ready;
    const caller = openCuttable();
    const called = caller.call(queue, "x");
    await running;
    proxy.cut({ down: true });
    await new Promise((resolve) => setTimeout(resolve, 200));
    proxy.up();
    expect((await called).text()).toBe("after all");
    await caller.drain();
    await responder.drain();
  });

  it("may be answered into a queue, which outlives the caller", async () => {
    const client = open();
    const [requests, replies] = [fresh(), client.queue(fresh())];
    await replies.declare();
    const service = client.serve(requests, (request) => {
      if (request.text() === "bad") throw new Error("no");
      return request.text().toUpperCase();
    });
    await service.ready;
    await client.queue(requests).publish("hi", { replyTo: replies.name, correlationId: "mine" });
    await client.queue(requests).publish("bad", { replyTo: replies.name, correlationId: "other" });
    const received = [
      ...(await replies.receive({ waitMs: 10_000 })),
      ...(await replies.receive({ waitMs: 10_000 })),
    ];
    expect(
      received.map((message) => [message.text(), message.correlationId, message.headers["millrace-error"]]),
    ).toEqual([
      ["HI", "mine", undefined],
      ["", "other", "no"],
    ]);
    await service.drain();
  });
});

describe("presence", () => {
  it("tells who subscribes, and who comes and goes", async () => {
    const exchange = await declare({ presence: true });
    const states: string[] = [];
    const names = (members: readonly PresenceMember[]): string =>
      members
        .map(({ member, count: times }) => `${member}×${times}`)
        .sort()
        .join(" ");
    const watch = exchange.watchPresence("orders.#", ({ members }) => states.push(names(members)));
    await eventually(() => states).toEqual([""]);
    const ada = await listen(exchange, { member: "ada" }, "orders.eu");
    const bob = await listen(exchange, { member: "bob" }, "#");
    const twice = await listen(exchange, { member: "ada" }, "orders.eu");
    await listen(exchange, { member: "eve" }, "stock");
    await eventually(() => states.at(-1)).toBe("ada×2 bob×1");
    await bob.subscription.unsubscribe();
    await twice.subscription.unsubscribe();
    await eventually(() => states.at(-1)).toBe("ada×1");
    await ada.subscription.unsubscribe();
    await eventually(() => states.at(-1)).toBe("");
    expect(await exchange.presence("stock")).toMatchObject({ members: 1, subscriptions: 1 });
    await watch.stop();
  });
});

describe("after an outage", () => {
  it("whoever waits is back soon, though the waits have grown, and takes the idle along", async () => {
    // A wait of an hour, were it not for those who wait.
    const hour = { baseMs: 3_600_000, maxMs: 3_600_000 };
    const states = new Map<string, string>();
    const client = openCuttable({
      reconnect: hour,
      onConnectionChange: ({ queue, role, state }) => void states.set(`${role} ${queue ?? ""}`.trim(), state),
    });
    const exchange = await declare();
    const [idle, busy] = [client.queue(fresh()), client.queue(fresh())];
    await Promise.all([idle.declare(), busy.declare()]);
    const heard: string[] = [];
    await client.exchange(exchange.name).subscribe("#", (event) => void heard.push(event.text())).ready;
    await Promise.all([idle.publish("a"), busy.publish("a")]);
    proxy.cut({ down: true });
    await eventually(() => [...states.values()].some((state) => state === "open")).toBe(false);
    proxy.up();
    await busy.publish("b");
    await eventually(() => [...states.values()]).toEqual(["open", "open", "open"]);
    await exchange.publish("a.b", "after");
    await eventually(() => heard).toEqual(["after"]);
  });
});
