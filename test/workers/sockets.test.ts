import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { QueueObject } from "../../src/objects/queue-object.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import { deliveryToJson } from "../../src/protocol/message-json.ts";
import { ok, type Result } from "../../src/protocol/result.ts";
import {
  batchOf,
  codec,
  declare,
  must,
  runAlarm,
  TestSocket,
  type QueueStub,
} from "../support/queue-client.ts";

let restore = (): unknown => undefined;

afterEach(async () => {
  vi.useRealTimers();
  restore();
  await reset();
});

const bodies = (messages: readonly { body?: string }[] = []): (string | undefined)[] =>
  messages.map(({ body }) => body);

describe("a socket", () => {
  it("publishes as JSON and as a batch, and confirms in order", async () => {
    const socket = await TestSocket.open(await declare("both"));
    socket.send({ type: "publish", ref: 1, messages: [{ body: "a" }, { json: { b: 1 } }] });
    socket.send({ type: "publish", ref: 2, producer: "p", sequence: 1 }, batchOf("c"));
    expect((await socket.next("confirm")).head).toMatchObject({ ref: 1, sequences: [[1, 2]] });
    expect((await socket.next("confirm")).head).toMatchObject({ ref: 2, sequences: [[3, 1]] });
    socket.send({ type: "publish", ref: 3, producer: "p", sequence: 1 }, batchOf("c"));
    expect((await socket.next("confirm")).head).toMatchObject({
      ref: 3,
      sequences: [[3, 1]],
      duplicates: [0],
    });
    socket.send({ type: "publish", ref: 4, producer: "p", sequence: 9 }, batchOf("d"));
    const { head } = await socket.next("error");
    expect(head).toMatchObject({ ref: 4, code: "sequence_gap", facts: { expectedSequence: 2 } });
  });

  it("delivers whole segments and slices of them as valid batches", async () => {
    const stub = await declare("binary");
    must(await stub.publish({ batch: batchOf("a", "b", "c") }));
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", credit: 2, format: "binary" });
    await socket.next("consuming");
    const first = await socket.next("deliver");
    const { lease, untilMs, runs } = first.head;
    expect(bodies(deliveryToJson({ lease, untilMs, runs: runs!, payload: first.payload }, codec))).toEqual([
      "a",
      "b",
    ]);
    socket.send({ type: "settle", settlements: [{ lease, sequences: [[1, 1]], verdict: "ack" }] });
    const second = await socket.next("deliver");
    expect(second.head.runs).toMatchObject([{ attempt: 1, failures: 0 }]);
    expect(must(codec.scan(second.payload, "broker")).count).toBe(1);
  });

  it("never gets more than its credit, and more when credit grows", async () => {
    const stub = await declare("credit");
    must(await stub.publish({ batch: batchOf("a", "b", "c", "d") }));
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", credit: 1 });
    await socket.next("consuming");
    expect(bodies((await socket.next("deliver")).head.messages)).toEqual(["a"]);
    await evictDurableObject(stub);
    socket.send({ type: "credit", credit: 3 });
    expect(bodies((await socket.next("deliver")).head.messages)).toEqual(["b", "c"]);
    expect(must(await stub.inspect()).consumers).toMatchObject([{ credit: 3, unsettled: 3 }]);
  });

  it("drains: no more deliveries, and a word when nothing is unsettled", async () => {
    const stub = await declare("drain");
    must(await stub.publish({ batch: batchOf("a", "b") }));
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", credit: 1 });
    await socket.next("consuming");
    const { lease } = (await socket.next("deliver")).head;
    socket.send({ type: "drain" });
    await evictDurableObject(stub);
    socket.send({ type: "settle", settlements: [{ lease, verdict: "ack" }] });
    await socket.next("drained");
    await socket.next("settled");
    expect(must(await stub.inspect())).toMatchObject({ counts: { ready: 1, leased: 0 }, consumers: [] });
  });

  it("gives back what it held when it cancels, uncounted and at once", async () => {
    const stub = await declare("cancel");
    must(await stub.publish({ batch: batchOf("a") }));
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", consumer: "quitter" });
    await socket.next("consuming");
    await socket.next("deliver");
    socket.send({ type: "cancel" });
    expect((await socket.next("cancelled")).head).toMatchObject({ consumer: "quitter", reason: "asked" });
    const [message] = deliveryToJson(must(await stub.receive({ consumer: "t", max: 1 })), codec);
    expect(message).toMatchObject({ body: "a", attempt: 2, failures: 0 });
  });

  it("charges a failure when it closes without a word", async () => {
    const stub = await declare("crash", { retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } });
    must(await stub.publish({ batch: batchOf("a", "b") }));
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume" });
    await socket.next("consuming");
    await socket.next("deliver");
    const heir = await TestSocket.open(stub);
    heir.send({ type: "consume" });
    await heir.next("consuming");
    socket.close(1011);
    const { head } = await heir.next("deliver");
    expect(head.messages!.map(({ body, failures }) => [body, failures])).toEqual([
      ["a", 1],
      ["b", 0],
    ]);
  });

  it("charges a failure even when its closing is what wakes the object", async () => {
    const stub = await declare("wakeup", { retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } });
    must(await stub.publish({ batch: batchOf("a") }));
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume" });
    await socket.next("consuming");
    await socket.next("deliver");
    await evictDurableObject(stub);
    socket.close(1011);
    await socket.closed;
    const heir = await TestSocket.open(stub);
    heir.send({ type: "consume" });
    await heir.next("consuming");
    expect((await heir.next("deliver")).head.messages).toMatchObject([
      { body: "a", attempt: 2, failures: 1 },
    ]);
  });

  it("keeps others out when it is exclusive, and lets them in when it goes", async () => {
    const stub = await declare("exclusive");
    const one = await TestSocket.open(stub);
    one.send({ type: "consume", exclusive: true });
    await one.next("consuming");
    await evictDurableObject(stub);
    const two = await TestSocket.open(stub);
    two.send({ type: "consume" });
    expect((await two.next("error")).head).toMatchObject({ code: "consumer_exclusive" });
    await two.closed;
    one.send({ type: "cancel" });
    await one.next("cancelled");
    const three = await TestSocket.open(stub);
    three.send({ type: "consume" });
    expect((await three.next("consuming")).head).toMatchObject({ active: true });
  });

  it("waits in line behind a single active consumer, and is told when its turn comes", async () => {
    const stub = await declare("single", { singleActiveConsumer: true });
    const one = await TestSocket.open(stub);
    one.send({ type: "consume", consumer: "one" });
    expect((await one.next("consuming")).head).toMatchObject({ active: true });
    const two = await TestSocket.open(stub);
    two.send({ type: "consume", consumer: "two" });
    expect((await two.next("consuming")).head).toMatchObject({ active: false });
    must(await stub.publish({ batch: batchOf("a") }));
    await one.next("deliver");
    await evictDurableObject(stub);
    one.send({ type: "cancel" });
    await one.next("cancelled");
    const first = await two.next("deliver");
    expect(bodies(first.head.messages)).toEqual(["a"]);
    expect((await two.next("active")).head).toMatchObject({ consumer: "two" });
  });

  it("answers publishes in their order, the refused ones too", async () => {
    const socket = await TestSocket.open(await declare("answers"));
    socket.send({ type: "publish", ref: 1, producer: "p", sequence: 1 }, batchOf("a"));
    socket.send({ type: "publish", ref: 2, producer: "p", sequence: 5 }, batchOf("b"));
    socket.send({ type: "publish", ref: 3, producer: "p", sequence: 2 }, batchOf("c"));
    expect((await socket.next("confirm")).head.ref).toBe(1);
    expect((await socket.next("error")).head).toMatchObject({ ref: 2, code: "sequence_gap" });
    expect((await socket.next("confirm")).head.ref).toBe(3);
  });

  it("may begin to consume long after it was opened", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declare("patient");
    const socket = await TestSocket.open(stub);
    vi.setSystemTime(Date.now() + 60_000);
    socket.send({ type: "consume", heartbeatMs: 1_000 });
    await socket.next("consuming");
    must(await stub.publish({ batch: batchOf("a") }));
    await socket.next("deliver");
  });

  it("is found silent by the alarm when nothing else happens", async () => {
    const stub = await declare("idle", { retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } });
    must(await stub.publish({ batch: batchOf("a") }));
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", heartbeatMs: 1_000, leaseMs: 3_600_000 });
    await socket.next("consuming");
    await socket.next("deliver");
    await evictDurableObject(stub);
    expect((await socket.next("cancelled")).head).toMatchObject({ reason: "heartbeat_lost" });
    expect(must(await stub.inspect()).counts).toMatchObject({ ready: 1, leased: 0 });
  });

  it("gets the same delivery again for the attempt id of a wait", async () => {
    const stub = await declare("attempt");
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", once: true, credit: 5, consumer: "poll", attemptId: "try-1" });
    await socket.next("consuming");
    must(await stub.publish({ batch: batchOf("a", "b") }));
    const { head } = await socket.next("deliver");
    await evictDurableObject(stub);
    const again = must(await stub.receive({ consumer: "poll", max: 5, attemptId: "try-1" }));
    expect(again.lease).toBe(head.lease);
  });

  it("counts as gone when its heartbeat stops", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declare("silent", { retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } });
    must(await stub.publish({ batch: batchOf("a") }));
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", consumer: "mute", heartbeatMs: 1_000, leaseMs: 600_000 });
    await socket.next("consuming");
    await socket.next("deliver");
    vi.setSystemTime(Date.now() + 60_000);
    const delivery = must(await stub.receive({ consumer: "t", max: 1 }));
    expect(delivery.lease).toBe(0);
    expect((await socket.next("cancelled")).head).toMatchObject({ reason: "heartbeat_lost" });
    const [message] = deliveryToJson(must(await stub.receive({ consumer: "t", max: 1 })), codec);
    expect(message).toMatchObject({ body: "a", attempt: 2, failures: 1 });
  });

  it("ends with its token, in the middle of a delivery too", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declare("expiry");
    must(await stub.publish({ batch: batchOf("a") }));
    const socket = await TestSocket.open(stub, { expiresMs: Date.now() + 10_000 });
    socket.send({ type: "consume", consumer: "late" });
    await socket.next("consuming");
    const { lease } = (await socket.next("deliver")).head;
    vi.setSystemTime(Date.now() + 10_001);
    socket.send({ type: "settle", settlements: [{ lease, verdict: "ack" }] });
    expect((await socket.next("cancelled")).head).toMatchObject({ reason: "token_expired" });
    expect((await socket.next("error")).head).toMatchObject({ code: "unauthenticated" });
    expect((await socket.closed).code).toBe(1008);
    await runAlarm(stub);
    expect(must(await stub.inspect())).toMatchObject({
      counts: { ready: 1, leased: 0 },
      totals: { acked: 0 },
    });
  });

  it("publishes no faster than its token may", async () => {
    const stub = await declare("rate");
    const publishRate = { bucket: "t", ratePerSecond: 2 };
    const socket = await TestSocket.open(stub, { publishRate });
    socket.send({ type: "publish", ref: 1, messages: [{ body: "a" }, { body: "b" }] });
    expect((await socket.next("confirm")).head).toMatchObject({ ref: 1 });
    socket.send({ type: "publish", ref: 2, messages: [{ body: "c" }] });
    expect((await socket.next("error")).head).toMatchObject({ ref: 2, code: "rate_limited" });
    expect(must(await stub.inspect()).counts.ready).toBe(2);
  });

  it("finds its token's bucket as another socket, and HTTP, have left it", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declare("shared-rate");
    const rate = { bucket: "t", ratePerSecond: 1 };
    for (let i = 0; i < 3; i++) {
      const socket = await TestSocket.open(stub, { publishRate: rate });
      socket.send({ type: "publish", ref: i, messages: [{ body: `${i}` }] });
      const { head } = await socket.any();
      expect([head.type, i]).toEqual([i === 0 ? "confirm" : "error", i]);
      socket.close();
    }
    expect(await stub.publish({ batch: batchOf("http"), rate })).toMatchObject({ code: "rate_limited" });
    const [mine, others] = await stub.publishAll([
      { batch: batchOf("mine"), rate },
      { batch: batchOf("others"), rate: { ...rate, bucket: "u" } },
    ]);
    expect([mine, others]).toMatchObject([{ code: "rate_limited" }, { ok: true }]);
    vi.setSystemTime(Date.now() + 1_000);
    must(await stub.publish({ batch: batchOf("paid"), rate }));
    expect(must(await stub.inspect()).counts.ready).toBe(3);
  });

  it("pays off a large batch though the queue sleeps meanwhile", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declare("debt");
    const rate = { bucket: "t", ratePerSecond: 1 };
    must(await stub.publish({ batch: batchOf(...Array.from({ length: 100 }, String)), rate }));
    await evictDurableObject(stub);
    vi.setSystemTime(Date.now() + 50_000);
    expect(await stub.publish({ batch: batchOf("too soon"), rate })).toMatchObject({
      code: "rate_limited",
      facts: { retryAfterMs: 50_000 },
    });
    vi.setSystemTime(Date.now() + 50_000);
    must(await stub.publish({ batch: batchOf("paid"), rate }));
  });

  it("does only what its token grants", async () => {
    const stub = await declare("grants");
    const reader = await TestSocket.open(stub, { publish: false });
    reader.send({ type: "publish", ref: 5, messages: [{ body: "x" }] });
    expect((await reader.next("error")).head).toMatchObject({ ref: 5, code: "forbidden" });
    const writer = await TestSocket.open(stub, { consume: false });
    writer.send({ type: "consume" });
    expect((await writer.next("error")).head).toMatchObject({ code: "forbidden" });
    writer.send({ type: "ping", ref: 6 });
    expect((await writer.next("pong")).head).toMatchObject({ ref: 6 });
  });

  it("takes one delivery when asked once, and the lease stays when it closes", async () => {
    const stub = await declare("once");
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", once: true, credit: 5, consumer: "poll" });
    await socket.next("consuming");
    must(await stub.publish({ batch: batchOf("a") }));
    const { head } = await socket.next("deliver");
    expect((await socket.next("cancelled")).head).toMatchObject({ reason: "once" });
    socket.close();
    await evictDurableObject(stub);
    expect(must(await stub.inspect()).counts).toMatchObject({ leased: 1 });
    const { lease, key } = head;
    expect(must(await stub.settle([{ lease, verdict: "ack" }]))).toMatchObject([{ settled: 0 }]);
    expect(must(await stub.settle([{ lease, key: key!, verdict: "ack" }]))).toMatchObject([{ settled: 1 }]);
  });
});

