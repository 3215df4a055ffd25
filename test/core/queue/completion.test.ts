// What a queue adds to a message that lacks it, and what it does not do without.
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { MessageRecord } from "../../../src/protocol/batch.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { moveSender } from "../../../src/protocol/move-target.ts";
import { QueueHarness } from "../../support/queue-harness.ts";
import {
  bodies,
  carry,
  drain,
  inBothLives,
  must,
  numbered,
  settleMessage,
  takeOne,
} from "../../support/queue-lives.ts";

const hashOf = (body: string): string => createHash("sha256").update(body).digest("hex");

/** As an exchange sends what it held back until now. */
function arrive(q: QueueHarness, ...records: (Partial<MessageRecord> & { text: string })[]) {
  const batch = q.batch(...records);
  const sender = moveSender({ exchange: "e" }, 7);
  return q.run((queue, nowMs) => queue.acceptMoves(sender, [{ number: 1, batch }], nowMs));
}

describe("a queue's delay", () => {
  const config = { delayMs: 2_000 };

  inBothLives("is that of a message that names none, and none at all may be named", (make) => {
    const q = make({ config });
    must(q.publish("default", { text: "own", delayMs: 500 }, { text: "at once", delayMs: 0 }));
    expect(q.info().counts).toMatchObject({ ready: 1, delayed: 2 });
    takeOne(q, "at once");
    q.advance(500);
    takeOne(q, "own");
    q.advance(1_499);
    expect(q.take()).toEqual([]);
    q.advance(1);
    takeOne(q, "default");
  });

  inBothLives("of a batch holds for each of its messages, in their order", (make) => {
    const q = make({ config });
    const confirm = must(q.publish(...numbered(5), { text: "high", priority: 3 }));
    expect(confirm).toMatchObject({ duplicates: [] });
    expect(q.wakeMs()).toBe(q.nowMs + 2_000);
    q.advance(2_000);
    expect(bodies(drain(q))).toEqual(["high", ...numbered(5)]);
  });

  inBothLives("is not changed for what waits, when it is changed", (make) => {
    const q = make({ config });
    must(q.publish("before"));
    q.run((queue) => queue.store({ config: { ...queue.config, delayMs: 10 } }));
    must(q.publish("after"));
    q.advance(10);
    takeOne(q, "after");
    q.advance(1_990);
    takeOne(q, "before");
  });

  inBothLives("does not delay a dead letter, nor what an exchange held back", (make) => {
    const q = make({ config: { maxFailures: 0, deadLetter: { queue: "dlq" } } });
    const dlq = make({ name: "dlq", config });
    must(q.publish("died"));
    settleMessage(q, takeOne(q, "died"), "reject");
    expect(carry(q, dlq)).toBe(1);
    takeOne(dlq, "died");
    must(arrive(dlq, { text: "held" }));
    takeOne(dlq, "held");
  });

  inBothLives("holds for what takes another's place, too", (make) => {
    const q = make({ config });
    must(q.publish({ text: "old", cancelKey: "k", delayMs: 0 }));
    must(q.run((queue, nowMs) => queue.replace({ cancelKey: "k" }, q.batch("new"), nowMs)));
    expect(q.take()).toEqual([]);
    q.advance(2_000);
    takeOne(q, "new");
  });

  inBothLives("leaves a producer's repeats what they are", (make) => {
    const q = make({ config });
    const command = { batch: q.batch("1", "2"), producer: { id: "p", sequence: 1 } };
    const publish = () => must(q.run((queue, nowMs) => queue.publish([command], nowMs)[0]!));
    const first = publish();
    expect(publish()).toEqual({ ...first, duplicates: [0, 1] });
    q.advance(2_000);
    expect(bodies(drain(q))).toEqual(["1", "2"]);
  });
});

describe("deduplication by content", () => {
  const config = { dedupByContent: true, dedupWindowMs: 60_000 };

  inBothLives("takes a body once, and consumers see its hash", (make) => {
    const q = make({ config });
    const first = must(q.publish("before", { text: "same", headers: { n: 1 } }));
    const second = must(q.publish({ text: "same", routingKey: "other" }));
    expect([first.duplicates, second]).toMatchObject([[], { sequences: [[2, 1]], duplicates: [0] }]);
    expect(q.take(9)).toMatchObject([{ dedupId: hashOf("before") }, { dedupId: hashOf("same") }]);
    q.advance(60_000);
    expect(must(q.publish("same")).duplicates).toEqual([]);
  });

  inBothLives("leaves a dedup id that is named alone", (make) => {
    const q = make({ config });
    must(q.publish({ text: "x", dedupId: "1" }, { text: "x", dedupId: "2" }, "x"));
    expect(must(q.publish({ text: "y", dedupId: hashOf("x") })).duplicates).toEqual([0]);
    expect(q.take(9).map(({ dedupId }) => dedupId)).toEqual(["1", "2", hashOf("x")]);
  });

  inBothLives("finds two of one batch, and of one turn", (make) => {
    const q = make({ config });
    expect(must(q.publish("a", "b", "a")).duplicates).toEqual([2]);
    const commands = ["c", "c"].map((text) => ({ batch: q.batch(text) }));
    const answers = q.run((queue, nowMs) => queue.publish(commands, nowMs)).map(must);
    expect(answers.map(({ duplicates }) => duplicates)).toEqual([[], [0]]);
    expect(bodies(drain(q))).toEqual(["a", "b", "c"]);
  });

  inBothLives("knows what an exchange held back, and not what died elsewhere", (make) => {
    const q = make({ config: { maxFailures: 0, deadLetter: { queue: "dlq" } } });
    const dlq = make({ name: "dlq", config });
    must(dlq.publish("x"));
    expect(must(arrive(dlq, { text: "x" }))).toEqual({ accepted: 0, done: 1 });
    must(q.publish("x"));
    settleMessage(q, takeOne(q, "x"), "reject");
    expect(carry(q, dlq)).toBe(1);
    expect(dlq.take(9).map(({ dedupId }) => dedupId)).toEqual([hashOf("x"), undefined]);
  });

  inBothLives("counts the bytes of what it adds", (make) => {
    const plain = make();
    const q = make({ config });
    for (const one of [plain, q]) must(one.publish("x"));
    expect(q.info().counts.bytes - plain.info().counts.bytes).toBe(65);
  });

  it("refuses a batch that would be over the limit with it, and takes what moves here in parts", () => {
    const q = new QueueHarness({ config });
    // Just under the limit; with 65 bytes more for each of them it is over.
    const size = Math.floor(LIMITS.batchBytesMax / LIMITS.recordsMax) - 8;
    const records = numbered(LIMITS.recordsMax).map((text) => ({ text: text.padEnd(size, ".") }));
    expect(q.publish(...records)).toMatchObject({ ok: false, code: "batch_too_large" });
    const batch = q.batch(...records);
    const sender = moveSender({ exchange: "e" }, 7);
    let accepted = 0;
    for (let done = 0; done === 0;) {
      const moved = must(q.run((queue, nowMs) => queue.acceptMoves(sender, [{ number: 1, batch }], nowMs)));
      accepted += moved.accepted;
      ({ done } = moved);
    }
    expect(accepted).toBe(LIMITS.recordsMax);
    expect(bodies(drain(q, 4_096)).map((body) => Number.parseInt(body!, 10))).toEqual(
      numbered(LIMITS.recordsMax).map(Number),
    );
  });
});

