import { beforeEach, expect, it } from "vitest";
import { Backoff } from "../../../src/client/backoff.ts";
import {
  connect,
  type ConnectionChange,
  type ConnectOptions,
  type Queue,
} from "../../../src/client/index.ts";
import { FakeBroker } from "./fake-broker.ts";
import { ManualClock, settle } from "./manual-clock.ts";

let clock: ManualClock;
let broker: FakeBroker;
let changes: ConnectionChange[];

beforeEach(() => {
  clock = new ManualClock();
  broker = new FakeBroker(clock);
  changes = [];
});

function start(options: Partial<ConnectOptions> = {}): Queue {
  return connect({
    url: "https://broker.test/base",
    clock,
    WebSocket: broker.WebSocket,
    fetch: away,
    onConnectionChange: (change) => changes.push(change),
    ...options,
  }).queue("orders");
}
const away = (): Promise<Response> => Promise.reject(new Error("away"));
function problem(code: string, status: number): Response {
  return new Response(JSON.stringify({ code, detail: `it is ${code}`, waitMs: 5 }), { status });
}

it("draws each wait evenly below a bound that doubles up to a cap", () => {
  let chance = 0.5;
  const backoff = new Backoff({ baseMs: 100, maxMs: 350, attemptsMax: 4 }, () => chance);
  expect([backoff.next(), backoff.next(), backoff.next()]).toEqual([50, 100, 175]);
  chance = 0;
  expect([backoff.next(), backoff.next()]).toEqual([0, null]);
  backoff.reset();
  chance = 0.99;
  expect(backoff.next()).toBe(99);
});

it("connects again with backoff, for ever, and says so", async () => {
  const queue = start();
  broker.handshake = "refuse";
  queue.publish("a").catch(() => undefined);
  await clock.advance(125 + 250 + 500 + 10);
  expect(broker.sockets).toHaveLength(4);
  expect(changes.filter(({ state }) => state === "waiting").map(({ retryInMs }) => retryInMs)).toEqual([
    125, 250, 500, 1_000,
  ]);
  broker.handshake = "accept";
  await clock.advance(1_000);
  expect(changes.at(-1)).toEqual({ queue: "orders", role: "publisher", state: "open" });
  expect(broker.texts()).toEqual(["a"]);
});

it("gives up after the attempts it was given, and starts anew with the next publish", async () => {
  const queue = start({ reconnect: { attemptsMax: 2 } });
  broker.handshake = "refuse";
  const failed = expect(queue.publish("a")).rejects.toMatchObject({ code: "disconnected" });
  await clock.advance(1_000);
  await failed;
  expect(broker.sockets).toHaveLength(3);
});

it("does not end the backoff for a broker that accepts and closes at once", async () => {
  start().consume(() => undefined);
  for (let i = 0; i < 4; i++) {
    await clock.advance(5_000);
    broker.last.lose();
  }
  const waits = changes.filter(({ state }) => state === "waiting").map(({ retryInMs }) => retryInMs);
  expect(waits).toEqual([125, 250, 500, 1_000]);
  await clock.advance(60_000);
  broker.last.lose();
  expect(changes.at(-1)!.retryInMs).toBe(125);
});

it("asks for a token for each connection and offers it as a subprotocol", async () => {
  let count = 0;
  const queue = start({ token: () => Promise.resolve(`t${++count}`) });
  void queue.publish("a");
  await clock.advance(10);
  expect(broker.last.url).toBe("wss://broker.test/base/v1/queues/orders/socket");
  expect(broker.last.protocols).toEqual(["millrace.v1", "bearer.t1"]);
  broker.last.lose();
  await clock.advance(500);
  expect(broker.last.protocols).toEqual(["millrace.v1", "bearer.t2"]);
});

it("is lost after a silent heartbeat", async () => {
  start().consume(() => undefined);
  await clock.advance(60_000);
  expect(broker.sockets).toHaveLength(1);
  expect(broker.last.pings).toBe(2);
  broker.answersPings = false;
  await clock.advance(50_000);
  expect(broker.sockets).toHaveLength(2);
});

it("times out a handshake", async () => {
  const queue = start({ timeoutMs: 1_000 });
  queue.publish("a").catch(() => undefined);
  broker.handshake = "hang";
  await clock.advance(1_000);
  expect(changes.at(-1)).toMatchObject({ state: "waiting", error: { code: "timeout" } });
});

it.each([
  ["unauthenticated", 401, "/socket"],
  ["queue_not_found", 404, ""],
])("asks over HTTP why a handshake failed, and stops for %s", async (code, status, path) => {
  const queue = start({
    fetch: (url) =>
      Promise.resolve(
        url.endsWith(`orders${path}`) ? problem(code, status) : problem("upgrade_required", 426),
      ),
  });
  broker.handshake = "refuse";
  const failed = expect(queue.publish("a")).rejects.toMatchObject({ code, status, facts: { waitMs: 5 } });
  await clock.advance(1_000);
  await failed;
  expect(broker.sockets).toHaveLength(1);
  const consumer = queue.consume(() => undefined);
  await expect(consumer.closed).rejects.toMatchObject({ code });
});

it("goes on when HTTP finds nothing wrong, or may not ask", async () => {
  const queue = start({
    fetch: (url) =>
      Promise.resolve(url.endsWith("/socket") ? problem("upgrade_required", 426) : problem("forbidden", 403)),
  });
  broker.handshake = "refuse";
  void queue.publish("a");
  await clock.advance(100);
  broker.handshake = "accept";
  await clock.advance(1_000);
  expect(broker.texts()).toEqual(["a"]);
});

it("keeps the time of HTTP requests, repeats only what may be repeated, and reads problems", async () => {
  const asked: string[] = [];
  let answer = away;
  const queue = start({
    token: "secret",
    fetch: (url, init) => {
      asked.push(`${init.method} ${url} ${(init.headers as Record<string, string>)["authorization"]}`);
      return Promise.race([
        answer(),
        new Promise<never>((_, reject) =>
          init.signal!.addEventListener("abort", () => reject(new Error("aborted"))),
        ),
      ]);
    },
  });
  const inspect = expect(queue.inspect()).rejects.toMatchObject({ code: "disconnected" });
  await clock.advance(20_000);
  await inspect;
  expect(asked).toHaveLength(4);
  expect(asked[0]).toBe("GET https://broker.test/base/v1/queues/orders Bearer secret");
  const purge = expect(queue.purge()).rejects.toMatchObject({
    code: "disconnected",
    facts: { outcome: "unknown" },
  });
  await clock.advance(20_000);
  await purge;
  expect(asked).toHaveLength(5);
  answer = () => new Promise(() => undefined);
  const silent = expect(queue.inspect()).rejects.toMatchObject({ code: "timeout" });
  await clock.advance(30_000);
  await silent;
  answer = () => Promise.resolve(problem("queue_exists", 409));
  await expect(queue.declare({})).rejects.toMatchObject({ code: "queue_exists", status: 409, retry: false });
  answer = () => Promise.resolve(new Response("<html>", { status: 502 }));
  await expect(queue.purge()).rejects.toMatchObject({ code: "unavailable", status: 502 });
  await settle();
  expect(clock.timerCount).toBe(0);
});

it("refuses what is malformed before anything is sent", () => {
  expect(() => connect({ url: "ftp://x" })).toThrow(expect.objectContaining({ code: "bad_request" }));
  expect(() => connect({ url: "http://x" }).queue("a/b")).toThrow(
    expect.objectContaining({ code: "bad_name" }),
  );
  expect(broker.sockets).toHaveLength(0);
});
