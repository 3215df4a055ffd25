// Consuming and calling through sessions, over the real queues.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { QueueObject } from "../../src/objects/queue-object.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import { bodiesIn, declareExchange, taken } from "../support/exchange-client.ts";
import { batchOf, declare, must, type QueueStub } from "../support/queue-client.ts";
import { hubStub, runHubAlarm, TestSession } from "../support/session-client.ts";

afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  await reset();
});

const noWait = { retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } } as const;

async function consumer(queue: string, wish: object = {}, hub = 0): Promise<TestSession> {
  const session = await TestSession.open({ hub });
  await session.ask({ type: "consume", queue, ...wish }, "consuming");
  return session;
}

describe("a session that consumes", () => {
  it("gets its credit, settles, gets more, and gives back what it held when it cancels", async () => {
    const stub = await declare("q");
    must(await stub.publish({ batch: batchOf("a", "b", "c", "d") }));
    const session = await consumer("q", { credit: 2 });
    const { lease, messages } = (await session.next("deliver")).head;
    expect(messages!.map(({ body }) => body)).toEqual(["a", "b"]);
    const settlements = [{ lease, verdict: "ack" }] as const;
    session.send({ type: "settle", ref: 1, queue: "q", settlements });
    const frames = [await session.any(), await session.any()];
    expect(frames.map(({ head }) => head.type).sort()).toEqual(["deliver", "settled"]);
    session.send({ type: "credit", queue: "q", credit: 1 });
    await expect.poll(async () => must(await stub.inspect()).consumers).toMatchObject([{ credit: 1 }]);
    expect(must(await stub.inspect()).counts).toMatchObject({ ready: 0, leased: 2 });
    await session.ask({ type: "cancel", queue: "q" }, "cancelled");
    expect(must(await stub.inspect())).toMatchObject({ counts: { ready: 2, leased: 0 }, consumers: [] });
    expect(await session.ask({ type: "cancel", queue: "q" }, "error")).toMatchObject({
      code: "not_consuming",
    });
  });

  it("keeps consuming through evictions of queue and hub", async () => {
    const stub = await declare("q");
    const session = await consumer("q");
    for (const [i, evicted] of [stub, hubStub(), stub].entries()) {
      await evictDurableObject(evicted);
      must(await stub.publish({ batch: batchOf(`${i}`) }));
      const { lease, messages } = (await session.next("deliver")).head;
      expect(messages!.map(({ body }) => body)).toEqual([`${i}`]);
      const settlements = [{ lease, verdict: "ack" }] as const;
      expect(await session.ask({ type: "settle", queue: "q", settlements }, "settled")).toMatchObject({
        results: [{ settled: 1 }],
      });
    }
  });

  it("that is lost gives its messages to another, and they count as failed", async () => {
    const stub = await declare("q", noWait);
    const lost = await consumer("q");
    must(await stub.publish({ batch: batchOf("a") }));
    await lost.next("deliver");
    const heir = await consumer("q", {}, 1);
    lost.close(4_000);
    expect((await heir.next("deliver")).head.messages).toMatchObject([{ body: "a", failures: 1 }]);
  });

  it("is one consumer however often it asks at once, as it asked last; or none, when it thinks better of it", async () => {
    const stub = await declare("q");
    const session = await TestSession.open();
    for (const credit of [1, 2, 3]) session.send({ type: "consume", ref: credit, queue: "q", credit });
    session.send({ type: "credit", queue: "q", credit: 4 });
    for (const ref of [1, 2, 3]) expect((await session.next("consuming")).head).toMatchObject({ ref });
    await expect.poll(async () => must(await stub.inspect()).consumers).toMatchObject([{ credit: 4 }]);
    session.send({ type: "consume", queue: "q" });
    session.send({ type: "cancel", queue: "q" });
    await session.next("consuming");
    await session.next("cancelled");
    expect(must(await stub.inspect()).consumers).toEqual([]);
    expect(await session.restTypes()).toEqual([]);
  });

  it("is renewed with all others of its hub at a queue: one call, a row at most, and what was lost is told", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declare("q");
    const sessions = [await consumer("q"), await consumer("q"), await consumer("q")];
    const rows = (): Promise<number> =>
      runInDurableObject(stub, (object: QueueObject) => object.rows().written);
    const calls = await runInDurableObject(stub, (object: QueueObject) => {
      const methods = Object.getPrototypeOf(object) as QueueObject;
      return { renew: vi.spyOn(methods, "renewRemotes"), attach: vi.spyOn(methods, "attachRemote") };
    });
    const before = await rows();
    for (let minute = 1; minute <= 10; minute++) {
      vi.setSystemTime(Date.now() + 60_000);
      await runHubAlarm(hubStub());
    }
    expect([calls.renew.mock.calls.length, calls.attach.mock.calls.length]).toEqual([10, 0]);
    expect((await rows()) - before).toBe(3);
    expect(must(await stub.inspect()).consumers).toHaveLength(3);
    await runInDurableObject(stub, (object: QueueObject) => {
      const ids = object
        .open()!
        .allRemotes()
        .map(({ id }) => id);
      return object.detachRemote([ids[1]!], "lost");
    });
    await runHubAlarm(hubStub());
    expect((await sessions[1]!.next("cancelled")).head).toMatchObject({ reason: "heartbeat_lost" });
    for (const session of [sessions[0]!, sessions[2]!]) expect(await session.restTypes()).toEqual([]);
  });

  it("that is gone before it is attached leaves no consumer behind", async () => {
    const stub = await declare("q");
    const session = await TestSession.open();
    session.send({ type: "consume", queue: "q", exclusive: true });
    session.close();
    await expect.poll(async () => must(await hubStub().inspect()).sessions).toBe(0);
    await expect.poll(async () => must(await stub.inspect()).consumers).toEqual([]);
  });

  it("competes with others, on this hub and another, and alone when it is exclusive", async () => {
    const stub = await declare("q");
    const sessions = [await consumer("q", { credit: 1 }), await consumer("q", { credit: 1 }, 1)];
    must(await stub.publish({ batch: batchOf("a", "b") }));
    const got = await Promise.all(sessions.map(async (one) => (await one.next("deliver")).head.messages!));
    const bodies = got.flat().map(({ body = "" }) => body);
    expect(bodies.toSorted((a, b) => a.localeCompare(b))).toEqual(["a", "b"]);
    await declare("alone");
    await consumer("alone", { exclusive: true });
    const refused = await TestSession.open();
    expect(await refused.ask({ type: "consume", queue: "alone" }, "error")).toMatchObject({
      code: "consumer_exclusive",
    });
  });

  it("needs a grant, and a queue", async () => {
    await declare("q");
    const grants = [{ verb: "publish", pattern: "q" }] as const;
    const session = await TestSession.open({ claims: { grants } });
    expect(await session.ask({ type: "consume", ref: 1, queue: "q" }, "error")).toMatchObject({
      code: "forbidden",
    });
    const other = await TestSession.open();
    expect(await other.ask({ type: "consume", queue: "none" }, "error")).toMatchObject({
      code: "queue_not_found",
    });
    expect(await other.ask({ type: "credit", queue: "q", credit: 1 }, "error")).toMatchObject({
      code: "not_consuming",
    });
  });

  it("gives back what it holds when its grant ends, though its token goes on, and keeps the rest", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stubs = [await declare("q", noWait), await declare("kept")] as const;
    const grants = [
      { verb: "consume", pattern: "q", expiresMs: Date.now() + 5_000 },
      { verb: "consume", pattern: "kept" },
    ] as const;
    const session = await TestSession.open({ claims: { grants } });
    for (const queue of ["q", "kept"]) await session.ask({ type: "consume", queue }, "consuming");
    must(await stubs[0].publish({ batch: batchOf("a") }));
    const { lease } = (await session.next("deliver")).head;
    const alarmMs = await runInDurableObject(hubStub(), (_object, state) => state.storage.getAlarm());
    expect(alarmMs).toBe(Date.now() + 5_000);
    vi.setSystemTime(Date.now() + 5_000);
    const settlements = [{ lease, verdict: "ack" }] as const;
    expect(await session.ask({ type: "settle", queue: "q", settlements }, "error")).toMatchObject({
      code: "forbidden",
    });
    await runHubAlarm(hubStub());
    expect((await session.next("cancelled")).head).toMatchObject({ queue: "q", reason: "token_expired" });
    await expect.poll(async () => must(await stubs[0].inspect()).consumers).toEqual([]);
    expect(must(await stubs[0].inspect()).counts).toMatchObject({ ready: 1, leased: 0 });
    const [back] = must(await stubs[0].peek({ state: "ready", limit: 1 })).messages;
    expect(back).toMatchObject({ failures: 0 });
    must(await stubs[1].publish({ batch: batchOf("b") }));
    expect((await session.next("deliver")).head).toMatchObject({ queue: "kept" });
  });

  it("is told when its queue is deleted", async () => {
    const stub = await declare("q");
    const session = await consumer("q");
    must(await stub.remove({ ifEmpty: false, ifUnused: false }));
    expect((await session.next("cancelled")).head).toMatchObject({ queue: "q", reason: "queue_deleted" });
  });
});

