// What nobody declared: whatever it is asked, its object leaves no row and no database behind.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, describe, expect, it } from "vitest";
import type { ExchangeObject } from "../../src/objects/exchange-object.ts";
import type { HubObject } from "../../src/objects/hub-object.ts";
import type { NamespaceObject } from "../../src/objects/namespace-object.ts";
import type { QueueObject } from "../../src/objects/queue-object.ts";
import { EXCHANGE_DEFAULTS } from "../../src/protocol/exchange-config.ts";
import type { ExchangeApi, HubApi } from "../../src/protocol/exchange-rpc.ts";
import { CLAIMS_HEADER, type NamespaceApi, type PartitionApi } from "../../src/protocol/rpc.ts";
import { bind, declareExchange, exchangeStub } from "../support/exchange-client.ts";
import { batchOf, declare, must, runAlarm } from "../support/queue-client.ts";
import { hubStub, runHubAlarm, TestSession } from "../support/session-client.ts";

afterEach(async () => {
  await reset();
});

const batch = batchOf("message");
const destination = { queue: "nothing" };
const everything = { ifEmpty: false, ifUnused: false };
const opening = new Request("https://object/socket", {
  headers: { Upgrade: "websocket", [CLAIMS_HEADER]: JSON.stringify({ subject: "s", consume: true }) },
});

/** Every call there is but those that make it. */
const OF_A_QUEUE: Record<Exclude<keyof PartitionApi, "declare" | "join">, (it: QueueObject) => unknown> = {
  update: (it) => it.update({ leaseMs: 5_000 }),
  inspect: (it) => it.inspect(),
  remove: (it) => it.remove(everything),
  publish: (it) => it.publish({ batch }),
  publishAll: (it) => it.publishAll([{ batch }, { batch }]),
  receive: (it) => it.receive({ consumer: "c", max: 1 }),
  settle: (it) => it.settle([{ lease: 1, verdict: "ack" }]),
  peek: (it) => it.peek({ state: "ready", limit: 1 }),
  find: (it) => it.find({ id: "1-1" }),
  cancel: (it) => it.cancel({ cancelKey: "k" }),
  replace: (it) => it.replace({ cancelKey: "k" }, batch),
  purge: (it) => it.purge({}),
  pause: (it) => it.pause(true),
  redrive: (it) => it.redrive({ from: "dead", limit: 1 } as never),
  redriveStatus: (it) => it.redriveStatus(1),
  redrives: (it) => it.redrives(1),
  redriveCancel: (it) => it.redriveCancel(1),
  resumeKey: (it) => it.resumeKey("k", "retry"),
  acceptMoves: (it) => it.acceptMoves({ from: "other", moves: [{ number: 1, batch }] }),
  attachRemote: (it) => it.attachRemote({ hub: "0", session: 1, subject: "", name: "c", credit: 1 }),
  renewRemotes: (it) => it.renewRemotes("0", []),
  changeRemote: (it) => it.changeRemote([1], { credit: 1 }),
  detachRemote: (it) => it.detachRemote([1], "lost"),
  layout: (it) => it.layout(),
  leave: (it) => it.leave(everything),
  endWait: (it) => it.endWait(0),
  fetch: (it) => it.fetch(opening),
};

const OF_AN_EXCHANGE: Record<Exclude<keyof ExchangeApi, "declare">, (it: ExchangeObject) => unknown> = {
  update: (it) => it.update({ retainMs: 1_000 } as never),
  inspect: (it) => it.inspect(),
  remove: (it) => it.remove({ ifUnused: false }),
  bind: (it) => it.bind({ destination, key: "#", headers: null }),
  unbind: (it) => it.unbind(1),
  bindings: (it) => it.bindings({ after: 0, limit: 1 }),
  explain: (it) => it.explain({ routingKey: "a", headers: {} }),
  publish: (it) => it.publish({ batch, mandatory: true }),
  publishAll: (it) => it.publishAll([{ batch, mandatory: true }]),
  step: (it) => it.step(batch, { isQuiet: false }),
  acceptMoves: (it) => it.acceptMoves({ from: "other", moves: [{ number: 1, batch }] }),
  unbindAll: (it) => it.unbindAll(destination),
  attach: (it) => it.attach("0"),
  detach: (it) => it.detach("0"),
  replay: (it) => it.replay({ after: null } as never),
  replayPage: (it) => it.replayPage("#", { epoch: "1", offset: 1, after: 0, until: 1 }, 1),
  presence: (it) => it.presence("#"),
  reportPresence: (it) => it.reportPresence({ hub: "0", changes: [] }),
};

