// Consumers whose socket is on a hub: served like all others, stored, and gone when their hub does not renew.
import { describe, expect, it } from "vitest";
import { LIMITS } from "../../../src/protocol/limits.ts";
import type { Result } from "../../../src/protocol/result.ts";
import type { RemoteConsumer } from "../../../src/protocol/rpc.ts";
import { QueueHarness } from "../../support/queue-harness.ts";
import { bodies, decode, inBothLives, must, numbered } from "../../support/queue-lives.ts";

type Wish = Partial<RemoteConsumer>;
type Attached = { ids: readonly number[]; active: boolean; leaseMs: number };

/** Attaches as the shell does: the id is given from outside, and later than all before. */
function tryAttach(q: QueueHarness, newId: number, wish: Wish = {}): Result<Attached> {
  const whole = { hub: "h1", session: newId * 10, subject: "", name: `remote-${newId}`, credit: 20, ...wish };
  return q.run((queue, nowMs) => queue.attachRemote(whole, newId, nowMs));
}

function attach(q: QueueHarness, newId: number, wish: Wish = {}): Attached {
  return must(tryAttach(q, newId, wish));
}

function renew(q: QueueHarness, id: number, wish: Wish = {}): Result<Attached> {
  return tryAttach(q, 9_999, { ids: [id], session: id * 10, name: `remote-${id}`, ...wish });
}

/** The ids that the queue has lost. */
function renewHub(q: QueueHarness, ids: readonly number[], hub = "h1"): number[] {
  const held = ids.map((id) => ({ session: id * 10, ids: [id] }));
  return q.run((queue, nowMs) => queue.renewRemotes(hub, held, nowMs));
}

function dispatched(q: QueueHarness): Record<number, (string | undefined)[]> {
  return Object.fromEntries(
    q.dispatch().map(({ consumer, delivery }) => [consumer.id, bodies(decode(q, delivery))]),
  );
}

