// One partition of a queue of several: whom it refuses, when it delivers, and when others may.
import { describe, expect } from "vitest";
import type { PublishConfirm } from "../../../src/protocol/commands.ts";
import { ownerOf, partitionOfLease, partitionOfSequence } from "../../../src/protocol/partitions.ts";
import { hashText } from "../../../src/protocol/rendezvous.ts";
import type { Result } from "../../../src/protocol/result.ts";
import type { PartitionSetup } from "../../../src/protocol/rpc.ts";
import { WHOLE } from "../../../src/queue/partition.ts";
import type { Fence, Partition } from "../../../src/queue/stores.ts";
import { leaseOf, type HarnessOptions, type QueueHarness } from "../../support/queue-harness.ts";
import {
  bodies,
  carried,
  drain,
  inBothLives,
  must,
  sequencesOf,
  settleMessage,
  takeOne,
  type MakeQueue,
} from "../../support/queue-lives.ts";

const retry = { kind: "fixed", baseMs: 1_000, maxMs: 1_000, jitter: 0 } as const;
const fifo = { config: { fifo: true, retry, nackDelayMs: 1_000 } };

function makePart(
  make: MakeQueue,
  partition: Partial<Partition>,
  options: HarnessOptions = fifo,
): QueueHarness {
  const q = make(options);
  q.stores.writeQueue({ ...q.stores.readQueue()!, partition: { ...WHOLE, ...partition } });
  return q;
}

/** What the head says. */
function learn(q: QueueHarness, partitions: number, setup: Partial<PartitionSetup> = {}): void {
  q.run((queue) => {
    const { origin, createdMs, config, paused } = queue.stored;
    const whole = { origin, createdMs, config: { ...config, partitions }, paused, partitions, change: 1 };
    queue.learn({ ...whole, waitsFor: [], ...setup });
  });
}

function workedOff(q: QueueHarness): Fence | null {
  return q.run((queue) => queue.workedOff());
}

function endWait(q: QueueHarness, partition: number): void {
  q.run((queue) => queue.endWait(partition));
}

function partitionOf(q: QueueHarness): Partition {
  return q.run((queue) => queue.partition);
}

function publish(q: QueueHarness, known: number, text: string): Result<PublishConfirm> {
  return q.run((queue, nowMs) => queue.publish([{ batch: q.batch(text), known }], nowMs)[0]!);
}

describe("a partition", () => {
  inBothLives("refuses callers who know of fewer partitions, and takes nothing from them", (make) => {
    const q = makePart(make, { count: 3 });
    expect(publish(q, 2, "a")).toMatchObject({ code: "partitions_changed" });
    expect(q.publish("b")).toMatchObject({ code: "partitions_changed" });
    expect(q.run((queue) => queue.refuseLayout(2))).toMatchObject({ code: "partitions_changed" });
    must(publish(q, 3, "c"));
    must(publish(q, 4, "d"));
    expect(bodies(drain(q))).toEqual(["c", "d"]);
  });

  inBothLives("refuses of one turn only what was sent under an older layout", (make) => {
    const q = makePart(make, { count: 2 });
    const commands = [1, 2, 1, 2].map((known, i) => ({ batch: q.batch(String(i)), known }));
    const answers = q.run((queue, nowMs) => queue.publish(commands, nowMs));
    expect(answers.map(({ ok }) => ok)).toEqual([false, true, false, true]);
    expect(bodies(drain(q))).toEqual(["1", "3"]);
  });

  inBothLives("can be told by its sequences and its leases", (make) => {
    const q = makePart(make, { index: 3, count: 5 });
    const [sequence] = sequencesOf(must(publish(q, 5, "a")));
    expect(partitionOfSequence(sequence!)).toBe(3);
    expect(partitionOfLease(leaseOf(takeOne(q, "a")))).toBe(3);
  });

  inBothLives("has its share of the queue's limits", (make) => {
    const q = makePart(make, { count: 3 }, { config: { maxMessages: 10, maxBytes: 3_000 } });
    for (const text of ["1", "2", "3", "4"]) must(publish(q, 3, text));
    expect(publish(q, 3, "5")).toMatchObject({ code: "queue_full" });
    drain(q);
    expect(publish(q, 3, "x".repeat(1_001))).toMatchObject({ code: "batch_too_large" });
    must(publish(q, 3, "x".repeat(900)));
  });
});

