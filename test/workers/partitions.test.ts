// A queue of several partitions, as its callers see it: one queue. And what happens when it grows.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { exchangeOf, queueOf } from "../../src/objects/peers.ts";
import { EXCHANGE_DEFAULTS } from "../../src/protocol/exchange-config.ts";
import type { QueueObject } from "../../src/objects/queue-object.ts";
import { messageId } from "../../src/protocol/batch.ts";
import type { Delivery, MessageView, PublishConfirm } from "../../src/protocol/commands.ts";
import { deliveryToJson } from "../../src/protocol/message-json.ts";
import { partitionName } from "../../src/protocol/names.ts";
import { ownerOf, partitionOfLease, partitionOfSequence } from "../../src/protocol/partitions.ts";
import { QUEUE_DEFAULTS, type QueueConfig } from "../../src/protocol/queue-config.ts";
import { hashText } from "../../src/protocol/rendezvous.ts";
import { CLAIMS_HEADER, type QueueApi, type SocketClaims } from "../../src/protocol/rpc.ts";
import { batchOf, codec, must, runAlarm, TestSocket, type QueueStub } from "../support/queue-client.ts";

afterEach(() => reset());

const text = new TextEncoder();

async function declare(name: string, config: Partial<QueueConfig>): Promise<QueueApi> {
  const queue = queueOf(env, "test", name);
  must(await queue.declare({ ...QUEUE_DEFAULTS, ...config }));
  return queue;
}

function part(name: string, partition: number): QueueStub {
  return env.QUEUES.getByName(partitionName("test", name, partition));
}

function keyed(key: string, body: string): { orderingKey: string; body: Uint8Array } {
  return { orderingKey: key, body: text.encode(body) };
}

function owner(key: string, partitions: number): number {
  return ownerOf(hashText(key), partitions);
}

/** Keys by the partition that they belong to, `each` of each. */
function keysOf(partitions: number, each: number): string[][] {
  const keys: string[][] = Array.from({ length: partitions }, () => []);
  for (let i = 0; keys.some((own) => own.length < each); i++) {
    const own = keys[owner(`k${i}`, partitions)]!;
    if (own.length < each) own.push(`k${i}`);
  }
  return keys;
}

function bodies(delivery: Delivery): string[] {
  return deliveryToJson(delivery, codec).map(({ body }) => body ?? "");
}

/** Receives and acks until nothing comes. */
async function drain(queue: QueueApi): Promise<string[]> {
  const all: string[] = [];
  for (;;) {
    const delivery = must(await queue.receive({ consumer: "c", max: 100 }));
    if (delivery.lease === 0) return all;
    all.push(...bodies(delivery));
    must(await queue.settle([{ lease: delivery.lease, verdict: "ack" }]));
  }
}

function ids({ origin, sequences }: PublishConfirm): string[] {
  return sequences.flatMap(([first, count]) =>
    Array.from({ length: count }, (_, i) => messageId(origin, first + i)),
  );
}

async function connect(queue: QueueApi, claims: Partial<SocketClaims> = {}): Promise<TestSocket> {
  const whole: SocketClaims = { subject: "tester", publish: true, consume: true, expiresMs: null, ...claims };
  const headers = { Upgrade: "websocket", [CLAIMS_HEADER]: JSON.stringify(whole) };
  const { webSocket } = await queue.fetch(new Request("https://object/socket", { headers }));
  return new TestSocket(webSocket!);
}

