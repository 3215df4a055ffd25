// Sessions as such: their tokens, those that do not keep up, who is present, and their limits.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { HubObject } from "../../src/objects/hub-object.ts";
import type { HubSubscriptions } from "../../src/objects/hub-subscriptions.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import { declareExchange, publish } from "../support/exchange-client.ts";
import { batchOf, declare, must } from "../support/queue-client.ts";
import { hubStub, runHubAlarm, TestSession } from "../support/session-client.ts";

afterEach(async () => {
  vi.useRealTimers();
  await reset();
});

describe("the alarm of a session", () => {
  it("is looked at when the session holds something else, and not with every frame", async () => {
    await declareExchange("e");
    await declare("q");
    const session = await TestSession.open();
    let looks = 0;
    await runInDurableObject(hubStub(), (object: HubObject) => {
      const { subscriptions } = object as unknown as { subscriptions: HubSubscriptions };
      const real = subscriptions.nextEndMs.bind(subscriptions);
      subscriptions.nextEndMs = (live) => {
        looks++;
        return real(live);
      };
    });
    await session.subscribe("e", "#");
    await session.ask({ type: "consume", queue: "q" }, "consuming");
    await session.ask({ type: "presence", exchange: "e", pattern: "#", watch: true }, "error");
    await session.ask({ type: "ping" }, "pong");
    expect(looks).toBe(3);
    const messages = [{ routingKey: "a", body: "1" }];
    for (let frames = 1; frames <= 5; frames++) {
      session.send({ type: "publish", exchange: "e", messages });
      const types = [(await session.any()).head.type, (await session.any()).head.type];
      expect(types.toSorted((a, b) => a.localeCompare(b))).toEqual(["events", "routed"]);
      session.send({ type: "seen", frames });
      await session.ask({ type: "ping" }, "pong");
    }
    expect(looks).toBe(3);
  });
});

