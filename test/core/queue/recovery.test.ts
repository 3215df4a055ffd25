// Waking from storage: exact, and at a cost that does not grow with what waits.
import { describe, expect, it } from "vitest";
import { TABLE_STRIDE } from "../../../src/protocol/batch.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { Segment, Segments } from "../../../src/queue/segments.ts";
import { migrate } from "../../../src/storage/migrations.ts";
import { QUEUE_MIGRATIONS } from "../../../src/storage/queue-schema.ts";
import { leaseOf, QueueHarness } from "../../support/queue-harness.ts";
import { NodeSql } from "../../support/node-sql.ts";
import { bodies, drain, must, numbered, settleMessage, takeOne } from "../../support/queue-lives.ts";

const rowsRead = (q: QueueHarness, work: () => void): number => {
  const before = q.counted.rowsRead;
  work();
  return q.counted.rowsRead - before;
};

describe("a queue that wakes", () => {
  it("finds what was published after its last snapshot, however much it is", () => {
    const q = new QueueHarness();
    must(q.publish("first", { text: "high", priority: 5 }));
    for (const text of numbered(2_500)) must(q.publish(text));
    const before = q.info();
    q.evict();
    expect(q.info()).toEqual(before);
    expect(before.counts.ready).toBe(2_502);
    expect(before.lastSequence).toBe(2_502);
    expect(bodies(drain(q, 1_000))).toEqual(["high", "first", ...numbered(2_500)]);
  });

  it("reads no more segments than a snapshot may leave out", () => {
    const q = new QueueHarness();
    for (let i = 0; i < 1_500; i++) must(q.publish("x"));
    q.evict();
    expect(rowsRead(q, () => q.info())).toBeLessThan(1_100);
  });

  it("saves a snapshot before it has left out too many segments of several lanes", () => {
    const q = new QueueHarness();
    for (let i = 0; i < 3_000; i++) must(q.publish({ priority: i % 32, text: "x" }));
    q.evict();
    expect(rowsRead(q, () => q.info())).toBeLessThan(1_200);
    expect(q.info().counts.ready).toBe(3_000);
  });

  it("never gives a sequence twice, nor a lease", () => {
    const q = new QueueHarness();
    const sequences: number[] = [];
    const leases: number[] = [];
    for (let i = 0; i < 20; i++) {
      const confirm = must(q.publish("x"));
      sequences.push(confirm.sequences[0]![0]);
      if (i % 3 === 0) {
        const message = takeOne(q, "x");
        leases.push(leaseOf(message));
        settleMessage(q, message, "ack");
      }
      if (i % 4 === 0) drain(q);
      q.evict();
    }
    expect(sequences).toEqual(numbered(20).map((i) => Number(i) + 1));
    expect(leases).toEqual([...new Set(leases)].sort((a, b) => a - b));
  });

  it("is as it was before a transition that failed", () => {
    const q = new QueueHarness();
    must(q.publish("1", "2"));
    const before = q.info();
    const fail = (): unknown =>
      q.run((queue, nowMs) => {
        queue.receive({ consumer: "c", max: 1 }, nowMs);
        queue.publish([{ batch: q.batch("3") }], nowMs);
        throw new Error("storage is gone");
      });
    expect(fail).toThrow("storage is gone");
    expect(q.info()).toEqual(before);
    expect(bodies(drain(q))).toEqual(["1", "2"]);
  });

  it("does not exist before it was declared, and no more when all is cleared", () => {
    const q = new QueueHarness();
    must(q.publish("1"));
    q.stores.clear();
    q.evict();
    expect(() => q.info()).toThrow("not stored");
  });
});

