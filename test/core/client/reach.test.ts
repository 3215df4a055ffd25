// How long the way back takes after an outage, and what one socket of a client learns from another.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AWAITED_MS_MAX } from "../../../src/client/socket.ts";
import { connect, type Client, type ConnectionChange } from "../../../src/client/index.ts";
import { FakeBroker } from "./fake-broker.ts";
import { ManualClock } from "./manual-clock.ts";

let clock: ManualClock;
let broker: FakeBroker;
let changes: ConnectionChange[];
let client: Client;

beforeEach(() => {
  clock = new ManualClock();
  broker = new FakeBroker(clock);
  changes = [];
  client = start();
});
afterEach(() => {
  client.close();
  vi.unstubAllGlobals();
});

function start(fetch = (): Promise<Response> => Promise.reject(new Error("away"))): Client {
  return connect({
    url: "http://broker.test",
    clock,
    WebSocket: broker.WebSocket,
    fetch,
    onConnectionChange: (change) => changes.push(change),
  });
}

const nothing = (): void => undefined;
const openOnes = (): number => {
  const states = new Map(changes.map(({ queue, role, state }) => [`${queue} ${role}`, state]));
  return [...states.values()].filter((state) => state === "open").length;
};
const longestWaitMs = (): number => Math.max(...changes.map(({ retryInMs }) => retryInMs ?? 0));

async function outage(ms: number): Promise<void> {
  broker.handshake = "refuse";
  for (const socket of broker.sockets) if (socket.isOpen) socket.lose();
  await clock.advance(ms);
}
async function warmUp(...queues: string[]): Promise<void> {
  for (const queue of queues) {
    const published = client.queue(queue).publish("warm");
    await clock.advance(10);
    await published;
  }
  await clock.advance(60_000);
}

describe("after an outage, with the longest waits that chance may draw,", () => {
  beforeEach(() => {
    clock.chance = 0.999;
  });

  it("a message that waits is published within seconds", async () => {
    await warmUp("orders");
    void client.queue("orders").publish("late", {}).catch(nothing);
    await outage(10_000);
    broker.handshake = "accept";
    await clock.advance(AWAITED_MS_MAX);
    expect(broker.texts()).toEqual(["warm", "late"]);
  });

  it("a consumer and a subscription are back within seconds", async () => {
    client.queue("orders").consume(nothing);
    await clock.advance(60_000);
    await outage(28_000);
    expect(longestWaitMs()).toBeLessThan(AWAITED_MS_MAX);
    broker.handshake = "accept";
    await clock.advance(AWAITED_MS_MAX);
    expect(broker.last.of("consume")).toHaveLength(1);
  });

  it("a socket that nobody waits for takes its time, until somebody does", async () => {
    await warmUp("orders");
    await outage(60_000);
    expect(longestWaitMs()).toBeGreaterThan(20_000);
    broker.handshake = "accept";
    const published = client.queue("orders").publish("late");
    await clock.advance(AWAITED_MS_MAX);
    await published;
  });

  it("publishing during it makes no more attempts than waiting does", async () => {
    await warmUp("orders");
    await outage(60_000);
    const before = broker.sockets.length;
    for (let i = 0; i < 100; i++) {
      client.queue("orders").publish("late").catch(nothing);
      await clock.advance(100);
    }
    const attempts = broker.sockets.length - before;
    expect(attempts).toBeGreaterThanOrEqual(1);
    expect(attempts).toBeLessThanOrEqual(3);
  });
});

describe("a socket that reaches the broker", () => {
  it("calls its siblings, which try at once", async () => {
    await warmUp("orders", "mail", "bills");
    clock.chance = 0.999;
    await outage(60_000);
    clock.chance = 0;
    broker.handshake = "accept";
    const published = client.queue("mail").publish("late");
    await clock.advance(10);
    await published;
    expect(openOnes()).toBe(3);
  });

  it("is not called back for ever by one that the broker turns away", async () => {
    client.queue("orders").consume(nothing);
    client.queue("mail").consume(nothing);
    // Each connection is accepted, and closed at the first frame.
    broker.take = (socket) => socket.lose();
    await clock.advance(20_000);
    // Alone each of the two makes a dozen attempts in that time.
    expect(broker.sockets.length).toBeLessThan(60);
  });

  it("ends a sibling's handshake that hangs since the outage", async () => {
    await warmUp("orders");
    broker.handshake = "hang";
    for (const socket of broker.sockets) if (socket.isOpen) socket.lose();
    await clock.advance(5_000);
    broker.handshake = "accept";
    client.queue("mail").consume(nothing);
    await clock.advance(10);
    expect(openOnes()).toBe(2);
  });

  it("may be an HTTP request as well", async () => {
    let isAway = true;
    const answer = (): Promise<Response> =>
      isAway ? Promise.reject(new Error("away")) : Promise.resolve(new Response("{}"));
    client = start(answer);
    await warmUp("orders");
    clock.chance = 0.999;
    await outage(60_000);
    isAway = false;
    broker.handshake = "accept";
    await client.queue("orders").inspect();
    await clock.advance(10);
    expect(openOnes()).toBe(1);
  });
});

describe("a socket that is lost without a goodbye", () => {
  it("has its siblings ask whether they still reach the broker", async () => {
    await warmUp("orders", "mail");
    broker.answersPings = false;
    broker.sockets[0]!.lose();
    await clock.advance(6_000);
    expect(changes.filter(({ queue, state }) => queue === "mail" && state === "waiting")).toHaveLength(1);
  });

  it("costs those nothing that do", async () => {
    await warmUp("orders", "mail");
    broker.sockets[0]!.lose();
    await clock.advance(60_000);
    expect(changes.filter(({ queue, state }) => queue === "mail" && state === "waiting")).toEqual([]);
  });
});

it("the browser's word that the network is back has each socket try at once", async () => {
  const browser = new EventTarget();
  vi.stubGlobal("navigator", { onLine: true });
  vi.stubGlobal("addEventListener", browser.addEventListener.bind(browser));
  vi.stubGlobal("removeEventListener", browser.removeEventListener.bind(browser));
  await warmUp("orders", "mail");
  clock.chance = 0.999;
  await outage(60_000);
  broker.handshake = "accept";
  browser.dispatchEvent(new Event("online"));
  await clock.advance(10);
  expect(openOnes()).toBe(2);
});

it("a client that was closed listens to the browser no longer", async () => {
  const listening = new Set<unknown>();
  vi.stubGlobal("navigator", { onLine: true });
  vi.stubGlobal("addEventListener", (_type: string, listener: unknown) => listening.add(listener));
  vi.stubGlobal("removeEventListener", (_type: string, listener: unknown) => listening.delete(listener));
  await warmUp("orders", "mail");
  expect(listening.size).toBe(1);
  client.close();
  expect(listening.size).toBe(0);
});
