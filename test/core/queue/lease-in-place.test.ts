// Leases that lie in their segments' rows: a message that goes out in the turn that stores it.
import { describe, expect, it } from "vitest";
import type { Delivery } from "../../../src/protocol/commands.ts";
import { deliveryToJson } from "../../../src/protocol/message-json.ts";
import { QueueHarness } from "../../support/queue-harness.ts";
import { inBothLives, must } from "../../support/queue-lives.ts";

const retry = { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } as const;

/** Publishes and delivers in one turn, as the object does. */
function push(q: QueueHarness, ...texts: string[]): Delivery {
  const batch = q.batch(...texts);
  const [sent] = q.run((queue, nowMs) => {
    must(queue.publish([{ batch }], nowMs)[0]!);
    return queue.dispatch(nowMs);
  });
  return sent!.delivery;
}

const leaseRows = (q: QueueHarness): number =>
  q.counted.value("SELECT count(*) AS value FROM lease WHERE slot > 0") ?? 0;

describe("a lease in its segment's row", () => {
  inBothLives("needs no row of its own, and its ack ends it", (make) => {
    const q = make();
    q.attach();
    for (const text of ["a", "b", "c"]) {
      const { lease } = push(q, text);
      q.evict();
      expect(q.info().counts).toMatchObject({ leased: 1, ready: 0 });
      expect(q.settle({ lease, verdict: "ack" })).toMatchObject([{ settled: 1 }]);
    }
    expect(leaseRows(q)).toBe(0);
    expect(q.info().totals).toMatchObject({ published: 3, delivered: 3, acked: 3 });
    expect(q.rowsIn("segment")).toBe(0);
  });

  inBothLives("is found again with all others, and gives nothing twice", (make) => {
    const q = make();
    q.attach({ credit: 100 });
    const leases = ["a", "b", "c", "d"].map((text) => push(q, text).lease);
    q.evict();
    expect(q.dispatch()).toEqual([]);
    expect(q.info().counts).toMatchObject({ leased: 4, ready: 0 });
    expect(q.info().totals).toMatchObject({ delivered: 4 });
    // One is settled, and a snapshot tells of the rest.
    q.settle({ lease: leases[1]!, verdict: "ack" });
    q.evict();
    expect(q.info().counts).toMatchObject({ leased: 3 });
    expect(q.settle(...leases.map((lease) => ({ lease, verdict: "ack" as const })))).toMatchObject(
      leases.map(() => ({ settled: 1, refused: [] })),
    );
    expect(new Set(leases).size).toBe(4);
  });

  for (const how of ["nack", "reject"] as const) {
    inBothLives(`counts a ${how} as any other lease does`, (make) => {
      const q = make({ config: { retry, nackDelayMs: 0 } });
      q.attach();
      const { lease } = push(q, "a");
      q.evict();
      q.settle({ lease, verdict: how, delayMs: 0 });
      q.evict();
      const [again] = deliveryToJson(q.dispatch()[0]!.delivery, q.codec);
      expect(again).toMatchObject({ body: "a", attempt: 2, failures: how === "reject" ? 1 : 0 });
      expect(q.settle({ lease, verdict: how, delayMs: 0 })).toMatchObject([{ settled: 1 }]);
      expect(q.settle({ lease, verdict: "ack" })).toMatchObject([{ refused: [{ code: "already_settled" }] }]);
    });
  }

  inBothLives("runs out, and is extended", (make) => {
    const q = make({ config: { retry, leaseMs: 5_000 } });
    q.attach();
    const { lease } = push(q, "a");
    q.advance(4_000);
    expect(q.settle({ lease, verdict: "extend", leaseMs: 5_000 })).toMatchObject([{ settled: 1 }]);
    q.evict();
    q.advance(4_000);
    expect(q.info().counts).toMatchObject({ leased: 1 });
    q.advance(1_000);
    expect(q.info().counts).toMatchObject({ leased: 0, ready: 1 });
  });

  inBothLives(
    "of messages with a time of their own keeps it, though it is stored only when they come back",
    (make) => {
      const q = make({ config: { onExpiry: "drop" } });
      q.attach();
      const batch = q.batch({ text: "a", ttlMs: 9_000 }, { text: "b", ttlMs: 5_000 });
      const [sent] = q.run((queue, nowMs) => {
        must(queue.publish([{ batch }], nowMs)[0]!);
        return queue.dispatch(nowMs);
      });
      expect(q.rowsIn("expiry")).toBe(0);
      q.evict();
      q.advance(1_000);
      q.settle({ lease: sent!.delivery.lease, verdict: "nack", delayMs: 60_000 });
      q.evict();
      expect(q.info().counts).toMatchObject({ delayed: 2 });
      q.advance(4_000);
      expect(q.info().totals).toMatchObject({ expired: 1 });
      q.advance(4_000);
      expect(q.info().totals).toMatchObject({ expired: 2 });
      expect(q.rowsIn("expiry")).toBe(0);
    },
  );

  inBothLives("covers all of its segment: what was not given out waits for the next", (make) => {
    const q = make();
    q.attach({ credit: 1 });
    const { lease } = push(q, "a", "b", "c");
    q.evict();
    expect(q.info().counts).toMatchObject({ leased: 1, ready: 2 });
    expect(q.take(5)).toMatchObject([
      { body: "b", attempt: 1 },
      { body: "c", attempt: 1 },
    ]);
    expect(q.settle({ lease, verdict: "ack" })).toMatchObject([{ settled: 1 }]);
  });

  it("goes back when its socket did not outlive a restart, and the attempt is known", () => {
    const q = new QueueHarness();
    q.attach();
    push(q, "a", "b");
    q.evict({ sockets: "close" });
    expect(q.take(5)).toMatchObject([
      { body: "a", attempt: 2, failures: 0 },
      { body: "b", attempt: 2, failures: 0 },
    ]);
  });

  it("is acked twice without harm, also after an eviction", () => {
    const q = new QueueHarness();
    q.attach();
    const { lease, key } = push(q, "a");
    q.settle({ lease, verdict: "ack" });
    q.evict();
    expect(q.settle({ lease, verdict: "ack" })).toMatchObject([{ settled: 1, refused: [] }]);
    expect(q.settle({ lease, key: key!, subject: "other", verdict: "ack" })).toMatchObject([{ settled: 1 }]);
    expect(q.settle({ lease, subject: "other", verdict: "ack" })).toMatchObject([{ settled: 0 }]);
  });

  it("is never given again as a new one, whatever was lost with the snapshot", () => {
    const q = new QueueHarness();
    q.attach({ credit: 50 });
    const seen = new Set<number>();
    for (let i = 0; i < 40; i++) {
      seen.add(push(q, `m${i}`).lease);
      q.evict();
    }
    expect(seen.size).toBe(40);
    expect(q.info().counts).toMatchObject({ leased: 40, ready: 0 });
  });
});
