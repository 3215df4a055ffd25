// What lies in the bucket for a queue's messages counts in its bytes like the rest.
import { describe, expect, it } from "vitest";
import { UNSTAMPED, type MessageRecord } from "../../../src/protocol/batch.ts";
import { encodeBodyReference } from "../../../src/protocol/message-json.ts";
import { referencedBytesIn } from "../../../src/protocol/referenced-bytes.ts";
import type { PublishConfirm } from "../../../src/protocol/commands.ts";
import type { Result } from "../../../src/protocol/result.ts";
import { leaseOf, QueueHarness } from "../../support/queue-harness.ts";
import { carry, drain, inBothLives, must, settleMessage, type MakeQueue } from "../../support/queue-lives.ts";

const MIB = 1024 ** 2;
/** More than the records of a test have together. */
const RECORDS = 2_000;

function referenceOf(bytes: number, fields: Partial<MessageRecord> = {}): MessageRecord {
  return { ...fields, bodyReference: true, body: encodeBodyReference({ key: "test/q/1", bytes }) };
}

function batchOf(q: QueueHarness, ...records: MessageRecord[]): Uint8Array {
  return must(q.codec.encode(records, UNSTAMPED, "broker"));
}

/** As the edge does that has put the bodies into the bucket. */
function publish(q: QueueHarness, ...records: MessageRecord[]): Result<PublishConfirm> {
  const batch = batchOf(q, ...records);
  return q.run((queue, nowMs) => queue.publish([{ batch, source: "broker" }], nowMs)[0]!);
}

function bytesOf(q: QueueHarness): number {
  return q.info().counts.bytes;
}

function expectMebibytes(q: QueueHarness, count: number): void {
  const over = bytesOf(q) - count * MIB;
  expect([over >= 0, over < RECORDS]).toEqual([true, true]);
}

function holding(make: MakeQueue, mebibytes: number, config: object = {}): QueueHarness {
  return make({ config: { maxBytes: mebibytes * MIB + RECORDS, ...config } });
}

describe("a queue with bodies in the bucket", () => {
  inBothLives("refuses one that does not fit, and has the room again when one is settled", (make) => {
    const q = holding(make, 10);
    must(publish(q, referenceOf(6 * MIB)));
    expect(publish(q, referenceOf(5 * MIB))).toMatchObject({ code: "queue_full" });
    must(publish(q, referenceOf(4 * MIB)));
    expectMebibytes(q, 10);
    settleMessage(q, q.take(1)[0]!, "ack");
    must(publish(q, referenceOf(5 * MIB)));
    drain(q);
    expect(bytesOf(q)).toBe(0);
  });

  inBothLives("refuses a body that could never fit", (make) => {
    expect(publish(holding(make, 10), referenceOf(11 * MIB))).toMatchObject({ code: "batch_too_large" });
  });

  inBothLives("counts the bodies of one batch together, and no duplicate's", (make) => {
    const q = holding(make, 10);
    expect(publish(q, referenceOf(6 * MIB), referenceOf(6 * MIB))).toMatchObject({ code: "batch_too_large" });
    must(publish(q, referenceOf(6 * MIB, { dedupId: "a" })));
    expect(must(publish(q, referenceOf(6 * MIB, { dedupId: "a" }))).duplicates).toEqual([0]);
    expectMebibytes(q, 6);
  });

  inBothLives("holds to what the namespace grants", (make) => {
    const q = make();
    q.run((queue) => queue.store({ allottedBytes: 8 * MIB }));
    expect(publish(q, referenceOf(8 * MIB))).toMatchObject({ code: "quota_exceeded" });
    must(publish(q, referenceOf(7 * MIB)));
    expect(publish(q, referenceOf(MIB))).toMatchObject({ code: "quota_exceeded" });
  });

  inBothLives("drops the oldest of them to make room", (make) => {
    const q = holding(make, 10, { overflow: "dropOldest" });
    for (let i = 0; i < 3; i++) must(publish(q, referenceOf(4 * MIB)));
    expect(q.info().totals.dropped).toBe(1);
    expectMebibytes(q, 8);
  });

  inBothLives("keeps those that are leased, whatever is to come", (make) => {
    const q = holding(make, 10, { overflow: "dropOldest" });
    must(publish(q, referenceOf(8 * MIB)));
    const [held] = q.take(1);
    expect(publish(q, referenceOf(4 * MIB))).toMatchObject({ code: "queue_full" });
    settleMessage(q, held!, "ack");
    must(publish(q, referenceOf(4 * MIB)));
  });

  inBothLives("counts dead ones to its bytes and not to its limit", (make) => {
    const q = holding(make, 10, { maxFailures: 0 });
    must(publish(q, referenceOf(8 * MIB)));
    settleMessage(q, q.take(1)[0]!, "reject");
    must(publish(q, referenceOf(8 * MIB)));
    expectMebibytes(q, 16);
    q.run((queue) => queue.purge({}));
    expect(bytesOf(q)).toBe(0);
    must(publish(q, referenceOf(9 * MIB)));
    expect(publish(q, referenceOf(9 * MIB))).toMatchObject({ code: "queue_full" });
  });

  inBothLives("counts one that is brought back to life to its limit again", (make) => {
    const q = holding(make, 10, { maxFailures: 0 });
    must(publish(q, referenceOf(8 * MIB)));
    settleMessage(q, q.take(1)[0]!, "reject");
    must(q.run((queue, nowMs) => queue.redrive({ filter: {}, dryRun: false, to: "q" }, nowMs)));
    q.advance(0);
    expect(q.info().counts).toMatchObject({ ready: 1, dead: 0 });
    expect(publish(q, referenceOf(4 * MIB))).toMatchObject({ code: "queue_full" });
  });

  inBothLives("leaves a replaced one's room to the one in its place", (make) => {
    const q = holding(make, 10);
    must(publish(q, referenceOf(10 * MIB, { cancelKey: "k" })));
    const batch = q.batch("x".repeat(2 * RECORDS));
    must(q.run((queue, nowMs) => queue.replace({ cancelKey: "k" }, batch, nowMs)));
    must(publish(q, referenceOf(9 * MIB)));
  });

  inBothLives("counts a dead letter in the queue where it lies", (make) => {
    const [sick, grave] = [make({ config: { maxFailures: 0, deadLetter: { queue: "grave" } } }), make()];
    must(publish(sick, referenceOf(6 * MIB), referenceOf(6 * MIB)));
    for (const message of sick.take(2)) settleMessage(sick, message, "reject");
    expect(bytesOf(sick)).toBe(0);
    carry(sick, grave);
    expectMebibytes(grave, 12);
    drain(grave);
    expect(bytesOf(grave)).toBe(0);
  });

  inBothLives("takes as many dead letters as there is room for", (make) => {
    const sick = make({ config: { maxFailures: 0, deadLetter: { queue: "grave" } } });
    const grave = holding(make, 10);
    must(publish(sick, ...Array.from({ length: 4 }, () => referenceOf(4 * MIB))));
    const [message] = sick.take(4);
    sick.settle({ lease: leaseOf(message!), verdict: "reject" });
    expect(carry(sick, grave)).toBe(2);
    expectMebibytes(grave, 8);
  });
});

