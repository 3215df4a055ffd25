/**
 * How fast a grant may be used: a bucket of tokens, one for each message. It fills at the grant's rate and holds what
 * one second brings, at least one token.
 */
import { LIMITS } from "../protocol/limits.ts";

export type Taken = { readonly ok: true } | { readonly ok: false; readonly retryAfterMs: number };

/** Sums of fractions are a hair short at times; this many tokens are forgiven. */
const SLACK = 1e-6;

export class TokenBucket {
  readonly ratePerSecond: number;
  private readonly capacity: number;
  /** Below zero after more was taken at one time than the bucket holds. */
  private tokens: number;
  private filledMs: number;

  /** Full at first. The rate is above 0. */
  constructor(ratePerSecond: number, nowMs: number) {
    this.ratePerSecond = ratePerSecond;
    this.capacity = Math.max(1, ratePerSecond);
    this.tokens = this.capacity;
    this.filledMs = nowMs;
  }

  /** One that owes, and will have paid at that time. */
  static owing(ratePerSecond: number, paidMs: number, nowMs: number): TokenBucket {
    const bucket = new TokenBucket(ratePerSecond, nowMs);
    bucket.tokens = (-ratePerSecond * (paidMs - nowMs)) / 1_000;
    return bucket;
  }

  /** When it owes nothing, as things stand. */
  paidMs(nowMs: number): number {
    this.fill(nowMs);
    return nowMs + Math.max(0, Math.ceil((-this.tokens / this.ratePerSecond) * 1_000));
  }

  isFull(nowMs: number): boolean {
    this.fill(nowMs);
    return this.tokens >= this.capacity;
  }

  /**
   * Takes `count` tokens or none. More than the bucket holds, as a large batch asks, is given when it is full, and is
   * then paid off before anything else: so every batch is taken some time, and the rate holds all the same.
   *
   * `retryAfterMs` is when the same will be taken if nobody takes in between; at most a year.
   */
  take(count: number, nowMs: number): Taken {
    this.fill(nowMs);
    const missing = Math.min(count, this.capacity) - this.tokens - SLACK;
    if (missing > 0) {
      const waitMs = Math.ceil((missing / this.ratePerSecond) * 1_000);
      return { ok: false, retryAfterMs: Math.min(waitMs, LIMITS.delayMsMax) };
    }
    this.tokens -= count;
    return { ok: true };
  }

  /** A clock that was set back brings nothing, and takes nothing away. */
  private fill(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.filledMs);
    this.tokens = Math.min(this.capacity, this.tokens + (elapsedMs * this.ratePerSecond) / 1_000);
    this.filledMs = Math.max(this.filledMs, nowMs);
  }
}
