// Who gets the next delivery.
import { describe, expect, it } from "vitest";
import { LIMITS } from "../../../src/protocol/limits.ts";
import type { Dispatched } from "../../../src/queue/consumers.ts";
import { QueueHarness } from "../../support/queue-harness.ts";
import { bodies, decode, inBothLives, must, numbered } from "../../support/queue-lives.ts";

function shares(q: QueueHarness, sent: readonly Dispatched[]): Record<string, string> {
  const all: Record<string, string> = {};
  for (const { consumer, delivery } of sent) {
    all[consumer.id] = [all[consumer.id], ...bodies(decode(q, delivery))].filter(Boolean).join(",");
  }
  return all;
}

function ack(q: QueueHarness, sent: readonly Dispatched[]): void {
  q.settle(...sent.map(({ delivery }) => ({ lease: delivery.lease, verdict: "ack" as const })));
}

describe("a consumer", () => {
  inBothLives("gets no more than its credit, and more when it has settled", (make) => {
    const q = make();
    must(q.publish(...numbered(10)));
    const id = q.attach({ credit: 3 });
    const sent = q.dispatch();
    expect(shares(q, sent)).toEqual({ [id]: "0,1,2" });
    expect(q.dispatch()).toEqual([]);
    q.settle({ lease: sent[0]!.delivery.lease, sequences: [[2, 1]], verdict: "ack" });
    expect(shares(q, q.dispatch())).toEqual({ [id]: "3" });
    expect(q.info().consumers).toMatchObject([{ credit: 3, unsettled: 3, active: true }]);
  });

  inBothLives("gets nothing with no credit, and nothing while it drains", (make) => {
    const q = make();
    must(q.publish("x"));
    q.attach({ credit: 0 });
    q.attach({ isDraining: true });
    expect(q.dispatch()).toEqual([]);
  });

  inBothLives("shares what is ready fairly with the others", (make) => {
    const q = make();
    must(q.publish(...numbered(6)));
    const ids = [q.attach({ credit: 20 }), q.attach({ credit: 20 }), q.attach({ credit: 20 })];
    const counts = Object.values(shares(q, q.dispatch())).map((share) => share.split(",").length);
    expect(counts).toHaveLength(ids.length);
    expect(counts.every((count) => count === 2)).toBe(true);
  });

  it("comes round in turn when messages come one by one", () => {
    const q = new QueueHarness();
    const ids = [q.attach(), q.attach(), q.attach()];
    const served: number[] = [];
    for (const text of numbered(6)) {
      must(q.publish(text));
      const sent = q.dispatch();
      served.push(...sent.map(({ consumer }) => consumer.id));
      ack(q, sent);
    }
    expect(served).toEqual([...ids, ...ids]);
  });

  inBothLives("of a higher priority is served first, the others get what it has no credit for", (make) => {
    const q = make();
    must(q.publish("1", "2", "3"));
    const low = q.attach({ priority: 0, credit: 9 });
    const high = q.attach({ priority: 5, credit: 2 });
    expect(shares(q, q.dispatch())).toEqual({ [high]: "1,2", [low]: "3" });
  });

  inBothLives("that wants one delivery gets one, and is gone; its lease outlives its socket", (make) => {
    const q = make();
    const id = q.attach({ credit: 2, isOnce: true });
    expect(q.dispatch()).toEqual([]);
    must(q.publish("1", "2", "3"));
    const sent = q.dispatch();
    expect(shares(q, sent)).toEqual({ [id]: "1,2" });
    expect(q.info().consumers).toEqual([]);
    q.evict({ sockets: "close" });
    expect(q.info().counts).toMatchObject({ leased: 2, ready: 1 });
    ack(q, sent);
    expect(q.info().totals.acked).toBe(2);
  });

  inBothLives("gets its own lease time where it asked for one", (make) => {
    const q = make({ config: { leaseMs: 30_000 } });
    must(q.publish("1", "2"));
    q.attach({ credit: 1, leaseMs: 5_000 });
    q.attach({ credit: 1 });
    const untils = q.dispatch().map(({ delivery }) => delivery.untilMs - q.nowMs);
    expect(untils).toEqual([5_000, 30_000]);
  });

  inBothLives("whose lease ran out keeps its place and gets more", (make) => {
    const q = make({ config: { leaseMs: 1_000, retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } } });
    must(q.publish("1"));
    const id = q.attach({ credit: 1 });
    q.dispatch();
    q.advance(1_000);
    expect(shares(q, q.dispatch())).toEqual({ [id]: "1" });
  });

  inBothLives("that leaves gives back what it held, in its place", (make) => {
    const q = make();
    must(q.publish("1", "2", "3"));
    const id = q.attach({ credit: 2 });
    q.dispatch();
    q.detach(id, "released");
    const next = q.attach({ credit: 9 });
    expect(shares(q, q.dispatch())).toEqual({ [next]: "1,2,3" });
  });

  inBothLives("that did not outlive a restart loses its leases without a charge", (make) => {
    const q = make();
    must(q.publish("1", "2"));
    q.attach();
    q.dispatch();
    q.evict({ sockets: "close" });
    expect(q.take(9)).toMatchObject([
      { body: "1", attempt: 2, failures: 0 },
      { body: "2", attempt: 2, failures: 0 },
    ]);
  });

  it("beyond the part that one subject may have is refused, unless its token says more", () => {
    const q = new QueueHarness();
    const consumer = { subject: "greedy", name: "c", credit: 1, leaseMs: null, priority: 0 } as const;
    const flags = { isExclusive: false, isOnce: false, isDraining: false, attemptId: null } as const;
    q.run((queue) => {
      const { consumersOfOneMax } = LIMITS;
      for (let id = 1; id <= consumersOfOneMax; id++) must(queue.attach({ ...consumer, ...flags, id }));
      expect(queue.attach({ ...consumer, ...flags, id: 9_998 })).toMatchObject({
        code: "too_many_consumers",
        facts: { consumersMax: consumersOfOneMax },
      });
      must(queue.attach({ ...consumer, ...flags, id: 1, credit: 5 }));
      must(queue.attach({ ...consumer, ...flags, id: 9_999, subject: "other" }));
      must(queue.attach({ ...consumer, ...flags, id: 9_998 }, consumersOfOneMax + 1));
      expect(queue.attach({ ...consumer, ...flags, id: 9_997, subject: "other" }, 1)).toMatchObject({
        ok: false,
      });
    });
  });

  it("beyond the most that a queue takes is refused", () => {
    const q = new QueueHarness();
    const consumer = { subject: "", name: "c", credit: 1, leaseMs: null, priority: 0 } as const;
    const flags = { isExclusive: false, isOnce: false, isDraining: false, attemptId: null } as const;
    q.run((queue) => {
      for (let id = 1; id <= LIMITS.consumersMax; id++)
        must(queue.attach({ ...consumer, ...flags, id, subject: `s${id % 4}` }));
      expect(queue.attach({ ...consumer, ...flags, id: 9_999 })).toMatchObject({ ok: false });
      must(queue.attach({ ...consumer, ...flags, id: 1, credit: 5 }));
    });
  });
});

