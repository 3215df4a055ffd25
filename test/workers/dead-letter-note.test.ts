// Who dead-letters where: whom a dead-letter queue takes from, and what the catalogue knows of it, whatever is cut short.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { QueueObject } from "../../src/objects/queue-object.ts";
import { queueOf } from "../../src/objects/peers.ts";
import { EXCHANGE_DEFAULTS } from "../../src/protocol/exchange-config.ts";
import { partitionName } from "../../src/protocol/names.ts";
import { QUEUE_DEFAULTS } from "../../src/protocol/queue-config.ts";
import { ok } from "../../src/protocol/result.ts";
import type { NamespaceApi } from "../../src/protocol/rpc.ts";
import { fakeNamespaces, restorePeers } from "../support/fake-peers.ts";
import { batchOf, declare, must, runAlarm, type QueueStub } from "../support/queue-client.ts";

afterEach(async () => {
  vi.useRealTimers();
  restorePeers();
  await reset();
});

/** Not what takes its place. */
const { NAMESPACES } = env;
const namespace = () => NAMESPACES.getByName("test");

// Each test that leaves a queue with an alarm under way has a name of its own for it: once, such a queue was still there
// after the runtime's reset.
/** Queues whose dead go to one, as the catalogue knows. */
async function sourcesOf(deadLetter: string): Promise<string[]> {
  return must(await namespace().listQueues({ prefix: "", limit: 10, after: "", deadLetter })).queues;
}

/** The catalogue as it is, but that it is told of dead-letter queues in this way. */
async function tellBy(stub: QueueStub, note: NamespaceApi["noteDeadLetter"]): Promise<void> {
  await runInDurableObject(stub, (object: QueueObject) => {
    fakeNamespaces(object, () => ({
      registerQueue: async (queue) => namespace().registerQueue(queue),
      hasQueue: async (queue) => namespace().hasQueue(queue),
      allotBytes: async (...wish) => namespace().allotBytes(...wish),
      noteDeadLetter: note,
    }));
  });
}

/** While an alarm rings, as it does by itself when it is due, none is set. */
async function untilAlarmIsSet(stub: QueueStub): Promise<void> {
  await vi.waitFor(
    () =>
      runInDurableObject(stub, async (_object: QueueObject, state) => {
        expect(await state.storage.getAlarm()).not.toBeNull();
      }),
    // Bounded by the test's own time.
    { timeout: 30_000 },
  );
}

const UNTOLD = { ok: false, code: "unavailable" };

const cutShort: NamespaceApi["noteDeadLetter"] = async () => {
  throw new Error("the connection is gone");
};

