// When a queue may be deleted.
import type { QueueInfo } from "../protocol/commands.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";

export interface QueueRemoval {
  readonly ifEmpty: boolean;
  readonly ifUnused: boolean;
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
