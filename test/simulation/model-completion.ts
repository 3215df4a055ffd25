// What a queue adds to a message that names no delay, or no dedup id; and what it refuses to take without.
import { createHash } from "node:crypto";
import type { QueueConfig } from "../../src/protocol/queue-config.ts";
import type { Facts } from "./facts.ts";

/** A message that moved is taken as it is. */
export function completed(facts: Facts, config: QueueConfig): Facts {
  if (facts.id !== null) return facts;
  let whole = facts;
  if (config.delayMs > 0 && !facts.namesDelay)
    whole = { ...whole, delayMs: config.delayMs, namesDelay: true, bytes: whole.bytes + 8 };
  if (config.dedupByContent && facts.dedupId === null) {
    const dedupId = createHash("sha256").update(facts.text).digest("hex");
    whole = { ...whole, dedupId, bytes: whole.bytes + 1 + dedupId.length };
  }
  return whole;
}

export function lacksSomething({ key, dedupId }: Facts, { required, dedupByContent }: QueueConfig): boolean {
  const lacksKey = required.includes("orderingKey") && key === null;
  return lacksKey || (required.includes("dedupId") && dedupId === null && !dedupByContent);
}