describe("a queue of several partitions", () => {
  it("gives each key to one partition, and confirms in the order of the batch", async () => {
    const queue = await declare("fifo", { fifo: true, partitions: 3 });
    const keys = keysOf(3, 2).flat();
    const records = [...keys, ...keys].map((key, i) => keyed(key, String(i)));
    const confirm = must(await queue.publish({ batch: batchOf(...records) }));
    const sequences = confirm.sequences.flatMap(([first, count]) =>
      Array.from({ length: count }, (_, i) => first + i),
    );
    expect(sequences.map(partitionOfSequence)).toEqual(
      records.map(({ orderingKey }) => owner(orderingKey, 3)),
    );
    expect(must(await queue.inspect())).toMatchObject({
      counts: { ready: 12 },
      totals: { published: 12 },
      partitions: [
        { partition: 0, counts: { ready: 4 }, waitsFor: [] },
        { partition: 1, counts: { ready: 4 } },
        { partition: 2, counts: { ready: 4 } },
      ],
    });
    for (const [i, id] of ids(confirm).entries()) {
      const view: MessageView = must(await queue.find({ id }));
      expect(new TextDecoder().decode(view.body)).toBe(String(i));
    }
    const got = await drain(queue);
    expect(got.toSorted((a, b) => Number(a) - Number(b))).toEqual(records.map((_, i) => String(i)));
    for (let i = 0; i < 6; i++) expect(got.indexOf(String(i))).toBeLessThan(got.indexOf(String(i + 6)));
    expect(must(await queue.inspect())).toMatchObject({ counts: { ready: 0 }, totals: { acked: 12 } });
  });

  it("spreads what has no order, a batch at a time", async () => {
    const queue = await declare("even", { partitions: 4 });
    for (let i = 0; i < 60; i++) {
      const { sequences } = must(await queue.publish({ batch: batchOf("a", "b") }));
      expect(sequences).toHaveLength(1);
    }
    const { partitions } = must(await queue.inspect());
    for (const { counts } of partitions!) expect(counts.ready).toBeGreaterThan(0);
    expect(await drain(queue)).toHaveLength(120);
  });

  it("tells by a lease whose it is, and settles many at once in their order", async () => {
    const queue = await declare("leases", { partitions: 2, fifo: true });
    const [zero, one] = keysOf(2, 1);
    must(await queue.publish({ batch: batchOf(keyed(zero![0]!, "0"), keyed(one![0]!, "1")) }));
    const first = must(await queue.receive({ consumer: "c", max: 9 }));
    const second = must(await queue.receive({ consumer: "c", max: 9 }));
    expect(new Set([first, second].map(({ lease }) => partitionOfLease(lease)))).toEqual(new Set([0, 1]));
    const results = must(
      await queue.settle([
        { lease: first.lease, verdict: "ack" },
        { lease: 77, verdict: "ack" },
        { lease: second.lease, verdict: "ack" },
      ]),
    );
    expect(results.map(({ settled }) => settled)).toEqual([1, 0, 1]);
    expect(results[1]!.refused[0]).toMatchObject({ code: "lease_lost" });
  });

  it("gives a receive that is repeated the same delivery, wherever it came from", async () => {
    const queue = await declare("repeat", { partitions: 4 });
    for (let i = 0; i < 30; i++) must(await queue.publish({ batch: batchOf(`m${i}`) }));
    const command = { consumer: "c", max: 1, attemptId: "a1" };
    const first = must(await queue.receive(command));
    for (let i = 0; i < 5; i++) expect(must(await queue.receive(command)).lease).toBe(first.lease);
  });

  it("stores a producer's batch once, in whatever parts, and tells a part it can't judge", async () => {
    const queue = await declare("stamped", { fifo: true, partitions: 2 });
    const [zero, one] = keysOf(2, 1).map(([key]) => key!);
    const both = batchOf(keyed(zero!, "a"), keyed(one!, "b"));
    const stamp = (sequence: number) => ({ producer: { id: "p", sequence } });
    const first = must(await queue.publish({ batch: both, ...stamp(1) }));
    const again = must(await queue.publish({ batch: both, ...stamp(1) }));
    expect(again).toMatchObject({ sequences: first.sequences, duplicates: [0, 1] });
    // Only the second partition has this one; for the first it is a gap, and none of its business.
    must(await queue.publish({ batch: batchOf(keyed(one!, "c")), ...stamp(3) }));
    must(await queue.publish({ batch: both, ...stamp(4) }));
    const late = await queue.publish({ batch: batchOf(keyed(zero!, "late")), ...stamp(2) });
    expect(late).toMatchObject({ ok: false, code: "sequence_gap" });
    expect(must(await queue.inspect()).counts.ready).toBe(5);
  });

  it("says which messages were refused when others were taken", async () => {
    const queue = await declare("full", { fifo: true, partitions: 2, maxMessages: 4 });
    const [zero, one] = keysOf(2, 1).map(([key]) => key!);
    must(await queue.publish({ batch: batchOf(keyed(zero!, "1"), keyed(zero!, "2")) }));
    const mixed = must(await queue.publish({ batch: batchOf(keyed(zero!, "3"), keyed(one!, "4")) }));
    expect(mixed.refused).toMatchObject([{ messages: [[0, 1]], code: "queue_full" }]);
    expect(mixed.sequences[0]).toEqual([0, 1]);
    expect(partitionOfSequence(mixed.sequences[1]![0])).toBe(1);
    expect(await queue.publish({ batch: batchOf(keyed(zero!, "5")) })).toMatchObject({ code: "queue_full" });
  });

  it("knows a dedup id again, and cancels and replaces wherever the message lies", async () => {
    const queue = await declare("known", { partitions: 3 });
    const first = must(await queue.publish({ batch: batchOf({ dedupId: "d1" }) }));
    for (let i = 0; i < 5; i++) {
      const { sequences } = must(await queue.publish({ batch: batchOf({ dedupId: "d1" }) }));
      expect(sequences).toEqual(first.sequences);
    }
    for (let i = 0; i < 6; i++) must(await queue.publish({ batch: batchOf({ cancelKey: `c${i}` }) }));
    must(await queue.replace({ cancelKey: "c3" }, batchOf("instead")));
    for (const i of [0, 1, 2, 4, 5]) must(await queue.cancel({ cancelKey: `c${i}` }));
    expect(await queue.cancel({ cancelKey: "c0" })).toMatchObject({ code: "message_not_found" });
    expect((await drain(queue)).toSorted()).toEqual(["", "instead"]);
  });

  it("peeks page by page through all, purges all, pauses all", async () => {
    const queue = await declare("look", { partitions: 3 });
    for (let i = 0; i < 25; i++) must(await queue.publish({ batch: batchOf(`m${i}`) }));
    const seen = new Set<string>();
    let cursor: string | undefined;
    do {
      const page = must(
        await queue.peek({ state: "ready", limit: 4, ...(cursor === undefined ? {} : { cursor }) }),
      );
      expect(page.messages.length).toBeLessThanOrEqual(4);
      for (const { id } of page.messages) seen.add(id);
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(seen.size).toBe(25);
    must(await queue.pause(true));
    expect(must(await queue.receive({ consumer: "c", max: 1 })).lease).toBe(0);
    must(await queue.pause(false));
    expect(must(await queue.receive({ consumer: "c", max: 1 })).lease).not.toBe(0);
    expect(await queue.purge({ upToSequence: 3 })).toMatchObject({ code: "bad_request" });
    expect(must(await queue.purge({}))).toEqual({ messages: 24 });
  });

  it("dead-letters to a queue of several partitions and brings back from it", async () => {
    const graves = await declare("graves", { partitions: 2 });
    const queue = await declare("work", { partitions: 2, maxFailures: 0, deadLetter: { queue: "graves" } });
    for (let i = 0; i < 12; i++) must(await queue.publish({ batch: batchOf(`m${i}`) }));
    for (let i = 0; i < 12; i++) {
      const { lease } = must(await queue.receive({ consumer: "c", max: 1 }));
      must(await queue.settle([{ lease, verdict: "reject" }]));
    }
    for (const i of [0, 1]) await runAlarm(part("work", i));
    expect(must(await graves.inspect()).counts.ready).toBe(12);
    expect(must(await queue.inspect()).counts).toMatchObject({ ready: 0, deadLettering: 0 });
    const dry = must(await graves.redrive({ filter: {}, dryRun: true }));
    expect(dry).toMatchObject({ task: null, matched: 12 });
    const some = must(await graves.redrive({ filter: {}, dryRun: false, limit: 5 }));
    for (const i of [0, 1]) await runAlarm(part("graves", i));
    expect(must(await graves.redriveStatus(some.task!))).toMatchObject({ state: "done", moved: 5 });
    expect(must(await queue.inspect()).counts.ready).toBe(5);
  });

  it("is deleted whole, or stays whole", async () => {
    const queue = await declare("gone", { partitions: 3 });
    for (let i = 0; i < 20; i++) must(await queue.publish({ batch: batchOf(`m${i}`) }));
    const only = { ifEmpty: true, ifUnused: false };
    expect(await queue.remove(only)).toMatchObject({ code: "queue_not_empty" });
    for (const i of [0, 1, 2]) await runAlarm(part("gone", i));
    expect(must(await queue.inspect()).counts.ready).toBe(20);
    expect(must(await queue.remove({ ifEmpty: false, ifUnused: false }))).toEqual({ messages: 20 });
    expect(await queue.publish({ batch: batchOf("x") })).toMatchObject({ code: "queue_not_found" });
    for (const i of [0, 1, 2]) {
      await runInDurableObject(part("gone", i), (object: QueueObject) => expect(object.open()).toBeNull());
    }
    await declare("gone", { partitions: 2 });
    expect(must(await queue.inspect())).toMatchObject({ counts: { ready: 0 }, partitions: [{}, {}] });
  });

  it("is whole again when its deletion was cut short", async () => {
    const queue = await declare("cut", { fifo: true, partitions: 3 });
    const keys = keysOf(3, 1).flat();
    await runInDurableObject(part("cut", 2), (object: QueueObject) => {
      const { lifecycle } = object as unknown as { lifecycle: { leave: () => Promise<never> } };
      lifecycle.leave = () => Promise.reject(new Error("broken for a test"));
    });
    await expect(queue.remove({ ifEmpty: false, ifUnused: false })).rejects.toThrow("broken for a test");
    await runInDurableObject(part("cut", 1), (object: QueueObject) => expect(object.open()).toBeNull());
    await evictDurableObject(part("cut", 0));
    await runAlarm(part("cut", 0));
    const confirm = must(await queue.publish({ batch: batchOf(...keys.map((key) => keyed(key, key))) }));
    expect(confirm.refused).toBeUndefined();
    expect((await drain(queue)).toSorted()).toEqual(keys.toSorted());
  });

  it("takes no more over one socket than may wait for its confirms", async () => {
    const queue = await declare("bounded", { partitions: 2 });
    const socket = await connect(queue);
    await socket.next("hello");
    const body = new Uint8Array(1_000_000);
    for (let i = 0; i < 17; i++) {
      socket.send({ type: "publish", ref: i, producer: "p", sequence: i + 1 }, batchOf({ body }));
    }
    let frame = (await socket.any()).head;
    while (frame.type === "confirm") frame = (await socket.any()).head;
    expect(frame).toMatchObject({ type: "error", code: "unavailable" });
    expect(await socket.closed).toMatchObject({ code: 1008 });
  });
});

describe("a queue that grows", () => {
  it("keeps each key's order, whoever publishes with an old layout in mind", async () => {
    const queue = await declare("grow", { fifo: true, partitions: 2 });
    const moved = Array.from({ length: 200 }, (_, i) => `k${i}`).find((key) => owner(key, 3) === 2)!;
    const stale = queueOf(env, "test", "grow");
    must(await queue.publish({ batch: batchOf(keyed(moved, "1"), keyed(moved, "2")) }));
    must(await queue.update({ partitions: 3 }));
    // Layouts are shared in the isolate; an object is asked as one would that has not heard of it.
    const old = part("grow", owner(moved, 2));
    expect(await old.publish({ batch: batchOf(keyed(moved, "x")), known: 2 })).toMatchObject({
      code: "partitions_changed",
    });
    must(await stale.publish({ batch: batchOf(keyed(moved, "3")) }));
    expect(must(await queue.inspect()).partitions![2]).toMatchObject({
      counts: { ready: 1 },
      waitsFor: expect.arrayContaining([owner(moved, 2)]) as unknown,
    });
    // What came before is out, and not acked: the new one must not come past it.
    const first = must(await queue.receive({ consumer: "c", max: 1 }));
    expect(bodies(first)).toEqual(["1"]);
    for (const i of [0, 1, 2]) await evictDurableObject(part("grow", i));
    for (const i of [0, 1, 2]) await runAlarm(part("grow", i));
    expect(must(await queue.receive({ consumer: "c", max: 9 })).lease).toBe(0);
    must(await queue.settle([{ lease: first.lease, verdict: "ack" }]));
    const second = must(await queue.receive({ consumer: "c", max: 9 }));
    expect(bodies(second)).toEqual(["2"]);
    must(await queue.settle([{ lease: second.lease, verdict: "ack" }]));
    for (const i of [0, 1, 2]) await runAlarm(part("grow", i));
    expect(must(await queue.inspect()).partitions![2]!.waitsFor).toEqual([]);
    expect(await drain(queue)).toEqual(["3"]);
  });

  it("from one partition, goes on with its consumers at all of them", async () => {
    const queue = await declare("one", { partitions: 1 });
    const socket = await connect(queue);
    await socket.next("hello");
    must(await queue.update({ partitions: 3 }));
    expect(await socket.closed).toMatchObject({ code: 1012 });
    const again = await connect(queue);
    await again.next("hello");
    again.send({ type: "consume", credit: 30 });
    expect((await again.next("consuming")).head).toMatchObject({ credit: 30, active: true });
    must(await queue.update({ partitions: 4 }));
    for (let i = 0; i < 40; i++) must(await queue.publish({ batch: batchOf(`m${i}`) }));
    const got: string[] = [];
    while (got.length < 40) {
      const { head } = await again.any();
      if (head.type !== "deliver") continue;
      got.push(...head.messages!.map(({ body }) => body ?? ""));
      again.send({ type: "settle", settlements: [{ lease: head.lease, verdict: "ack" }] });
    }
    expect(new Set(got).size).toBe(40);
    await vi.waitFor(async () => expect(must(await queue.inspect()).totals.acked).toBe(40));
    expect(must(await queue.inspect()).consumers).toMatchObject([{ credit: 30, unsettled: 0 }]);
  });

  it("is bound as before when a delete is refused, and says what it lacks as a queue of one does", async () => {
    const queue = await declare("kept", { partitions: 4 });
    const exchange = exchangeOf(env, "test", "leads");
    must(await exchange.declare({ ...EXCHANGE_DEFAULTS, kind: "fanout" }));
    must(await exchange.bind({ destination: { queue: "kept" }, key: "", headers: null }));
    const key = keysOf(4, 1)[2]![0]!;
    must(await queue.publish({ batch: batchOf({ dedupId: key }) }));
    expect(await queue.remove({ ifEmpty: true, ifUnused: false })).toMatchObject({ code: "queue_not_empty" });
    expect(must(await exchange.inspect())).toMatchObject({ bindings: 1 });
    expect(await queue.redrive({ filter: {}, to: "none", dryRun: false })).toMatchObject({
      code: "queue_not_found",
    });
    expect(await queue.peek({ state: "ready", limit: 1, cursor: "9~" })).toMatchObject({
      code: "bad_request",
    });
    const empty = await declare("empty", { partitions: 3 });
    expect(must(await empty.inspect()).lastSequence).toBe(0);
  });

  it("has a cancel key once", async () => {
    const queue = await declare("once-only", { partitions: 8 });
    for (let i = 0; i < 10; i++) must(await queue.publish({ batch: batchOf({ cancelKey: "k" }) }));
    const { partitions } = must(await queue.inspect());
    expect(partitions!.filter(({ counts }) => counts.ready > 0)).toHaveLength(1);
  });

  it("can't shrink, nor become another kind", async () => {
    const queue = await declare("shrink", { partitions: 2 });
    expect(await queue.update({ partitions: 1 })).toMatchObject({ code: "bad_request" });
    expect(await queue.declare({ ...QUEUE_DEFAULTS, partitions: 3 })).toMatchObject({ code: "queue_exists" });
  });
});

describe("a socket on a queue of several partitions", () => {
  it("publishes to all and is confirmed as by one", async () => {
    const queue = await declare("up", { fifo: true, partitions: 3 });
    const socket = await connect(queue);
    await socket.next("hello");
    const keys = keysOf(3, 1).flat();
    socket.send({
      type: "publish",
      ref: 7,
      producer: "p",
      sequence: 1,
      messages: keys.map((orderingKey) => ({ orderingKey })),
    });
    const { head } = await socket.next("confirm");
    expect(head).toMatchObject({ ref: 7, duplicates: [] });
    expect(must(await queue.inspect()).partitions!.map(({ counts }) => counts.ready)).toEqual([1, 1, 1]);
    socket.send({ type: "publish", ref: 8, messages: [] });
    expect((await socket.next("error")).head).toMatchObject({ ref: 8, code: "bad_request" });
  });

  it("drains and cancels once for all, and gives back what it held when it breaks", async () => {
    const queue = await declare("down", { partitions: 3 });
    for (let i = 0; i < 12; i++) must(await queue.publish({ batch: batchOf(`m${i}`) }));
    const socket = await connect(queue);
    await socket.next("hello");
    socket.send({ type: "consume", credit: 36, consumer: "c" });
    await socket.next("consuming");
    await vi.waitFor(async () => expect(must(await queue.inspect()).counts.leased).toBe(12));
    for (let held = 0; held < 12;) held += (await socket.next("deliver")).head.messages!.length;
    socket.send({ type: "cancel" });
    expect((await socket.next("cancelled")).head).toMatchObject({ consumer: "c", reason: "asked" });
    expect(must(await queue.inspect())).toMatchObject({ counts: { leased: 0 }, consumers: [] });
    socket.send({ type: "consume", credit: 3, consumer: "c" });
    await vi.waitFor(async () => expect(must(await queue.inspect()).counts.leased).toBeGreaterThan(0));
    socket.socket.close(1000, "");
    await vi.waitFor(async () =>
      expect(must(await queue.inspect())).toMatchObject({ counts: { leased: 0 }, consumers: [] }),
    );
  });

  it("is drained at those that know the consumer, although another was added meanwhile", async () => {
    const queue = await declare("drained", { partitions: 2 });
    const socket = await connect(queue);
    await socket.next("hello");
    socket.send({ type: "consume", credit: 4, consumer: "c" });
    await socket.next("consuming");
    for (let i = 0; i < 2; i++) must(await queue.publish({ batch: batchOf("m") }));
    const { head } = await socket.next("deliver");
    socket.send({ type: "drain" });
    await vi.waitFor(async () => {
      const { partitions } = must(await queue.inspect());
      expect(partitions!.some(({ counts }) => counts.leased > 0)).toBe(true);
    });
    must(await queue.update({ partitions: 3 }));
    socket.send({ type: "settle", settlements: [{ lease: head.lease, verdict: "ack" }] });
    for (;;) {
      const frame = await socket.any();
      if (frame.head.type === "drained") break;
      if (frame.head.type !== "deliver") continue;
      socket.send({ type: "settle", settlements: [{ lease: frame.head.lease, verdict: "ack" }] });
    }
    expect(must(await queue.inspect()).consumers).toEqual([]);
  });

  it("stores nothing of a producer behind what was refused, until it goes on with that", async () => {
    const queue = await declare("behind", { fifo: true, partitions: 3, bodyBytesMax: 10 });
    const socket = await connect(queue);
    await socket.next("hello");
    const publish = (sequence: number, body: string, orderingKey: string): void =>
      socket.send({
        type: "publish",
        ref: sequence,
        producer: "p",
        sequence,
        messages: [{ body, orderingKey }],
      });
    publish(1, "first", "a");
    publish(2, "far too large", "b");
    publish(3, "behind", "c");
    publish(4, "behind", "a");
    publish(2, "instead", "b");
    publish(3, "third", "c");
    const told: (string | undefined)[] = [];
    for (let i = 0; i < 6; i++) {
      const { head } = await socket.any();
      told.push(head.type === "error" ? head.code : head.type);
    }
    expect(told).toEqual(["confirm", "body_too_large", "sequence_gap", "sequence_gap", "confirm", "confirm"]);
    expect((await drain(queue)).toSorted()).toEqual(["first", "instead", "third"]);
  });

  it("that drains may be cancelled, and drains once however often it is asked to", async () => {
    const queue = await declare("ends", { partitions: 4 });
    const socket = await connect(queue);
    await socket.next("hello");
    for (const last of ["cancel", "drain"] as const) {
      must(await queue.publish({ batch: batchOf("m") }));
      socket.send({ type: "consume", credit: 4, consumer: "c" });
      await socket.next("consuming");
      const { head } = await socket.next("deliver");
      socket.send({ type: "drain" });
      await vi.waitFor(async () => expect(must(await queue.inspect()).consumers[0]!.credit).toBe(1));
      socket.send({ type: last });
      if (last === "drain") {
        socket.send({ type: "settle", ref: 1, settlements: [{ lease: head.lease, verdict: "ack" }] });
        const types = [(await socket.any()).head.type, (await socket.any()).head.type];
        expect(types.toSorted()).toEqual(["drained", "settled"]);
      } else {
        expect((await socket.next("cancelled")).head).toMatchObject({ consumer: "c", reason: "asked" });
      }
      must(await queue.purge({}));
    }
  });

  it("without credit gets nothing from partitions that are added, and is refused once", async () => {
    const queue = await declare("nothing", { partitions: 2 });
    const socket = await connect(queue);
    await socket.next("hello");
    socket.send({ type: "consume", credit: 2, consumer: "c" });
    await socket.next("consuming");
    socket.send({ type: "credit", credit: 0 });
    await vi.waitFor(async () => expect(must(await queue.inspect()).consumers[0]!.credit).toBe(0));
    must(await queue.update({ partitions: 4 }));
    for (let i = 0; i < 8; i++) must(await queue.publish({ batch: batchOf("m") }));
    expect(must(await queue.inspect()).counts).toMatchObject({ ready: 8, leased: 0 });
    socket.send({ type: "credit", credit: 8 });
    let held = 0;
    while (held < 4) held += (await socket.next("deliver")).head.messages!.length;
    const other = await connect(queue, { consume: false });
    await other.next("hello");
    other.send({ type: "consume" });
    expect((await other.next("error")).head).toMatchObject({ code: "forbidden" });
    other.send({ type: "ping", ref: 1 });
    await other.next("pong");
  });

  it("with `once` takes one delivery, wherever it comes from", async () => {
    const queue = await declare("once", { partitions: 3 });
    const socket = await connect(queue);
    await socket.next("hello");
    socket.send({ type: "consume", once: true, credit: 5, consumer: "c" });
    await socket.next("consuming");
    for (let i = 0; i < 9; i++) must(await queue.publish({ batch: batchOf(`m${i}`) }));
    const { head } = await socket.next("deliver");
    expect(head.type).toBe("deliver");
    await vi.waitFor(async () => {
      const { counts, consumers } = must(await queue.inspect());
      expect([counts.ready + counts.leased, consumers.length]).toEqual([9, 0]);
      expect(counts.leased).toBeLessThanOrEqual(5);
    });
  });
});