describe("what an earlier version took", () => {
  it("goes as it was counted, without what lies in the bucket", () => {
    const q = new QueueHarness();
    must(publish(q, referenceOf(6 * MIB)));
    rewriteSnapshot(q, ({ bodiesFrom: _unknown, bytes, ...rest }) => ({ ...rest, bytes: bytes - 6 * MIB }));
    expectOnlyLaterBodies(q);
  });

  it("goes so too when no snapshot knew it yet", () => {
    const q = new QueueHarness();
    must(q.publish("opens the lane"));
    drain(q);
    const before = q.stores.leases.readAll().snapshot!;
    must(publish(q, referenceOf(6 * MIB)));
    rewriteSnapshot(q, ({ version }) => {
      const { bodiesFrom: _unknown, ...rest } = JSON.parse(before) as Saved;
      return { ...rest, version };
    });
    expectOnlyLaterBodies(q);
  });
});

interface Saved {
  readonly version: number;
  readonly bytes: number;
  readonly bodiesFrom?: number;
}

/** As another version would have left it. */
function rewriteSnapshot(q: QueueHarness, rewrite: (saved: Saved) => Saved): void {
  q.evict();
  const saved = JSON.parse(q.stores.leases.readAll().snapshot!) as Saved;
  const version = saved.version + 1;
  q.stores.leases.writeSnapshot(version, JSON.stringify({ ...rewrite(saved), version }));
}

function expectOnlyLaterBodies(q: QueueHarness): void {
  must(publish(q, referenceOf(4 * MIB)));
  expectMebibytes(q, 4);
  q.evict();
  settleMessage(q, q.take(1)[0]!, "ack");
  expectMebibytes(q, 4);
  drain(q);
  expect(bytesOf(q)).toBe(0);
}

describe("the bytes that a batch has in the bucket", () => {
  it("are those of its references, among other records", () => {
    const q = new QueueHarness();
    const plain = { body: new Uint8Array(9) };
    expect(referencedBytesIn(batchOf(q, plain, referenceOf(7), plain, referenceOf(8)))).toBe(15);
    expect(referencedBytesIn(batchOf(q, plain))).toBe(0);
  });

  it("are none in what is cut short", () => {
    const q = new QueueHarness();
    const batch = batchOf(q, referenceOf(7));
    for (let size = 0; size < batch.byteLength; size++)
      expect(referencedBytesIn(batch.subarray(0, size))).toBe(0);
  });
});
