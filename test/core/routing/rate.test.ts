import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { TokenBucket } from "../../../src/routing/rate.ts";
import { fuzzRun } from "../../support/seed.ts";

const run = fuzzRun(500);
const rate = fc.oneof(
  fc.integer({ min: 1, max: 1_000_000 }),
  fc.double({ min: 0.01, max: 1_000, noNaN: true }),
);

describe(`a bucket of tokens, FUZZ_SEED=${run.seed}`, () => {
  it("gives a second's worth at once, then as the rate brings", () => {
    const bucket = new TokenBucket(10, 1_000);
    expect(bucket.take(10, 1_000)).toEqual({ ok: true });
    expect(bucket.take(1, 1_000)).toEqual({ ok: false, retryAfterMs: 100 });
    expect(bucket.take(1, 1_099)).toEqual({ ok: false, retryAfterMs: 1 });
    expect(bucket.take(1, 1_100)).toEqual({ ok: true });
    expect(bucket.take(11, 9_000)).toEqual({ ok: true });
    expect(bucket.take(1, 9_000)).toEqual({ ok: false, retryAfterMs: 200 });
  });

  it("holds one token at least, however slow it is", () => {
    const bucket = new TokenBucket(0.5, 0);
    expect(bucket.take(1, 0)).toEqual({ ok: true });
    expect(bucket.take(1, 0)).toEqual({ ok: false, retryAfterMs: 2_000 });
    expect(new TokenBucket(1e-300, 0).take(2, 0)).toEqual({ ok: true });
    const slow = new TokenBucket(1e-300, 0);
    slow.take(1, 0);
    expect(slow.take(1, 0)).toEqual({ ok: false, retryAfterMs: LIMITS.delayMsMax });
  });

  it("takes a refused take at the time it told, and not before", () => {
    const property = fc.property(
      rate,
      fc.array(fc.tuple(fc.integer({ min: 1, max: 4_096 }), fc.nat(3_000)), { maxLength: 20 }),
      (ratePerSecond, takes) => {
        let nowMs = 1_700_000_000_000;
        const bucket = new TokenBucket(ratePerSecond, nowMs);
        for (const [count, waitMs] of takes) {
          nowMs += waitMs;
          const taken = bucket.take(count, nowMs);
          if (taken.ok) continue;
          expect(taken.retryAfterMs).toBeGreaterThan(0);
          expect(bucket.take(count, nowMs + taken.retryAfterMs - 1).ok).toBe(false);
          nowMs += taken.retryAfterMs;
          expect(bucket.take(count, nowMs).ok).toBe(true);
        }
      },
    );
    fc.assert(property, run);
  });

  it("gives no more than the rate over any time, but for the bucket and one batch", () => {
    const property = fc.property(
      rate,
      fc.array(fc.tuple(fc.integer({ min: 1, max: 100 }), fc.nat(500)), { maxLength: 60 }),
      (ratePerSecond, takes) => {
        let nowMs = 0;
        let given = 0;
        const bucket = new TokenBucket(ratePerSecond, nowMs);
        for (const [count, waitMs] of takes) {
          nowMs += waitMs;
          if (bucket.take(count, nowMs).ok) given += count;
        }
        expect(given).toBeLessThanOrEqual(Math.max(1, ratePerSecond) + (ratePerSecond * nowMs) / 1_000 + 100);
      },
    );
    fc.assert(property, run);
  });

  it("takes no harm from a clock that is set back", () => {
    const bucket = new TokenBucket(10, 10_000);
    expect(bucket.take(5, 10_000).ok).toBe(true);
    expect(bucket.take(5, 2_000).ok).toBe(true);
    expect(bucket.take(1, 9_999).ok).toBe(false);
    expect(bucket.take(1, 10_000)).toEqual({ ok: false, retryAfterMs: 100 });
  });
});