describe("a token", () => {
  it("that has run out ends its session at the alarm, which is set for that", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    await declareExchange("e");
    const expiresMs = Date.now() + 30_000;
    const session = await TestSession.open({ claims: { expiresMs } });
    const other = await TestSession.open();
    await evictDurableObject(hubStub());
    await other.ask({ type: "ping", ref: 1 }, "pong");
    await runInDurableObject(hubStub(), async (_object: HubObject, state) => {
      expect(await state.storage.getAlarm()).toBeLessThanOrEqual(expiresMs);
    });
    vi.setSystemTime(expiresMs);
    await runHubAlarm(hubStub());
    expect((await session.next("error")).head).toMatchObject({ code: "unauthenticated" });
    expect(await session.closed).toMatchObject({ reason: "unauthenticated" });
    await other.ask({ type: "ping", ref: 2 }, "pong");
    expect(must(await hubStub().inspect()).sessions).toBe(1);
  });

  it("that has run out ends its session when a frame arrives", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const session = await TestSession.open({ claims: { expiresMs: Date.now() + 30_000 } });
    vi.setSystemTime(Date.now() + 30_000);
    session.send({ type: "publish", ref: 1, queue: "q", messages: [{ body: "a" }] });
    expect((await session.next("error")).head).toMatchObject({ code: "unauthenticated" });
    await session.closed;
    expect(must(await hubStub().inspect()).sessions).toBe(0);
  });

  it("may lose a grant before it runs out: the subscription shrinks, then ends", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declareExchange("e");
    const startMs = Date.now();
    const grants = [
      { verb: "subscribe", pattern: "a", expiresMs: startMs + 20_000 },
      { verb: "subscribe", pattern: "b", expiresMs: startMs + 40_000 },
    ] as const;
    const session = await TestSession.open({ claims: { grants } });
    await session.subscribe("e", "*");
    await publish(stub, "a=1", "b=2");
    expect(await session.events(2)).toEqual(["1:a=1", "2:b=2"]);
    vi.setSystemTime(startMs + 20_000);
    await runHubAlarm(hubStub());
    await publish(stub, "a=3", "b=4");
    expect(await session.events(1)).toEqual(["4:b=4"]);
    vi.setSystemTime(startMs + 40_000);
    await runHubAlarm(hubStub());
    expect((await session.next("unsubscribed")).head).toMatchObject({ reason: "grant_ended" });
  });

  it("that is revoked ends its sessions on every hub, and opens no other", async () => {
    const claims = { jti: "t1" };
    const sessions = [await TestSession.open({ claims }), await TestSession.open({ claims, hub: 1 })];
    const other = await TestSession.open({ claims: { jti: "t2" } });
    await expect.poll(async () => registered()).toBe(2);
    const untilMs = Date.now() + 60_000;
    must(await env.NAMESPACES.getByName("test").revokeToken("t1", untilMs));
    for (const session of sessions) {
      expect((await session.next("error")).head).toMatchObject({ code: "unauthenticated" });
      await session.closed;
    }
    expect((await TestSession.request({ claims })).status).toBe(401);
    await other.ask({ type: "ping" }, "pong");
  });

  it("that was revoked before the hub could be told of it lasts no longer than until it asks", async () => {
    const untilMs = Date.now() + 60_000;
    must(await env.NAMESPACES.getByName("test").revokeToken("t1", untilMs));
    const session = await TestSession.open({ claims: { jti: "t1" } });
    expect((await session.next("error")).head).toMatchObject({ code: "unauthenticated" });
    await session.closed;
  });

  it("that was revoked without its hub being told gets nothing more after the lag", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declareExchange("e");
    const queue = await declare("q");
    must(await queue.publish({ batch: batchOf("warm") }));
    must(await queue.purge({}));
    const revoked = await TestSession.open({ claims: { jti: "t1" } });
    const other = await TestSession.open({ claims: { jti: "t2" } });
    for (const session of [revoked, other]) await session.subscribe("e", "#");
    await revoked.ask({ type: "consume", queue: "q" }, "consuming");
    await expect.poll(async () => registered()).toBe(1);
    await runInDurableObject(env.NAMESPACES.getByName("test"), (_object, state) => {
      state.storage.sql.exec("DELETE FROM hub");
    });
    must(await env.NAMESPACES.getByName("test").revokeToken("t1", Date.now() + 3_600_000));
    await publish(stub, "a=1");
    expect(await revoked.events(1)).toEqual(["1:a=1"]);
    vi.setSystemTime(Date.now() + LIMITS.revocationLagMs);
    await publish(stub, "a=2");
    expect(await other.events(2)).toEqual(["1:a=1", "2:a=2"]);
    must(await queue.publish({ batch: batchOf("secret") }));
    expect((await revoked.next("error")).head).toMatchObject({ code: "unauthenticated" });
    expect(await revoked.closed).toMatchObject({ reason: "unauthenticated" });
    expect(must(await queue.inspect())).toMatchObject({ counts: { ready: 1, leased: 0 } });
  });

  it("that has run out gets no event though the alarm is late", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declareExchange("e");
    const session = await TestSession.open({ claims: { expiresMs: Date.now() + 30_000 } });
    await session.subscribe("e", "#");
    vi.setSystemTime(Date.now() + 30_000);
    await publish(stub, "a=1");
    expect((await session.next("error")).head).toMatchObject({ code: "unauthenticated" });
    await session.closed;
  });

  const registered = (): Promise<number> =>
    runInDurableObject(env.NAMESPACES.getByName("test"), (_object, state) =>
      Number(state.storage.sql.exec("SELECT count(*) AS n FROM hub").one()["n"]),
    );
});

/** Of these, four fill what a session may have unseen. */
const BIG = "x".repeat(LIMITS.unseenBytesMax / 4 - 1_000);

