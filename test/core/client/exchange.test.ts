import { beforeEach, describe, expect, it } from "vitest";
import {
  connect,
  isMillraceError,
  RouteError,
  type Client,
  type ConnectOptions,
  type Exchange,
  type PresenceMember,
} from "../../../src/client/index.ts";
import { FakeHub } from "./fake-hub.ts";
import { ManualClock, settle } from "./manual-clock.ts";

let clock: ManualClock;
let hub: FakeHub;
let client: Client;
let exchange: Exchange;

beforeEach(() => {
  clock = new ManualClock();
  hub = new FakeHub();
  start();
});

function start(options: Partial<ConnectOptions> = {}): void {
  client = connect({
    url: "http://broker.test",
    clock,
    WebSocket: hub.WebSocket,
    fetch: () => Promise.reject(new Error("no HTTP in this test")),
    ...options,
  });
  exchange = client.exchange("orders");
}
function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => (isMillraceError(error) ? [error.code, error.facts] : error));
}
const publishes = () => hub.sockets.flatMap((socket) => socket.of("publish"));

describe("publishing", () => {
  it("sends what one turn published as one batch, and tells each where it went", async () => {
    hub.confirm = () => ({ matched: [2, 0, 1], delayed: [[1, 1]] });
    const all = await Promise.all([
      exchange.publish("a.b", "one"),
      exchange.publish("c", { two: 2 }, { delayMs: 5_000 }),
      exchange.publish("d", "three"),
    ]);
    expect(all).toEqual([
      { matched: 2, delayed: false, position: "e1:3" },
      { matched: 0, delayed: true, position: "e1:3" },
      { matched: 1, delayed: false, position: "e1:3" },
    ]);
    expect(publishes()).toEqual([{ type: "publish", ref: 1, exchange: "orders" }]);
    expect(hub.log.map(({ topic, body }) => [topic, body])).toEqual([
      ["a.b", "one"],
      ["c", '{"two":2}'],
      ["d", "three"],
    ]);
  });

  it("rejects what no queue takes when it is mandatory, and only that", async () => {
    hub.confirm = (count) => ({ matched: Array.from({ length: count }, () => 0), returned: [[1, 1]] });
    const plain = exchange.publish("a", "1");
    const first = exchange.publish("b", "2", { mandatory: true });
    const second = outcome(exchange.publish("c", "3", { mandatory: true }));
    expect(await plain).toMatchObject({ matched: 0 });
    expect(await first).toMatchObject({ matched: 0 });
    expect(await second).toEqual(["unroutable", {}]);
    expect(publishes().map(({ mandatory }) => mandatory)).toEqual([undefined, true]);
  });

  it("tells which queue did not take a message", async () => {
    const destination = { queue: "full" };
    hub.confirm = () => ({
      matched: [1, 2],
      failed: [{ destination, code: "queue_full", detail: "at its limit", messages: [[0, 1]] }],
    });
    const [failed, fine] = await Promise.allSettled([exchange.publish("a", "1"), exchange.publish("b", "2")]);
    expect(fine.status).toBe("fulfilled");
    const { reason } = failed as PromiseRejectedResult;
    expect(reason).toBeInstanceOf(RouteError);
    expect(reason).toMatchObject({
      code: "queue_full",
      matched: 1,
      failures: [{ destination, code: "queue_full", detail: "at its limit" }],
    });
  });

  it("waits after a refusal that may pass, and sends the same again", async () => {
    hub.refusals.push({ type: "publish", code: "exchange_busy", facts: { retryAfterMs: 500 } });
    const published = exchange.publish("a", "1");
    await clock.advance(499);
    expect(publishes()).toHaveLength(1);
    await clock.advance(1);
    expect((await published).matched).toBe(1);
  });

  it("takes a batch apart that one message spoils", async () => {
    hub.refusals.push(
      { type: "publish", code: "body_too_large" },
      { type: "publish", code: "body_too_large" },
    );
    const large = outcome(exchange.publish("a", "1"));
    const small = exchange.publish("b", "2");
    expect(await large).toEqual(["body_too_large", {}]);
    expect(await small).toMatchObject({ matched: 1 });
    const bad = outcome(exchange.publish("a", "1", { priority: 99 }));
    const good = exchange.publish("b", "2");
    expect(await bad).toEqual(["bad_batch", {}]);
    expect(await good).toMatchObject({ matched: 1 });
  });

  it("rejects when the exchange is not there", async () => {
    hub.refusals.push({ type: "publish", code: "exchange_not_found" });
    expect(await outcome(exchange.publish("a", "1"))).toEqual(["exchange_not_found", {}]);
  });

  it("after a lost connection sends again only what has a dedup id", async () => {
    hub.silent.add("publish");
    const plain = outcome(exchange.publish("a", "1"));
    const known = exchange.publish("b", "2", { dedupId: "d" });
    await settle();
    hub.last.lose();
    hub.silent.clear();
    expect(await plain).toEqual(["disconnected", { outcome: "unknown" }]);
    await clock.advance(1_000);
    expect(await known).toMatchObject({ matched: 1 });
    expect(hub.log.map(({ topic }) => topic)).toEqual(["b"]);
  });

  it("sends what was not sent yet over the next connection, or says that it was not", async () => {
    hub.handshake = "refuse";
    const late = exchange.publish("a", "1");
    await clock.advance(100);
    hub.handshake = "accept";
    await clock.advance(1_000);
    expect(await late).toMatchObject({ matched: 1 });
    hub.handshake = "refuse";
    hub.last.lose();
    const never = outcome(exchange.publish("b", "2"));
    await clock.advance(30_000);
    expect(await never).toEqual(["timeout", { outcome: "not_published" }]);
  });

  it("does not wait for ever for a confirm", async () => {
    hub.silent.add("publish");
    const published = outcome(exchange.publish("a", "1"));
    await clock.advance(30_000);
    expect(await published).toEqual(["timeout", { outcome: "unknown" }]);
  });

  it("keeps a limited number of batches in flight, and holds as much as it may", async () => {
    start({
      publisher: { batchMessagesMax: 1, batchesInFlightMax: 2, bufferMessagesMax: 3, whenFull: "throw" },
    });
    hub.silent.add("publish");
    const all = ["a", "b", "c", "d"].map((topic) => outcome(exchange.publish(topic, topic)));
    await settle();
    expect(publishes()).toHaveLength(2);
    expect(await all[3]).toEqual(["buffer_full", {}]);
    client.close();
    expect(await all[0]).toEqual(["closed", {}]);
    expect(await all[2]).toEqual(["closed", {}]);
    expect(clock.timerCount).toBe(0);
  });

  it("is confirmed before a drain ends", async () => {
    const published = exchange.publish("a", "1");
    await client.drain();
    expect(await published).toMatchObject({ matched: 1 });
  });
});

