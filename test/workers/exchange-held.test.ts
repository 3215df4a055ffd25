// What an exchange holds until it is due, and dead letters that come to it from queues.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { ExchangeObject } from "../../src/objects/exchange-object.ts";
import { ok } from "../../src/protocol/result.ts";
import {
  bind,
  bodiesIn,
  declareExchange,
  publish,
  runExchangeAlarm,
  taken,
  type ExchangeStub,
} from "../support/exchange-client.ts";
import { fakeQueues, restorePeers } from "../support/fake-peers.ts";
import { batchOf, codec, declare, must, runAlarm, type QueueStub } from "../support/queue-client.ts";
import { TestSession } from "../support/session-client.ts";

afterEach(async () => {
  vi.useRealTimers();
  restorePeers();
  await reset();
});

/** Far off, so that no alarm rings by itself. */
const HOUR = 3_600_000;

function travel(ms: number): void {
  if (!vi.isFakeTimers()) vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(Date.now() + ms);
}

async function reject(stub: QueueStub): Promise<void> {
  const { lease } = must(await stub.receive({ consumer: "t", max: 1 }));
  must(await stub.settle([{ lease, verdict: "reject" }]));
}

async function withDeadLetters(): Promise<{ dead: ExchangeStub; work: QueueStub }> {
  const dead = await declareExchange("dead", { internal: true });
  const work = await declare("work", { deadLetter: { exchange: "dead" }, maxFailures: 0 });
  return { dead, work };
}

describe("delayed messages", () => {
  it("go when they are due, in that order, by the bindings of that moment, and become events then", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declareExchange("e", { history: { eventsMax: 10, ageMs: null } });
    const before = await declare("before");
    const after = await declare("after");
    const { id } = await bind(stub, "before", "#");
    const late = (delay: number, text: string) => ({
      routingKey: "t",
      delayMs: delay * HOUR,
      body: new TextEncoder().encode(text),
    });
    expect(await publish(stub, late(3, "third"), late(1, "first"), late(2, "second"))).toMatchObject({
      matched: [0, 0, 0],
      delayed: [[0, 3]],
      returned: [],
    });
    await publish(stub, late(3, "last"), "t=now");
    expect(must(await stub.inspect())).toMatchObject({ delayed: 4, offset: 1 });
    await bind(stub, "after", "t");
    must(await stub.unbind(id));
    await evictDurableObject(stub);
    travel(2 * HOUR);
    await runExchangeAlarm(stub);
    expect(await bodiesIn(after)).toEqual(["first", "second"]);
    expect(must(await stub.inspect())).toMatchObject({ delayed: 2, offset: 3, moving: 0 });
    travel(HOUR);
    // What was done is not done again, however often the alarm rings, and at what time.
    await Promise.all([runExchangeAlarm(stub), runExchangeAlarm(stub), runExchangeAlarm(stub)]);
    await runExchangeAlarm(stub);
    expect(await bodiesIn(after)).toEqual(["third", "last"]);
    expect(await bodiesIn(before)).toEqual(["now"]);
    expect(must(await stub.inspect())).toMatchObject({ delayed: 0, offset: 5, moving: 0 });
  });

  it("pass through other exchanges when they are due", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declareExchange("e");
    const next = await declareExchange("next");
    const queue = await declare("q");
    await bind(stub, ">next");
    await bind(next, "q");
    const session = await TestSession.open();
    await session.subscribe("next", "#");
    await publish(stub, { routingKey: "t", delayMs: HOUR });
    travel(HOUR);
    await runExchangeAlarm(stub);
    expect(await session.events(1)).toEqual(["1:t="]);
    expect(await taken(queue)).toMatchObject([{ routingKey: "t" }]);
  });

  it("go in one call to each queue, however many publishes they came from; none waits for a queue that is slow", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declareExchange("e");
    for (const queue of ["slow", "q"]) {
      await declare(queue);
      await bind(stub, queue);
    }
    await Promise.all(
      Array.from({ length: 200 }, (_, i) => publish(stub, { routingKey: "t", delayMs: HOUR + i })),
    );
    const calls: string[] = [];
    const others = Promise.withResolvers<void>();
    await runInDurableObject(stub, (object: ExchangeObject) => {
      fakeQueues(object, (queue) => ({
        acceptMoves: async ({ moves }) => {
          const counts = moves.map(({ batch }) => must(codec.scan(batch, "broker")).count);
          calls.push(`${queue}: ${counts.join()}`);
          // The slow one answers only when the other has all.
          if (queue === "slow") await others.promise;
          else others.resolve();
          return ok({ accepted: 200, done: moves.length });
        },
      }));
    });
    travel(2 * HOUR);
    await runExchangeAlarm(stub);
    expect(calls.sort()).toEqual(["q: 200", "slow: 200"]);
    expect(must(await stub.inspect())).toMatchObject({ delayed: 0, moving: 0 });
  });

  it("set the alarm to when the first is due", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declareExchange("e");
    const startMs = Date.now();
    await publish(stub, { delayMs: 2 * HOUR }, { delayMs: HOUR });
    const alarmMs = await runInDurableObject(stub, (_object: ExchangeObject, state) =>
      state.storage.getAlarm(),
    );
    expect(alarmMs).toBe(startMs + HOUR);
  });
});