describe("what the head says", () => {
  inBothLives("holds, and what it said before does not come after it", (make) => {
    const q = makePart(make, { index: 1, count: 2 });
    const { config } = q.run((queue) => queue.stored);
    learn(q, 3, { config: { ...config, leaseMs: 7_000 }, paused: true, change: 5 });
    learn(q, 2, { config: { ...config, leaseMs: 9_000 }, paused: false, change: 4 });
    expect(q.info()).toMatchObject({ config: { leaseMs: 7_000 }, paused: true });
    expect(partitionOf(q)).toMatchObject({ count: 3, told: 5, changes: 0 });
    learn(q, 3, { config: { ...config, leaseMs: 9_000 }, paused: false, change: 6 });
    expect(q.info()).toMatchObject({ config: { leaseMs: 9_000 }, paused: false });
  });

  inBothLives("changes nothing of the head but the number of partitions", (make) => {
    const q = makePart(make, {});
    const before = q.run((queue) => queue.stored);
    q.run((queue) => queue.store({ config: { ...before.config, partitions: 2, leaseMs: 7_000 } }));
    learn(q, 2, { config: { ...before.config, partitions: 2 }, paused: true });
    expect(q.info()).toMatchObject({ config: { leaseMs: 7_000 }, paused: false });
    expect(partitionOf(q)).toMatchObject({ count: 2, changes: 1, told: 0 });
  });

  inBothLives("is counted where all must know of it, until all do", (make) => {
    const q = makePart(make, {});
    const { config } = q.run((queue) => queue.stored);
    q.run((queue) => queue.store({ config: { ...config, leaseMs: 7_000 } }));
    expect(partitionOf(q)).toMatchObject({ changes: 0 });
    q.run((queue) => queue.store({ config: { ...config, partitions: 2 } }));
    q.run((queue) => queue.store({ paused: true }));
    q.run((queue) => queue.store({ allottedBytes: 5 }));
    expect(partitionOf(q)).toMatchObject({ changes: 2, told: 0 });
    q.run((queue) => queue.noteTold(2));
    q.run((queue) => queue.noteTold(1));
    expect(partitionOf(q)).toMatchObject({ changes: 2, told: 2 });
  });
});

describe("a partition that waits for older ones", () => {
  inBothLives("stores, and delivers when each of them has told it", (make) => {
    const q = makePart(make, { index: 2, count: 3, waitsFor: [0, 1] });
    const id = q.attach({ credit: 1 });
    must(publish(q, 3, "a"));
    must(publish(q, 3, "b"));
    const nothing = (): void => expect([q.take(9).length, q.dispatch().length]).toEqual([0, 0]);
    nothing();
    endWait(q, 1);
    endWait(q, 1);
    endWait(q, 7);
    nothing();
    expect(q.info().partitions).toMatchObject([{ partition: 2, waitsFor: [0] }]);
    endWait(q, 0);
    expect(q.dispatch().map(({ consumer }) => consumer.id)).toEqual([id]);
    expect(takeOne(q, "b").body).toBe("b");
  });
});

/** What may be below a fence, and how it comes to its end. */
const BELOW: Record<string, { put: (q: QueueHarness) => void; end: (q: QueueHarness) => void }> = {
  "is fresh": {
    put: (q) => must(q.publish("a")),
    end: (q) => drain(q),
  },
  "is the rest of a batch": {
    put: (q) => {
      must(q.publish("a", "b"));
      settleMessage(q, takeOne(q, "a"), "ack");
    },
    end: (q) => drain(q),
  },
  "is of a lower priority": {
    put: (q) => must(q.publish({ priority: 3, text: "a" })),
    end: (q) => drain(q),
  },
  "is out": {
    put: (q) => {
      must(q.publish("a"));
      takeOne(q, "a");
    },
    end: (q) => {
      q.advance(q.info().config.leaseMs);
      q.advance(1_000);
      drain(q);
    },
  },
  "was given back and waits": {
    put: (q) => {
      must(q.publish({ orderingKey: "k", text: "a" }));
      settleMessage(q, takeOne(q, "a"), "nack");
    },
    end: (q) => {
      q.advance(1_000);
      drain(q);
    },
  },
  "was given back and is ready": {
    put: (q) => {
      must(q.publish({ orderingKey: "k", text: "a" }));
      settleMessage(q, takeOne(q, "a"), "nack", { delayMs: 0 });
    },
    end: (q) => drain(q),
  },
  "stands in its key's line": {
    put: (q) => {
      must(q.publish({ orderingKey: "k", text: "a" }, { orderingKey: "k", text: "b" }, "c"));
      const taken = q.take(3);
      expect(bodies(taken)).toEqual(["a", "c"]);
      for (const one of taken) settleMessage(q, one, "ack");
    },
    end: (q) => drain(q),
  },
  "is parked": {
    put: (q) => {
      must(q.publish({ orderingKey: "k", text: "a" }));
      settleMessage(q, takeOne(q, "a"), "reject", { dead: true });
      expect(q.info().counts.parked).toBe(1);
    },
    end: (q) => must(q.run((queue, nowMs) => queue.resumeKey("k", "skip", nowMs))),
  },
  "is on a delay": {
    put: (q) => must(q.publish({ delayMs: 60_000, text: "a" })),
    end: (q) => {
      q.advance(60_000);
      drain(q);
    },
  },
};

