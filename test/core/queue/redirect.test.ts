// Dead letters whose target has gone, when the queue's dead letters go elsewhere now.
import { describe, expect } from "vitest";
import { QUEUE_DEFAULTS, type QueueConfig } from "../../../src/protocol/queue-config.ts";
import type { QueueHarness } from "../../support/queue-harness.ts";
import {
  carried,
  carry,
  drain,
  firstMove,
  inBothLives,
  must,
  settleMessage,
} from "../../support/queue-lives.ts";

const config: Partial<QueueConfig> = { maxFailures: 0, deadLetter: { queue: "gone", routingKey: "dead.r" } };

function kill(q: QueueHarness, ...bodies: string[]): void {
  must(q.publish(...bodies.map((text) => ({ text, routingKey: `r.${text}` }))));
  for (const message of q.take(bodies.length)) settleMessage(q, message, "reject", { dead: true });
}

function lead(q: QueueHarness, deadLetter: QueueConfig["deadLetter"]): void {
  q.run((queue, changedMs) =>
    queue.store({ config: { ...QUEUE_DEFAULTS, ...config, deadLetter }, changedMs }),
  );
}

/** The carrier finds no queue of that name; where what waited goes now. */
function refuse(q: QueueHarness): string | undefined {
  const move = firstMove(q)!;
  q.run((queue, nowMs) => queue.moveFailed(move, nowMs, true));
  return firstMove(q)?.target;
}

describe("dead letters whose target has gone", () => {
  inBothLives("wait for it while it is the queue's, and while the queue has none", (make) => {
    const q = make({ config });
    kill(q, "a");
    expect(refuse(q)).toBeUndefined();
    q.advance(1_000);
    lead(q, null);
    expect(refuse(q)).toBeUndefined();
    expect(q.info().counts.deadLettering).toBe(1);
  });

  inBothLives("go to the new one at once, in their order and as they died, once", (make) => {
    const q = make({ config });
    const dlq = make({ name: "new" });
    kill(q, "a");
    kill(q, "b", "c");
    lead(q, { queue: "new" });
    expect([refuse(q), refuse(q), refuse(q)]).toEqual(["gone", "gone", "new"]);
    expect(q.info()).toMatchObject({ counts: { deadLettering: 3 }, totals: { deadLettered: 3 } });
    expect(carry(q, dlq)).toBe(3);
    expect(q.info().counts.deadLettering).toBe(0);
    expect(drain(dlq)).toMatchObject(
      ["a", "b", "c"].map((body) => ({ body, routingKey: `r.${body}`, death: { queue: "q", hops: 1 } })),
    );
  });

  inBothLives("come under numbers that the new target has not seen", (make) => {
    const q = make({ config });
    kill(q, "a");
    lead(q, { queue: "new", routingKey: "dead.new" });
    kill(q, "b");
    expect(refuse(q)).toBe("new");
    expect(carried(q)).toMatchObject([
      { target: "new", number: 2 },
      { target: "new", number: 3 },
    ]);
  });

  inBothLives("are led there once, though two carriers tell that the target has gone", (make) => {
    const q = make({ config });
    const dlq = make({ name: "new" });
    kill(q, "a");
    lead(q, { queue: "new" });
    const move = firstMove(q)!;
    for (let i = 0; i < 2; i++) q.run((queue, nowMs) => queue.moveFailed(move, nowMs, true));
    expect(carry(q, dlq)).toBe(1);
    expect(q.info().counts.deadLettering).toBe(0);
  });

  inBothLives("stay on their way when a target is there that refuses them", (make) => {
    const q = make({ config });
    kill(q, "a");
    lead(q, { queue: "new" });
    const move = firstMove(q)!;
    q.run((queue, nowMs) => queue.moveFailed(move, nowMs));
    q.advance(1_000);
    expect(firstMove(q)).toMatchObject({ target: "gone", tries: 1 });
  });
});

describe("messages that were redriven to a queue that has gone", () => {
  inBothLives("wait for it, wherever the queue's dead letters go", (make) => {
    const q = make({ config: { ...config, deadLetter: null } });
    kill(q, "a");
    must(q.publish("b"));
    const command = { filter: {}, dryRun: false, all: true, to: "gone" };
    must(q.run((queue, nowMs) => queue.redrive(command, nowMs)));
    lead(q, { queue: "new" });
    expect(refuse(q)).toBeUndefined();
    q.advance(1_000);
    expect(carried(q)).toMatchObject([{ target: "gone", count: 2 }]);
  });
});
