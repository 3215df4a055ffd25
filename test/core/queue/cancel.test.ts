// Cancelling, replacing and debouncing messages that wait.
import { describe, expect, it } from "vitest";
import { QueueHarness } from "../../support/queue-harness.ts";
import {
  bodies,
  drain,
  inBothLives,
  must,
  sequencesOf,
  settleMessage,
  takeOne,
} from "../../support/queue-lives.ts";
import { messageId } from "../../../src/protocol/batch.ts";

const DAY = 24 * 3_600_000;

function idOf(q: QueueHarness, sequence: number): string {
  return messageId(
    q.run((queue) => queue.stored.origin),
    sequence,
  );
}

function cancelKey(q: QueueHarness, key: string): unknown {
  return q.run((queue) => queue.cancel({ cancelKey: key }));
}

describe("cancelling", () => {
  inBothLives("takes back a message by its id", (make) => {
    const q = make();
    must(q.publish("1", "2", "3"));
    const id = idOf(q, 2);
    expect(q.run((queue) => queue.cancel({ id }))).toEqual({ ok: true, value: { id } });
    expect(q.run((queue) => queue.cancel({ id }))).toMatchObject({ code: "message_not_found" });
    expect(q.info().totals.cancelled).toBe(1);
    expect(bodies(drain(q))).toEqual(["1", "3"]);
  });

  inBothLives("takes back a message by the sender's own key", (make) => {
    const q = make();
    must(q.publish({ text: "1", cancelKey: "a" }, { text: "2", cancelKey: "b", priority: 3 }));
    expect(cancelKey(q, "b")).toMatchObject({ ok: true });
    expect(cancelKey(q, "b")).toMatchObject({ code: "message_not_found" });
    expect(bodies(drain(q))).toEqual(["1"]);
  });

  inBothLives("takes back a delayed message, and the counts tell", (make) => {
    const q = make();
    must(
      q.publish(
        { text: "1", delayMs: 10 },
        { text: "2", delayMs: 20, cancelKey: "k" },
        { text: "3", delayMs: 30 },
      ),
    );
    expect(cancelKey(q, "k")).toMatchObject({ ok: true });
    expect(q.info().counts).toMatchObject({ delayed: 2, ready: 0 });
    q.advance(10);
    expect(q.info().counts).toMatchObject({ delayed: 1, ready: 1 });
    takeOne(q, "1");
    expect(q.info().counts).toMatchObject({ delayed: 1, ready: 0, leased: 1 });
    q.advance(20);
    expect(bodies(drain(q))).toEqual(["3"]);
    expect(q.info().counts).toMatchObject({ delayed: 0, ready: 0 });
  });

  inBothLives("of a message that backs off is possible, of one that a consumer holds it is not", (make) => {
    const q = make();
    must(q.publish({ text: "1", cancelKey: "k" }));
    const message = takeOne(q, "1");
    expect(cancelKey(q, "k")).toMatchObject({ code: "message_leased" });
    settleMessage(q, message, "nack", { delayMs: 1_000 });
    expect(cancelKey(q, "k")).toMatchObject({ ok: true });
    q.advance(1_000);
    expect(q.take()).toEqual([]);
    expect(q.info().counts).toMatchObject({ ready: 0, delayed: 0, leased: 0, bytes: 0 });
  });

  inBothLives("finds no message that was acked, nor one of another queue", (make) => {
    const q = make();
    must(q.publish({ text: "1", cancelKey: "k" }));
    drain(q);
    expect(cancelKey(q, "k")).toMatchObject({ code: "message_not_found" });
    for (const id of ["", "zz-1", "x", idOf(q, 1), idOf(q, 99)]) {
      expect(q.run((queue) => queue.cancel({ id }))).toMatchObject({ code: "message_not_found" });
    }
  });

  it("leaves no row of the key behind", () => {
    const q = new QueueHarness();
    must(q.publish({ cancelKey: "a" }, { cancelKey: "b" }, { cancelKey: "c" }));
    cancelKey(q, "a");
    settleMessage(q, q.take()[0]!, "ack");
    q.run((queue) => queue.purge({}));
    for (const table of ["handle", "segment", "progress"]) {
      expect([table, q.rowsIn(table)]).toEqual([table, 0]);
    }
  });
});

