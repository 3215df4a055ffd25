// Publishes of one turn share a segment; nothing else about them is shared.
import { describe, expect } from "vitest";
import type { PublishCommand, PublishConfirm } from "../../../src/protocol/commands.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { encodeBodyReference } from "../../../src/protocol/message-json.ts";
import type { Result } from "../../../src/protocol/result.ts";
import type { QueueHarness } from "../../support/queue-harness.ts";
import { bodies, drain, inBothLives, must, numbered, sequencesOf } from "../../support/queue-lives.ts";

function publishAll(q: QueueHarness, commands: PublishCommand[]): Result<PublishConfirm>[] {
  return q.run((queue, nowMs) => queue.publish(commands, nowMs));
}

function segments(q: QueueHarness): number {
  return q.counted.value("SELECT count(*) AS value FROM segment")!;
}

describe("the publishes of one turn", () => {
  inBothLives("become one segment and are answered in order", (make) => {
    const q = make();
    const answers = publishAll(q, [
      { batch: q.batch("1", "2") },
      { batch: q.batch("3") },
      { batch: q.batch("4", "5") },
    ]).map(must);
    expect(answers.map(sequencesOf)).toEqual([[1, 2], [3], [4, 5]]);
    expect(segments(q)).toBe(1);
    expect(bodies(drain(q))).toEqual(["1", "2", "3", "4", "5"]);
  });

  inBothLives("are each taken whole or refused whole", (make) => {
    const q = make({ config: { maxMessages: 3, bodyBytesMax: 10 } });
    const broken = q.batch("broken");
    broken[broken.length - 1]! ^= 1;
    const answers = publishAll(q, [
      { batch: q.batch("1") },
      { batch: broken },
      { batch: q.batch("2", "longer than ten") },
      { batch: q.batch("too", "many", "of", "them") },
      { batch: q.batch("2", "3") },
      { batch: q.batch("4") },
    ]);
    const codes = answers.map((answer) => (answer.ok ? sequencesOf(answer.value) : answer.code));
    expect(codes).toEqual([[1], "bad_batch", "body_too_large", "batch_too_large", [2, 3], "queue_full"]);
    expect(bodies(drain(q))).toEqual(["1", "2", "3"]);
  });

  inBothLives("keep their order within each priority, and each is told its own sequences", (make) => {
    const q = make();
    const answers = publishAll(q, [
      { batch: q.batch({ text: "a" }, { text: "b", priority: 5 }) },
      { batch: q.batch("c") },
      { batch: q.batch({ text: "d", priority: 5 }, { text: "e", delayMs: 10 }) },
    ]).map(must);
    const byBody = new Map(
      ["a", "b", "c", "d", "e"].map((body, i) => [body, answers.flatMap(sequencesOf)[i]]),
    );
    expect(new Set(byBody.values())).toEqual(new Set([1, 2, 3, 4, 5]));
    q.advance(10);
    const messages = drain(q);
    expect(bodies(messages)).toEqual(["b", "d", "a", "c", "e"]);
    for (const { body, sequence } of messages) expect(sequence).toBe(byBody.get(body!));
  });

  inBothLives("become as many segments as the limits of a batch ask for", (make) => {
    const q = make();
    const half = numbered(LIMITS.recordsMax / 2 + 1);
    publishAll(q, [{ batch: q.batch(...half) }, { batch: q.batch(...half) }]).map(must);
    expect(segments(q)).toBe(2);
    const large = "x".repeat(1_000_000);
    publishAll(q, [{ batch: q.batch(large) }, { batch: q.batch(large) }, { batch: q.batch("y") }]).map(must);
    expect(segments(q)).toBe(4);
    expect(q.info().counts.ready).toBe(half.length * 2 + 3);
  });

  inBothLives("may come from the edge with fields that a client may not set", (make) => {
    const q = make();
    const body = new TextEncoder().encode(JSON.stringify({ key: "test/q/1", bytes: 9 }));
    const encoded = must(
      q.codec.encode(
        [{ bodyReference: true, dedupId: "a", body }],
        { origin: 0, firstSequence: 0, timeMs: 0 },
        "broker",
      ),
    );
    const [one, two, three] = publishAll(q, [
      { batch: encoded.slice(), source: "broker" },
      { batch: encoded.slice(), source: "broker" },
      { batch: encoded.slice() },
    ]);
    expect(must(one!).duplicates).toEqual([]);
    expect(must(two!).duplicates).toEqual([0]);
    expect(three).toMatchObject({ code: "bad_batch" });
    drain(q);
    expect(q.stores.work.garbage(9)).toEqual(["test/q/1"]);
  });

  inBothLives("leaves a body in the bucket that other queues have too", (make) => {
    const q = make();
    const references = [
      { key: "test/q/1", bytes: 9, isShared: true },
      { key: "test/q/2", bytes: 9 },
    ] as const;
    const records = references.map((reference) => ({
      bodyReference: true as const,
      body: encodeBodyReference(reference),
    }));
    const batch = must(q.codec.encode(records, { origin: 0, firstSequence: 0, timeMs: 0 }, "broker"));
    publishAll(q, [{ batch, source: "broker" }]);
    drain(q);
    expect(q.stores.work.garbage(9)).toEqual(["test/q/2"]);
  });
});
