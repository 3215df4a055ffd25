// Deduplication by message id over a window.
import { describe, expect, it } from "vitest";
import type { PublishConfirm } from "../../../src/protocol/commands.ts";
import { QueueHarness } from "../../support/queue-harness.ts";
import { bodies, drain, inBothLives, must, sequencesOf } from "../../support/queue-lives.ts";

const config = { dedupWindowMs: 60_000 };

function publish(q: QueueHarness, ...ids: string[]): PublishConfirm {
  return must(q.publish(...ids.map((dedupId) => ({ dedupId, text: dedupId }))));
}

describe("a message with a dedup id", () => {
  inBothLives("is taken once, and the second is answered with the first one's sequence", (make) => {
    const q = make({ config });
    must(q.publish("before"));
    const first = publish(q, "a");
    const second = publish(q, "a");
    expect(first).toMatchObject({ sequences: [[2, 1]], duplicates: [] });
    expect(second).toEqual({ ...first, duplicates: [0] });
    expect(q.info().counts.ready).toBe(2);
    expect(q.info().totals).toMatchObject({ published: 2, duplicates: 1 });
  });

  inBothLives("is known up to the last millisecond of its window and no longer", (make) => {
    const q = make({ config });
    publish(q, "a");
    q.advance(59_999);
    expect(publish(q, "a").duplicates).toEqual([0]);
    q.advance(1);
    expect(publish(q, "a").duplicates).toEqual([]);
    q.advance(59_999);
    expect(publish(q, "a").duplicates).toEqual([0]);
  });

  inBothLives(
    "counts its window from its acceptance, not from its last repeat, its delay or its ack",
    (make) => {
      const q = make({ config });
      must(q.publish({ dedupId: "a", delayMs: 30_000 }));
      q.advance(30_000);
      expect(publish(q, "a").duplicates).toEqual([0]);
      q.advance(29_999);
      expect(publish(q, "a").duplicates).toEqual([0]);
      q.advance(1);
      expect(publish(q, "a").duplicates).toEqual([]);
    },
  );

  inBothLives("stays known after it was acked, purged or cancelled", (make) => {
    const q = make({ config });
    const confirm = publish(q, "acked");
    drain(q);
    publish(q, "purged");
    q.run((queue) => queue.purge({}));
    must(q.publish({ dedupId: "cancelled", cancelKey: "k" }));
    must(q.run((queue) => queue.cancel({ cancelKey: "k" })));
    expect(publish(q, "acked")).toEqual({ ...confirm, duplicates: [0] });
    expect(publish(q, "purged", "cancelled").duplicates).toEqual([0, 1]);
    expect(q.info().counts.ready).toBe(0);
  });

  inBothLives("is taken once of one batch", (make) => {
    const q = make({ config });
    const confirm = publish(q, "a", "b", "a", "a");
    expect(confirm).toMatchObject({
      sequences: [
        [1, 2],
        [1, 1],
        [1, 1],
      ],
      duplicates: [2, 3],
    });
    expect(bodies(drain(q))).toEqual(["a", "b"]);
  });

  inBothLives("is taken once of the commands of one turn", (make) => {
    const q = make({ config });
    const [one, two] = [q.batch({ dedupId: "a", text: "1" }, "2"), q.batch("3", { dedupId: "a", text: "4" })];
    const answers = q.run((queue, nowMs) => queue.publish([{ batch: one }, { batch: two }], nowMs)).map(must);
    expect(answers.map(sequencesOf)).toEqual([
      [1, 2],
      [3, 1],
    ]);
    expect(answers.map(({ duplicates }) => duplicates)).toEqual([[], [1]]);
    expect(bodies(drain(q))).toEqual(["1", "2", "3"]);
  });

  inBothLives("is not remembered when its batch was refused", (make) => {
    const q = make({ config: { ...config, maxMessages: 1 } });
    expect(q.publish({ dedupId: "a" }, { dedupId: "b" })).toMatchObject({ code: "batch_too_large" });
    expect(publish(q, "a").duplicates).toEqual([]);
  });

  inBothLives("takes no room where it is a duplicate", (make) => {
    const q = make({ config: { ...config, maxMessages: 2 } });
    publish(q, "a", "b");
    expect(publish(q, "b", "a").duplicates).toEqual([0, 1]);
    expect(q.publish({ dedupId: "c" })).toMatchObject({ code: "queue_full" });
  });

  inBothLives("is told from another with the same body, and from none", (make) => {
    const q = make({ config });
    must(q.publish({ text: "x", dedupId: "1" }, { text: "x", dedupId: "2" }, "x", "x"));
    expect(q.info().counts.ready).toBe(4);
  });

  it("is swept when its window is over, and the queue sleeps again", () => {
    const q = new QueueHarness({ config });
    publish(q, "a", "b");
    drain(q);
    const wakeMs = q.wakeMs();
    expect(wakeMs).toBeGreaterThanOrEqual(q.nowMs + 60_000);
    q.advance(wakeMs! - q.nowMs);
    expect(q.counted.value("SELECT count(*) AS value FROM dedup")).toBe(0);
    expect(q.wakeMs()).toBeNull();
  });
});

