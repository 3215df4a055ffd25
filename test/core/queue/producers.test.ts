// Publishing made repeatable by a producer's id and sequence.
import { describe, expect, it } from "vitest";
import type { PublishConfirm } from "../../../src/protocol/commands.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import type { Result } from "../../../src/protocol/result.ts";
import { QueueHarness } from "../../support/queue-harness.ts";
import { bodies, drain, inBothLives, must, numbered } from "../../support/queue-lives.ts";

type Records = Parameters<QueueHarness["publish"]>;

function send(q: QueueHarness, id: string, sequence: number, ...records: Records): Result<PublishConfirm> {
  const batch = q.batch(...records);
  return q.run((queue, nowMs) => queue.publish([{ batch, producer: { id, sequence } }], nowMs)[0]!);
}

/** Several batches in one turn. */
function sendAll(
  q: QueueHarness,
  ...batches: [id: string, sequence: number, ...records: Records][]
): Result<PublishConfirm>[] {
  const commands = batches.map(([id, sequence, ...records]) => ({
    batch: q.batch(...records),
    producer: { id, sequence },
  }));
  return q.run((queue, nowMs) => queue.publish(commands, nowMs));
}

describe("a producer", () => {
  inBothLives("that repeats a batch gets the first answer, and nothing is taken twice", (make) => {
    const q = make();
    must(q.publish("other"));
    const first = must(send(q, "p", 1, "a", "b"));
    expect(first).toMatchObject({ sequences: [[2, 2]], duplicates: [] });
    expect(must(send(q, "p", 1, "a", "b"))).toEqual({ ...first, duplicates: [0, 1] });
    expect(bodies(drain(q))).toEqual(["other", "a", "b"]);
    expect(must(send(q, "p", 1, "a", "b"))).toEqual({ ...first, duplicates: [0, 1] });
    expect(q.info().totals).toMatchObject({ published: 3, duplicates: 4 });
  });

  inBothLives("that leaves a gap is refused and told what comes next", (make) => {
    const q = make();
    must(send(q, "p", 1, "a", "b"));
    expect(send(q, "p", 4, "d")).toMatchObject({ code: "sequence_gap", facts: { expectedSequence: 3 } });
    expect(bodies(drain(q))).toEqual(["a", "b"]);
    must(send(q, "p", 3, "c"));
  });

  inBothLives("that cuts its batches differently is refused, not taken in part", (make) => {
    const q = make();
    must(send(q, "p", 1, "a", "b"));
    expect(send(q, "p", 2, "b", "c")).toMatchObject({ code: "sequence_gap", facts: { expectedSequence: 3 } });
    expect(q.info().counts.ready).toBe(2);
  });

  inBothLives("does not disturb another", (make) => {
    const q = make();
    const p1 = must(send(q, "p", 1, "p1"));
    must(send(q, "r", 1, "r1", "r2"));
    must(send(q, "p", 2, "p2"));
    must(send(q, "r", 3, "r3"));
    expect(must(send(q, "p", 1, "p1"))).toEqual({ ...p1, duplicates: [0] });
    expect(send(q, "r", 5, "r5")).toMatchObject({ facts: { expectedSequence: 4 } });
    expect(bodies(drain(q))).toEqual(["p1", "r1", "r2", "p2", "r3"]);
  });

  inBothLives("may have many batches in one turn", (make) => {
    const q = make();
    const answers = sendAll(q, ["p", 1, "1"], ["r", 1, "r"], ["p", 2, "2", "3"], ["p", 4, "4"]).map(must);
    expect(answers.map(({ sequences }) => sequences)).toEqual([[[1, 1]], [[2, 1]], [[3, 2]], [[5, 1]]]);
    expect(must(send(q, "p", 2, "2", "3"))).toEqual({ ...answers[2]!, duplicates: [0, 1] });
    expect(bodies(drain(q))).toEqual(["1", "r", "2", "3", "4"]);
  });

  inBothLives("that repeats a batch in the very turn of the first gets the first answer", (make) => {
    const q = make();
    const [first, second] = sendAll(q, ["p", 1, "1"], ["p", 1, "1"]).map(must);
    expect(second).toEqual({ ...first, duplicates: [0] });
    expect(q.info().counts.ready).toBe(1);
  });

  inBothLives("that repeats what is too long ago is told it is known, without sequences", (make) => {
    const q = make();
    for (let i = 1; i <= 20; i++) must(send(q, "p", i, String(i)));
    expect(must(send(q, "p", 1, "1"))).toMatchObject({ sequences: [], duplicates: [0] });
    expect(must(send(q, "p", 13, "13"))).toMatchObject({ sequences: [[13, 1]], duplicates: [0] });
    expect(q.info().counts.ready).toBe(20);
  });

  inBothLives("that was refused for room goes on with the same sequence", (make) => {
    const q = make({ config: { maxMessages: 1 } });
    must(send(q, "p", 1, "a"));
    expect(send(q, "p", 2, "b")).toMatchObject({ code: "queue_full" });
    expect(send(q, "p", 3, "c")).toMatchObject({ code: "sequence_gap", facts: { expectedSequence: 2 } });
    drain(q);
    must(send(q, "p", 2, "b"));
    expect(bodies(drain(q))).toEqual(["b"]);
  });

  inBothLives("whose first batch was refused is never told that it was taken", (make) => {
    const q = make({ config: { maxMessages: 2 } });
    const [one, two] = sendAll(q, ["p", 1, "1", "2", "3"], ["p", 4, "4"]);
    expect(one).toMatchObject({ code: "batch_too_large" });
    // Nothing is known of the producer, so its fourth message may be taken as its first here…
    must(two!);
    // …but then the ones before it are refused for good, and not answered as if they were here.
    expect(send(q, "p", 1, "1", "2", "3")).toMatchObject({
      code: "sequence_gap",
      facts: { expectedSequence: 5 },
    });
    expect(must(send(q, "p", 4, "4"))).toMatchObject({ sequences: [[1, 1]], duplicates: [0] });
  });

  inBothLives("whose batches went to several lanes is remembered by its last one", (make) => {
    const q = make();
    must(q.publish({ priority: 9 }, "low"));
    for (let i = 1; i <= 4; i++) must(send(q, "p", i, { priority: i % 2 === 0 ? 9 : 0, text: String(i) }));
    expect(send(q, "p", 4, { priority: 9, text: "4" })).toMatchObject({ value: { duplicates: [0] } });
    expect(send(q, "p", 6, "6")).toMatchObject({ facts: { expectedSequence: 5 } });
    expect(q.info().counts.ready).toBe(6);
  });

  inBothLives("whose whole batch was known by its dedup ids still moves on", (make) => {
    const q = make();
    must(send(q, "p", 1, { dedupId: "a" }));
    must(send(q, "r", 1, { dedupId: "a" }, { dedupId: "a" }));
    must(send(q, "p", 2, { dedupId: "a" }));
    expect(send(q, "r", 4, "x")).toMatchObject({ facts: { expectedSequence: 3 } });
    must(send(q, "p", 3, "x"));
  });

  it("is remembered among many after an eviction", () => {
    const q = new QueueHarness();
    const count = 700;
    for (let i = 0; i < count; i++) must(send(q, `p${i}`, 1, `${i}-1`));
    q.evict();
    for (let i = 0; i < count; i++) {
      expect(must(send(q, `p${i}`, 1, `${i}-1`))).toMatchObject({ sequences: [[i + 1, 1]], duplicates: [0] });
      if (i % 100 === 0) q.evict();
      expect(send(q, `p${i}`, 3, `${i}-3`)).toMatchObject({ facts: { expectedSequence: 2 } });
    }
    expect(q.info().counts.ready).toBe(count);
  });

  it("that is idle for a day is forgotten, in a queue without dedup ids too", () => {
    const q = new QueueHarness();
    for (const id of numbered(40)) must(send(q, id, 1, "x"));
    drain(q);
    q.advance(LIMITS.producerIdleMs - 1);
    expect(send(q, "0", 5, "x")).toMatchObject({ code: "sequence_gap" });
    const kept = q.counted.value("SELECT count(*) AS value FROM producer")!;
    expect(kept).toBeGreaterThan(20);
    q.advance(LIMITS.producerIdleMs);
    expect(q.counted.value("SELECT count(*) AS value FROM producer")).toBe(0);
  });
});
