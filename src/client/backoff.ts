/**
 * Exponential backoff with full jitter: the n-th wait is drawn evenly from 0 to base × 2^(n-1), at most `maxMs`.
 * Full jitter, because a thousand clients that lost the same broker must not come back in step.
 */
import type { Known } from "./known-options.ts";

export interface BackoffOptions {
  /** Bound of the first wait. */
  readonly baseMs: number;
  /** Bound of every wait. */
  readonly maxMs: number;
  /** Waits before `next` gives up. Infinity: never. */
  readonly attemptsMax: number;
}

export const BACKOFF_OPTIONS: Known<BackoffOptions> = {
  baseMs: true,
  maxMs: true,
  attemptsMax: true,
};

export class Backoff {
  private attempts = 0;
  private readonly options: BackoffOptions;
  private readonly random: () => number;

  constructor(options: BackoffOptions, random: () => number) {
    this.options = options;
    this.random = random;
  }

  /** How long to wait now, in ms, and at most `maxMs`; null when the attempts are used up. */
  next(maxMs = Infinity): number | null {
    if (this.attempts >= this.options.attemptsMax) return null;
    // 2^30 × any base is past every cap; more would only overflow.
    const grown = this.options.baseMs * 2 ** Math.min(this.attempts, 30);
    const bound = Math.min(this.options.maxMs, maxMs, grown);
    this.attempts++;
    return Math.floor(this.random() * bound);
  }

  reset(): void {
    this.attempts = 0;
  }
}
