// Fair queues: a key with a long backlog does not hold up the others.
import { describe, expect } from "vitest";
import { ownerOf } from "../../../src/protocol/partitions.ts";
import { hashText } from "../../../src/protocol/rendezvous.ts";
import type { QueueHarness } from "../../support/queue-harness.ts";
import { inBothLives, must } from "../../support/queue-lives.ts";

const LANES = 4;
const NOISY = "noisy";
/** In another lane. */
const QUIET = ["a", "b", "c", "d", "e", "f", "g"].find((key) => laneOf(key) !== laneOf(NOISY))!;

function laneOf(key: string): number {
  return ownerOf(hashText(key), LANES);
}

function publish(q: QueueHarness, key: string | null, texts: readonly string[]): void {
  const fields = key === null ? {} : { orderingKey: key };
  must(q.publish(...texts.map((text) => ({ text, ...fields }))));
}

function texts(q: QueueHarness, max: number): string[] {
  return q.take(max).map(({ body }) => body ?? "");
}

const backlog = Array.from({ length: 100 }, (_, i) => `n${i}`);

describe("a fair queue", () => {
  inBothLives("gives each lane an equal part of a delivery", (make) => {
    const q = make({ config: { fairLanes: LANES } });
    publish(q, NOISY, backlog);
    publish(q, QUIET, ["q0", "q1", "q2"]);
    expect(texts(q, 4).sort()).toEqual(["n0", "n1", "q0", "q1"]);
  });

  inBothLives("gives what one lane has not to the others", (make) => {
    const q = make({ config: { fairLanes: LANES } });
    publish(q, NOISY, backlog);
    publish(q, QUIET, ["q0"]);
    expect(texts(q, 6).sort()).toEqual(["n0", "n1", "n2", "n3", "n4", "q0"]);
  });

  inBothLives("takes the lanes in turn when deliveries hold one message", (make) => {
    const q = make({ config: { fairLanes: LANES } });
    publish(q, NOISY, backlog);
    publish(q, QUIET, ["q0", "q1"]);
    const taken = Array.from({ length: 4 }, () => texts(q, 1)[0]!);
    expect([...taken].sort()).toEqual(["n0", "n1", "q0", "q1"]);
    expect(taken[0]![0]).not.toBe(taken[1]![0]);
  });

  inBothLives("keeps the order of a lane, what came back first", (make) => {
    const q = make({ config: { fairLanes: LANES, nackDelayMs: 0 } });
    publish(q, NOISY, ["n0", "n1", "n2"]);
    const { lease } = q.receive(2);
    q.settle({ lease, verdict: "nack" });
    expect(texts(q, 3)).toEqual(["n0", "n1", "n2"]);
  });

  inBothLives("gives what came back once, though its lane's turn comes again", (make) => {
    const q = make({ config: { fairLanes: LANES, nackDelayMs: 0 } });
    publish(q, NOISY, ["n0", "n1", "n2"]);
    const { lease } = q.receive(3);
    q.settle({ lease, verdict: "nack" });
    publish(q, QUIET, ["q0"]);
    expect(texts(q, 4).sort()).toEqual(["n0", "n1", "n2", "q0"]);
  });

  inBothLives("holds messages without a key, and on a delay, as well", (make) => {
    const q = make({ config: { fairLanes: LANES } });
    publish(q, null, ["plain"]);
    must(q.publish({ text: "later", orderingKey: NOISY, delayMs: 50 }));
    expect(texts(q, 5)).toEqual(["plain"]);
    q.advance(50);
    expect(texts(q, 5)).toEqual(["later"]);
  });

  inBothLives("knows no priorities, and tells those that messages came with", (make) => {
    const q = make({ config: { fairLanes: LANES } });
    must(q.publish({ text: "low", orderingKey: NOISY }, { text: "high", orderingKey: NOISY, priority: 9 }));
    const page = must(q.run((queue, nowMs) => queue.peek({ state: "ready", limit: 9 }, nowMs)));
    expect(page.messages.map(({ priority }) => priority)).toEqual([0, 9]);
    expect(texts(q, 2)).toEqual(["low", "high"]);
  });

  inBothLives("locks no key", (make) => {
    const q = make({ config: { fairLanes: LANES } });
    publish(q, NOISY, ["n0", "n1"]);
    expect(texts(q, 1)).toEqual(["n0"]);
    expect(texts(q, 1)).toEqual(["n1"]);
  });
});