describe("presence", () => {
  let list: PresenceMember[];
  const member = (name: string, count = 1): PresenceMember => ({ member: name, pattern: "#", count });

  beforeEach(() => {
    list = [member("ada")];
    hub.silent.add("presence");
    const take = hub.take.bind(hub);
    hub.take = (socket, frame, payload) => {
      take(socket, frame, payload);
      if (frame.type !== "presence") return;
      const { exchange: name, pattern, ref = 0 } = frame;
      const answer = { exchange: name, pattern, subscriptions: list.length, members: list.length, list };
      socket.tell({ type: "presence", ref, ...answer });
    };
  });
  function change(): void {
    const changes = [member("whoever")];
    hub.last.tell({ type: "presence_changed", exchange: "orders", pattern: "#", hub: "h2", changes });
  }
  const asks = () => hub.sockets.flatMap((socket) => socket.of("presence"));

  it("is told once", async () => {
    expect(await exchange.presence()).toEqual({ exchange: "orders", subscriptions: 1, members: 1, list });
    expect(asks()).toEqual([{ type: "presence", ref: 1, exchange: "orders", pattern: "#" }]);
  });

  it("is kept up to date: who came, who went, how often", async () => {
    const told: unknown[] = [];
    const watch = exchange.watchPresence("#", ({ members, changes }) =>
      told.push([members.map((one) => one.member), changes]),
    );
    await settle();
    list = [member("ada", 2), member("bob")];
    change();
    await clock.advance(1_000);
    list = [member("bob")];
    change();
    await clock.advance(1_000);
    expect(told).toEqual([
      [["ada"], [member("ada")]],
      [
        ["ada", "bob"],
        [member("ada", 2), member("bob")],
      ],
      [["bob"], [member("ada", 0)]],
    ]);
    expect(watch.members).toEqual([member("bob")]);
    await watch.stop();
    await settle();
    expect(hub.last.of("unwatch")).toHaveLength(1);
  });

  it("asks for many changes at once not more than once a second", async () => {
    let told = 0;
    exchange.watchPresence("#", () => told++);
    await settle();
    for (let i = 0; i < 10; i++) change();
    await clock.advance(999);
    expect(asks()).toHaveLength(1);
    await clock.advance(1);
    expect(asks()).toHaveLength(2);
    await clock.advance(5_000);
    expect(asks()).toHaveLength(2);
    // What is as it was is not told again.
    expect(told).toBe(1);
  });

  it("as an iterator skips states that nobody asked for", async () => {
    const watch = exchange.watchPresence();
    expect((await watch.next()).value).toEqual({ members: list, changes: [member("ada")] });
    list = [member("ada"), member("bob")];
    change();
    await clock.advance(1_000);
    list = [member("bob"), member("eve")];
    change();
    await clock.advance(1_000);
    expect((await watch.next()).value).toMatchObject({
      changes: [member("bob"), member("eve"), member("ada", 0)],
    });
    const last = watch.next();
    await watch.return();
    expect((await last).done).toBe(true);
  });

  it.each([
    ["exchange_deleted", "exchange_not_found"],
    ["grant_ended", "forbidden"],
  ] as const)("that the broker ends as %s ends as %s", async (reason, code) => {
    const watch = exchange.watchPresence("#");
    const other = exchange.watchPresence("other");
    await settle();
    expect((await watch.next()).done).toBe(false);
    const next = watch.next();
    hub.last.tell({ type: "unwatched", ref: null, exchange: "orders", pattern: "#", reason });
    await expect(next).rejects.toMatchObject({ code });
    await expect(watch.closed).rejects.toMatchObject({ code });
    const before = asks().length;
    change();
    await clock.advance(5_000);
    expect(asks()).toHaveLength(before);
    expect((await other.next()).done).toBe(false);
  });

  it("is asked anew over another connection, and ends when it may not be", async () => {
    const told: number[] = [];
    const watch = exchange.watchPresence("#", ({ changes }) => told.push(changes.length));
    await settle();
    hub.last.lose();
    list = [];
    await clock.advance(1_000);
    expect(asks()).toHaveLength(2);
    expect(told).toEqual([1, 1]);
    hub.refusals.push({ type: "presence", code: "forbidden" });
    hub.silent.clear();
    hub.last.lose();
    const closed = expect(watch.closed).rejects.toMatchObject({ code: "forbidden" });
    await clock.advance(1_000);
    await closed;
  });
});