describe("replacing", () => {
  inBothLives("puts a new message in place of a waiting one", (make) => {
    const q = make();
    must(q.publish({ text: "old", cancelKey: "k", delayMs: DAY }, "other"));
    const batch = q.batch({ text: "new", cancelKey: "k" });
    const confirm = must(q.run((queue, nowMs) => queue.replace({ cancelKey: "k" }, batch, nowMs)));
    expect(sequencesOf(confirm)).toEqual([3]);
    expect(q.info().counts).toMatchObject({ ready: 2, delayed: 0 });
    expect(bodies(drain(q))).toEqual(["other", "new"]);
  });

  inBothLives("leaves the old message where it is when the new one is refused", (make) => {
    const q = make({ config: { bodyBytesMax: 5, maxMessages: 2 } });
    must(q.publish({ text: "old", cancelKey: "k" }, "other"));
    const tooLarge = q.batch("too large");
    const tooMany = q.batch("a", "b", "c");
    const replace = (batch: Uint8Array): unknown =>
      q.run((queue, nowMs) => queue.replace({ cancelKey: "k" }, batch, nowMs));
    expect(replace(tooLarge)).toMatchObject({ code: "body_too_large" });
    expect(replace(tooMany)).toMatchObject({ code: "batch_too_large" });
    expect(replace(q.batch("a", "b"))).toMatchObject({ code: "queue_full" });
    expect(bodies(drain(q))).toEqual(["old", "other"]);
  });

  inBothLives("needs no room but its own in a full queue", (make) => {
    const q = make({ config: { maxMessages: 2 } });
    must(q.publish({ text: "old", cancelKey: "k" }, "other"));
    const batch = q.batch("new");
    must(q.run((queue, nowMs) => queue.replace({ cancelKey: "k" }, batch, nowMs)));
    expect(q.info().counts.ready).toBe(2);
    expect(q.publish("more")).toMatchObject({ code: "queue_full" });
  });

  inBothLives("drops nothing else in a full queue that drops its oldest", (make) => {
    const q = make({ config: { maxMessages: 2, overflow: "dropOldest" } });
    must(q.publish("first", { text: "old", cancelKey: "k" }));
    const batch = q.batch("new");
    must(q.run((queue, nowMs) => queue.replace({ cancelKey: "k" }, batch, nowMs)));
    expect(bodies(drain(q))).toEqual(["first", "new"]);
  });

  inBothLives("is no duplicate of the message it replaces", (make) => {
    const q = make();
    must(q.publish({ text: "old", cancelKey: "k", dedupId: "d" }));
    const batch = q.batch({ text: "new", cancelKey: "k", dedupId: "d" });
    must(q.run((queue, nowMs) => queue.replace({ cancelKey: "k" }, batch, nowMs)));
    expect(bodies(drain(q))).toEqual(["new"]);
  });

  inBothLives("finds nothing where a consumer has the message or it is gone", (make) => {
    const q = make();
    must(q.publish({ text: "1", cancelKey: "k" }));
    const replace = (): unknown => {
      const batch = q.batch("new");
      return q.run((queue, nowMs) => queue.replace({ cancelKey: "k" }, batch, nowMs));
    };
    const message = takeOne(q, "1");
    expect(replace()).toMatchObject({ code: "message_leased" });
    settleMessage(q, message, "ack");
    expect(replace()).toMatchObject({ code: "message_not_found" });
    expect(q.info().counts.ready).toBe(0);
  });
});

describe("publishing the same cancel key again", () => {
  inBothLives("pushes a message forward: the last one stays, the ones before it are gone", (make) => {
    const q = make();
    for (let i = 0; i < 5; i++) {
      must(q.publish({ text: String(i), cancelKey: "alive", delayMs: 10_000 }));
      expect(q.info().counts.delayed).toBe(1);
      q.advance(6_000);
    }
    expect(q.take()).toEqual([]);
    expect(q.wakeMs()).toBe(q.nowMs + 4_000);
    q.advance(4_000);
    expect(bodies(drain(q))).toEqual(["4"]);
    expect(q.info().totals).toMatchObject({ published: 5, cancelled: 4, acked: 1 });
  });

  inBothLives("lets the last one of a batch win, whatever its delay or priority", (make) => {
    for (const [first, last] of [
      [{ delayMs: 10 }, {}],
      [{}, { delayMs: 10 }],
      [{ delayMs: 20 }, { delayMs: 10 }],
      [{ delayMs: 10 }, { delayMs: 20 }],
      [{ priority: 1 }, { priority: 5 }],
      [{ priority: 5 }, { priority: 1 }],
    ] as const) {
      const q = make();
      must(q.publish({ text: "first", cancelKey: "k", ...first }, { text: "last", cancelKey: "k", ...last }));
      expect(q.info().counts.ready + q.info().counts.delayed).toBe(1);
      q.advance(20);
      expect(bodies(drain(q))).toEqual(["last"]);
    }
  });

  inBothLives("lets the last command of a turn win", (make) => {
    const q = make();
    const commands = [
      { batch: q.batch({ text: "1", cancelKey: "k", delayMs: 10 }) },
      { batch: q.batch({ text: "2", cancelKey: "k", priority: 9 }) },
      { batch: q.batch({ text: "3", cancelKey: "k" }) },
    ];
    for (const answer of q.run((queue, nowMs) => queue.publish(commands, nowMs))) must(answer);
    q.advance(10);
    expect(bodies(drain(q))).toEqual(["3"]);
    expect(cancelKey(q, "k")).toMatchObject({ code: "message_not_found" });
  });

  inBothLives("leaves alone what a consumer holds", (make) => {
    const q = make({ config: { nackDelayMs: 0 } });
    must(q.publish({ text: "held", cancelKey: "k" }));
    const held = takeOne(q, "held");
    must(q.publish({ text: "next", cancelKey: "k" }));
    settleMessage(q, held, "nack");
    expect(cancelKey(q, "k")).toMatchObject({ ok: true });
    expect(bodies(drain(q))).toEqual(["held"]);
  });

  inBothLives("leaves a dead message where it is", (make) => {
    const q = make();
    must(q.publish({ text: "dead", cancelKey: "k" }));
    settleMessage(q, takeOne(q, "dead"), "reject", { dead: true });
    must(q.publish({ text: "next", cancelKey: "k" }));
    expect(q.info().counts).toMatchObject({ dead: 1, ready: 1 });
  });
});