describe("the catalogue", () => {
  it("knows each queue's dead-letter queue from its declaration to its deletion", async () => {
    for (const name of ["a.dead", "b.dead"]) await declare(name);
    must(await env.EXCHANGES.getByName("test/dead").declare(EXCHANGE_DEFAULTS));
    const first = await declare("first", { deadLetter: { queue: "a.dead" } });
    const second = await declare("second", { deadLetter: { queue: "a.dead", routingKey: "r" } });
    await declare("third", { deadLetter: { exchange: "dead" } });
    expect(await sourcesOf("a.dead")).toEqual(["first", "second"]);
    expect(await sourcesOf("dead")).toEqual([]);

    must(await first.update({ deadLetter: { queue: "b.dead" } }));
    must(await second.update({ leaseMs: 5_000 }));
    await evictDurableObject(namespace());
    expect([await sourcesOf("a.dead"), await sourcesOf("b.dead")]).toEqual([["second"], ["first"]]);

    must(await second.update({ deadLetter: { exchange: "dead" } }));
    must(await first.remove({ ifEmpty: false, ifUnused: false }));
    expect([await sourcesOf("a.dead"), await sourcesOf("b.dead")]).toEqual([[], []]);
    await declare("first");
    expect(await sourcesOf("b.dead")).toEqual([]);
  });

  it("lists them by pages and by prefix", async () => {
    const stub = namespace();
    for (const queue of ["b", "a.2", "a.1", "a.3"]) {
      must(await stub.registerQueue(queue));
      must(await stub.noteDeadLetter(queue, queue === "a.2" ? "other" : "dlq"));
    }
    const page = { prefix: "a.", limit: 1, after: "", deadLetter: "dlq" };
    expect(must(await stub.listQueues(page))).toEqual({ queues: ["a.1"], after: "a.1" });
    expect(must(await stub.listQueues({ ...page, after: "a.1" }))).toEqual({ queues: ["a.3"] });
    must(await stub.noteDeadLetter("a.1", null));
    expect(must(await stub.listQueues({ ...page, prefix: "", limit: 9 }))).toEqual({ queues: ["a.3", "b"] });
  });

  it("is told of a queue by the queue's head alone", async () => {
    await declare("dlq");
    const head = env.QUEUES.getByName("test/wide");
    const second = env.QUEUES.getByName(partitionName("test", "wide", 1));
    const told = vi.fn<NamespaceApi["noteDeadLetter"]>(async () => ok(undefined));
    await tellBy(head, told);
    must(await head.declare({ ...QUEUE_DEFAULTS, partitions: 2, deadLetter: { queue: "dlq" } }));
    must(await second.publish({ batch: batchOf("x"), known: 2 }));
    for (const part of [second, head]) await runAlarm(part);
    expect(told.mock.calls).toEqual([["wide", "dlq"]]);
  });

  it("is told by the alarm where a declaration was cut short, and after an eviction too", async () => {
    await declare("dlq");
    const stub = env.QUEUES.getByName("test/told-by-alarm");
    await tellBy(stub, cutShort);
    expect(await stub.declare({ ...QUEUE_DEFAULTS, deadLetter: { queue: "dlq" } })).toMatchObject(UNTOLD);
    await untilAlarmIsSet(stub);
    expect(await sourcesOf("dlq")).toEqual([]);
    restorePeers();
    await evictDurableObject(stub);
    await runAlarm(stub);
    expect(await sourcesOf("dlq")).toEqual(["told-by-alarm"]);
  });

  it("is told by the next declaration as well", async () => {
    await declare("dlq");
    const stub = env.QUEUES.getByName("test/told-by-declaration");
    const config = { ...QUEUE_DEFAULTS, deadLetter: { queue: "dlq" } };
    await tellBy(stub, cutShort);
    expect(await stub.declare(config)).toMatchObject(UNTOLD);
    restorePeers();
    expect(must(await stub.declare(config))).toMatchObject({ created: false });
    expect(await sourcesOf("dlq")).toEqual(["told-by-declaration"]);
  });

  it("is told again, after a wait, while it can't be reached", async () => {
    await declare("dlq");
    const stub = await declare("told-again");
    const told = vi.fn(cutShort);
    await tellBy(stub, told);
    expect(await stub.update({ deadLetter: { queue: "dlq" } })).toMatchObject(UNTOLD);
    await runAlarm(stub);
    await untilAlarmIsSet(stub);
    expect(told.mock.calls.length).toBeGreaterThan(1);
    must(await stub.publish({ batch: batchOf("goes on") }));
    restorePeers();
    await runAlarm(stub);
    expect(await sourcesOf("dlq")).toEqual(["told-again"]);
  });

  it("knows the newest where a change was cut short after it was told, and taken back", async () => {
    for (const name of ["one", "two"]) await declare(name);
    const stub = await declare("newest", { deadLetter: { queue: "one" } });
    await tellBy(stub, async (queue, deadLetter) => {
      must(await namespace().noteDeadLetter(queue, deadLetter));
      throw new Error("the connection is gone");
    });
    expect(await stub.update({ deadLetter: { queue: "two" } })).toMatchObject(UNTOLD);
    expect(await stub.update({ deadLetter: { queue: "one" } })).toMatchObject(UNTOLD);
    restorePeers();
    await evictDurableObject(stub);
    await runAlarm(stub);
    expect([await sourcesOf("one"), await sourcesOf("two")]).toEqual([["newest"], []]);
  });

  it("learns of a queue that an earlier version stored", async () => {
    await declare("dlq");
    const stub = await declare("earlier", { deadLetter: { queue: "dlq" } });
    must(await namespace().noteDeadLetter("earlier", null));
    await runInDurableObject(stub, (_object: QueueObject, state) => {
      state.storage.sql.exec("UPDATE queue SET stored = json_remove(stored, '$.notedDeadLetter')");
    });
    await evictDurableObject(stub);
    must(await stub.publish({ batch: batchOf("x") }));
    await runAlarm(stub);
    expect(await sourcesOf("dlq")).toEqual(["earlier"]);
  });
});

