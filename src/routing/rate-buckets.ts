/**
 * How fast each token may publish to one target. The buckets lie where the messages go, so that opening another
 * connection brings nothing. One that is not known starts as one that was idle: with a second's worth.
 *
 * A large batch is given at once and paid off after it. A debt that takes longer than the target may stay in memory is to
 * be written down (`debts`); without that, sleep would wipe it out.
 */
import { LIMITS } from "../protocol/limits.ts";
import type { RateCharge } from "../protocol/commands.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import { TokenBucket } from "./rate.ts";

/** A bucket's name, its rate, and when it will have paid what it owes. */
export type RateDebt = readonly [bucket: string, ratePerSecond: number, paidMs: number];

/** An object that is idle so long may be put to sleep. */
const SLEEP_MS = 10_000;

export class RateBuckets {
  /** Used longest ago first. */
  private readonly buckets = new Map<string, TokenBucket>();

  constructor(debts: readonly RateDebt[], nowMs: number) {
    for (const [bucket, ratePerSecond, paidMs] of debts) {
      if (paidMs > nowMs) this.buckets.set(bucket, TokenBucket.owing(ratePerSecond, paidMs, nowMs));
    }
  }

  get size(): number {
    return this.buckets.size;
  }

  /** Takes from the charge's bucket. Null: it had enough. */
  take({ bucket: name, ratePerSecond }: RateCharge, messages: number, nowMs: number): Refusal | null {
    const bucket = this.buckets.get(name) ?? new TokenBucket(ratePerSecond, nowMs);
    this.buckets.delete(name);
    if (this.buckets.size >= LIMITS.rateBucketsMax) this.forgetOne(nowMs);
    this.buckets.set(name, bucket);
    const taken = bucket.take(messages, nowMs);
    if (taken.ok) return null;
    return refuse("rate_limited", `token: may publish ${ratePerSecond} messages a second here`, {
      ratePerSecond,
      retryAfterMs: taken.retryAfterMs,
    });
  }

  /** Whether a bucket owes for longer than an object may stay awake. */
  isDeepInDebt({ bucket }: RateCharge, nowMs: number): boolean {
    return (this.buckets.get(bucket)?.paidMs(nowMs) ?? 0) > nowMs + SLEEP_MS;
  }

  /** What must outlast a sleep. */
  debts(nowMs: number): RateDebt[] {
    return [...this.buckets]
      .map(([name, bucket]): RateDebt => [name, bucket.ratePerSecond, bucket.paidMs(nowMs)])
      .filter(([, , paidMs]) => paidMs > nowMs + SLEEP_MS);
  }

  /** One that is full is as good as unknown. Without one, that which was used longest ago and owes least. */
  private forgetOne(nowMs: number): void {
    let oldest: string | null = null;
    for (const [name, bucket] of this.buckets) {
      if (bucket.isFull(nowMs)) {
        this.buckets.delete(name);
        return;
      }
      if (oldest === null && bucket.paidMs(nowMs) <= nowMs + SLEEP_MS) oldest = name;
    }
    const [first] = this.buckets.keys();
    const victim = oldest ?? first;
    if (victim !== undefined) this.buckets.delete(victim);
  }
}