describe("a dedup id within its key", () => {
  const scoped = { ...config, dedupScope: "key" } as const;

  inBothLives("is another one under another key, and under none", (make) => {
    const q = make({ config: scoped });
    const dedupId = "d";
    must(q.publish({ text: "a", dedupId, orderingKey: "a" }, { text: "none", dedupId }));
    const again = must(
      q.publish({ dedupId }, { dedupId, orderingKey: "a" }, { text: "b", dedupId, orderingKey: "b" }),
    );
    expect(again).toMatchObject({
      sequences: [
        [2, 1],
        [1, 1],
        [3, 1],
      ],
      duplicates: [0, 1],
    });
    expect(bodies(drain(q))).toEqual(["a", "none", "b"]);
  });

  inBothLives("is told from the key, whatever is in the two", (make) => {
    const q = make({ config: scoped });
    for (const [orderingKey, dedupId] of [
      ["a", "b\nc"],
      ["a\nb", "c"],
      ["a:", "bc"],
      ["a", ":bc"],
      ["1", "2:x"],
      ["12", ":x"],
    ]) {
      expect(must(q.publish({ orderingKey: orderingKey!, dedupId: dedupId! })).duplicates).toEqual([]);
    }
  });

  inBothLives("is found in one batch, and by content", (make) => {
    const q = make({ config: { ...scoped, dedupByContent: true } });
    const confirm = must(
      q.publish(
        { text: "x", orderingKey: "a" },
        { text: "x", orderingKey: "b" },
        { text: "x", orderingKey: "a" },
      ),
    );
    expect(confirm.duplicates).toEqual([2]);
  });
});

describe("a change of the dedup scope", () => {
  const byKey = (q: QueueHarness, key: string, ...ids: string[]): PublishConfirm =>
    must(q.publish(...ids.map((dedupId) => ({ dedupId, orderingKey: key }))));
  function change(q: QueueHarness, dedupScope: "key" | "queue"): void {
    q.run((queue, changedMs) => queue.store({ config: { ...queue.config, dedupScope }, changedMs }));
  }

  inBothLives("to the key holds for new ids; one from before is known in the whole queue", (make) => {
    const q = make({ config });
    const first = byKey(q, "a", "old");
    change(q, "key");
    for (const key of ["a", "b"]) {
      expect(byKey(q, key, "old")).toMatchObject({ sequences: first.sequences, duplicates: [0] });
      expect(byKey(q, key, "new").duplicates).toEqual([]);
    }
    expect(byKey(q, "b", "new").duplicates).toEqual([0]);
  });

  inBothLives("to the queue holds for new ids; one from before is known in its key", (make) => {
    const q = make({ config: { ...config, dedupScope: "key" } });
    byKey(q, "a", "old");
    change(q, "queue");
    expect(byKey(q, "a", "old").duplicates).toEqual([0]);
    expect(byKey(q, "b", "old", "new").duplicates).toEqual([]);
    for (const key of ["a", "c"]) expect(byKey(q, key, "old", "new").duplicates).toContain(1);
  });

  inBothLives("leaves an id from before its window", (make) => {
    const q = make({ config });
    byKey(q, "a", "old");
    q.advance(59_999);
    change(q, "key");
    expect(byKey(q, "b", "old").duplicates).toEqual([0]);
    q.advance(1);
    expect(byKey(q, "b", "old").duplicates).toEqual([]);
  });
});

describe("a purge that forgets dedup ids", () => {
  inBothLives("lets what was there be published again", (make) => {
    const q = make({ config });
    publish(q, "a", "b");
    q.run((queue) => queue.purge({}));
    expect(publish(q, "a").duplicates).toEqual([0]);
    expect(q.run((queue) => queue.purge({ dedup: true }))).toEqual({ messages: 0 });
    expect(publish(q, "a", "b").duplicates).toEqual([]);
    expect(publish(q, "a", "b").duplicates).toEqual([0, 1]);
  });
});
