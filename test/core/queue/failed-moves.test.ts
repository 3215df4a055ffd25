// Redriven messages whose target has gone.
import { describe, expect } from "vitest";
import type { RedriveCommand, RedriveStatus } from "../../../src/protocol/commands.ts";
import type { QueueConfig } from "../../../src/protocol/queue-config.ts";
import type { QueueHarness } from "../../support/queue-harness.ts";
import {
  bodies,
  carry,
  drain,
  firstMove,
  inBothLives,
  must,
  settleMessage,
  type MakeQueue,
} from "../../support/queue-lives.ts";

const retry = { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } as const;

function redrive(q: QueueHarness, command: Partial<RedriveCommand> = {}): RedriveStatus {
  return must(q.run((queue, nowMs) => queue.redrive({ filter: {}, dryRun: false, ...command }, nowMs)));
}

function status(q: QueueHarness, task: number | null): RedriveStatus {
  return must(q.run((queue) => queue.redriveStatus(task!)));
}

/** A dead-letter queue with what died in `q`. */
function makeDeadLetters(
  make: MakeQueue,
  config: Partial<QueueConfig> = {},
  ...texts: string[]
): QueueHarness {
  const q = make({ name: "q", config: { retry, maxFailures: 0, deadLetter: { queue: "dlq" } } });
  const dlq = make({ name: "dlq", config });
  must(q.publish(...texts));
  for (const message of q.take(texts.length)) settleMessage(q, message, "reject");
  expect(carry(q, dlq)).toBe(texts.length);
  return dlq;
}

/** Carries as long as there is something to carry; no target is there. */
function refuseAll(q: QueueHarness): void {
  for (;;) {
    const move = firstMove(q);
    if (move === null) return;
    q.run((queue, nowMs) => queue.moveFailed(move, nowMs, true));
  }
}

describe("a redrive whose target has gone", () => {
  inBothLives("fails, and what it had not moved can be received where it was", (make) => {
    const dlq = makeDeadLetters(make, {}, "a", "b", "c");
    const { task } = redrive(dlq, { to: "gone", ratePerSecond: 20 });
    expect(dlq.info().counts).toMatchObject({ deadLettering: 2, ready: 1 });
    refuseAll(dlq);
    expect(status(dlq, task)).toMatchObject({ state: "failed", failure: "queue_not_found", moved: 0 });
    dlq.advance(60_000);
    expect(dlq.info().counts).toMatchObject({ deadLettering: 0, ready: 3 });
    expect(bodies(drain(dlq))).toEqual(["c", "a", "b"]);
  });

  inBothLives("fails too when it has ended, and only that one", (make) => {
    const dlq = makeDeadLetters(make, {}, "a");
    const { task: other } = redrive(dlq, { to: "elsewhere", filter: { reason: "expired" } });
    const { task: earlier } = redrive(dlq, { to: "gone", filter: { reason: "expired" } });
    const { task } = redrive(dlq, { to: "gone" });
    expect(status(dlq, task)).toMatchObject({ state: "done", moved: 1 });
    refuseAll(dlq);
    expect(status(dlq, task)).toMatchObject({ state: "failed", moved: 0 });
    for (const one of [other, earlier]) expect(status(dlq, one)).toMatchObject({ state: "done" });
  });

  inBothLives(
    "leaves messages as they were: with their ids, dead, and ready to be redriven again",
    (make) => {
      const dlq = makeDeadLetters(make, {}, "a");
      const [before] = must(
        dlq.run((queue, nowMs) => queue.peek({ state: "ready", limit: 1 }, nowMs)),
      ).messages;
      redrive(dlq, { to: "gone" });
      refuseAll(dlq);
      const [after] = must(
        dlq.run((queue, nowMs) => queue.peek({ state: "ready", limit: 1 }, nowMs)),
      ).messages;
      expect(after).toMatchObject({
        id: before!.id,
        timeMs: before!.timeMs,
        death: { ...(before!.death as object), hops: 0 },
      });
      expect(redrive(dlq, { filter: { reason: "failed" }, to: "q" })).toMatchObject({ moved: 1 });
    },
  );

  inBothLives("takes each message back once, though two carriers tell that the target has gone", (make) => {
    const dlq = makeDeadLetters(make, {}, "a");
    redrive(dlq, { to: "gone" });
    const move = firstMove(dlq)!;
    for (let i = 0; i < 2; i++) dlq.run((queue, nowMs) => queue.moveFailed(move, nowMs, true));
    expect(bodies(drain(dlq))).toEqual(["a"]);
  });

  inBothLives("goes on when it brings each message to where it died, unless it is to be alone", (make) => {
    for (const alone of [false, true]) {
      const dlq = makeDeadLetters(make, {}, "a", "b", "c");
      const { task } = redrive(dlq, { ratePerSecond: 20, alone });
      refuseAll(dlq);
      expect(status(dlq, task)).toMatchObject({ state: alone ? "failed" : "running", moved: 0 });
      dlq.advance(1_000);
      expect(status(dlq, task).state).toBe(alone ? "failed" : "done");
      refuseAll(dlq);
      expect(dlq.info().counts).toMatchObject({ deadLettering: 0, ready: 3 });
    }
  });

  inBothLives("leaves on its way what there is no room for, and what died in this very queue", (make) => {
    const full = makeDeadLetters(make, {}, "a");
    redrive(full, { to: "gone" });
    full.run((queue, changedMs) =>
      queue.store({ config: { ...queue.stored.config, maxBytes: 1 }, changedMs }),
    );
    refuseAll(full);
    expect(full.info().counts).toMatchObject({ deadLettering: 1, ready: 0 });
    const here = make({ name: "here", config: { retry, maxFailures: 0 } });
    must(here.publish("x"));
    for (const message of here.take(1)) settleMessage(here, message, "reject");
    redrive(here, { to: "gone" });
    refuseAll(here);
    expect(here.info().counts).toMatchObject({ deadLettering: 1, ready: 0 });
  });
});
