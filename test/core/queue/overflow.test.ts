// How much a queue holds, to the message and to the byte.
import { describe, expect } from "vitest";
import { deliveryToJson } from "../../../src/protocol/message-json.ts";
import { leaseOf, type QueueHarness } from "../../support/queue-harness.ts";
import {
  bodies,
  carried,
  drain,
  inBothLives,
  must,
  settleMessage,
  takeOne,
} from "../../support/queue-lives.ts";

const NOT_NOW = expect.stringContaining(" messages of ") as string;
const NEVER = expect.stringContaining("larger than the whole queue") as string;

/** A record of this body, alone: 4 bytes of size, 2 of flags. */
const RECORD = 6;

function overflown(q: QueueHarness): (string | undefined)[] {
  return carried(q).flatMap(({ batch }) => {
    const run = { attempt: 1, failures: 0, firstSentMs: 0, bytes: batch.byteLength };
    return bodies(deliveryToJson({ lease: 1, untilMs: 0, runs: [run], payload: batch }, q.codec));
  });
}

describe("a queue that rejects over its limit", () => {
  inBothLives("takes exactly its count of messages", (make) => {
    const q = make({ config: { maxMessages: 3 } });
    must(q.publish("1", "2"));
    expect(q.publish("3", "4")).toMatchObject({ code: "queue_full", detail: NOT_NOW });
    must(q.publish("3"));
    expect(q.publish("4")).toMatchObject({ code: "queue_full" });
    settleMessage(q, takeOne(q, "1"), "ack");
    must(q.publish("4"));
    expect(bodies(drain(q))).toEqual(["2", "3", "4"]);
  });

  inBothLives("takes exactly its count of bytes", (make) => {
    const q = make({ config: { maxBytes: 2 * (RECORD + 10) } });
    must(q.publish("x".repeat(10)));
    expect(q.publish("x".repeat(11))).toMatchObject({ code: "queue_full" });
    must(q.publish("x".repeat(10)));
    expect(q.publish("")).toMatchObject({ code: "queue_full" });
    expect(q.info().counts.bytes).toBe(2 * (RECORD + 10));
    drain(q);
    expect(q.info().counts.bytes).toBe(0);
  });

  inBothLives("counts what is out, delayed or backing off, and not what is dead", (make) => {
    const q = make({ config: { maxMessages: 3 } });
    must(q.publish("out", "back", { text: "delayed", delayMs: 1_000 }));
    const [, back] = q.take(2);
    settleMessage(q, back!, "nack", { delayMs: 1_000 });
    expect(q.publish("more")).toMatchObject({ code: "queue_full" });
    q.advance(1_000);
    settleMessage(q, takeOne(q, "back"), "reject", { dead: true });
    must(q.publish("more"));
    expect(q.publish("more")).toMatchObject({ code: "queue_full" });
    expect(q.info().counts).toMatchObject({ dead: 1, leased: 1 });
  });

  inBothLives("tells a batch that never fits from one that does not fit now", (make) => {
    const q = make({ config: { maxMessages: 2 } });
    expect(q.publish("1", "2", "3")).toMatchObject({ code: "batch_too_large", detail: NEVER });
    const commands = [{ batch: q.batch("1", "2") }, { batch: q.batch("3") }];
    const [, second] = q.run((queue, nowMs) => queue.publish(commands, nowMs));
    expect(second).toMatchObject({ code: "queue_full", detail: NOT_NOW });
  });

  inBothLives("refuses what the namespace's quota has no room for", (make) => {
    const q = make();
    q.run((queue) => queue.store({ allottedBytes: RECORD + 5 }));
    must(q.publish("12345"));
    expect(q.publish("")).toMatchObject({ code: "quota_exceeded" });
  });
});