interface Request {
  readonly body: string;
  readonly replyTo: string;
  readonly correlationId: string;
}

/** So many requests, in however few frames. */
async function requests(responder: TestSession, count: number): Promise<Request[]> {
  const all: Request[] = [];
  while (all.length < count) {
    const { messages = [] } = (await responder.next("deliver")).head;
    for (const { body = "", replyTo = "", correlationId = "" } of messages) {
      all.push({ body, replyTo, correlationId });
    }
  }
  return all;
}

async function request(responder: TestSession): Promise<Request> {
  return (await requests(responder, 1))[0]!;
}

function call(session: TestSession, ref: number, timeoutMs = 30_000): void {
  session.send({ type: "call", ref, queue: "q", timeoutMs, messages: [{ body: `question ${ref}` }] });
}

const answerTo = ({ replyTo: to, correlationId }: Request, body: string) =>
  ({ type: "reply", to, correlationId, messages: [{ body }] }) as const;

async function calling(): Promise<{ stub: QueueStub; responder: TestSession; caller: TestSession }> {
  const stub = await declare("q");
  const responder = await consumer("q", {}, 1);
  return { stub, responder, caller: await TestSession.open() };
}

describe("the rate of a grant", () => {
  it("holds for all that a session publishes by it, calls too, and for nothing else", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    await declare("q");
    await declare("free");
    await declareExchange("e");
    const grants = [
      { verb: "publish", pattern: "q", ratePerSecond: 2 },
      { verb: "publish", pattern: "free" },
      { verb: "publish", pattern: "a.*", exchange: "e", ratePerSecond: 1 },
    ] as const;
    const [session, same, other] = [
      await TestSession.open({ claims: { grants } }),
      await TestSession.open({ claims: { grants } }),
      await TestSession.open({ claims: { grants, subject: "another" } }),
    ];
    const messages = [{ body: "x" }];
    const toQueue = { type: "publish", queue: "q", messages } as const;
    const topics = (...keys: string[]) =>
      ({ type: "publish", exchange: "e", messages: keys.map((routingKey) => ({ routingKey })) }) as const;
    const limited = (ratePerSecond: number, retryAfterMs: number) => ({
      code: "rate_limited",
      facts: { ratePerSecond, retryAfterMs },
    });
    await session.ask({ ...toQueue, messages: [...messages, ...messages] }, "confirm");
    expect(await session.ask(toQueue, "error")).toMatchObject(limited(2, 500));
    call(session, 1);
    expect((await session.next("error")).head).toMatchObject(limited(2, 500));
    expect(await same.ask(toQueue, "error")).toMatchObject(limited(2, 500));
    // Another queue, another grant, another token: each has its own.
    await session.ask({ ...toQueue, queue: "free" }, "confirm");
    await session.ask(topics("a.b"), "routed");
    expect(await session.ask(topics("a.c"), "error")).toMatchObject(limited(1, 1_000));
    await other.ask(toQueue, "confirm");
    vi.setSystemTime(Date.now() + 500);
    await session.ask(toQueue, "confirm");
    expect(await session.ask(topics("a.c"), "error")).toMatchObject(limited(1, 500));
    vi.setSystemTime(Date.now() + 500);
    // A batch larger than a second's worth is taken, and paid off.
    await session.ask(topics("a.c", "a.d", "a.e"), "routed");
    expect(await session.ask(topics("a.c"), "error")).toMatchObject(limited(1, 3_000));
  });
});