describe("a fence", () => {
  for (const [how, { put, end }] of Object.entries(BELOW)) {
    inBothLives(`stands while a message below it ${how}`, (make) => {
      const q = make(fifo);
      put(q);
      learn(q, 2);
      expect(workedOff(q)).toBeNull();
      end(q);
      expect(workedOff(q)).toMatchObject({ tell: [1] });
    });
  }

  inBothLives("is worked off at once where nothing is below it, whatever comes after", (make) => {
    const q = make(fifo);
    drain(q);
    learn(q, 3);
    must(publish(q, 3, "after"));
    expect(workedOff(q)).toEqual({ sequence: 1, tell: [1, 2] });
    takeOne(q, "after");
    expect(workedOff(q)).toEqual({ sequence: 1, tell: [1, 2] });
  });

  inBothLives("does not stand for what is dead", (make) => {
    const q = make({ config: { ...fifo.config, onKeyFailure: "skip" } });
    must(q.publish({ orderingKey: "k", text: "a" }));
    settleMessage(q, takeOne(q, "a"), "reject", { dead: true });
    learn(q, 2);
    expect(q.info().counts.dead).toBe(1);
    expect(workedOff(q)).toMatchObject({ tell: [1] });
  });

  inBothLives("is drawn only by growth, and only in a queue with order", (make) => {
    const q = make(fifo);
    learn(q, 1);
    expect(partitionOf(q).fences).toEqual([]);
    const unordered = make();
    must(unordered.publish("a"));
    learn(unordered, 2);
    expect(partitionOf(unordered)).toMatchObject({ count: 2, fences: [] });
    learn(q, 2);
    learn(q, 2);
    expect(partitionOf(q).fences).toHaveLength(1);
  });

  inBothLives("of a first growth ends before that of a second", (make) => {
    const q = make(fifo);
    must(q.publish("a"));
    learn(q, 2);
    must(publish(q, 2, "b"));
    learn(q, 4);
    expect(workedOff(q)).toBeNull();
    settleMessage(q, takeOne(q, "a"), "ack");
    const first = workedOff(q)!;
    expect(first).toEqual({ sequence: 2, tell: [1] });
    q.run((queue) => queue.endFence(first));
    expect(workedOff(q)).toBeNull();
    settleMessage(q, takeOne(q, "b"), "ack");
    const second = workedOff(q)!;
    expect(second).toEqual({ sequence: 3, tell: [2, 3] });
    q.run((queue) => queue.endFence(second));
    expect([workedOff(q), partitionOf(q).fences]).toEqual([null, []]);
  });

  inBothLives("that was told to some stands for those who came to it meanwhile", (make) => {
    const q = make(fifo);
    learn(q, 2);
    const told = workedOff(q)!;
    learn(q, 3);
    expect(workedOff(q)).toEqual({ sequence: 1, tell: [1, 2] });
    q.run((queue) => queue.endFence(told));
    expect(workedOff(q)).toEqual({ sequence: 1, tell: [2] });
  });
});

describe("a dead message whose key has gone to another partition", () => {
  inBothLives("is redriven to the queue, and one whose key is here to its place", (make) => {
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    const here = keys.find((key) => ownerOf(hashText(key), 2) === 0)!;
    const moved = keys.find((key) => ownerOf(hashText(key), 2) === 1)!;
    const q = make({ config: { ...fifo.config, onKeyFailure: "skip" } });
    must(q.publish({ orderingKey: here, text: "here" }, { orderingKey: moved, text: "moved" }));
    for (const message of q.take(2)) settleMessage(q, message, "reject", { dead: true });
    learn(q, 2);
    const command = { filter: {}, dryRun: false };
    must(q.run((queue, nowMs) => queue.redrive(command, nowMs)));
    expect(carried(q).map(({ target, count }) => [target, count])).toEqual([["q", 1]]);
    expect(bodies(drain(q))).toEqual(["here"]);
  });
});

describe("a producer's part of a batch", () => {
  function send(q: QueueHarness, sequence: number, span: number, ...texts: string[]): Result<PublishConfirm> {
    const command = { batch: q.batch(...texts), producer: { id: "p", sequence, span }, known: 2 };
    return q.run((queue, nowMs) => queue.publish([command], nowMs)[0]!);
  }

  inBothLives("may leave gaps, since what is missing went elsewhere", (make) => {
    const q = makePart(make, { count: 2 });
    must(send(q, 3, 4, "a"));
    must(send(q, 7, 1, "b"));
    must(send(q, 20, 2, "c"));
    expect(bodies(drain(q))).toEqual(["a", "b", "c"]);
  });

  inBothLives("is known again by its sequence and the size of the whole", (make) => {
    const q = makePart(make, { count: 2 });
    const first = must(send(q, 1, 5, "a", "b"));
    must(send(q, 6, 1, "c"));
    expect(must(send(q, 1, 5, "a", "b"))).toEqual({ ...first, duplicates: [0, 1] });
    expect(q.info()).toMatchObject({ counts: { ready: 3 }, totals: { duplicates: 2 } });
  });

  inBothLives("is refused when it was passed and is not remembered", (make) => {
    const q = makePart(make, { count: 2 });
    must(send(q, 1, 5, "a"));
    expect(send(q, 1, 4, "a")).toMatchObject({ code: "sequence_gap" });
    expect(send(q, 3, 3, "b")).toMatchObject({ code: "sequence_gap" });
    for (let i = 0; i < 30; i++) must(send(q, 6 + i, 1, "c"));
    expect(send(q, 1, 5, "a")).toMatchObject({ code: "sequence_gap" });
    expect(q.info().counts.ready).toBe(31);
  });
});
