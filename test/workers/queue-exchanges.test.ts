// A queue beside exchanges: dead letters that go to one, bindings that end with the queue, and what is published at once.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { QueueObject } from "../../src/objects/queue-object.ts";
import { deliveryToJson } from "../../src/protocol/message-json.ts";
import { QUEUE_DEFAULTS } from "../../src/protocol/queue-config.ts";
import { ok, refuse } from "../../src/protocol/result.ts";
import { fakeExchanges, restorePeers } from "../support/fake-peers.ts";
import { batchOf, codec, declare, must, runAlarm, TestSocket } from "../support/queue-client.ts";

afterEach(async () => {
  vi.useRealTimers();
  restorePeers();
  await reset();
});

const namespace = () => env.NAMESPACES.getByName("test");
const all = { ifEmpty: false, ifUnused: false };

describe("a dead-letter target that is an exchange", () => {
  it("must exist, by a name that no queue can stand in for", async () => {
    const deadLetter = { exchange: "dead" };
    const stub = env.QUEUES.getByName("test/work");
    must(await namespace().registerQueue("dead"));
    const refused = await stub.declare({ ...QUEUE_DEFAULTS, deadLetter });
    expect(refused).toMatchObject({ ok: false, code: "dead_letter_missing" });
    expect(refused).toHaveProperty("detail", 'deadLetter.exchange: "dead" does not exist');
    must(await namespace().registerExchange("dead"));
    must(await stub.declare({ ...QUEUE_DEFAULTS, deadLetter }));
    expect(await stub.update({ deadLetter: { exchange: "none" } })).toMatchObject({
      code: "dead_letter_missing",
    });
    // A queue's own name is no obstacle: the two are named apart.
    must(await namespace().registerExchange("work"));
    must(await stub.update({ deadLetter: { exchange: "work" } }));
  });

  it("gets what dies from the outbox; what it refuses stays, is seen, and comes again", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    must(await namespace().registerExchange("dead"));
    const stub = await declare("work", { deadLetter: { exchange: "dead" }, maxFailures: 0 });
    const taken: { exchange: string; from: string; number: number; bodies: string[] }[] = [];
    let isRoutable = false;
    await runInDurableObject(stub, (object) =>
      fakeExchanges(object, (exchange) => ({
        acceptMoves: async ({ from, moves: [move] }) => {
          if (!isRoutable) return refuse("unroutable", "no binding leads to a queue");
          const { number, batch } = move!;
          const { count } = must(codec.scan(batch, "broker"));
          taken.push({ exchange, from, number, bodies: [`${count}`] });
          return ok({ accepted: count, done: 1 });
        },
      })),
    );
    must(await stub.publish({ batch: batchOf("poison") }));
    const { lease } = must(await stub.receive({ consumer: "c", max: 1 }));
    must(await stub.settle([{ lease, verdict: "reject" }]));
    await runAlarm(stub);
    expect(must(await stub.inspect()).counts).toMatchObject({ deadLettering: 1, dead: 0 });
    isRoutable = true;
    // Not at once: it waits its back-off.
    await runAlarm(stub);
    expect(taken).toEqual([]);
    vi.setSystemTime(Date.now() + 1_000);
    await runAlarm(stub);
    expect(taken).toMatchObject([{ exchange: "dead", number: 1, bodies: ["1"] }]);
    expect(taken[0]!.from).toMatch(/^work#\d+$/);
    expect(must(await stub.inspect())).toMatchObject({
      counts: { deadLettering: 0 },
      totals: { deadLettered: 1 },
    });
  });
});

describe("several publishes in one call", () => {
  it("are each answered in their order, and stored in one turn", async () => {
    const stub = await declare("many", { bodyBytesMax: 10 });
    const answers = await stub.publishAll([
      { batch: batchOf("a", "b") },
      { batch: batchOf("longer than ten") },
      { batch: batchOf("c"), needsConsumer: true },
      { batch: batchOf("d"), producer: { id: "p", sequence: 1 } },
      { batch: batchOf("d"), producer: { id: "p", sequence: 1 } },
    ]);
    expect(answers).toMatchObject([
      { ok: true, value: { sequences: [[1, 2]] } },
      { ok: false, code: "body_too_large" },
      { ok: false, code: "no_responders" },
      { ok: true, value: { sequences: [[3, 1]], duplicates: [] } },
      { ok: true, value: { sequences: [[3, 1]], duplicates: [0] } },
    ]);
    expect(await stub.publishAll([])).toEqual([]);
    await runInDurableObject(stub, (_object: QueueObject, state) => {
      expect(state.storage.sql.exec("SELECT count(*) AS n FROM segment").one()).toEqual({ n: 1 });
    });
  });

  it("keep apart from those of other calls in the same turn", async () => {
    const stub = await declare("mixed");
    const [one, two, three] = await Promise.all([
      stub.publishAll([{ batch: batchOf("a") }, { batch: batchOf("b", "c") }]),
      stub.publish({ batch: batchOf("d") }),
      stub.publishAll([{ batch: batchOf("e") }]),
    ]);
    expect(one.map((answer) => must(answer).sequences)).toEqual([[[1, 1]], [[2, 2]]]);
    expect(must(two).sequences).toEqual([[4, 1]]);
    expect(three.map((answer) => must(answer).sequences)).toEqual([[[5, 1]]]);
  });

  it("are all refused where there is no queue", async () => {
    const none = env.QUEUES.getByName("test/none");
    const answers = await none.publishAll([{ batch: batchOf("a") }, { batch: batchOf("b") }]);
    expect(answers).toMatchObject([{ code: "queue_not_found" }, { code: "queue_not_found" }]);
  });

  it("find the consumer that has a socket", async () => {
    const stub = await declare("asked");
    const socket = await TestSocket.open(stub);
    expect(await stub.publish({ batch: batchOf("a"), needsConsumer: true })).toMatchObject({
      code: "no_responders",
    });
    socket.send({ type: "consume" });
    await socket.next("consuming");
    must(await stub.publish({ batch: batchOf("a"), needsConsumer: true }));
    await socket.next("deliver");
  });
});