describe("a field that a queue requires", () => {
  inBothLives("is in every message, or the batch is refused and nothing of it is stored", (make) => {
    const q = make({ config: { required: ["orderingKey", "dedupId"] } });
    const whole = { orderingKey: "k", dedupId: "d" };
    expect(q.publish({ text: "1", ...whole }, { text: "2", dedupId: "e" })).toEqual({
      ok: false,
      code: "field_required",
      detail: "record 1: orderingKey is missing, and this queue wants it",
      facts: { field: "orderingKey" },
    });
    expect(q.publish({ orderingKey: "k" })).toMatchObject({ facts: { field: "dedupId" } });
    expect(q.info().totals.published).toBe(0);
    expect(must(q.publish({ text: "1", ...whole })).duplicates).toEqual([]);
    const command = { cancelKey: "c" };
    must(q.publish({ ...whole, dedupId: "e", ...command }));
    expect(q.run((queue, nowMs) => queue.replace(command, q.batch("new"), nowMs))).toMatchObject({
      code: "field_required",
    });
    expect(q.info().counts.ready).toBe(2);
  });

  inBothLives("is made of the content, where the queue deduplicates by it", (make) => {
    const q = make({ config: { required: ["dedupId"], dedupByContent: true } });
    must(q.publish("x"));
    expect(takeOne(q, "x").dedupId).toBe(hashOf("x"));
  });

  inBothLives("may lack in a dead letter, and in what an exchange held back", (make) => {
    const q = make({ config: { maxFailures: 0, deadLetter: { queue: "dlq" } } });
    const dlq = make({ name: "dlq", config: { required: ["orderingKey"] } });
    must(q.publish("died"));
    settleMessage(q, takeOne(q, "died"), "reject");
    expect(carry(q, dlq)).toBe(1);
    expect(must(arrive(dlq, { text: "held" }))).toEqual({ accepted: 1, done: 1 });
    expect(bodies(drain(dlq))).toEqual(["died", "held"]);
  });

  inBothLives("is not asked of a batch that was taken before", (make) => {
    const q = make();
    const command = { batch: q.batch("1"), producer: { id: "p", sequence: 1 } };
    const publish = () => must(q.run((queue, nowMs) => queue.publish([command], nowMs)[0]!));
    const first = publish();
    q.run((queue) => queue.store({ config: { ...queue.config, required: ["orderingKey"] } }));
    expect(publish()).toEqual({ ...first, duplicates: [0] });
  });
});

inBothLives(
  "a message that was accepted before, and is published by the broker, is taken as it is",
  (make) => {
    const q = make({ config: { delayMs: 2_000, dedupByContent: true, required: ["orderingKey"] } });
    const record = { body: new TextEncoder().encode("old"), id: "1-1", timeMs: 1 };
    const batch = must(q.codec.encode([record], { origin: 0, firstSequence: 0, timeMs: 0 }, "broker"));
    must(q.run((queue, nowMs) => queue.publish([{ batch, source: "broker" }], nowMs)[0]!));
    expect(takeOne(q, "old")).not.toHaveProperty("dedupId");
  },
);

describe("what a message counts against the limit on bodies", () => {
  inBothLives("is its body, or more where who publishes says so", (make) => {
    const q = make({ config: { bodyBytesMax: 5 } });
    const publish = (text: string, bodyBytes?: number) => {
      const command = { batch: q.batch(text), ...(bodyBytes === undefined ? {} : { bodyBytes }) };
      return q.run((queue, nowMs) => queue.publish([command], nowMs)[0]!);
    };
    must(publish("12345"));
    must(publish("1", 5));
    expect(publish("1", 6)).toMatchObject({ code: "body_too_large", facts: { bytesMax: 5 } });
    expect(publish("123456", 1)).toMatchObject({ code: "body_too_large" });
  });
});
