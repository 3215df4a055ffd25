// A session that does not keep up: what it is sent, what is kept for it, and that it is told of every loss.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Flow, type LeftOut, type Loss } from "../../../src/hub/flow.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { fuzzRun } from "../../support/seed.ts";

const MAX = LIMITS.unseenBytesMax;

function event(offset: number, topic = "a", changes: Partial<LeftOut<number>> = {}): LeftOut<number> {
  return { exchange: "e", pattern: "#", epoch: "1", offset, topic, bytes: 10, event: offset, ...changes };
}

/** One frame fills what may be unseen. */
function slow(): Flow<number> {
  const flow = new Flow<number>();
  expect([flow.admit(MAX), flow.admit(1)]).toEqual([true, false]);
  return flow;
}

function kept(losses: readonly Loss<number>[]): (readonly number[])[] {
  return losses.map((loss) => loss.kept);
}

describe("a session", () => {
  it("has a bound of bytes unseen, and one frame always fits", () => {
    const flow = new Flow<number>();
    expect(flow.admit(3 * MAX)).toBe(true);
    expect([flow.admit(1), flow.isSlow]).toEqual([false, true]);
    flow.seen(1);
    expect([flow.isSlow, flow.admit(MAX / 2), flow.admit(MAX / 2), flow.admit(1)]).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  it("takes any frame while no more than half is unseen: the client may owe no word of that", () => {
    const flow = new Flow<number>();
    expect([flow.admit(MAX / 2), flow.admit(MAX), flow.isSlow]).toEqual([true, true, false]);
    const fuller = new Flow<number>();
    expect([fuller.admit(MAX / 2 + 1), fuller.admit(MAX)]).toEqual([true, false]);
  });

  it("that is slow gets nothing until it has seen half", () => {
    const flow = new Flow<number>();
    for (let i = 0; i < 4; i++) expect(flow.admit(MAX / 4)).toBe(true);
    expect(flow.admit(1)).toBe(false);
    flow.leaveOut(event(1), "drop");
    expect([flow.seen(1), flow.admit(1)]).toEqual([[], false]);
    expect(flow.seen(2)).toHaveLength(1);
    expect([flow.isSlow, flow.admit(1)]).toEqual([false, true]);
  });

  it("that says it has seen more than was sent has seen all, and no more later", () => {
    const flow = slow();
    expect(flow.seen(1_000)).toEqual([]);
    expect([flow.isSlow, flow.admit(MAX), flow.admit(1)]).toEqual([false, true, false]);
    expect(flow.seen(1)).toEqual([]);
    expect(flow.isSlow).toBe(true);
    flow.seen(2);
    expect(flow.isSlow).toBe(false);
  });

  it("has what it asked for counted too, though it is never left out", () => {
    const flow = new Flow<number>();
    flow.sent(MAX);
    flow.sent(MAX);
    expect(flow.admit(1)).toBe(false);
    flow.seen(1);
    expect(flow.isSlow).toBe(true);
    flow.seen(2);
    expect(flow.isSlow).toBe(false);
  });
});

describe("dropping", () => {
  it.each(["drop", "disconnect"] as const)(
    "(%s) tells once how many were left out, and up to where",
    (policy) => {
      const flow = slow();
      for (const offset of [4, 5, 9]) flow.leaveOut(event(offset), policy);
      flow.leaveOut(event(6, "a", { pattern: "a" }), policy);
      expect(flow.seen(1)).toEqual([
        { exchange: "e", pattern: "#", epoch: "1", offset: 9, events: 3, kept: [] },
        { exchange: "e", pattern: "a", epoch: "1", offset: 6, events: 1, kept: [] },
      ]);
      expect(flow.seen(1)).toEqual([]);
    },
  );

  it("of a subscription that is gone needs no telling", () => {
    const flow = slow();
    flow.leaveOut(event(1), "drop");
    flow.leaveOut(event(2, "a", { pattern: "a" }), "drop");
    flow.forget("e", "#");
    flow.forget("e", "unknown");
    expect(flow.seen(1)).toMatchObject([{ pattern: "a" }]);
  });
});

describe("conflating", () => {
  it("keeps the last event of each topic, in the order of their offsets, and tells the rest", () => {
    const flow = slow();
    for (const [i, topic] of ["a", "b", "a", "c", "b"].entries())
      flow.leaveOut(event(i + 1, topic), "conflate");
    expect(flow.seen(1)).toEqual([
      { exchange: "e", pattern: "#", epoch: "1", offset: 5, events: 2, kept: [3, 4, 5] },
    ]);
  });

  it("has a bound of topics over all subscriptions, and what is over it is told", () => {
    const flow = slow();
    const max = LIMITS.conflatedTopicsMax;
    for (let i = 1; i <= max; i++) flow.leaveOut(event(i, `t${i}`, { bytes: 1 }), "conflate");
    flow.leaveOut(event(max + 1, "t1", { pattern: "other" }), "conflate");
    flow.leaveOut(event(max + 2, "new"), "conflate");
    flow.leaveOut(event(max + 3, "t1"), "conflate");
    const [first, other] = flow.seen(1);
    expect([first?.events, first?.kept.length, first?.kept.at(-1)]).toEqual([2, max, max + 3]);
    expect(other).toMatchObject({ events: 1, kept: [] });
  });

  it("has a bound of bytes, and never keeps what a later event of its topic replaced", () => {
    const flow = slow();
    const half = LIMITS.conflatedBytesMax / 2;
    flow.leaveOut(event(1, "a", { bytes: half }), "conflate");
    flow.leaveOut(event(2, "b", { bytes: half }), "conflate");
    flow.leaveOut(event(3, "c", { bytes: 1 }), "conflate");
    flow.leaveOut(event(4, "a", { bytes: half + 1 }), "conflate");
    flow.leaveOut(event(5, "b", { bytes: half }), "conflate");
    flow.leaveOut(event(6, "d", { bytes: half }), "conflate");
    expect(flow.seen(1)).toMatchObject([{ events: 4, offset: 6, kept: [5, 6] }]);
  });

  it("gives the room back of a subscription that is gone", () => {
    const flow = slow();
    const bytes = LIMITS.conflatedBytesMax;
    flow.leaveOut(event(1, "a", { bytes }), "conflate");
    flow.forget("e", "#");
    flow.leaveOut(event(2, "a", { bytes, pattern: "a" }), "conflate");
    expect(kept(flow.seen(1))).toEqual([[2]]);
  });

  it("gives the room back once all is told", () => {
    const flow = slow();
    for (let round = 1; round <= 3; round++) {
      flow.leaveOut(event(round, "a", { bytes: LIMITS.conflatedBytesMax }), "conflate");
      expect(kept(flow.seen(round))).toEqual([[round]]);
      expect([flow.admit(MAX), flow.admit(1)]).toEqual([true, false]);
    }
  });

  it("keeps nothing of an earlier numbering under a later one", () => {
    const flow = slow();
    flow.leaveOut(event(900, "a"), "conflate");
    flow.leaveOut(event(901, "b"), "conflate");
    flow.leaveOut(event(1, "b", { epoch: "2" }), "conflate");
    flow.leaveOut(event(2, "c", { epoch: "2" }), "conflate");
    expect(flow.seen(1)).toMatchObject([{ epoch: "2", offset: 2, events: 2, kept: [1, 2] }]);
  });

  it("of one subscription keeps nothing for one that drops", () => {
    const flow = slow();
    flow.leaveOut(event(1), "conflate");
    flow.leaveOut(event(1, "a", { pattern: "a" }), "drop");
    expect(flow.seen(1)).toMatchObject([
      { events: 0, kept: [1] },
      { events: 1, kept: [] },
    ]);
  });
});

describe("over any course", () => {
  const { seed, numRuns } = fuzzRun(400);
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        topic: fc.constantFrom("a", "b", "c"),
        bytes: fc.integer({ min: 1, max: MAX }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ seen: fc.integer({ min: 0, max: 4 }) }) },
    fc.record({ epoch: fc.constantFrom("1", "2") }),
  );

  it(`an event is sent, or kept and sent later, or told lost, and only one of these (seed ${seed})`, () => {
    const check = fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, isConflated) => {
      const flow = new Flow<number>();
      let offset = 0;
      let frames = 0;
      let seen = 0;
      let epoch = "1";
      let unseen: number[] = [];
      const sent: number[] = [];
      const count = { lost: 0, all: 0 };
      const lastOf = new Map<string, number>();
      const tell = (losses: readonly Loss<number>[]): void => {
        for (const loss of losses) {
          expect(loss.kept).toEqual(loss.kept.toSorted((a, b) => a - b));
          if (!isConflated) expect(loss.kept).toEqual([]);
          expect(loss.events + loss.kept.length).toBeGreaterThan(0);
          count.lost += loss.events;
          sent.push(...loss.kept);
          if (loss.kept.length > 0) {
            flow.sent(100);
            frames++;
            unseen.push(100);
          }
        }
      };
      for (const one of steps) {
        if ("epoch" in one) ({ epoch } = one);
        else if ("seen" in one) {
          seen = Math.min(frames, seen + one.seen);
          unseen = unseen.slice(unseen.length - (frames - seen));
          tell(flow.seen(seen));
        } else {
          count.all++;
          offset++;
          lastOf.set(one.topic, offset);
          if (flow.admit(one.bytes)) {
            frames++;
            sent.push(offset);
            unseen.push(one.bytes);
            const bytes = unseen.reduce((sum, size) => sum + size, 0);
            expect(bytes <= MAX || bytes - one.bytes <= MAX / 2).toBe(true);
          } else {
            const left = event(offset, one.topic, { epoch, bytes: 10 });
            flow.leaveOut(left, isConflated ? "conflate" : "drop");
          }
        }
      }
      tell(flow.seen(frames));
      expect(flow.isSlow).toBe(false);
      expect(sent.length + count.lost).toBe(count.all);
      expect(new Set(sent).size).toBe(sent.length);
      // However slow, the last event of each topic arrives in the end; unless the numbering began anew meanwhile.
      if (isConflated && !steps.some((one) => "epoch" in one)) {
        for (const last of lastOf.values()) expect(sent).toContain(last);
      }
    });
    fc.assert(check, { seed, numRuns });
  });
});
