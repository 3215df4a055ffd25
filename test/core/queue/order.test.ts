// Which message goes out next: priority, delay and due time.
import { describe, expect } from "vitest";
import { LIMITS } from "../../../src/protocol/limits.ts";
import {
  bodies,
  drain,
  inBothLives,
  must,
  numbered,
  sequencesOf,
  settleMessage,
  takeOne,
} from "../../support/queue-lives.ts";

describe("a priority", () => {
  inBothLives("is strict: the higher goes first, whenever it was published", (make) => {
    const q = make();
    must(q.publish({ text: "low", priority: 0 }, { text: "none" }, { text: "mid", priority: 4 }));
    must(q.publish({ text: "top", priority: LIMITS.priorityMax }, { text: "mid2", priority: 4 }));
    takeOne(q, "top");
    must(q.publish({ text: "top2", priority: LIMITS.priorityMax }));
    expect(bodies(drain(q))).toEqual(["top2", "mid", "mid2", "low", "none"]);
  });

  inBothLives("keeps the order of publishing within itself, over many batches", (make) => {
    const q = make();
    for (let i = 0; i < 10; i++) {
      must(
        q.publish(
          { text: `a${i}`, priority: 1 },
          { text: `b${i}`, priority: 2 },
          { text: `c${i}`, priority: 1 },
        ),
      );
    }
    const expected = numbered(10).map((i) => `b${i}`);
    expected.push(...numbered(10).flatMap((i) => [`a${i}`, `c${i}`]));
    expect(bodies(drain(q, 7))).toEqual(expected);
  });

  inBothLives("of mixed batches leaves each message its own id and sequence", (make) => {
    const q = make();
    must(q.publish("before"));
    const priorities = [3, 0, 31, 3, 0, 7];
    const confirm = must(q.publish(...priorities.map((priority, i) => ({ text: String(i), priority }))));
    const sequences = sequencesOf(confirm);
    expect(new Set(sequences)).toEqual(new Set([2, 3, 4, 5, 6, 7]));
    const messages = drain(q);
    expect(bodies(messages)).toEqual(["2", "5", "0", "3", "before", "1", "4"]);
    for (const { body, id, sequence } of messages.filter((message) => message.body !== "before")) {
      expect(sequence).toBe(sequences[Number(body)]);
      const found = q.run((queue) => queue.stored.origin).toString(36);
      expect(id).toBe(`${found}-${sequence.toString(36)}`);
    }
  });

  inBothLives("is kept by a message that comes back", (make) => {
    const q = make({ config: { nackDelayMs: 0 } });
    must(
      q.publish({ text: "low1", priority: 1 }, { text: "low2", priority: 1 }, { text: "high", priority: 2 }),
    );
    const high = takeOne(q, "high");
    const low1 = takeOne(q, "low1");
    settleMessage(q, low1, "nack");
    settleMessage(q, high, "nack");
    expect([...q.take(1), ...q.take(1), ...q.take(1)].map(({ body }) => body)).toEqual([
      "high",
      "low1",
      "low2",
    ]);
  });
});

describe("a delay", () => {
  inBothLives("holds a message back to the millisecond", (make) => {
    const q = make();
    must(q.publish({ text: "x", delayMs: 5_000 }));
    expect(q.wakeMs()).toBe(q.nowMs + 5_000);
    q.advance(4_999);
    expect(q.take()).toEqual([]);
    expect(q.info().counts).toMatchObject({ delayed: 1, ready: 0 });
    q.advance(1);
    expect(q.info().counts).toMatchObject({ delayed: 0, ready: 1 });
    expect(takeOne(q, "x")).toMatchObject({ attempt: 1 });
  });

  inBothLives("is in exact order of due time, within and across batches", (make) => {
    const q = make();
    const delays = [50, 10, 40, 20, 30, 10];
    must(q.publish(...delays.map((delayMs, i) => ({ text: `${delayMs} a${i}`, delayMs }))));
    q.advance(5);
    must(
      q.publish({ text: "30 b", delayMs: 25 }, { text: "6 b", delayMs: 1 }, { text: "45 b", delayMs: 40 }),
    );
    q.advance(45);
    const expected = ["6 b", "10 a1", "10 a5", "20 a3", "30 a4", "30 b", "40 a2", "45 b", "50 a0"];
    expect(bodies(drain(q, 2))).toEqual(expected);
  });

  inBothLives("lets each message go at its own time", (make) => {
    const q = make();
    must(q.publish({ text: "3", delayMs: 30 }, { text: "1", delayMs: 10 }, { text: "2", delayMs: 20 }));
    for (const body of ["1", "2", "3"]) {
      q.advance(9);
      expect(q.take(9)).toEqual([]);
      q.advance(1);
      expect(bodies(q.take(9))).toEqual([body]);
    }
  });

  inBothLives("puts a message among the others by the time it was due", (make) => {
    const q = make();
    must(q.publish("at 0", { text: "at 20", delayMs: 20 }));
    q.advance(10);
    must(q.publish("at 10"));
    q.advance(20);
    must(q.publish("at 30", { text: "at 30, delayed 0", delayMs: 0 }));
    expect(bodies(drain(q))).toEqual(["at 0", "at 10", "at 20", "at 30", "at 30, delayed 0"]);
  });

  inBothLives("does not lift a message over its priority", (make) => {
    const q = make();
    must(q.publish({ text: "high", delayMs: 10, priority: 5 }, { text: "low", delayMs: 5 }));
    q.advance(10);
    expect(bodies(drain(q))).toEqual(["high", "low"]);
  });

  inBothLives("may be a year", (make) => {
    const q = make();
    must(q.publish({ text: "x", delayMs: LIMITS.delayMsMax }, "now"));
    settleMessage(q, takeOne(q, "now"), "ack");
    expect(q.wakeMs()).toBe(q.nowMs + LIMITS.delayMsMax);
    q.advance(LIMITS.delayMsMax - 1);
    expect(q.take()).toEqual([]);
    q.advance(1);
    expect(bodies(drain(q))).toEqual(["x"]);
  });

  inBothLives("is over once: a message that comes back does not wait for it again", (make) => {
    const q = make({ config: { nackDelayMs: 0 } });
    must(q.publish({ text: "1", delayMs: 1_000 }, { text: "2", delayMs: 1_000 }));
    q.advance(1_000);
    settleMessage(q, takeOne(q, "1"), "nack");
    expect([...q.take(1), ...q.take(1)]).toMatchObject([
      { body: "1", attempt: 2 },
      { body: "2", attempt: 1 },
    ]);
  });

  inBothLives("counts from a clock that never runs backwards", (make) => {
    const q = make();
    must(q.publish({ text: "x", delayMs: 1_000 }));
    q.advance(1_000);
    q.publish("y");
    q.nowMs -= 500_000;
    expect(bodies(q.take(9))).toEqual(["x", "y"]);
  });
});
