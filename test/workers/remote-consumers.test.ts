// Consumers on hubs: what the queue's object sends, when, and what it makes of the answers.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { QueueObject } from "../../src/objects/queue-object.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import { deliveryToJson } from "../../src/protocol/message-json.ts";
import { ok, refuse, type Result } from "../../src/protocol/result.ts";
import type { RemoteConsumer, RemoteDelivery } from "../../src/protocol/rpc.ts";
import { fakeHubs, restorePeers } from "../support/fake-peers.ts";
import {
  batchOf,
  codec,
  declare,
  must,
  runAlarm,
  TestSocket,
  type QueueStub,
} from "../support/queue-client.ts";

afterEach(async () => {
  vi.useRealTimers();
  restorePeers();
  await reset();
});

const noWait = { retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } } as const;

/** A hub that keeps what it is given, and answers when the test lets it. */
class FakeHub {
  readonly calls: { queue: string; deliveries: readonly RemoteDelivery[] }[] = [];
  answer: (deliveries: readonly RemoteDelivery[]) => Promise<Result<{ gone: number[] }>> = async () =>
    ok({ gone: [] });

  async deliver(queue: string, deliveries: readonly RemoteDelivery[]): Promise<Result<{ gone: number[] }>> {
    this.calls.push({ queue, deliveries });
    return this.answer(deliveries);
  }

  bodies(): (string | undefined)[][] {
    return this.calls.map(({ deliveries }) =>
      deliveries.flatMap(({ delivery }) =>
        delivery ? deliveryToJson(delivery, codec).map(({ body }) => body) : [],
      ),
    );
  }
}

async function attach(stub: QueueStub, wish: Partial<RemoteConsumer> = {}): Promise<number> {
  const whole = { hub: "h1", session: 7, subject: "", name: "remote", credit: 20, ...wish };
  return must(await stub.attachRemote(whole)).ids[0]!;
}

async function withHub(name: string, config = {}): Promise<{ stub: QueueStub; hub: FakeHub }> {
  const stub = await declare(name, config);
  const hub = new FakeHub();
  await runInDurableObject(stub, (object) => fakeHubs(object, () => hub));
  return { stub, hub };
}