describe("a session that says nothing of what it has seen", () => {
  it("is sent so much and no more; what it lost is told when it has caught up", async () => {
    const stub = await declareExchange("e");
    const session = await TestSession.open();
    await session.subscribe("e", "#");
    for (let i = 1; i <= 9; i++) await publish(stub, `a=${BIG}`);
    expect(await session.restTypes()).toEqual(["events", "events", "events", "events", "slow"]);
    expect(must(await hubStub().inspect())).toMatchObject({ eventsSent: 4, eventsDropped: 5 });
    session.send({ type: "seen", frames: 4 });
    expect((await session.next("gap")).head).toMatchObject({ reason: "slow", events: 5, offset: 9 });
    await publish(stub, "a=more");
    expect(await session.events(1)).toEqual(["10:a=more"]);
  });

  it("is told so each time it becomes slow, and how many frames it has been sent", async () => {
    const stub = await declareExchange("e");
    const session = await TestSession.open();
    await session.subscribe("e", "a");
    await session.subscribe("e", "#");
    for (let round = 1; round <= 2; round++) {
      for (let i = 1; i <= 3; i++) await publish(stub, `a=${BIG}`);
      for (let i = 1; i <= 4; i++) await session.next("events");
      expect((await session.next("slow")).head).toEqual({ type: "slow", frames: 4 * round });
      expect(await session.restTypes()).toEqual([]);
      session.send({ type: "seen", frames: 4 * round });
      expect([(await session.next("gap")).head, (await session.next("gap")).head]).toHaveLength(2);
    }
  });

  it("gets the last of each topic later, where it asked for that", async () => {
    const stub = await declareExchange("e");
    const session = await TestSession.open();
    await session.subscribe("e", "#", { onSlow: "conflate" });
    for (let i = 1; i <= 5; i++) await publish(stub, `big=${BIG}`);
    for (let i = 1; i <= 4; i++) await publish(stub, `a=${i}`, `b=${i}`);
    expect(await session.restTypes()).toEqual(["events", "events", "events", "events", "slow"]);
    session.send({ type: "seen", frames: 4 });
    const { head } = await session.next("gap");
    expect(head.offset).toBe(13);
    expect((await session.events(2)).slice(-2)).toEqual(["12:a=4", "13:b=4"]);
  });

  it("is closed where it asked for that, and holds up nobody else", async () => {
    const stub = await declareExchange("e");
    const slow = await TestSession.open();
    const other = await TestSession.open();
    await slow.subscribe("e", "#", { onSlow: "disconnect" });
    await slow.subscribe("e", "a", { onSlow: "disconnect" });
    await other.subscribe("e", "b");
    for (let i = 1; i <= 5; i++) await publish(stub, `a=${BIG}`);
    await publish(stub, "b=1");
    expect(await slow.closed).toMatchObject({ reason: "too_slow" });
    expect(await other.events(1)).toEqual(["6:b=1"]);
    expect(must(await hubStub().inspect())).toMatchObject({ sessions: 1, subscriptions: 1 });
  });
});