const OF_A_HUB: Record<Exclude<keyof HubApi, "fetch">, (it: HubObject) => unknown> = {
  inspect: (it) => it.inspect(),
  push: (it) => it.push([]),
  interrupt: (it) => it.interrupt("e", "interrupted"),
  reply: (it) => it.reply({ to: "~7.1.0123456789a", correlationId: `j1.1.${"0".repeat(24)}.q`, batch }),
  deliver: (it) => it.deliver("q", []),
  presence: (it) => it.presence("e", "#"),
  presenceChanged: (it) => it.presenceChanged("e", { hub: "0", changes: [] }),
  revoke: (it) => it.revoke("t1"),
};

type Registering = "registerQueue" | "registerExchange" | "registerHub" | "revokeToken" | "setQuota";

const OF_A_NAMESPACE: Record<Exclude<keyof NamespaceApi, Registering>, (it: NamespaceObject) => unknown> = {
  unregisterQueue: (it) => it.unregisterQueue("q"),
  hasQueue: (it) => it.hasQueue("q"),
  listQueues: (it) => it.listQueues({ prefix: "", after: "", limit: 1 }),
  noteDeadLetter: (it) => it.noteDeadLetter("q", "d"),
  unregisterExchange: (it) => it.unregisterExchange("e"),
  hasExchange: (it) => it.hasExchange("e"),
  listExchanges: (it) => it.listExchanges({ prefix: "", after: "", limit: 1 }),
  noteBinding: (it) => it.noteBinding("e", destination),
  forgetBinding: (it) => it.forgetBinding("e", destination),
  boundTo: (it) => it.boundTo(destination),
  usage: (it) => it.usage(),
  allotBytes: (it) => it.allotBytes("q", 1_000),
  revokedTokens: (it) => it.revokedTokens(),
};

interface Asked {
  readonly kind: string;
  readonly method: string;
  readonly stub: () => DurableObjectStub;
  readonly ask: (object: unknown) => unknown;
}

function asked<T>(
  kind: string,
  stub: () => unknown,
  calls: Readonly<Record<string, (it: T) => unknown>>,
): Asked[] {
  return Object.entries(calls).map(([method, ask]) => ({
    kind,
    method,
    stub: () => stub() as DurableObjectStub,
    ask: (object) => ask(object as T),
  }));
}

const ALL = [
  ...asked("queue", () => env.QUEUES.getByName("test/nothing"), {
    ...OF_A_QUEUE,
    alarm: (it: QueueObject) => it.alarm(),
  }),
  ...asked("exchange", () => exchangeStub("nothing"), {
    ...OF_AN_EXCHANGE,
    alarm: (it: ExchangeObject) => it.alarm(),
  }),
  ...asked("hub", () => hubStub(7), { ...OF_A_HUB, alarm: (it: HubObject) => it.alarm() }),
  ...asked("namespace", () => env.NAMESPACES.getByName("nobody"), OF_A_NAMESPACE),
];

interface Left {
  readonly tables: number;
  readonly bytes: number;
  readonly alarm: number | null;
}

function left(stub: DurableObjectStub): Promise<Left> {
  return runInDurableObject(stub, async (_object, { storage }) => ({
    tables: storage.sql.exec<{ n: number }>("SELECT count(*) AS n FROM sqlite_master").one().n,
    bytes: storage.sql.databaseSize,
    alarm: await storage.getAlarm(),
  }));
}

