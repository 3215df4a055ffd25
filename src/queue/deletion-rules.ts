// When a queue may be deleted, and purged.
import type { PurgeOptions, QueueInfo } from "../protocol/commands.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { StoredQueue } from "./stores.ts";

export interface QueueRemoval {
  readonly ifEmpty: boolean;
  readonly ifUnused: boolean;
  /** How long the name rests afterwards. */
  readonly restMs?: number;
}

/** The messages that go with the queue, or why it stays. */
export function judgeRemoval(info: QueueInfo, removal: QueueRemoval): Result<{ messages: number }> {
  const { ready, leased, delayed, parked, dead, deadLettering } = info.counts;
  const messages = ready + leased + delayed + parked + dead + deadLettering;
  if (removal.ifEmpty && messages > 0) {
    return refuse("queue_not_empty", `the queue holds ${messages} messages`);
  }
  if (removal.ifUnused && info.consumers.length > 0) {
    return refuse("queue_in_use", `the queue has ${info.consumers.length} consumers`);
  }
  return ok({ messages });
}

interface Purged {
  readonly stored: StoredQueue;
  store(changes: Partial<StoredQueue>): void;
}

/** Whether a purge comes too soon after the last one; else it is noted as the last one. */
export function refusePurge(queue: Purged, { restMs = 0 }: PurgeOptions, nowMs: number): Refusal | null {
  if (restMs === 0) return null;
  const { purgedMs = Number.NEGATIVE_INFINITY } = queue.stored;
  const retryAfterMs = purgedMs + restMs - nowMs;
  if (retryAfterMs > 0) {
    return refuse("purged_recently", `the queue was purged; the next purge is taken in ${retryAfterMs} ms`, {
      retryAfterMs,
    });
  }
  queue.store({ purgedMs: nowMs });
  return null;
}
