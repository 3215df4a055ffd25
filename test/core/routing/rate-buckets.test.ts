import { describe, expect, it } from "vitest";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { bucketOf, queueRate, rateCharges } from "../../../src/routing/grants.ts";
import { RateBuckets } from "../../../src/routing/rate-buckets.ts";

const charge = (bucket: string, ratePerSecond = 1) => ({ bucket, ratePerSecond });
const START_MS = 1_700_000_000_000;

describe("the buckets of a target", () => {
  it("are one for each token, whoever asks", () => {
    const buckets = new RateBuckets([], START_MS);
    expect(buckets.take(charge("a"), 1, START_MS)).toBeNull();
    expect(buckets.take(charge("a"), 1, START_MS)).toMatchObject({
      code: "rate_limited",
      facts: { ratePerSecond: 1, retryAfterMs: 1_000 },
    });
    expect(buckets.take(charge("b"), 1, START_MS)).toBeNull();
  });

  it("tell what is owed for longer than a sleep, and know it again", () => {
    const buckets = new RateBuckets([], START_MS);
    buckets.take(charge("deep"), 100, START_MS);
    buckets.take(charge("shallow"), 5, START_MS);
    expect([charge("deep"), charge("shallow")].map((one) => buckets.isDeepInDebt(one, START_MS))).toEqual([
      true,
      false,
    ]);
    const debts = buckets.debts(START_MS);
    expect(debts).toEqual([["deep", 1, START_MS + 99_000]]);
    const woken = new RateBuckets(debts, START_MS + 20_000);
    expect(woken.take(charge("deep"), 1, START_MS + 20_000)).toMatchObject({
      facts: { retryAfterMs: 80_000 },
    });
    expect(woken.take(charge("deep"), 1, START_MS + 100_000)).toBeNull();
    expect(new RateBuckets(debts, START_MS + 99_000).size).toBe(0);
  });

  it("are bounded in number, and those that are full or owe nothing go first", () => {
    const buckets = new RateBuckets([], START_MS);
    buckets.take(charge("debtor"), 100, START_MS);
    for (let i = 0; i < LIMITS.rateBucketsMax + 10; i++) buckets.take(charge(`t${i}`), 1, START_MS);
    expect(buckets.size).toBe(LIMITS.rateBucketsMax);
    expect(buckets.take(charge("debtor"), 1, START_MS)).not.toBeNull();
    expect(buckets.take(charge(`t${LIMITS.rateBucketsMax + 9}`), 1, START_MS)).not.toBeNull();
  });
});

describe("what a publish is charged to", () => {
  const grant = { verb: "publish", pattern: "q", ratePerSecond: 2 } as const;
  const claims = { namespace: "n", subject: "s", jti: "1", grants: [grant] };

  it("is the token and the grant, and not when the grant ends", () => {
    const ending = { ...grant, expiresMs: START_MS + 1 };
    expect(bucketOf(claims, ending)).toBe(bucketOf(claims, grant));
    expect(bucketOf({ ...claims, jti: "2" }, grant)).not.toBe(bucketOf(claims, grant));
    expect(bucketOf({ ...claims, subject: "t" }, grant)).not.toBe(bucketOf(claims, grant));
  });

  it("is nothing where no rate limits it", () => {
    expect(queueRate(claims, "q", START_MS)).toEqual({
      rate: { bucket: bucketOf(claims, grant), ratePerSecond: 2 },
    });
    const free = { ...claims, grants: [grant, { verb: "publish", pattern: "#" } as const] };
    expect(queueRate(free, "q", START_MS)).toEqual({});
    expect(rateCharges(free, [{ target: { name: "q" }, messages: 3 }], START_MS)).toEqual([]);
  });
});