describe("who is present", () => {
  it("is told over all hubs, and changes to those who watch, gathered", async () => {
    await declareExchange("e", { presence: true });
    const watcher = await TestSession.open();
    const ask = { type: "presence", ref: 1, exchange: "e", pattern: "a.*", watch: true } as const;
    expect(await watcher.ask(ask, "presence")).toMatchObject({ subscriptions: 0, members: 0, list: [] });
    const ann = await TestSession.open({ hub: 1, claims: { subject: "ann" } });
    const bob = await TestSession.open({ hub: 1, claims: { subject: "bob" } });
    await ann.subscribe("e", "a.#");
    await bob.subscribe("e", "a.b", { member: "bob" });
    await bob.subscribe("e", "z");
    const come = new Map<string, number>();
    while (come.size < 2) {
      const { head } = await watcher.next("presence_changed");
      expect(head).toMatchObject({ exchange: "e", pattern: "a.*", hub: "1" });
      for (const { member, count } of head.changes) come.set(member, count);
    }
    expect([...come].toSorted(([a], [b]) => a.localeCompare(b))).toEqual([
      ["ann", 1],
      ["bob", 1],
    ]);
    const { ref: _ref, watch: _watch, ...again } = ask;
    expect(await watcher.ask(again, "presence")).toMatchObject({
      subscriptions: 2,
      members: 2,
      list: [{ member: "ann" }, { member: "bob" }],
    });
    ann.close();
    expect((await watcher.next("presence_changed")).head.changes).toEqual([
      { member: "ann", pattern: "a.#", count: 0 },
    ]);
    expect(
      await watcher.ask({ type: "unwatch", ref: 5, exchange: "e", pattern: "a.*" }, "unwatched"),
    ).toMatchObject({ ref: 5, reason: "asked" });
    await expect.poll(async () => must(await hubStub().inspect()).exchanges).toBe(0);
  });

  it("is not told where the exchange has it off, and a watch that is refused holds nothing", async () => {
    const stub = await declareExchange("e");
    const session = await TestSession.open();
    const ask = { type: "presence", ref: 2, exchange: "e", pattern: "#" } as const;
    for (const watch of [false, true]) {
      expect(await session.ask({ ...ask, watch }, "error")).toMatchObject({ ref: 2, code: "bad_request" });
    }
    await expect.poll(async () => must(await stub.inspect()).hubs).toBe(0);
    expect(must(await hubStub().inspect()).exchanges).toBe(0);
  });

  it("shows nobody under another's name, unless it is who manages the exchange", async () => {
    await declareExchange("e", { presence: true });
    const mallory = await TestSession.open({ claims: { subject: "mallory" } });
    for (const member of ["ann", "mallory2", "mallory ", ""]) {
      const subscribe = { type: "subscribe", exchange: "e", pattern: "#", member } as const;
      expect(await mallory.ask(subscribe, "error")).toMatchObject({
        code: expect.stringMatching(/forbidden|bad_/),
      });
    }
    await mallory.subscribe("e", "#", { member: "mallory/phone" });
    const grants = [
      { verb: "subscribe", pattern: "#" },
      { verb: "manage", pattern: "e" },
    ] as const;
    const bridge = await TestSession.open({ claims: { subject: "bridge", grants } });
    await bridge.subscribe("e", "#", { member: "ann" });
    const { list } = await bridge.ask({ type: "presence", exchange: "e", pattern: "#" }, "presence");
    expect(list).toMatchObject([{ member: "ann" }, { member: "mallory/phone" }]);
  });

  it("is told only of those whose pattern shares a topic with the token's grants", async () => {
    await declareExchange("e", { presence: true });
    const grants = [{ verb: "subscribe", pattern: "a.*", exchange: "e" }] as const;
    const watcher = await TestSession.open({ claims: { grants } });
    const ask = { type: "presence", exchange: "e", pattern: "#", watch: true } as const;
    await watcher.ask(ask, "presence");
    const others = await TestSession.open({ hub: 1, claims: { subject: "ann" } });
    await others.subscribe("e", "b", { member: "ann/hidden" });
    await others.subscribe("e", "*.b", { member: "ann" });
    const seen = { member: "ann", pattern: "*.b", count: 1 };
    expect((await watcher.next("presence_changed")).head.changes).toEqual([seen]);
    expect(await watcher.ask(ask, "presence")).toMatchObject({ subscriptions: 1, members: 1, list: [seen] });
    expect(await watcher.ask({ ...ask, pattern: "b" }, "error")).toMatchObject({ code: "forbidden" });
  });

  it("is told no more once the exchange is deleted, nor to whom no grant allows it any more", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declareExchange("e", { presence: true });
    const grants = [{ verb: "subscribe", pattern: "a.*", expiresMs: Date.now() + 1_000 }] as const;
    const watchers = [await TestSession.open(), await TestSession.open({ claims: { grants } })];
    const watch = { type: "presence", exchange: "e", pattern: "a.b", watch: true } as const;
    for (const watcher of watchers) await watcher.ask(watch, "presence");
    const ended = { type: "unwatched", ref: null, exchange: "e", pattern: "a.b" };
    vi.setSystemTime(Date.now() + 1_001);
    await runHubAlarm(hubStub());
    expect((await watchers[1]!.next("unwatched")).head).toEqual({ ...ended, reason: "grant_ended" });
    must(await stub.remove({ ifUnused: false }));
    expect((await watchers[0]!.next("unwatched")).head).toEqual({ ...ended, reason: "exchange_deleted" });
    expect(must(await hubStub().inspect()).exchanges).toBe(0);
    for (const watcher of watchers) expect(await watcher.restTypes()).toEqual([]);
  });
});

