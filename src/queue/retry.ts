import type { QueueConfig, RetryPolicy } from "../protocol/queue-config.ts";

/** The wait before the next attempt, after `attempts` of them. `random` is from 0 to below 1. */
export function retryDelayMs(policy: RetryPolicy, attempts: number, random: number): number {
  const n = Math.max(1, attempts);
  const growth = policy.kind === "fixed" ? 1 : policy.kind === "linear" ? n : 2 ** Math.min(n - 1, 40);
  const full = Math.min(policy.baseMs * growth, policy.maxMs);
  return Math.round(full * (1 - policy.jitter * random));
}

/** Whether a message with so many failures is dead. */
export function isLastFailure({ maxFailures }: QueueConfig, failures: number): boolean {
  return maxFailures !== null && failures > maxFailures;
}