describe("the removal of a queue", () => {
  async function bound(...exchanges: string[]) {
    const stub = await declare("bound");
    for (const exchange of exchanges) must(await namespace().noteBinding(exchange, { queue: "bound" }));
    must(await stub.publish({ batch: batchOf("a") }));
    return stub;
  }

  it("takes away what leads to it first, and deletes nothing while it can't", async () => {
    const stub = await bound("e1", "e2");
    const asked: string[] = [];
    let isAway = true;
    await runInDurableObject(stub, (object) =>
      fakeExchanges(object, (exchange) => ({
        unbindAll: async (destination) => {
          asked.push(`${exchange} ${JSON.stringify(destination)}`);
          if (exchange === "e2" && isAway) throw new Error("away");
          must(await namespace().forgetBinding(exchange, destination));
          return ok({ bindings: 1 });
        },
      })),
    );
    expect(await stub.remove(all)).toMatchObject({ ok: false, code: "unavailable" });
    expect(must(await stub.inspect()).counts.ready).toBe(1);
    expect(must(await namespace().hasQueue("bound"))).toBe(true);
    isAway = false;
    expect(must(await stub.remove(all))).toEqual({ messages: 1 });
    expect(asked.sort()).toEqual(['e1 {"queue":"bound"}', 'e2 {"queue":"bound"}', 'e2 {"queue":"bound"}']);
    expect(must(await namespace().hasQueue("bound"))).toBe(false);
  });

  it("touches no binding of a queue that stays", async () => {
    const stub = await bound("e1");
    const asked: string[] = [];
    await runInDurableObject(stub, (object) =>
      fakeExchanges(object, (exchange) => {
        asked.push(exchange);
        return { unbindAll: async () => ok({ bindings: 0 }) };
      }),
    );
    expect(await stub.remove({ ifEmpty: true, ifUnused: false })).toMatchObject({ code: "queue_not_empty" });
    expect(asked).toEqual([]);
  });

  it("asks once more when the queue is off the catalogue, for what was bound meanwhile", async () => {
    const stub = await bound();
    const asked: string[] = [];
    const fake = (object: object): void =>
      fakeExchanges(object, (exchange) => ({
        unbindAll: async (destination) => {
          asked.push(exchange);
          // While the first is taken away, another is made; once there is no queue, none can be.
          if (exchange === "early") await namespace().noteBinding("late", destination);
          await namespace().forgetBinding(exchange, destination);
          return exchange === "late" ? refuse("exchange_not_found", "gone") : ok({ bindings: 1 });
        },
      }));
    must(await namespace().noteBinding("early", { queue: "bound" }));
    await runInDurableObject(stub, fake);
    must(await stub.remove(all));
    expect(asked).toEqual(["early", "late"]);
    expect(must(await namespace().boundTo({ queue: "bound" }))).toEqual([]);
  });

  it("finds what a removal that was cut short has left, when it is repeated", async () => {
    const stub = await bound("e1");
    let calls = 0;
    await runInDurableObject(stub, (object) =>
      fakeExchanges(object, () => ({
        unbindAll: async (destination) => {
          calls++;
          // First call: done, but the note stays. Second call, after the deletion: away.
          if (calls === 2) throw new Error("away");
          if (calls === 3) await namespace().forgetBinding("e1", destination);
          return ok({ bindings: 0 });
        },
      })),
    );
    expect(await stub.remove(all)).toMatchObject({ code: "unavailable" });
    expect(await stub.inspect()).toMatchObject({ code: "queue_not_found" });
    expect(await stub.remove(all)).toMatchObject({ code: "queue_not_found" });
    expect(calls).toBe(3);
    expect(must(await namespace().boundTo({ queue: "bound" }))).toEqual([]);
  });

  it("is over before a declare that came during it, which makes a new queue", async () => {
    const stub = await declare("again");
    must(await stub.publish({ batch: batchOf("a") }));
    const removed = stub.remove(all);
    const declared = stub.declare(QUEUE_DEFAULTS);
    expect(must(await removed)).toEqual({ messages: 1 });
    expect(must(await declared)).toMatchObject({ created: true, info: { counts: { ready: 0 } } });
    await evictDurableObject(stub);
    expect(deliveryToJson(must(await stub.receive({ consumer: "c", max: 9 })), codec)).toEqual([]);
    expect(must(await namespace().hasQueue("again"))).toBe(true);
  });
});
