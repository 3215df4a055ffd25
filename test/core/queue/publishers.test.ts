// Whose the names are that publishers choose: dedup ids and producers, and cancel keys where a grant says so.
import { describe, expect, it } from "vitest";
import type { ProducerStamp, PublishConfirm, Publisher } from "../../../src/protocol/commands.ts";
import { bareKey, isOwnKey } from "../../../src/protocol/own-keys.ts";
import type { Result } from "../../../src/protocol/result.ts";
import { cancelKeyOf, dedupNames } from "../../../src/queue/publishers.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { ExchangeHarness } from "../../support/exchange-harness.ts";
import { QueueHarness } from "../../support/queue-harness.ts";
import { bodies, drain, inBothLives, must } from "../../support/queue-lives.ts";

type Told = Parameters<QueueHarness["publish"]>[number];

const alice: Publisher = { subject: "alice" };
const mallory: Publisher = { subject: "mallory" };
const own = (publisher: Publisher): Publisher => ({ ...publisher, hasOwnKeys: true });

function publish(
  q: QueueHarness,
  publisher: Publisher | undefined,
  records: readonly Told[],
  producer?: ProducerStamp,
): Result<PublishConfirm> {
  const command = {
    batch: q.batch(...records),
    ...(publisher && { publisher }),
    ...(producer && { producer }),
  };
  return q.run((queue, nowMs) => queue.publish([command], nowMs)[0]!);
}

describe("a dedup id", () => {
  inBothLives("that another subject used first silences nobody", (make) => {
    const q = make();
    must(publish(q, mallory, [{ text: "junk", dedupId: "order-17" }]));
    const mine = must(publish(q, alice, [{ text: "real", dedupId: "order-17" }]));
    expect(mine.duplicates).toEqual([]);
    expect(must(publish(q, alice, [{ text: "real", dedupId: "order-17" }]))).toEqual({
      ...mine,
      duplicates: [0],
    });
    expect(bodies(drain(q))).toEqual(["junk", "real"]);
  });

  inBothLives("silences nobody either where it is made of the content or counts within a key", (make) => {
    const q = make({ config: { dedupByContent: true, dedupScope: "key" } });
    for (const publisher of [mallory, alice]) {
      const one = { text: "same", orderingKey: "k" };
      expect(must(publish(q, publisher, [one, one])).duplicates).toEqual([1]);
    }
  });

  inBothLives("is everyone's where the queue says so", (make) => {
    const q = make({ config: { dedupAcrossSubjects: true } });
    const first = must(publish(q, alice, [{ text: "a", dedupId: "x" }]));
    expect(must(publish(q, mallory, [{ text: "b", dedupId: "x" }]))).toEqual({ ...first, duplicates: [0] });
  });

  inBothLives("that nobody's subject came with counts for everyone", (make) => {
    const q = make();
    const first = must(publish(q, undefined, [{ text: "before the change", dedupId: "x" }]));
    expect(must(publish(q, alice, [{ text: "b", dedupId: "x" }]))).toEqual({ ...first, duplicates: [0] });
  });

  it("of one subject is stored as nobody else's, whatever it is", () => {
    const settings = { dedupAcrossSubjects: false };
    const stored = ["a", "ab", "a:b", "x".repeat(255), "y".repeat(255)].flatMap((id) =>
      ["s", "s:a", "t"].map((subject) => dedupNames(settings, { subject })(id)),
    );
    expect(new Set(stored).size).toBe(stored.length);
    expect(Math.max(...stored.map((name) => name.length))).toBeLessThanOrEqual(255);
  });
});

describe("a producer's name", () => {
  inBothLives("that another subject counts under makes no batch a duplicate, and none a gap", (make) => {
    const q = make();
    must(publish(q, mallory, ["m1", "m2", "m3"], { id: "shop", sequence: 1 }));
    expect(must(publish(q, alice, ["a1"], { id: "shop", sequence: 1 })).duplicates).toEqual([]);
    expect(must(publish(q, alice, ["a2"], { id: "shop", sequence: 2 })).duplicates).toEqual([]);
    expect(must(publish(q, alice, ["a2"], { id: "shop", sequence: 2 })).duplicates).toEqual([0]);
    expect(bodies(drain(q))).toEqual(["m1", "m2", "m3", "a1", "a2"]);
  });

  inBothLives("is refused by its name alone", (make) => {
    const q = make();
    must(publish(q, alice, ["a"], { id: "shop", sequence: 1 }));
    const gap = publish(q, alice, ["a"], { id: "shop", sequence: 9 });
    expect(gap).toMatchObject({ code: "sequence_gap", detail: expect.not.stringContaining("alice") });
  });

  inBothLives("is everyone's where the queue says so, and what was counted for everyone goes on", (make) => {
    const shared = make({ config: { dedupAcrossSubjects: true } });
    must(publish(shared, alice, ["a"], { id: "shop", sequence: 1 }));
    expect(must(publish(shared, mallory, ["a"], { id: "shop", sequence: 1 })).duplicates).toEqual([0]);
    const q = make();
    must(publish(q, undefined, ["a"], { id: "shop", sequence: 1 }));
    expect(must(publish(q, alice, ["a"], { id: "shop", sequence: 1 })).duplicates).toEqual([0]);
    expect(must(publish(q, alice, ["b"], { id: "shop", sequence: 2 })).duplicates).toEqual([]);
    expect(must(publish(q, alice, ["b"], { id: "shop", sequence: 2 })).duplicates).toEqual([0]);
  });
});