describe("a session's limits", () => {
  it("are subscriptions and watches, queues, and their names together", async () => {
    await declareExchange("e");
    const session = await TestSession.open();
    for (let i = 0; i < LIMITS.subscriptionsMax; i++) {
      session.send({ type: "subscribe", exchange: "e", pattern: `t${i}` });
    }
    const types = await session.restTypes();
    expect(types).toEqual(types.map(() => "subscribed"));
    for (let n = types.length; n < LIMITS.subscriptionsMax; n++) await session.next("subscribed");
    const more = { type: "subscribe", exchange: "e", pattern: "more" } as const;
    expect(await session.ask(more, "error")).toMatchObject({ code: "too_many_subscriptions" });
    const consuming = await TestSession.open();
    for (let i = 0; i <= LIMITS.consumedQueuesMax; i++) {
      await declare(`q${i}`);
      const answer = i < LIMITS.consumedQueuesMax ? "consuming" : "error";
      await consuming.ask({ type: "consume", queue: `q${i}` }, answer);
    }
  });

  it("keep what lies in its attachment below what the platform takes, whatever it subscribes to", async () => {
    await declareExchange("e");
    const grants = Array.from({ length: 20 }, (_, i) => ({
      verb: "subscribe" as const,
      pattern: `${"g".repeat(60)}${i}.#`,
    }));
    const session = await TestSession.open({
      claims: { grants: [...grants, { verb: "subscribe", pattern: "#" }] },
    });
    let refused = 0;
    for (let i = 0; i < LIMITS.subscriptionsMax; i++) {
      session.send({
        type: "subscribe",
        exchange: "e",
        pattern: `${"ä".repeat(14)}${i}`,
        onSlow: "conflate",
      });
      const { head } = await session.any();
      if (head.type === "subscribed") continue;
      expect(head).toMatchObject({ type: "error", code: "too_many_subscriptions" });
      refused++;
    }
    expect(refused).toBeLessThan(LIMITS.subscriptionsMax / 2);
    await evictDurableObject(hubStub());
    expect(must(await hubStub().inspect()).subscriptions).toBe(LIMITS.subscriptionsMax - refused);
  });

  it("leave it what it has when the hub is full", async () => {
    const session = await TestSession.open();
    await runInDurableObject(hubStub(), (object: HubObject) => {
      const { sessions } = object as unknown as { sessions: Map<number, unknown> };
      // As many as it takes, without their sockets.
      const [one] = sessions.values();
      for (let id = -1; sessions.size < LIMITS.sessionsMax; id--) sessions.set(id, one);
    });
    const refused = await TestSession.request();
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: "hub_full" });
    const back = await TestSession.open({ resume: session.resume });
    expect(back.inbox).toBe(session.inbox);
  });

  it("are those of the frames: what is none ends it, what is wrong in one does not", async () => {
    const session = await TestSession.open();
    session.send({ type: "subscribe", ref: 5, exchange: "a/b", pattern: "#" });
    expect((await session.next("error")).head).toMatchObject({ ref: 5 });
    session.raw('{"type":"subscirbe","ref":6}');
    expect((await session.next("error")).head).toMatchObject({
      ref: 6,
      code: "bad_request",
      detail: 'type: "subscirbe" is not a type of frame',
    });
    await session.ask({ type: "ping", ref: 7 }, "pong");
    session.raw("{");
    expect((await session.next("error")).head).toMatchObject({ code: "bad_frame" });
    await session.closed;
  });
});
