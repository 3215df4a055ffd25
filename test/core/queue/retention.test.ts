// A queue's own time to live: what dies when, and that the common case stores nothing for it.
import { describe, expect } from "vitest";
import type { QueueConfig } from "../../../src/protocol/queue-config.ts";
import type { QueueHarness } from "../../support/queue-harness.ts";
import { bodies, inBothLives, must } from "../../support/queue-lives.ts";

function configure(q: QueueHarness, changes: Partial<QueueConfig>): void {
  q.run((queue) => queue.store({ config: { ...queue.config, ...changes } }));
}

/** Segments whose time is in a row. */
function rows(q: QueueHarness): number {
  return q.counted.value("SELECT count(*) AS value FROM expiry") ?? 0;
}

/** Advances to each moment at which the queue asks to be woken; when its messages died, counted from now. */
function deaths(q: QueueHarness): number[] {
  const startMs = q.nowMs;
  const died: number[] = [];
  for (let wakeMs = q.wakeMs(); wakeMs !== null; wakeMs = q.wakeMs()) {
    const before = q.info().totals.expired;
    q.advance(Math.max(0, wakeMs - q.nowMs));
    const count = q.info().totals.expired - before;
    died.push(...Array.from({ length: count }, () => q.nowMs - startMs));
  }
  return died;
}

describe("a queue's time to live", () => {
  inBothLives("needs no rows while segments die in the order of their writing", (make) => {
    const q = make({ config: { ttlMs: 1_000 } });
    for (let i = 0; i < 3; i++) {
      must(q.publish("a", { text: "b", priority: 3 }, { text: "c", delayMs: 600 }));
      q.advance(10);
    }
    configure(q, { ttlMs: 2_000 });
    must(q.publish("d"));
    expect(rows(q)).toBe(0);
    expect(deaths(q)).toEqual([970, 970, 970, 980, 980, 980, 990, 990, 990, 2_000]);
  });

  inBothLives("that gets shorter holds for what comes then, and for that alone", (make) => {
    const q = make({ config: { ttlMs: 5_000 } });
    must(q.publish("long"));
    configure(q, { ttlMs: 100 });
    must(q.publish("short"));
    configure(q, { ttlMs: 7_000 });
    must(q.publish("longest"));
    expect(rows(q)).toBe(1);
    expect(deaths(q)).toEqual([100, 5_000, 7_000]);
  });

  inBothLives("that is new leaves alone what was there", (make) => {
    const q = make();
    must(q.publish("for ever"));
    configure(q, { ttlMs: 100 });
    must(q.publish("mortal"));
    expect(deaths(q)).toEqual([100]);
    expect(bodies(q.take(9))).toEqual(["for ever"]);
  });

  inBothLives("begins a new order when the queue was empty", (make) => {
    const q = make({ config: { ttlMs: 5_000 } });
    must(q.publish("long"));
    q.run((queue) => queue.purge({}));
    configure(q, { ttlMs: 100 });
    must(q.publish("short"));
    expect(rows(q)).toBe(0);
    expect(deaths(q)).toEqual([100]);
  });

  inBothLives("ends what was out when its time came, as soon as it is back", (make) => {
    const q = make({ config: { ttlMs: 1_000, leaseMs: 5_000 } });
    must(q.publish("out", "in"));
    q.take(1);
    expect(deaths(q)).toEqual([1_000, 5_000]);
    expect(q.info().totals).toMatchObject({ expired: 2, dropped: 2 });
  });

  inBothLives("does not look again at what is out", (make) => {
    const q = make({ config: { ttlMs: 1_000, leaseMs: 5_000 } });
    must(q.publish("out"));
    q.take(1);
    q.advance(1_000);
    expect(q.wakeMs()).toBe(q.nowMs + 4_000);
  });

  inBothLives("looks at many segments in steps, each at its time", (make) => {
    const q = make({ config: { ttlMs: 1_000 } });
    for (let i = 0; i < 40; i++) must(q.publish(`${i}`));
    q.nowMs += 1_000;
    for (let i = 0; i < 3; i++) q.advance(0);
    expect(q.info().totals.expired).toBe(40);
    expect(q.wakeMs()).toBeNull();
  });
});
