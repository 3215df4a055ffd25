// What comes and goes through outboxes beside dead letters between queues: to an exchange, and from one.
import { describe, expect, it } from "vitest";
import type { MessageRecord } from "../../../src/protocol/batch.ts";
import { moveSender, moveTarget, readMoveTarget } from "../../../src/protocol/move-target.ts";
import { NAME_PATTERN } from "../../../src/protocol/names.ts";
import type { QueueHarness } from "../../support/queue-harness.ts";
import {
  bodies,
  carried,
  carry,
  drain,
  firstMove,
  inBothLives,
  must,
  takeOne,
  settleMessage,
} from "../../support/queue-lives.ts";

const SENDER = moveSender({ exchange: "e" }, 7);

/** As an exchange sends what it held back until now. */
function arrive(q: QueueHarness, number: number, ...records: (Partial<MessageRecord> & { text: string })[]) {
  const batch = q.batch(...records);
  return must(q.run((queue, nowMs) => queue.acceptMoves(SENDER, [{ number, batch }], nowMs)));
}

describe("the target of a move", () => {
  it.each([{ queue: "a.b" }, { exchange: "a.b" }])("%o is read as it was written", (destination) => {
    expect(readMoveTarget(moveTarget(destination))).toEqual(destination);
  });

  it("is a queue's bare name, and no queue's name where it is an exchange", () => {
    expect(moveTarget({ queue: "orders" })).toBe("orders");
    expect(NAME_PATTERN.test(moveTarget({ exchange: "orders" }))).toBe(false);
    expect(moveSender({ queue: "e" }, 7)).not.toBe(moveSender({ exchange: "e" }, 7));
  });
});

describe("a dead message whose target is an exchange", () => {
  inBothLives(
    "leaves by the outbox with its record, and counts as on its way while it is refused",
    (make) => {
      const q = make({
        config: { maxFailures: 0, deadLetter: { exchange: "dead", routingKey: "dead.orders" } },
      });
      must(q.publish({ text: "x", routingKey: "orders" }));
      settleMessage(q, takeOne(q, "x"), "reject");
      const move = firstMove(q)!;
      expect(readMoveTarget(move.target)).toEqual({ exchange: "dead" });
      // What a refusal, `unroutable` above all, does.
      q.run((queue, nowMs) => queue.moveFailed(move, nowMs));
      expect(q.info().counts).toMatchObject({ deadLettering: 1, dead: 0 });
      expect(firstMove(q)).toBeNull();
      expect(q.wakeMs()).toBe(q.nowMs + 1_000);
      q.nowMs += 1_000;
      const [row] = carried(q);
      expect(q.info().counts.deadLettering).toBe(0);
      const table = must(q.codec.scan(row!.batch, "broker"));
      expect([table.count, row!.number]).toEqual([1, move.number]);
    },
  );
});

describe("messages that an exchange held back", () => {
  inBothLives("are published where they arrive: they get their ids and times here, once", (make) => {
    const q = make();
    q.advance(5_000);
    expect(arrive(q, 1, { text: "a", routingKey: "k" }, { text: "b" })).toEqual({
      accepted: 2,
      done: 1,
    });
    expect(arrive(q, 1, { text: "a" }, { text: "b" })).toEqual({ accepted: 0, done: 1 });
    const messages = q.take(9);
    expect(messages).toMatchObject([
      { body: "a", routingKey: "k", sequence: 1, timeMs: q.nowMs, attempt: 1 },
      { body: "b", sequence: 2 },
    ]);
    expect(messages[0]!.id).toMatch(/-1$/);
    expect(messages[0]).not.toHaveProperty("death");
    expect(q.info().totals.published).toBe(2);
  });

  inBothLives("die of age by this queue's clock", (make) => {
    const q = make();
    arrive(q, 1, { text: "a", ttlMs: 100 }, { text: "b" });
    q.advance(100);
    expect(bodies(drain(q))).toEqual(["b"]);
  });

  inBothLives("are duplicates of what was published with their dedup id, and others of them", (make) => {
    const q = make();
    must(q.publish({ text: "first", dedupId: "d1" }));
    expect(arrive(q, 1, { text: "again", dedupId: "d1" }, { text: "new", dedupId: "d2" }).accepted).toBe(1);
    const [, duplicate] = must(
      q.publish({ text: "d2 again", dedupId: "d2" }, { text: "d3", dedupId: "d3" }),
    ).duplicates;
    expect(duplicate).toBeUndefined();
    expect(bodies(drain(q))).toEqual(["first", "new", "d3"]);
  });

  inBothLives("replace what waits with their cancel key", (make) => {
    const q = make();
    must(q.publish({ text: "old", cancelKey: "k" }));
    arrive(q, 1, { text: "new", cancelKey: "k" });
    expect(bodies(q.take(9))).toEqual(["new"]);
  });

  inBothLives("are told from what a queue of the exchange's name sends", (make) => {
    const q = make();
    arrive(q, 1, { text: "from the exchange" });
    const batch = q.batch("from the queue");
    const sender = moveSender({ queue: "e" }, 7);
    expect(
      must(q.run((queue, nowMs) => queue.acceptMoves(sender, [{ number: 1, batch }], nowMs))).accepted,
    ).toBe(1);
  });
});

describe("a message that was accepted elsewhere before", () => {
  inBothLives("is no duplicate where it arrives, and takes no cancel key from one that waits", (make) => {
    const q = make({ config: { maxFailures: 0, deadLetter: { queue: "dlq" } } });
    const dlq = make({ name: "dlq" });
    const same = { dedupId: "d", cancelKey: "k" };
    must(dlq.publish({ text: "waits", ...same }));
    must(q.publish({ text: "died", ...same }));
    settleMessage(q, takeOne(q, "died"), "reject");
    expect(carry(q, dlq)).toBe(1);
    must(dlq.run((queue) => queue.cancel({ cancelKey: "k" })));
    expect(bodies(drain(dlq))).toEqual(["died"]);
    expect(must(dlq.publish({ text: "again", ...same })).duplicates).toEqual([0]);
  });
});
