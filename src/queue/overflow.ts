// How much a queue may hold, and what gives way. Exact: there is one writer, and it counts before it writes.
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { configOf, type QueueContext } from "./context.ts";
import { bury } from "./dead-letter.ts";
import { oldestWaiting } from "./browse.ts";
import { shareOfLimit } from "./partition.ts";
import { weightOf } from "./weight.ts";

function limitsOf(queue: QueueContext): { messages: number; bytes: number } {
  const { maxMessages, maxBytes } = configOf(queue);
  return {
    messages: maxMessages === null ? Number.POSITIVE_INFINITY : shareOfLimit(queue, maxMessages),
    bytes: maxBytes === null ? LIMITS.queueBytesMax : shareOfLimit(queue, maxBytes),
  };
}

export interface Load {
  readonly messages: number;
  readonly bytes: number;
}

/**
 * Whether a batch may be taken after what was already judged good in this turn. Dead messages kept here do not
 * count to the length. A batch that can never fit is refused without a time to come back; one that brings nothing new
 * always fits, even if the queue is over its limits already.
 */
export function roomFor(queue: QueueContext, judged: Load, batch: Load): Result<void> {
  if (batch.messages === 0) return ok(undefined);
  const limits = limitsOf(queue);
  const { now } = queue.ledger;
  const messages = judged.messages + batch.messages;
  const bytes = judged.bytes + batch.bytes;
  if (batch.messages > limits.messages || batch.bytes > limits.bytes) {
    return refuse("batch_too_large", "the batch is larger than the whole queue may be");
  }
  if (now.bytes + bytes > Math.min(queue.stored.allottedBytes, LIMITS.queueBytesMax)) {
    return queue.stored.allottedBytes >= LIMITS.queueBytesMax
      ? refuse(
          "queue_full",
          `the queue holds ${now.bytes} bytes of the ${LIMITS.queueBytesMax} that any queue may`,
        )
      : refuse("quota_exceeded", "the namespace's quota of bytes leaves no room for this batch");
  }
  const live = { messages: now.messages - now.dead, bytes: now.bytes - now.deadBytes };
  if (live.messages + messages <= limits.messages && live.bytes + bytes <= limits.bytes) return ok(undefined);
  const staying = configOf(queue).overflow === "dropOldest" ? leasedLoad(queue) : live;
  const which = staying === live ? "holds" : "has with its consumers";
  // A replacement counts its own message off, which makes no room among those that are leased.
  const more = staying === live ? { messages, bytes } : atLeast(judged, batch);
  if (staying.messages + more.messages > limits.messages) {
    return refuse("queue_full", `the queue ${which} ${staying.messages} messages of ${limits.messages}`);
  }
  if (staying.bytes + more.bytes > limits.bytes) {
    return refuse("queue_full", `the queue ${which} ${staying.bytes} bytes of ${limits.bytes}`);
  }
  return ok(undefined);
}

/** What could be taken now: the limits without what stays. */
export function capacity(queue: QueueContext): Load {
  const limits = limitsOf(queue);
  const { now } = queue.ledger;
  const staying =
    configOf(queue).overflow === "dropOldest"
      ? leasedLoad(queue)
      : { messages: now.messages - now.dead, bytes: now.bytes - now.deadBytes };
  return {
    messages: limits.messages - staying.messages,
    bytes: Math.min(limits.bytes - staying.bytes, queue.stored.allottedBytes - now.bytes),
  };
}

function atLeast(judged: Load, batch: Load): Load {
  return {
    messages: Math.max(0, judged.messages) + batch.messages,
    bytes: Math.max(0, judged.bytes) + batch.bytes,
  };
}

/** What can't be dropped, because a consumer has it. */
function leasedLoad(queue: QueueContext): Load {
  let bytes = 0;
  for (const { run, index } of queue.leases.openIn())
    bytes += weightOf(queue, queue.segments.get(run.segment), index);
  return { messages: queue.leases.openCount, bytes };
}

/** Under dropOldest: buries the oldest waiting messages until the new ones fit. */
export function makeRoom(queue: QueueContext, { messages, bytes }: Load, nowMs: number): void {
  if (messages === 0 || configOf(queue).overflow !== "dropOldest") return;
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