/** The one page is the file's header: workerd has written it before an object's constructor runs. */
const NOTHING: Left = { tables: 0, bytes: 4_096, alarm: null };

describe("an object that was only asked has no database", () => {
  it.each(ALL)("a $kind: $method", async ({ stub, ask }) => {
    await runInDurableObject(stub(), async (object) => {
      await ask(object);
    });
    expect(await left(stub())).toEqual(NOTHING);
    await evictDurableObject(stub());
    expect(await left(stub())).toEqual(NOTHING);
    expect(await left(env.NAMESPACES.getByName("test"))).toEqual(NOTHING);
  });

  it.each([
    ["GET", "/queues/nothing"],
    ["PATCH", "/queues/nothing", { leaseMs: 5_000 }],
    ["DELETE", "/queues/nothing"],
    ["POST", "/queues/nothing/messages", { body: "x" }],
    ["POST", "/queues/nothing/receive", { max: 1 }],
    ["POST", "/queues/nothing/purge", {}],
    ["GET", "/queues/nothing/messages?state=ready"],
    ["GET", "/exchanges/nothing"],
    ["POST", "/exchanges/nothing/messages", { body: "x" }],
    ["POST", "/exchanges/nothing/bindings", { destination, key: "#" }],
    ["GET", "/exchanges/nothing/events?pattern=%23"],
    ["DELETE", "/exchanges/nothing"],
  ])("over HTTP: %s %s", async (method, path, body?: object) => {
    const headers = { "Content-Type": "application/json", "Millrace-Namespace": "nobody" };
    const init = { method, headers, ...(body && { body: JSON.stringify(body) }) };
    const answer = await exports.default.fetch(new Request(`http://localhost/v1${path}`, init));
    expect(answer.status, await answer.text()).toBe(404);
    expect(await left(env.QUEUES.getByName("nobody/nothing"))).toEqual(NOTHING);
    expect(await left(env.EXCHANGES.getByName("nobody/nothing"))).toEqual(NOTHING);
    expect(await left(env.NAMESPACES.getByName("nobody"))).toEqual(NOTHING);
  });
});

describe("what was declared", () => {
  it("leaves no database when it is deleted", async () => {
    const queue = await declare("orders");
    const exchange = await declareExchange("events");
    await bind(exchange, "orders");
    must(await queue.publish({ batch }));
    expect((await left(queue)).tables).toBeGreaterThan(0);
    expect((await left(exchange)).tables).toBeGreaterThan(0);
    must(await exchange.remove({ ifUnused: false }));
    must(await queue.remove(everything));
    expect(await left(queue)).toEqual(NOTHING);
    expect(await left(exchange)).toEqual(NOTHING);
    await runAlarm(queue);
    // And may be declared anew.
    must(await exchange.declare({ ...EXCHANGE_DEFAULTS }));
    must(await (await declare("orders")).publish({ batch }));
    expect(must(await queue.inspect()).counts.ready).toBe(1);
  });

  it("is forgotten by a hub that nobody uses any more", async () => {
    const session = await TestSession.open();
    await runHubAlarm(hubStub());
    expect((await left(hubStub())).alarm).not.toBeNull();
    session.close();
    await session.closed;
    await expect.poll(async () => must(await hubStub().inspect()).sessions).toBe(0);
    await runHubAlarm(hubStub());
    expect(await left(hubStub())).toEqual(NOTHING);
    await (await TestSession.open()).ask({ type: "ping" }, "pong");
  });

  it("costs no row to wake", async () => {
    const queue = await declare("orders");
    const exchange = await declareExchange("events");
    await evictDurableObject(queue);
    await evictDurableObject(exchange);
    must(await queue.inspect());
    must(await exchange.inspect());
    const rows = [
      await runInDurableObject(queue, (object: QueueObject) => object.rows()),
      await runInDurableObject(exchange, (object: ExchangeObject) => object.rows()),
    ];
    expect(rows.map(({ written }) => written)).toEqual([0, 0]);
  });
});