describe("a call", () => {
  it("is answered over two hubs, also after an eviction of each", async () => {
    const { stub, responder, caller } = await calling();
    call(caller, 7);
    const asked = await request(responder);
    expect(asked.body).toBe("question 7");
    for (const one of [stub, hubStub(0), hubStub(1)]) await evictDurableObject(one);
    await responder.ask(answerTo(asked, "answer"), "replied");
    expect((await caller.next("reply")).head).toMatchObject({ ref: 7, messages: [{ body: "answer" }] });
  });

  it("of which the responder failed says so", async () => {
    const { responder, caller } = await calling();
    call(caller, 1);
    const { replyTo: to, correlationId } = await request(responder);
    await responder.ask({ type: "reply", to, correlationId, error: "no idea" }, "replied");
    expect((await caller.next("reply")).head).toMatchObject({ ref: 1, error: "no idea" });
  });

  it("has no responders where there is no queue, or nobody who consumes it", async () => {
    const caller = await TestSession.open();
    call(caller, 1);
    expect((await caller.next("error")).head).toMatchObject({ ref: 1, code: "no_responders" });
    const stub = await declare("q");
    call(caller, 2);
    expect((await caller.next("error")).head).toMatchObject({ ref: 2, code: "no_responders" });
    expect(await bodiesIn(stub)).toEqual([]);
  });

  it("takes no field that it decides itself, and sends nothing then", async () => {
    const { stub, responder, caller } = await calling();
    const fields = { replyTo: "q", correlationId: "c", ttlMs: 1, delayMs: 0, dedupId: "d" };
    for (const [field, value] of Object.entries(fields)) {
      const messages = [{ body: "x", [field]: value }];
      expect(
        await caller.ask({ type: "call", ref: 1, queue: "q", timeoutMs: 5_000, messages }, "error"),
      ).toMatchObject({
        ref: 1,
        code: "bad_request",
        detail: `${field}: is not for a call, which decides it`,
      });
    }
    expect(must(await stub.inspect()).counts).toMatchObject({ ready: 0, leased: 0 });
    expect(await responder.restTypes()).toEqual([]);
  });

  it("whose time is over gets no answer: a late one is refused and counted", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { responder, caller } = await calling();
    call(caller, 1, 5_000);
    const asked = await request(responder);
    vi.setSystemTime(Date.now() + 5_001);
    expect(await responder.ask(answerTo(asked, "late"), "error")).toMatchObject({ code: "requester_gone" });
    expect(must(await hubStub().inspect())).toMatchObject({ lateReplies: 1, orphanedReplies: 0 });
    expect(await caller.restTypes()).toEqual([]);
  });

  it("can't be answered by who was given another call, nor by who makes one up", async () => {
    const { responder, caller } = await calling();
    await declare("other");
    call(caller, 1);
    call(caller, 2);
    const [asked, own] = (await requests(responder, 2)) as [Request, Request];
    const proof = own.correlationId.split(".")[2]!;
    const forged = [
      { ...own, correlationId: own.correlationId.replace(/^j2/, "j1") },
      { ...own, correlationId: own.correlationId.replace(/q$/, "other") },
      { ...asked, correlationId: asked.correlationId.replace(/[^.]{24}/, proof) },
      { ...asked, replyTo: `${asked.replyTo.slice(0, -11)}00000000000` },
      { ...asked, correlationId: `j1.${(Date.now() + 60_000).toString(36)}` },
    ];
    for (const one of forged) {
      expect(await responder.ask(answerTo(one, "forged"), "error")).toMatchObject({ code: "requester_gone" });
    }
    expect(await responder.ask(answerTo({ ...asked, replyTo: "~0" }, "x"), "error")).toMatchObject({
      code: "bad_request",
    });
    expect(must(await hubStub().inspect())).toMatchObject({ orphanedReplies: 0, lateReplies: 0 });
    await responder.ask(answerTo(asked, "true"), "replied");
    expect((await caller.next("reply")).head).toMatchObject({ ref: 1, messages: [{ body: "true" }] });
    expect(await caller.restTypes()).toEqual([]);
  });

  it("can't be answered by who may not consume its queue, however it came by the request", async () => {
    const { responder, caller } = await calling();
    call(caller, 1);
    const asked = await request(responder);
    const grants = [
      { verb: "consume", pattern: "other" },
      { verb: "publish", pattern: "#" },
    ] as const;
    const stranger = await TestSession.open({ hub: 1, claims: { grants } });
    expect(await stranger.ask(answerTo(asked, "x"), "error")).toMatchObject({ code: "forbidden" });
    expect(await caller.restTypes()).toEqual([]);
  });

  it("gives nobody its session: what travels with a request opens none, and the key only for its owner", async () => {
    const { responder, caller } = await calling();
    call(caller, 1);
    const { replyTo, correlationId } = await request(responder);
    const { inbox, resume } = caller;
    const [hub, session] = resume.split(".");
    const tag = replyTo.split(".")[2]!;
    const guesses = [
      replyTo,
      `${hub}.${session}.${tag}`,
      `${hub}.${session}.${tag.padEnd(32, "0")}`,
      `${hub}.${session}.${correlationId.split(".")[2]!.padEnd(32, "0")}`,
      `${resume.slice(0, -1)}${resume.endsWith("0") ? "1" : "0"}`,
    ];
    const attack = async (): Promise<void> => {
      for (const guess of guesses) {
        for (const subject of ["tester", "mallory"]) {
          const other = await TestSession.open({ resume: guess, claims: { subject } });
          expect(other.inbox).not.toBe(inbox);
          expect(await other.restTypes()).toEqual([]);
          other.close();
        }
      }
      const thief = await TestSession.open({ resume, claims: { subject: "mallory" } });
      expect(thief.inbox).not.toBe(inbox);
      thief.close();
    };
    await attack();
    expect(await caller.restTypes()).toEqual([]);
    caller.close(4_000);
    await expect.poll(async () => must(await hubStub().inspect()).sessions).toBe(0);
    await responder.ask(answerTo({ body: "", replyTo, correlationId }, "mine"), "replied");
    await attack();
    const back = await TestSession.open({ resume });
    expect(back.inbox).toBe(inbox);
    expect((await back.next("reply")).head).toMatchObject({ messages: [{ body: "mine" }] });
  });

  it("of a session that broke waits for it, and goes to who comes back with its key, even twice", async () => {
    const { responder, caller } = await calling();
    call(caller, 1);
    call(caller, 2);
    call(caller, 3);
    const asked = await requests(responder, 3);
    caller.close(4_000);
    await expect.poll(async () => must(await hubStub().inspect()).sessions).toBe(0);
    await responder.ask(answerTo(asked[0]!, "one"), "replied");
    await evictDurableObject(hubStub());
    const { inbox, resume } = caller;
    const back = await TestSession.open({ resume });
    expect(back.inbox).toBe(inbox);
    expect((await back.next("reply")).head).toMatchObject({ ref: 1, messages: [{ body: "one" }] });
    await responder.ask(answerTo(asked[1]!, "two"), "replied");
    expect((await back.next("reply")).head).toMatchObject({ ref: 2 });
    back.close(4_000);
    await expect.poll(async () => must(await hubStub().inspect()).sessions).toBe(0);
    await responder.ask(answerTo(asked[2]!, "three"), "replied");
    const again = await TestSession.open({ resume });
    expect((await again.next("reply")).head).toMatchObject({ ref: 3, messages: [{ body: "three" }] });
    expect(await again.restTypes()).toEqual([]);
  });

  it("of a session that is gone for good is an orphan", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { responder, caller } = await calling();
    call(caller, 1);
    const asked = await request(responder);
    await TestSession.open();
    caller.close();
    await expect.poll(async () => must(await hubStub().inspect()).sessions).toBe(1);
    vi.setSystemTime(Date.now() + LIMITS.replyGraceMs + 1);
    await runHubAlarm(hubStub());
    expect(await responder.ask(answerTo(asked, "x"), "error")).toMatchObject({ code: "requester_gone" });
    expect(must(await hubStub().inspect())).toMatchObject({ orphanedReplies: 1 });
  });

  it("goes to one of several responders", async () => {
    const stub = await declare("q");
    const responders = [await consumer("q", { credit: 2 }), await consumer("q", { credit: 2 }, 1)];
    const caller = await TestSession.open();
    for (let ref = 1; ref <= 4; ref++) call(caller, ref);
    await expect.poll(async () => must(await stub.inspect()).counts.leased).toBe(4);
    for (const responder of responders) {
      const frames = await responder.rest();
      const got = frames.flatMap(({ head }) => (head.type === "deliver" ? head.messages! : []));
      expect(got).toHaveLength(2);
    }
  });

  it("can't be made to answer into a queue that its sender may not publish to", async () => {
    const stub = await declare("q");
    await declareExchange("e");
    const grants = [
      { verb: "publish", pattern: "q" },
      { verb: "publish", pattern: "mine.*" },
      { verb: "publish", pattern: "#", exchange: "e" },
    ] as const;
    const session = await TestSession.open({ claims: { grants } });
    const asking = (replyTo: string) => [{ body: "x" }, { body: "y", replyTo }];
    for (const to of [{ queue: "q" }, { exchange: "e" }]) {
      const publish = { type: "publish", ...to, messages: asking("payments") } as const;
      expect(await session.ask(publish, "error")).toMatchObject({ code: "forbidden" });
    }
    expect(await bodiesIn(stub)).toEqual([]);
    await session.ask({ type: "publish", queue: "q", messages: asking("mine.answers") }, "confirm");
    await session.ask({ type: "publish", exchange: "e", messages: asking("mine.answers") }, "routed");
  });

  it("may be answered into a queue, which keeps the answer, and what failed says so in a header", async () => {
    const stub = await declare("answers");
    const session = await TestSession.open();
    const asked = { body: "", replyTo: "answers", correlationId: "c1" };
    await session.ask(answerTo(asked, "kept"), "replied");
    await session.ask({ ...answerTo(asked, "failed"), error: "why" }, "replied");
    expect(await taken(stub)).toMatchObject([
      { body: "kept", correlationId: "c1" },
      { body: "failed", headers: { "millrace-error": "why" } },
    ]);
  });
});