describe("a remote consumer", () => {
  inBothLives("gets no more than its credit, in its turn beside those with a socket here", (make) => {
    const q = make();
    const local = q.attach({ credit: 2 });
    const {
      ids: [id],
      active,
      leaseMs,
    } = attach(q, 50, { credit: 1 });
    expect([id, active, leaseMs]).toEqual([50, true, LIMITS.hubLeaseMs]);
    must(q.publish(...numbered(5)));
    expect(dispatched(q)).toEqual({ [local]: ["0", "1"], 50: ["2"] });
    expect(q.dispatch()).toEqual([]);
    must(q.run((queue) => queue.changeRemote(50, 3)));
    expect(dispatched(q)).toEqual({ 50: ["3", "4"] });
    expect(q.info().consumers).toMatchObject([
      { consumer: `consumer-${local}`, unsettled: 2 },
      { consumer: "remote-50", credit: 3, unsettled: 3 },
    ]);
  });

  inBothLives("has its priority, its lease time and its name in the log", (make) => {
    const q = make({ config: { retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } } });
    q.attach({ credit: 5 });
    attach(q, 50, { priority: 7, leaseMs: 5_000, credit: 1 });
    must(q.publish("x"));
    const [sent] = q.dispatch();
    expect([sent!.consumer.id, sent!.delivery.untilMs - q.nowMs]).toEqual([50, 5_000]);
    q.advance(5_000);
    q.dispatch();
    const view = must(q.run((queue, nowMs) => queue.peek({ state: "leased", limit: 1 }, nowMs)));
    expect(view.messages[0]!.log).toMatchObject([{ consumer: "remote-50", outcome: "lease_expired" }]);
  });

  inBothLives("is the single active one when it came first, and hands over when it goes", (make) => {
    const q = make({ config: { singleActiveConsumer: true } });
    expect(attach(q, 50, { credit: 1 }).active).toBe(true);
    expect(attach(q, 51, { credit: 1 }).active).toBe(false);
    must(q.publish("1", "2"));
    expect(dispatched(q)).toEqual({ 50: ["1"] });
    q.run((queue, nowMs) => queue.detachRemote(50, "released", nowMs));
    expect(dispatched(q)).toEqual({ 51: ["1"] });
  });

  inBothLives("keeps all others out when it is exclusive, and is kept out by one that is", (make) => {
    const q = make();
    attach(q, 50, { exclusive: true });
    expect(() => q.attach()).toThrow("consumer_exclusive");
    expect(tryAttach(q, 51)).toMatchObject({ ok: false, code: "consumer_exclusive" });
    expect(renew(q, 50, { exclusive: true })).toMatchObject({ ok: true });
    q.run((queue, nowMs) => queue.detachRemote(50, "released", nowMs));
    q.attach({ isExclusive: true });
    expect(tryAttach(q, 52)).toMatchObject({ ok: false, code: "consumer_exclusive" });
  });

  inBothLives("gives back what it held: uncharged when released, the oldest charged when lost", (make) => {
    const q = make({ config: { retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } } });
    must(q.publish("1", "2"));
    attach(q, 50);
    q.dispatch();
    q.run((queue, nowMs) => queue.detachRemote(50, "released", nowMs));
    attach(q, 51);
    q.dispatch();
    q.run((queue, nowMs) => queue.detachRemote(51, "lost", nowMs));
    q.run((queue, nowMs) => queue.detachRemote(51, "lost", nowMs));
    expect(q.take(9)).toMatchObject([
      { body: "1", attempt: 3, failures: 1 },
      { body: "2", attempt: 3, failures: 0 },
    ]);
  });

  inBothLives("keeps what it holds through a restart in which every socket here is lost", (make) => {
    const q = make();
    must(q.publish("1", "2"));
    attach(q, 50, { credit: 1 });
    const [sent] = q.dispatch();
    q.attach();
    q.evict({ sockets: "close" });
    expect(q.info()).toMatchObject({ counts: { leased: 1 }, consumers: [{ consumer: "remote-50" }] });
    expect(q.settle({ lease: sent!.delivery.lease, verdict: "ack" })).toMatchObject([{ settled: 1 }]);
    expect(dispatched(q)).toEqual({ 50: ["2"] });
  });

  inBothLives("is written anew only when a renewal finds little left of its lease, or a change", (make) => {
    const q = make();
    attach(q, 50, { credit: 1 });
    const written = (run: () => unknown): number => {
      const before = q.counted.rowsWritten;
      run();
      return q.counted.rowsWritten - before;
    };
    q.advance(60_000);
    expect(written(() => must(renew(q, 50, { credit: 1 })))).toBe(0);
    expect(written(() => must(renew(q, 50, { credit: 2 })))).toBe(1);
    q.advance((LIMITS.hubLeaseMs * 3) / 5);
    expect(written(() => must(renew(q, 50, { credit: 2 })))).toBe(1);
    q.advance(LIMITS.hubLeaseMs - 1);
    must(renew(q, 50, { credit: 2 }));
    expect(q.info().consumers).toHaveLength(1);
  });

  inBothLives("lasts as long as its hub renews it, and what it asks for is set anew", (make) => {
    const q = make();
    attach(q, 50, { credit: 1 });
    for (let i = 0; i < 3; i++) {
      q.advance(LIMITS.hubLeaseMs - 1);
      expect(must(renew(q, 50, { credit: 2 })).ids).toEqual([50]);
    }
    must(q.publish("1", "2", "3"));
    expect(dispatched(q)).toEqual({ 50: ["1", "2"] });
    expect(renew(q, 51)).toMatchObject({ ok: false, code: "not_consuming" });
    expect(renew(q, 50, { hub: "h2" })).toMatchObject({ ok: false, code: "not_consuming" });
    expect(renew(q, 50, { session: 1 })).toMatchObject({ ok: false, code: "not_consuming" });
    expect(q.run((queue) => queue.changeRemote(51, 1))).toMatchObject({ code: "not_consuming" });
  });

  inBothLives("is lost when its lease runs out, which wakes the queue", (make) => {
    const q = make({ config: { retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } } });
    must(q.publish("1"));
    attach(q, 50, { leaseMs: LIMITS.leaseMsMax });
    const startMs = q.nowMs;
    q.dispatch();
    attach(q, 51, { hub: "h2" });
    expect(q.wakeMs()).toBe(startMs + LIMITS.hubLeaseMs);
    q.advance(LIMITS.hubLeaseMs - 1);
    must(renew(q, 51, { hub: "h2" }));
    expect(q.info().consumers).toHaveLength(2);
    q.advance(1);
    expect(q.info().consumers).toMatchObject([{ consumer: "remote-51" }]);
    expect(q.wakeMs()).toBe(startMs + 2 * LIMITS.hubLeaseMs - 1);
    expect(dispatched(q)).toEqual({ 51: ["1"] });
    expect(renew(q, 50)).toMatchObject({ ok: false, code: "not_consuming" });
  });

  inBothLives("whose lease has run out is handed nothing, even where the alarm is late", (make) => {
    const q = make();
    attach(q, 50);
    q.nowMs += LIMITS.hubLeaseMs;
    must(q.publish("1"));
    expect(q.dispatch()).toEqual([]);
    attach(q, 51);
    q.nowMs += LIMITS.hubLeaseMs;
    expect(renew(q, 51)).toMatchObject({ ok: false, code: "not_consuming" });
  });

  it("is named once when its lease has run out, so that its hub is told", () => {
    const q = new QueueHarness();
    attach(q, 50);
    const lapsed = q.run((queue, nowMs) => {
      queue.tick(nowMs + LIMITS.hubLeaseMs);
      return queue.takeLapsedRemotes();
    });
    expect(lapsed).toMatchObject([{ id: 50, hub: "h1", session: 500 }]);
    expect(q.run((queue) => queue.takeLapsedRemotes())).toEqual([]);
  });

  inBothLives("is renewed with all others of its hub, which costs one row now and then", (make) => {
    const q = make();
    const ids = Array.from({ length: 100 }, (_, i) => i + 50);
    for (const id of ids) attach(q, id);
    const startMs = q.nowMs;
    const before = q.counted.rowsWritten;
    for (let minute = 1; minute <= 60; minute++) {
      q.advance(60_000);
      expect(renewHub(q, ids)).toEqual([]);
      expect(q.wakeMs()).toBeGreaterThan(q.nowMs);
    }
    expect(q.info().consumers).toHaveLength(ids.length);
    expect(q.counted.rowsWritten - before).toBeLessThan(25);
    expect(q.nowMs - startMs).toBe(60 * 60_000);
  });

  inBothLives("keeps its hub's lease when the consumer goes in whose row it stood", (make) => {
    const q = make();
    for (const id of [50, 51, 52]) attach(q, id);
    for (const id of [50, 51]) {
      q.advance(LIMITS.hubLeaseMs - 1);
      expect(
        renewHub(
          q,
          [50, 51, 52].filter((one) => one >= id),
        ),
      ).toEqual([]);
      q.run((queue, nowMs) => queue.detachRemote(id, "released", nowMs));
    }
    q.advance(LIMITS.hubLeaseMs - 1);
    expect(q.info().consumers).toMatchObject([{ consumer: "remote-52" }]);
    q.advance(1);
    expect(q.info().consumers).toEqual([]);
  });

  inBothLives(
    "that its hub holds no more is lost at a renewal, unless the hub may not know of it yet",
    (make) => {
      const q = make({ config: { retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } } });
      must(q.publish("1"));
      attach(q, 50);
      q.dispatch();
      attach(q, 51);
      attach(q, 52, { hub: "h2" });
      q.advance(LIMITS.hubLeaseMs / 5);
      attach(q, 53);
      expect(renewHub(q, [51, 99])).toEqual([99]);
      expect(q.info().consumers.map(({ consumer }) => consumer)).toEqual([
        "remote-51",
        "remote-52",
        "remote-53",
      ]);
      expect(q.take(9)).toMatchObject([{ body: "1", failures: 1 }]);
      expect(renewHub(q, [52])).toEqual([52]);
    },
  );

  it("gets no more than a session may leave unread, until it settles, whatever becomes of its leases", () => {
    const q = new QueueHarness({ config: { maxFailures: null } });
    for (let i = 0; i < 8; i++) must(q.publish({ body: new Uint8Array(900_000) }));
    attach(q, 50, { credit: 100, leaseMs: 1_000 });
    const first = q.dispatch();
    expect(first).toHaveLength(3);
    q.advance(5_000);
    expect(must(renew(q, 50, { credit: 100, leaseMs: 1_000 }))).toMatchObject({ ids: [50] });
    expect(q.dispatch()).toEqual([]);
    const { lease } = first[1]!.delivery;
    q.run((queue, nowMs) => queue.settle([{ lease, subject: "", verdict: "ack" }], nowMs));
    expect(q.dispatch()).toHaveLength(2);
  });

  inBothLives("counts to the most that a queue takes", (make) => {
    const q = make();
    q.run((queue, nowMs) => {
      const consumersMax = LIMITS.consumersMax;
      const wish = { hub: "h1", session: 1, subject: "", name: "c", credit: 1, consumersMax };
      for (let id = 1; id <= LIMITS.consumersMax; id++) must(queue.attachRemote(wish, id, nowMs));
    });
    expect(tryAttach(q, 5_000)).toMatchObject({ ok: false, code: "too_many_consumers" });
  });
});