describe("a dead-letter queue that names whom it takes from", () => {
  it("refuses others, when they are declared and when they are changed", async () => {
    const dlq = await declare("dlq", { deadLetterFrom: ["q"] });
    const config = { ...QUEUE_DEFAULTS, deadLetter: { queue: "dlq" } };
    const other = env.QUEUES.getByName("test/other");
    expect(await other.declare(config)).toMatchObject({ ok: false, code: "dead_letter_refused" });
    expect(await other.inspect()).toMatchObject({ ok: false, code: "queue_not_found" });
    await declare("q", { deadLetter: { queue: "dlq" } });
    const third = await declare("third");
    expect(await third.update({ deadLetter: { queue: "dlq" } })).toMatchObject({
      code: "dead_letter_refused",
    });
    must(await dlq.update({ deadLetterFrom: ["third"] }));
    must(await third.update({ deadLetter: { queue: "dlq" } }));
    // Who named it before goes on.
    expect(await sourcesOf("dlq")).toEqual(["q", "third"]);
    must(await env.QUEUES.getByName("test/q").update({ leaseMs: 5_000 }));
  });

  it("must be there", async () => {
    const stub = env.QUEUES.getByName("test/q");
    for (const deadLetter of [{ queue: "none" }, { exchange: "none" }]) {
      expect(await stub.declare({ ...QUEUE_DEFAULTS, deadLetter })).toMatchObject({
        code: "dead_letter_missing",
      });
    }
  });

  it("may have several partitions, and two queues may name each other", async () => {
    must(
      await queueOf(env, "test", "a").declare({ ...QUEUE_DEFAULTS, partitions: 2, deadLetterFrom: ["b"] }),
    );
    const b = await declare("b", { deadLetter: { queue: "a" } });
    const a = queueOf(env, "test", "a");
    must(await a.update({ deadLetter: { queue: "b" } }));
    expect([await sourcesOf("a"), await sourcesOf("b")]).toEqual([["b"], ["a"]]);
    must(await b.update({ deadLetter: null }));
    expect(await sourcesOf("a")).toEqual([]);
  });
});

describe("a change", () => {
  it("merges labels, and tells when it was made", async () => {
    const stub = await declare("q", { labels: { a: "1", b: "2" } });
    const before = must(await stub.inspect());
    vi.setSystemTime(before.createdMs + 60_000);
    expect(before.changedMs).toBe(before.createdMs);
    const after = must(await stub.update({ labels: { a: null, c: "3" } }));
    expect(after.config.labels).toEqual({ b: "2", c: "3" });
    await evictDurableObject(stub);
    expect(must(await stub.inspect())).toMatchObject({
      config: { labels: { b: "2", c: "3" } },
      changedMs: after.changedMs,
    });
    expect(after.changedMs).toBeGreaterThanOrEqual(before.createdMs + 60_000);
  });

  it("that does not go with the rest is refused, as a declaration is", async () => {
    const misfit = { dedupByContent: true, partitions: 2 };
    const stub = env.QUEUES.getByName("test/q");
    expect(await stub.declare({ ...QUEUE_DEFAULTS, ...misfit })).toMatchObject({ code: "bad_request" });
    expect(await stub.inspect()).toMatchObject({ code: "queue_not_found" });
    await declare("q", { dedupByContent: true });
    expect(await stub.update({ partitions: 2 })).toMatchObject({ code: "bad_request" });
    expect(must(await stub.inspect()).config.partitions).toBe(1);
  });
});