describe("a queue that drops its oldest over its limit", () => {
  const config = { maxMessages: 3, overflow: "dropOldest", deadLetter: { queue: "dlq" } } as const;

  inBothLives("dead-letters the oldest in order, each as overflow", (make) => {
    const q = make({ config });
    must(q.publish("1", "2", "3"));
    must(q.publish("4", "5"));
    expect(q.info().totals).toMatchObject({ deadLettered: 2, dropped: 0 });
    expect(overflown(q)).toEqual(["1", "2"]);
    expect(bodies(drain(q))).toEqual(["3", "4", "5"]);
  });

  inBothLives("drops without a dead-letter target, and counts it", (make) => {
    const q = make({ config: { ...config, deadLetter: null } });
    must(q.publish("1", "2", "3"));
    must(q.publish("4"));
    expect(q.info().totals).toMatchObject({ dropped: 1, deadLettered: 0 });
    expect(bodies(drain(q))).toEqual(["2", "3", "4"]);
  });

  inBothLives("makes room by bytes as exactly", (make) => {
    const q = make({ config: { ...config, maxMessages: null, maxBytes: 3 * (RECORD + 1) } });
    must(q.publish("1", "2", "3"));
    must(q.publish("45"));
    expect(q.info().counts.bytes).toBe(RECORD + 1 + RECORD + 2);
    expect(bodies(drain(q))).toEqual(["3", "45"]);
  });

  inBothLives("drops the oldest whatever its priority, its delay or its attempts", (make) => {
    const q = make({ config: { ...config, maxMessages: 4 } });
    must(q.publish({ text: "1", priority: 9 }));
    must(q.publish({ text: "2", delayMs: 60_000 }));
    must(q.publish("3"));
    must(q.publish({ text: "4", priority: 9 }));
    settleMessage(q, takeOne(q, "1"), "nack", { delayMs: 60_000 });
    settleMessage(q, takeOne(q, "4"), "nack", { delayMs: 0 });
    for (const body of ["5", "6", "7", "8"]) must(q.publish(body));
    expect(overflown(q)).toEqual(["1", "2", "3", "4"]);
    expect(bodies(drain(q))).toEqual(["5", "6", "7", "8"]);
  });

  inBothLives("never drops what a consumer holds, and refuses when nothing else is left", (make) => {
    const q = make({ config });
    must(q.publish("1", "2", "3"));
    const lease = leaseOf(q.take(2)[0]!);
    must(q.publish("4"));
    expect(overflown(q)).toEqual(["3"]);
    expect(q.publish("5", "6")).toMatchObject({ code: "queue_full", detail: NOT_NOW });
    expect(q.info().counts).toMatchObject({ ready: 1, leased: 2 });
    expect(q.settle({ lease, verdict: "ack" })[0]!.settled).toBe(2);
    expect(bodies(drain(q))).toEqual(["4"]);
  });

  inBothLives("refuses by bytes too when what is out leaves no room", (make) => {
    const q = make({ config: { ...config, maxMessages: null, maxBytes: 2 * (RECORD + 4) } });
    must(q.publish("held"));
    takeOne(q, "held");
    expect(q.publish("12345")).toMatchObject({ code: "queue_full" });
    must(q.publish("1234"));
  });

  inBothLives("refuses a batch larger than it may be, and drops nothing for it", (make) => {
    const q = make({ config });
    must(q.publish("1", "2"));
    expect(q.publish("a", "b", "c", "d")).toMatchObject({ code: "batch_too_large" });
    expect(q.info().counts.ready).toBe(2);
  });

  inBothLives("takes the batches of one turn as if they came one by one", (make) => {
    const q = make({ config });
    const commands = [{ batch: q.batch("1", "2") }, { batch: q.batch("3", "4") }, { batch: q.batch("5") }];
    for (const answer of q.run((queue, nowMs) => queue.publish(commands, nowMs))) must(answer);
    expect(overflown(q)).toEqual(["1", "2"]);
    expect(bodies(drain(q))).toEqual(["3", "4", "5"]);
  });

  inBothLives("does not count or drop the dead that stayed here", (make) => {
    const q = make({ config: { ...config, deadLetter: null } });
    must(q.publish("dead", "1", "2"));
    settleMessage(q, takeOne(q, "dead"), "reject", { dead: true });
    must(q.publish("3"));
    expect(q.info().counts).toMatchObject({ ready: 3, dead: 1 });
    must(q.publish("4"));
    expect(q.info().counts).toMatchObject({ ready: 3, dead: 1 });
    expect(bodies(drain(q))).toEqual(["2", "3", "4"]);
  });
});

describe("a queue whose limit was lowered", () => {
  for (const overflow of ["reject", "dropOldest"] as const) {
    inBothLives(`answers what it has already, and keeps all that it has: ${overflow}`, (make) => {
      const q = make({ config: { overflow } });
      const sent = must(q.publish({ text: "1", dedupId: "a" }, "2", "3"));
      q.run((queue) =>
        queue.store({ config: { ...queue.config, maxMessages: 2, maxBytes: 2 * (RECORD + 4) } }),
      );
      const again = must(q.publish({ text: "1", dedupId: "a" }));
      expect(again).toMatchObject({ sequences: [[sent.sequences[0]![0], 1]], duplicates: [0] });
      expect(q.info().counts.ready).toBe(3);
      expect(q.publish("4").ok).toBe(overflow === "dropOldest");
      expect(bodies(drain(q))).toEqual(overflow === "dropOldest" ? ["3", "4"] : ["1", "2", "3"]);
    });
  }
});