describe("deliveries to a hub", () => {
  it("name the queue, the consumer and its session, and are settled as any other", async () => {
    const { stub, hub } = await withHub("remote");
    const id = await attach(stub, { credit: 2 });
    must(await stub.publish({ batch: batchOf("a", "b", "c") }));
    await vi.waitFor(() => expect(hub.bodies()).toEqual([["a", "b"]]));
    expect(hub.calls[0]).toMatchObject({ queue: "remote", deliveries: [{ id, session: 7 }] });
    const { lease } = hub.calls[0]!.deliveries[0]!.delivery!;
    expect(must(await stub.settle([{ lease, verdict: "ack" }]))).toMatchObject([{ settled: 2 }]);
    await vi.waitFor(() => expect(hub.bodies()).toEqual([["a", "b"], ["c"]]));
    must(await stub.detachRemote([id], "released"));
    expect(must(await stub.inspect())).toMatchObject({ counts: { ready: 1, leased: 0 }, consumers: [] });
  });

  it("go on after an eviction, and share the numbering with sockets", async () => {
    const { stub } = await withHub("evicted");
    const id = await attach(stub);
    await evictDurableObject(stub);
    const hub = new FakeHub();
    await runInDurableObject(stub, (object) => fakeHubs(object, () => hub));
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", consumer: "local" });
    await socket.next("consuming");
    const later = await attach(stub, { session: 8, name: "later" });
    expect(later).toBeGreaterThan(id);
    const names = must(await stub.inspect()).consumers.map(({ consumer }) => consumer);
    expect(names).toEqual(["remote", "local", "later"]);
    must(await stub.publish({ batch: batchOf("a", "b", "c") }));
    await socket.next("deliver");
    await vi.waitFor(() => expect(hub.calls.flatMap(({ deliveries }) => deliveries)).toHaveLength(2));
  });

  it("never go by an id that another consumer had, even in an earlier life", async () => {
    const stub = await declare("ids");
    const first = await attach(stub);
    must(await stub.detachRemote([first], "released"));
    await evictDurableObject(stub);
    expect(await attach(stub)).toBeGreaterThan(first);
  });

  it("are gathered while a call is under way, one call to each hub at a time", async () => {
    const { stub, hub } = await withHub("gathered");
    const other = new FakeHub();
    await runInDurableObject(stub, (object) => fakeHubs(object, (name) => (name === "h1" ? hub : other)));
    let release = (): void => undefined;
    hub.answer = () => new Promise((resolve) => (release = () => resolve(ok({ gone: [] }))));
    await attach(stub, { credit: 3 });
    for (const text of ["a", "b", "c"]) must(await stub.publish({ batch: batchOf(text) }));
    expect(hub.bodies()).toEqual([["a"]]);
    await attach(stub, { hub: "h2", credit: 1 });
    must(await stub.publish({ batch: batchOf("d") }));
    await vi.waitFor(() => expect(other.bodies()).toEqual([["d"]]));
    expect(hub.bodies()).toEqual([["a"]]);
    await runInDurableObject(stub, () => release());
    await vi.waitFor(() => expect(hub.bodies()).toEqual([["a"], ["b", "c"]]));
    await runInDurableObject(stub, () => release());
  });

  it("that find a consumer gone detach it as lost; the others of the call stay", async () => {
    const { stub, hub } = await withHub("gone", noWait);
    const gone = await attach(stub, { credit: 1 });
    await attach(stub, { session: 8, name: "stays", credit: 1 });
    hub.answer = async () => ok({ gone: [gone] });
    must(await stub.publish({ batch: batchOf("a", "b") }));
    await vi.waitFor(async () =>
      expect(must(await stub.inspect()).consumers).toMatchObject([{ consumer: "stays", unsettled: 1 }]),
    );
    const [message] = deliveryToJson(must(await stub.receive({ consumer: "t", max: 1 })), codec);
    expect(message).toMatchObject({ attempt: 2, failures: 1 });
  });

  it.each([
    ["throws", () => Promise.reject(new Error("the hub broke"))],
    ["refuses", async () => refuse("unavailable", "not now")],
  ])("to a hub that %s detach as lost, and it is told once", async (_how, answer) => {
    const { stub, hub } = await withHub("broken", noWait);
    const id = await attach(stub);
    hub.answer = answer;
    must(await stub.publish({ batch: batchOf("a") }));
    await vi.waitFor(() => expect(hub.calls).toHaveLength(2));
    expect(hub.calls[1]!.deliveries).toEqual([{ id, session: 7, ended: "lease_lost" }]);
    await vi.waitFor(async () => expect(must(await stub.inspect()).consumers).toEqual([]));
    const [message] = deliveryToJson(must(await stub.receive({ consumer: "t", max: 1 })), codec);
    expect(message).toMatchObject({ body: "a", attempt: 2, failures: 1 });
    expect(hub.calls).toHaveLength(2);
    expect(
      await stub.attachRemote({ ids: [id], hub: "h1", session: 7, subject: "", name: "remote", credit: 1 }),
    ).toMatchObject({
      code: "not_consuming",
    });
  });
});

describe("a hub that does not renew", () => {
  it("loses its consumers by alarm, and is told", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { stub, hub } = await withHub("lapsed", noWait);
    const id = await attach(stub);
    const alarmMs = await runInDurableObject(stub, (_object: QueueObject, state) => state.storage.getAlarm());
    expect(alarmMs).toBe(Date.now() + LIMITS.hubLeaseMs);
    vi.setSystemTime(Date.now() + LIMITS.hubLeaseMs);
    await runAlarm(stub);
    expect(must(await stub.inspect()).consumers).toEqual([]);
    await vi.waitFor(() => expect(hub.calls).toHaveLength(1));
    expect(hub.calls[0]!.deliveries).toEqual([{ id, session: 7, ended: "lease_lost" }]);
  });
});

describe("a queue that is deleted", () => {
  it("tells its remote consumers, and forgets them", async () => {
    const { stub, hub } = await withHub("deleted");
    const id = await attach(stub);
    must(await stub.remove({ ifEmpty: false, ifUnused: false }));
    await vi.waitFor(() => expect(hub.calls).toHaveLength(1));
    expect(hub.calls[0]!.deliveries).toEqual([{ id, session: 7, ended: "queue_deleted" }]);
    await declare("deleted");
    expect(must(await stub.inspect()).consumers).toEqual([]);
  });

  it("is not deleted while a remote consumer uses it, where only an unused one may go", async () => {
    const { stub } = await withHub("used");
    await attach(stub);
    expect(await stub.remove({ ifEmpty: false, ifUnused: true })).toMatchObject({ code: "queue_in_use" });
  });
});
