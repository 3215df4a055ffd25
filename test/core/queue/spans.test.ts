// Where segments lie, as lines of keys remember it.
import { describe, expect, it } from "vitest";
import { segmentId } from "../../../src/queue/lane.ts";
import { Spans } from "../../../src/queue/spans.ts";

describe("spans of segments", () => {
  it("tell the segment of each of its messages, and of no other message", () => {
    const spans = new Spans();
    const id = segmentId(8, 100);
    for (const [first, count] of [
      [300, 5],
      [100, 10],
      [110, 10],
    ] as const)
      spans.add(segmentId(8, first), count);
    expect(spans.find(id)).toBe(id);
    expect(spans.find(id + 9)).toBe(id);
    expect(spans.find(id + 10)).toBe(segmentId(8, 110));
    for (const outside of [99, 120, 305]) expect(spans.find(segmentId(8, outside))).toBeNull();
    expect(spans.find(segmentId(9, 100))).toBeNull();
  });

  it("forget what is removed and nothing else, and keep a segment once", () => {
    const spans = new Spans();
    for (let first = 1; first < 100; first += 10) spans.add(first, 10);
    spans.add(11, 10);
    expect(spans.size).toBe(10);
    spans.remove(11);
    spans.remove(12);
    expect([spans.find(10), spans.find(15), spans.find(21)]).toEqual([1, null, 21]);
  });

  it("are bounded, and those that are emptied first are dropped first", () => {
    const spans = new Spans();
    for (let i = 0; i < 50_000; i++) spans.add(1 + i * 2, 2);
    expect(spans.size).toBeLessThanOrEqual(16_384);
    expect(spans.find(1)).toBeNull();
    expect(spans.find(99_999)).toBe(99_999);
  });
});
