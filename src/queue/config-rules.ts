// What may be said of a queue's configuration beyond the form of each field.
import type { DeadLetterTarget, QueueConfig } from "../protocol/queue-config.ts";
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

/** What waits was put in its place under `fifo`, so that can't change under it, and lies in all partitions. */
export function refuseChanges(known: QueueConfig, changes: Partial<QueueConfig>): Refusal | null {
  if (changes.fifo !== undefined && changes.fifo !== known.fifo) {
    return refuse("bad_request", "fifo: can't be changed; declare another queue");
  }
  if (changes.partitions !== undefined && changes.partitions < known.partitions) {
    return refuse("bad_request", `partitions: may grow only, and there are ${known.partitions}`);
  }
  return null;
}

export function refuseTarget(queue: string, target: DeadLetterTarget): Refusal | null {
  if (!("queue" in target) || target.queue !== queue) return null;
  return refuse("bad_request", "deadLetter.queue: a queue can't be its own dead-letter queue");
}

/** Two objects with the same fields have the same text, whatever the order of their fields. */
function canonical(value: unknown): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "";
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(entries.map(([name, inner]) => [name, canonical(inner)]));
}