describe("a queue with a single active consumer", () => {
  const config = { singleActiveConsumer: true };

  inBothLives("serves the one that came first, then the next in line", (make) => {
    const q = make({ config });
    must(q.publish(...numbered(4)));
    const first = q.attach({ credit: 1 });
    const second = q.attach({ credit: 1, priority: 9 });
    const sent = q.dispatch();
    expect(shares(q, sent)).toEqual({ [first]: "0" });
    expect(q.info().consumers.map(({ active }) => active)).toEqual([true, false]);
    ack(q, sent);
    q.detach(first);
    expect(q.info().consumers.map(({ active }) => active)).toEqual([true]);
    expect(shares(q, q.dispatch())).toEqual({ [second]: "1" });
  });

  inBothLives("takes the next in line as soon as the first one drains", (make) => {
    const q = make({ config });
    must(q.publish("1"));
    q.attach({ credit: 1, isDraining: true });
    const second = q.attach({ credit: 1 });
    expect(shares(q, q.dispatch())).toEqual({ [second]: "1" });
  });
});

describe("an exclusive consumer", () => {
  inBothLives("has the queue for itself until it goes", (make) => {
    const q = make();
    const id = q.attach({ isExclusive: true });
    expect(() => q.attach()).toThrow("consumer_exclusive");
    expect(() => q.attach({ isExclusive: true })).toThrow("consumer_exclusive");
    q.detach(id, "released");
    q.attach();
    expect(() => q.attach({ isExclusive: true })).toThrow("consumer_exclusive");
  });
});

describe("a paused queue", () => {
  inBothLives("takes messages and settlements, and hands nothing out until it goes on", (make) => {
    const q = make();
    must(q.publish("1", "2"));
    const id = q.attach({ credit: 1 });
    const sent = q.dispatch();
    q.run((queue) => queue.store({ paused: true }));
    ack(q, sent);
    must(q.publish("3"));
    expect(q.dispatch()).toEqual([]);
    expect(q.take(9)).toEqual([]);
    expect(q.info()).toMatchObject({ paused: true, counts: { ready: 2, leased: 0 } });
    q.run((queue) => queue.store({ paused: false }));
    expect(shares(q, q.dispatch())).toEqual({ [id]: "2" });
  });

  inBothLives("still lets leases run out and messages expire", (make) => {
    const q = make({ config: { leaseMs: 1_000 } });
    must(q.publish("1", { text: "2", ttlMs: 500 }));
    q.take(1);
    q.run((queue) => queue.store({ paused: true }));
    q.advance(1_000);
    expect(q.info().counts).toMatchObject({ ready: 0, leased: 0, delayed: 1 });
  });
});
