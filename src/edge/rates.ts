// How fast a token publishes through this isolate. What it publishes to counts for all of them and decides
// (objects/rate-limits.ts); here a client that runs wild is kept from getting so far, and from storing bodies first.
import { bucketOf, chargesOf, type Use } from "../routing/grants.ts";
import { TokenBucket } from "../routing/rate.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import type { Claims, Grant } from "../protocol/rpc.ts";
import { RecentMap } from "./recent-map.ts";
import type { EdgeContext } from "./services.ts";

/** Tokens times grants. One that is forgotten starts with a full bucket. */
const BUCKETS_MAX = 10_000;

export class Rates {
  private readonly buckets = new RecentMap<TokenBucket>(BUCKETS_MAX);

  /** Takes from the bucket of this token and grant, which has a rate. */
  take(claims: Claims, grant: Grant, messages: number, nowMs: number): Refusal | null {
    const ratePerSecond = grant.ratePerSecond ?? Infinity;
    const taken = this.bucketOf(claims, grant, ratePerSecond, nowMs).take(messages, nowMs);
    if (taken.ok) return null;
    return refuse("rate_limited", `token: may publish ${ratePerSecond} messages a second here`, {
      ratePerSecond,
      retryAfterMs: taken.retryAfterMs,
    });
  }

  private bucketOf(claims: Claims, grant: Grant, ratePerSecond: number, nowMs: number): TokenBucket {
    const key = `${claims.namespace} ${bucketOf(claims, grant)}`;
    let bucket = this.buckets.get(key);
    if (bucket === undefined) {
      bucket = new TokenBucket(ratePerSecond, nowMs);
      this.buckets.set(key, bucket);
    }
    return bucket;
  }
}

/**
 * Charges what is about to be published, which the token is known to allow. Of several grants that allow a message the
 * fastest is charged. When one of several buckets refuses, what was taken from the others stays taken.
 */
export function lacksRate(context: EdgeContext, uses: readonly Use[]): Refusal | null {
  const claims = context.get("claims");
  if (claims.grants.every((grant) => grant.ratePerSecond === undefined)) return null;
  const nowMs = context.env.now();
  for (const [grant, messages] of chargesOf(claims.grants, "publish", uses, nowMs)) {
    const lacking = context.get("memory").rates.take(claims, grant, messages, nowMs);
    if (lacking !== null) return lacking;
  }
  return null;
}