it("looks after the exchange and its bindings over HTTP", async () => {
  const asked: string[] = [];
  start({
    fetch: (url, init) => {
      const body = typeof init.body === "string" ? ` ${init.body}` : "";
      asked.push(`${init.method} ${url.replace("http://broker.test/v1", "")}${body}`);
      return Promise.resolve(new Response("{}"));
    },
  });
  await exchange.declare({ kind: "topic" });
  await exchange.update({ internal: true });
  await exchange.inspect();
  await exchange.bind("billing", "orders.#");
  await exchange.bind({ exchange: "other" }, "", { headers: { match: "any", headers: { vip: true } } });
  await exchange.bindings({ after: 3, limit: 5 });
  await exchange.unbind(7);
  await exchange.explain("orders.eu", { headers: { vip: true } });
  await exchange.delete({ ifUnused: true });
  await client.exchanges({ prefix: "o" });
  expect(asked).toEqual([
    'PUT /exchanges/orders {"kind":"topic"}',
    'PATCH /exchanges/orders {"internal":true}',
    "GET /exchanges/orders",
    'POST /exchanges/orders/bindings {"destination":{"queue":"billing"},"key":"orders.#","headers":null}',
    'POST /exchanges/orders/bindings {"destination":{"exchange":"other"},"key":"","headers":{"match":"any","headers":{"vip":true}}}',
    "GET /exchanges/orders/bindings?after=3&limit=5",
    "DELETE /exchanges/orders/bindings/7",
    'POST /exchanges/orders/explain {"routingKey":"orders.eu","headers":{"vip":true}}',
    "DELETE /exchanges/orders?ifUnused=true",
    "GET /exchanges?prefix=o",
  ]);
  expect(hub.sockets).toHaveLength(0);
});
