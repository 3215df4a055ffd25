// How much a queue may hold, and what gives way. Exact: there is one writer, and it counts before it writes.
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { configOf, type QueueContext } from "./context.ts";
import { bury } from "./dead-letter.ts";
import { oldestWaiting } from "./browse.ts";

function limitsOf(queue: QueueContext): { messages: number; bytes: number } {
  const { maxMessages, maxBytes } = configOf(queue);
  return {
    messages: maxMessages ?? Number.POSITIVE_INFINITY,
    bytes: Math.min(maxBytes ?? Number.POSITIVE_INFINITY, LIMITS.queueBytesMax),
  };
}

/** Whether `messages` more, of `bytes` in all, may be taken. Dead messages kept here do not count to the length. */
export function roomFor(queue: QueueContext, messages: number, bytes: number): Result<void> {
  const limits = limitsOf(queue);
  const held = queue.ledger.now;
  if (held.bytes + bytes > queue.stored.allottedBytes) {
    return refuse("quota_exceeded", "the namespace's quota of bytes leaves no room for this batch");
  }
  const live = { messages: held.messages - held.dead, bytes: held.bytes - held.deadBytes };
  if (messages > limits.messages || bytes > limits.bytes) {
    return refuse("queue_full", "the batch is larger than the whole queue may be");
  }
  if (configOf(queue).overflow === "dropOldest") return ok(undefined);
  if (live.messages + messages > limits.messages) {
    return refuse("queue_full", `the queue holds ${live.messages} messages of ${limits.messages}`, {
      retryAfterMs: 1_000,
    });
  }
  if (live.bytes + bytes > limits.bytes) {
    return refuse("queue_full", `the queue holds ${live.bytes} bytes of ${limits.bytes}`, {
      retryAfterMs: 1_000,
    });
  }
  return ok(undefined);
}

/** Under dropOldest: buries the oldest waiting messages until the new ones fit. */
export function makeRoom(queue: QueueContext, messages: number, bytes: number, nowMs: number): void {
  if (configOf(queue).overflow !== "dropOldest") return;
  const limits = limitsOf(queue);
  const held = queue.ledger.now;
  const isOver = (): boolean =>
    held.messages - held.dead + messages > limits.messages ||
    held.bytes - held.deadBytes + bytes > limits.bytes;
  if (!isOver()) return;
  for (const place of oldestWaiting(queue)) {
    bury(queue, place.segment, place.index, { reason: "overflow", nowMs });
    if (!isOver()) return;
  }
}