describe("a queue with a million messages", () => {
  it("wakes, answers, hands out, takes and settles by reading a few rows", () => {
    const q = new QueueHarness();
    const segments = 245;
    const records = Array.from({ length: LIMITS.recordsMax }, () => "m");
    for (let i = 0; i < segments; i++) must(q.publish(...records));
    const count = segments * LIMITS.recordsMax;
    expect(count).toBeGreaterThan(1_000_000);
    // A wake after a snapshot, as it is after any delivery.
    settleMessage(q, takeOne(q, "m"), "ack");
    q.evict();
    const steps: Record<string, () => void> = {
      wake: () => expect(q.info().counts.ready).toBe(count - 1),
      publish: () => void must(q.publish("new")),
      receive: () => expect(q.take(100)).toHaveLength(100),
      settle: () => expect(q.settle({ lease: 0, verdict: "ack" })).toHaveLength(1),
      tick: () => q.advance(1),
      nextWake: () => expect(q.wakeMs()).not.toBeUndefined(),
      peek: () => void q.run((queue, nowMs) => queue.peek({ state: "ready", limit: 10 }, nowMs)),
      cancel: () => {
        const id = `${(4_242).toString(36)}-${(900_000).toString(36)}`;
        must(q.run((queue) => queue.cancel({ id })));
      },
    };
    for (const [name, step] of Object.entries(steps)) {
      expect([name, rowsRead(q, step) < 40]).toEqual([name, true]);
    }
  });

  it("wakes by reading a few segments though it was only published to since it was made", () => {
    const q = new QueueHarness();
    for (let i = 0; i < 1_000; i++) must(q.publish("m"));
    q.evict();
    expect(rowsRead(q, () => expect(q.info().counts.ready).toBe(1_000))).toBeLessThanOrEqual(150);
  });

  it("is held in memory only as far as the cache goes, the places of its records included", () => {
    const q = new QueueHarness();
    const segments = new Segments(q.stores.segments, q.codec);
    const batch = q.batch(...Array.from({ length: LIMITS.recordsMax }, () => ""));
    const table = must(q.codec.scan(batch, "client"));
    const head = { count: table.count, timeMs: 0, ttlMs: 0, flags: 0, recordBytes: batch.byteLength - 40 };
    const sizeMax = table.count * TABLE_STRIDE * 4 + batch.byteLength;
    for (let i = 0; i < 250; i++) {
      segments.add(new Segment({ ...head, id: 1 + i * table.count }, batch, table), null);
      segments.commit(() => undefined);
      expect(segments.bytesHeld).toBeLessThanOrEqual(16 * 1024 * 1024);
    }
    expect(segments.bytesHeld).toBeGreaterThan(16 * 1024 * 1024 - sizeMax);
    for (let i = 0; i < 250; i++) segments.forget(1 + i * table.count);
    expect(segments.bytesHeld).toBe(0);
  });

  it("is purged without being read", () => {
    const q = new QueueHarness();
    const records = Array.from({ length: LIMITS.recordsMax }, () => "m");
    for (let i = 0; i < 50; i++) must(q.publish(...records));
    q.evict();
    expect(q.run((queue) => queue.purge({}))).toEqual({ messages: 50 * LIMITS.recordsMax });
    expect(q.info().counts).toMatchObject({ ready: 0, bytes: 0 });
    expect(q.counted.value("SELECT count(*) AS value FROM segment")).toBe(0);
  });
});

describe("what a message costs in rows written", () => {
  const cost = (q: QueueHarness, messages: number, work: () => void): number => {
    const before = q.counted.rowsWritten;
    work();
    return (q.counted.rowsWritten - before) / messages;
  };

  it("is 0.05 at the most in batches of a hundred, over its whole life", () => {
    const q = new QueueHarness();
    must(q.publish("warm"));
    drain(q);
    const life = (): void => {
      for (let i = 0; i < 20; i++) {
        must(q.publish(...numbered(100)));
        const delivery = q.receive(100);
        q.settle({ lease: delivery.lease, verdict: "ack" });
      }
    };
    expect(cost(q, 2_000, life)).toBeLessThanOrEqual(0.05);
  });

  it("is four at the most one by one", () => {
    const q = new QueueHarness();
    must(q.publish("warm"));
    drain(q);
    const life = (): void => {
      for (const text of numbered(50)) {
        must(q.publish(text));
        settleMessage(q, takeOne(q, text), "ack");
      }
    };
    expect(cost(q, 50, life)).toBeLessThanOrEqual(4);
  });
});

describe("the tables of a queue", () => {
  it("come to be once, and a later start changes nothing", () => {
    const sql = new NodeSql();
    migrate(sql.storage, QUEUE_MIGRATIONS);
    sql.storage.exec("INSERT INTO garbage (reference) VALUES ('kept')");
    migrate(sql.storage, QUEUE_MIGRATIONS);
    expect(sql.storage.exec("SELECT reference FROM garbage").toArray()).toMatchObject([
      { reference: "kept" },
    ]);
    const applied = sql.storage.exec("SELECT number FROM migration ORDER BY number").toArray();
    expect(applied).toMatchObject(QUEUE_MIGRATIONS.map(({ number }) => ({ number })));
  });

  it("take the steps they have not run yet, in order", () => {
    const sql = new NodeSql();
    const first = { number: 1, sql: ["CREATE TABLE a (x INTEGER)"] };
    migrate(sql.storage, [first]);
    sql.storage.exec("INSERT INTO a VALUES (7)");
    const second = { number: 2, sql: ["ALTER TABLE a ADD COLUMN y INTEGER", "UPDATE a SET y = x + 1"] };
    migrate(sql.storage, [first, second]);
    expect(sql.storage.exec("SELECT x, y FROM a").toArray()).toMatchObject([{ x: 7, y: 8 }]);
    expect(() => migrate(sql.storage, [first, { number: 3, sql: [] }])).toThrow("migration 3 is at place 2");
  });
});