describe("a socket whose token can be revoked", () => {
  const namespace = () => env.NAMESPACES.getByName("test");

  async function consuming(name: string, jti: string): Promise<{ stub: QueueStub; socket: TestSocket }> {
    const stub = await declare(name);
    must(await stub.publish({ batch: batchOf("a") }));
    const socket = await TestSocket.open(stub, { jti });
    socket.send({ type: "consume", consumer: "c", leaseMs: 3_600_000 });
    await socket.next("consuming");
    await socket.next("deliver");
    return { stub, socket };
  }

  /** It asks its namespace for room no more. */
  async function declareRoomy(name: string): Promise<QueueStub> {
    const stub = await declare(name);
    must(await stub.publish({ batch: batchOf("x") }));
    must(await stub.purge({}));
    return stub;
  }

  it("ends with the first frame after the lag, and gives back what it held", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { stub, socket } = await consuming("revoked", "t1");
    const other = await TestSocket.open(stub, { jti: "t2" });
    must(await namespace().revokeToken("t1", Date.now() + 3_600_000));
    // The list was asked for when it began to consume, and is good for a while.
    socket.send({ type: "ping", ref: 1 });
    await socket.next("pong");
    vi.setSystemTime(Date.now() + LIMITS.revocationLagMs);
    socket.send({ type: "publish", ref: 2, messages: [{ body: "too late" }] });
    expect((await socket.next("cancelled")).head).toMatchObject({ reason: "token_revoked", consumer: "c" });
    expect((await socket.next("error")).head).toMatchObject({ code: "unauthenticated" });
    expect((await socket.closed).code).toBe(1008);
    await vi.waitFor(async () =>
      expect(must(await stub.inspect())).toMatchObject({
        counts: { ready: 1, leased: 0 },
        totals: { published: 1, failed: 0 },
      }),
    );
    other.send({ type: "ping", ref: 3 });
    await other.next("pong");
  });

  it("is found by the alarm while it holds messages, through an eviction", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { stub, socket } = await consuming("idle-revoked", "t1");
    const alarmMs = await runInDurableObject(stub, (_object, state) => state.storage.getAlarm());
    expect(alarmMs).toBe(Date.now() + LIMITS.revocationLagMs);
    must(await namespace().revokeToken("t1", Date.now() + 3_600_000));
    await evictDurableObject(stub);
    vi.setSystemTime(Date.now() + LIMITS.revocationLagMs);
    await runAlarm(stub);
    expect((await socket.next("cancelled")).head).toMatchObject({ reason: "token_revoked" });
    expect(await socket.closed).toMatchObject({ code: 1008, reason: "token_revoked" });
    expect(must(await stub.inspect()).counts).toMatchObject({ ready: 1, leased: 0 });
  });

  it("gets nothing more once the lag is over, though it holds nothing and says nothing", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declare("quiet-revoked");
    const socket = await TestSocket.open(stub, { jti: "t1" });
    const heir = await TestSocket.open(stub, { jti: "t2" });
    socket.send({ type: "consume", priority: 1 });
    await socket.next("consuming");
    must(await namespace().revokeToken("t1", Date.now() + 3_600_000));
    vi.setSystemTime(Date.now() + LIMITS.revocationLagMs);
    heir.send({ type: "consume" });
    await heir.next("consuming");
    vi.setSystemTime(Date.now() + 2 * LIMITS.revocationLagMs);
    must(await stub.publish({ batch: batchOf("secret") }));
    expect((await socket.next("cancelled")).head).toMatchObject({ reason: "token_revoked" });
    expect(await socket.closed).toMatchObject({ code: 1008, reason: "token_revoked" });
    expect(bodies((await heir.next("deliver")).head.messages)).toEqual(["secret"]);
  });

  it("is delivered to after the lag where it holds, and the publish waits for no answer", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declareRoomy("judged");
    const socket = await TestSocket.open(stub, { jti: "t1" });
    socket.send({ type: "consume" });
    await socket.next("consuming");
    vi.setSystemTime(Date.now() + LIMITS.revocationLagMs);
    const answers: (() => void)[] = [];
    await fakeNamespaces(stub, () => new Promise((resolve) => answers.push(() => resolve(ok([])))));
    must(await stub.publish({ batch: batchOf("a") }));
    must(await stub.publish({ batch: batchOf("b") }));
    await vi.waitFor(() => expect(answers).toHaveLength(1));
    await runInDurableObject(stub, () => answers[0]!());
    expect(bodies((await socket.next("deliver")).head.messages)).toEqual(["a", "b"]);
  });

  it("gets what waits for it as soon as the list can be had again", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declareRoomy("retried");
    const socket = await TestSocket.open(stub, { jti: "t1" });
    socket.send({ type: "consume" });
    await socket.next("consuming");
    vi.setSystemTime(Date.now() + LIMITS.revocationLagMs);
    let asked = 0;
    await fakeNamespaces(stub, () => {
      asked++;
      return Promise.reject(new Error("away"));
    });
    must(await stub.publish({ batch: batchOf("a") }));
    await vi.waitFor(async () =>
      expect(await runInDurableObject(stub, (_object, state) => state.storage.getAlarm())).not.toBeNull(),
    );
    expect(asked).toBe(1);
    restore();
    vi.setSystemTime(Date.now() + 1_000);
    await runAlarm(stub);
    expect(bodies((await socket.next("deliver")).head.messages)).toEqual(["a"]);
  });

  it("has its frames handled in the order in which they came, though the first waits for the list", async () => {
    const stub = await declare("ordered");
    const socket = await TestSocket.open(stub, { jti: "t1" });
    let answer = (): void => undefined;
    let asked = 0;
    await fakeNamespaces(stub, () => {
      asked++;
      return new Promise((resolve) => (answer = () => resolve(ok([]))));
    });
    socket.send({ type: "publish", ref: 1, messages: [{ body: "1" }] });
    await vi.waitFor(() => expect(asked).toBe(1));
    for (const ref of [2, 3]) socket.send({ type: "publish", ref, messages: [{ body: `${ref}` }] });
    // Time for them to arrive, and to overtake the first.
    await scheduler.wait(100);
    await runInDurableObject(stub, () => {
      restore();
      answer();
    });
    for (const ref of [1, 2, 3])
      expect((await socket.next("confirm")).head).toMatchObject({ ref, sequences: [[ref, 1]] });
    expect(asked).toBe(1);
  });

  it("is closed when nobody can tell whether it was revoked", async () => {
    const stub = await declare("unknown");
    const socket = await TestSocket.open(stub, { jti: "t1" });
    await fakeNamespaces(stub, () => Promise.reject(new Error("away")));
    socket.send({ type: "publish", ref: 1, messages: [{ body: "x" }] });
    expect((await socket.next("error")).head).toMatchObject({ code: "unavailable" });
    expect((await socket.closed).code).toBe(1008);
    restore();
    expect(must(await stub.inspect()).totals.published).toBe(0);
  });

  it("is no consumer when it closes while its consume waits for the list", async () => {
    const stub = await declare("hasty");
    const socket = await TestSocket.open(stub, { jti: "t1" });
    let answer = (): void => undefined;
    let isAsked = false;
    await fakeNamespaces(stub, () => {
      isAsked = true;
      return new Promise((resolve) => (answer = () => resolve(ok([]))));
    });
    socket.send({ type: "consume" });
    await vi.waitFor(() => expect(isAsked).toBe(true));
    socket.close();
    await runInDurableObject(stub, (_object, state) =>
      vi.waitFor(() => expect(state.getWebSockets()).toEqual([])),
    );
    await runInDurableObject(stub, () => answer());
    restore();
    await vi.waitFor(async () => {
      must(await stub.pause(false));
      expect(must(await stub.inspect()).consumers).toEqual([]);
    });
  });
});

async function fakeNamespaces(
  stub: QueueStub,
  revokedTokens: () => Promise<Result<string[]>>,
): Promise<void> {
  await runInDurableObject(stub, (object: QueueObject) => {
    const { env: bound } = object as unknown as { env: Record<string, unknown> };
    const before = bound["NAMESPACES"];
    bound["NAMESPACES"] = { getByName: () => ({ revokedTokens }) };
    restore = () => (bound["NAMESPACES"] = before);
  });
}
