// The lines of keys that are in memory.
import { describe, expect, it } from "vitest";
import { segmentId } from "../../../src/queue/lane.ts";
import { LineCache } from "../../../src/queue/line-cache.ts";
import { Line, type Run } from "../../../src/queue/line-rows.ts";

const BYTES_MAX = 4 * 1024 * 1024;
const runs = Array.from({ length: 1000 }, (_, i): Run => [1 + i * 2, 1]);
const lineOfRuns = (): Line => new Line(segmentId(8, 1), runs);

describe("the cache of lines", () => {
  it("is bounded in bytes, and drops those that came first alone", () => {
    const cache = new LineCache();
    for (let i = 0; i < 1000; i++) cache.set(`k${i}`, lineOfRuns());
    expect(cache.bytesHeld).toBeLessThanOrEqual(BYTES_MAX);
    expect(cache.bytesHeld).toBeGreaterThan(BYTES_MAX - 20_000);
    expect(cache.get("k0")).toBeUndefined();
    expect(cache.get("k900")).toBeInstanceOf(Line);
  });

  it("counts keys without a line, and nothing of what left it", () => {
    const cache = new LineCache();
    for (let i = 0; i < 30_000; i++) cache.set(`k${i}`, null);
    expect(cache.bytesHeld).toBeLessThanOrEqual(BYTES_MAX);
    for (let i = 0; i < 30_000; i++) cache.delete(`k${i}`);
    expect(cache.bytesHeld).toBe(0);
    for (let i = 0; i < 1000; i++) cache.set("k", lineOfRuns());
    cache.delete("k");
    expect(cache.bytesHeld).toBe(0);
  });
});