describe("dead letters", () => {
  it("come to the queue that is bound, with their id and the account of their death", async () => {
    const { dead, work } = await withDeadLetters();
    const morgue = await declare("morgue");
    await bind(dead, "morgue", "orders.*");
    must(await work.publish({ batch: batchOf({ routingKey: "orders.eu" }) }));
    const { id } = must(await work.peek({ state: "ready", limit: 1 })).messages[0]!;
    await reject(work);
    await runAlarm(work);
    await runExchangeAlarm(dead);
    const [message] = await taken(morgue);
    expect(message).toMatchObject({ id, routingKey: "orders.eu" });
    expect(message!.death).toMatchObject({ queue: "work", reason: "failed" });
    expect(must(await work.inspect())).toMatchObject({ counts: { deadLettering: 0 } });
  });

  it("that lead nowhere are held by the exchange, and go once something is bound, only once", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { dead, work } = await withDeadLetters();
    const session = await TestSession.open();
    await session.subscribe("dead", "#");
    must(await work.publish({ batch: batchOf("one") }));
    await reject(work);
    await runAlarm(work);
    expect(must(await work.inspect()).counts.deadLettering).toBe(0);
    expect(must(await dead.inspect())).toMatchObject({ delayed: 1, moving: 0 });
    expect(await dead.remove({ ifUnused: false })).toMatchObject({ code: "exchange_in_use" });
    // They are events when they come, and not again when they go.
    expect(await session.events(1)).toEqual(["1:=one"]);
    const morgue = await declare("morgue");
    await bind(dead, "morgue");
    await evictDurableObject(dead);
    travel(60_000);
    await Promise.all([runExchangeAlarm(dead), runExchangeAlarm(dead)]);
    await runExchangeAlarm(dead);
    expect(await bodiesIn(morgue)).toEqual(["one"]);
    expect(must(await dead.inspect())).toMatchObject({ delayed: 0, moving: 0 });
    expect(await session.restTypes()).toEqual([]);
  });

  it("that are sent twice are taken once", async () => {
    const { dead } = await withDeadLetters();
    const morgue = await declare("morgue");
    await bind(dead, "morgue");
    const move = { from: "work#7", moves: [{ number: 1, batch: batchOf("a", "b") }] };
    expect(must(await dead.acceptMoves(move))).toEqual({ accepted: 2, done: 1 });
    expect(must(await dead.acceptMoves(move))).toMatchObject({ done: 1 });
    await evictDurableObject(dead);
    expect(must(await dead.acceptMoves(move))).toMatchObject({ done: 1 });
    await Promise.all([runExchangeAlarm(dead), runExchangeAlarm(dead)]);
    expect(await bodiesIn(morgue)).toEqual(["a", "b"]);
  });

  it("keep an exchange from being deleted while they are on their way", async () => {
    const { dead } = await withDeadLetters();
    await declare("morgue");
    await bind(dead, "morgue");
    must(await dead.acceptMoves({ from: "work#7", moves: [{ number: 1, batch: batchOf("a") }] }));
    const answer = await dead.remove({ ifUnused: false });
    // Its alarm is due at once, so it may have been faster.
    if (!answer.ok) expect(answer.code).toBe("exchange_in_use");
    await expect.poll(async () => (await dead.remove({ ifUnused: false })).ok || answer.ok).toBe(true);
  });
});
