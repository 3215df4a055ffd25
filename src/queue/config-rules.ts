// What may be said of a queue's configuration beyond the form of each field.
import { LIMITS } from "../protocol/limits.ts";
import {
  withChanges,
  type DeadLetterTarget,
  type QueueChanges,
  type QueueConfig,
} from "../protocol/queue-config.ts";
import { refuse, type Refusal } from "../protocol/result.ts";

/** A declare of a queue that exists is harmless when it says the same. */
export function refuseRedeclare(known: QueueConfig, wanted: QueueConfig): Refusal | null {
  const fields = differingFields(known, wanted);
  if (fields.length === 0) return null;
  return refuse("queue_exists", `the queue exists and differs in: ${fields.join(", ")}`);
}

/** The fields in which two configurations of one kind differ. */
export function differingFields<T extends object>(known: T, wanted: T): string[] {
  return (Object.keys(known) as (keyof T & string)[]).filter(
    (field) => canonical(known[field]) !== canonical(wanted[field]),
  );
}

/** What does not go together, or is more than a queue keeps. */
export function refuseConfig(config: QueueConfig): Refusal | null {
  const { dedupByContent, dedupScope, fairLanes, fifo, partitions, labels } = config;
  // Only by its key is a message led to where an equal one lies.
  if (dedupByContent && partitions > 1 && !(fifo && dedupScope === "key")) {
    return refuse(
      "bad_request",
      'dedupByContent: on several partitions goes with fifo and dedupScope "key" only',
    );
  }
  if (fairLanes > 0 && fifo) return refuse("bad_request", "fairLanes: does not go with fifo");
  const texts = Object.entries(labels).flat();
  const bytes = texts.reduce((sum, text) => sum + encoder.encode(text).length, 0);
  if (texts.length > 2 * LIMITS.labelsMax || bytes > LIMITS.labelsBytesMax) {
    return refuse(
      "bad_request",
      `labels: must be at most ${LIMITS.labelsMax}, and ${LIMITS.labelsBytesMax} bytes with their names`,
    );
  }
  return null;
}

const encoder = new TextEncoder();

/** What waits was put in its place under `fifo`, so that can't change under it, and lies in all partitions. */
export function refuseChanges(known: QueueConfig, changes: QueueChanges): Refusal | null {
  if (changes.fifo !== undefined && changes.fifo !== known.fifo) {
    return refuse("bad_request", "fifo: can't be changed; declare another queue");
  }
  if (changes.partitions !== undefined && changes.partitions < known.partitions) {
    return refuse("bad_request", `partitions: may grow only, and there are ${known.partitions}`);
  }
  return refuseConfig(withChanges(known, changes));
}

export function refuseTarget(queue: string, target: DeadLetterTarget): Refusal | null {
  if (!("queue" in target) || target.queue !== queue) return null;
  return refuse("bad_request", "deadLetter.queue: a queue can't be its own dead-letter queue");
}

/** Whether a dead-letter queue takes what dies in another. */
export function refuseSource(
  { deadLetterFrom }: QueueConfig,
  target: string,
  source: string,
): Refusal | null {
  if (deadLetterFrom === null || deadLetterFrom.includes(source)) return null;
  return refuse("dead_letter_refused", `deadLetter.queue: "${target}" takes none from "${source}"`);
}

/** The queue that dead messages go to, or null where they stay or go to an exchange. */
export function deadLetterQueue({ deadLetter }: QueueConfig): string | null {
  return deadLetter !== null && "queue" in deadLetter ? deadLetter.queue : null;
}

/** Two objects with the same fields have the same text, whatever the order of their fields. */
function canonical(value: unknown): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "";
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(entries.map(([name, inner]) => [name, canonical(inner)]));
}