describe("a cancel key under a grant that says own", () => {
  inBothLives("neither replaces nor finds another subject's message", (make) => {
    const q = make();
    must(publish(q, own(alice), [{ text: "alice's", cancelKey: "k" }]));
    must(publish(q, own(mallory), [{ text: "mallory's", cancelKey: "k" }]));
    must(publish(q, undefined, [{ text: "everyone's", cancelKey: "k" }]));
    const cancel = (publisher?: Publisher) =>
      q.run((queue) => queue.cancel({ cancelKey: "k", ...(publisher && { publisher }) }));
    expect(cancel(own(mallory))).toMatchObject({ ok: true });
    expect(cancel(own(mallory))).toMatchObject({ code: "message_not_found" });
    expect(cancel()).toMatchObject({ ok: true });
    expect(bodies(drain(q))).toEqual(["alice's"]);
  });

  inBothLives("is the subject's one way to replace what waits", (make) => {
    const q = make();
    must(publish(q, own(alice), [{ text: "1", cancelKey: "k" }, "between"]));
    must(publish(q, own(alice), [{ text: "2", cancelKey: "k" }]));
    const handle = { cancelKey: "k", publisher: own(alice) };
    const batch = q.batch({ text: "3", cancelKey: "k" });
    must(q.run((queue, nowMs) => queue.replace(handle, batch, nowMs, own(alice))));
    must(q.run((queue) => queue.cancel(handle)));
    expect(bodies(drain(q))).toEqual(["between"]);
  });

  inBothLives("keeps its publisher in a dead-letter queue, and can't be given by others", (make) => {
    const q = make();
    must(publish(q, own(alice), [{ text: "1", cancelKey: "k" }]));
    const stored = q.take()[0]!.cancelKey!;
    expect([isOwnKey(stored), bareKey(stored), stored]).toEqual([true, "k", cancelKeyOf("k", own(alice))]);
    for (const publisher of [undefined, mallory]) {
      expect(publish(q, publisher, ["a", { text: "b", cancelKey: stored }])).toMatchObject({
        code: "forbidden",
        detail: expect.stringContaining("record 1: cancelKey"),
      });
    }
    must(publish(q, own(mallory), [{ text: "b", cancelKey: stored }]));
    expect(q.take()[0]!.cancelKey).not.toBe(stored);
  });
});

describe("a dedup id of a message that an exchange held", () => {
  function arrive(q: QueueHarness, number: number, publisher: Publisher, message: Told): string | undefined {
    const e = new ExchangeHarness();
    e.bind({ destination: { queue: "q" }, key: "#" });
    const batch = q.batch({ ...(message as object), delayMs: 5 });
    must(e.run((exchange, nowMs) => exchange.publish({ batch, publisher }, nowMs)));
    e.advance(5);
    const [move] = e.carried();
    const taken = must(
      q.run((queue, nowMs) => queue.acceptMoves("e", [{ number, batch: move!.batch }], nowMs)),
    );
    return taken.accepted === 0 ? undefined : q.take().at(-1)?.dedupId;
  }

  inBothLives(
    "is its publisher's own, the same as if it had come at once, and reads as it was given",
    (make) => {
      const q = make();
      const told = { text: "x", dedupId: "order-17", orderingKey: "k" };
      expect(arrive(q, 1, mallory, told)).toBe("order-17");
      expect(must(publish(q, mallory, [told])).duplicates).toEqual([0]);
      expect(must(publish(q, alice, [told])).duplicates).toEqual([]);
      expect(arrive(q, 2, alice, told)).toBeUndefined();
      const long = { text: "x", dedupId: "y".repeat(250) };
      expect(arrive(q, 3, mallory, long)).toBeDefined();
      expect(must(publish(q, mallory, [long])).duplicates).toEqual([0]);
      expect(must(publish(q, alice, [long])).duplicates).toEqual([]);
    },
  );

  inBothLives("is everyone's where the queue says so", (make) => {
    const q = make({ config: { dedupAcrossSubjects: true, dedupScope: "key" } });
    const told = { text: "x", dedupId: "order-17", orderingKey: "k" };
    arrive(q, 1, mallory, told);
    expect(must(publish(q, alice, [told])).duplicates).toEqual([0]);
  });

  it("takes room in no batch that was full", () => {
    const e = new ExchangeHarness();
    e.bind({ destination: { queue: "q" }, key: "#" });
    const text = "z".repeat(400);
    const records = Array.from({ length: 4_096 }, (_, i) => ({ text, dedupId: `${i}`, delayMs: 5 }));
    const q = new QueueHarness();
    const spare = LIMITS.batchBytesMax - q.batch(...records).byteLength;
    const full = q.batch(
      ...records.map((one) => ({ ...one, text: text + "z".repeat(Math.floor(spare / 4_096)) })),
    );
    must(e.run((exchange, nowMs) => exchange.publish({ batch: full, publisher: alice }, nowMs)));
    e.advance(5);
    const counts = e.carried().map(({ batch }) => must(q.codec.scan(batch, "broker")).count);
    expect([counts.length, counts.reduce((a, b) => a + b, 0)]).toEqual([2, 4_096]);
  });
});
