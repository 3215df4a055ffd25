import type { QueueConfig } from "../protocol/queue-config.ts";

/** The fields in which two configurations differ. */
export function differences(one: QueueConfig, other: QueueConfig): string[] {
  const fields = Object.keys(one) as (keyof QueueConfig)[];
  return fields.filter((field) => canonical(one[field]) !== canonical(other[field]));
}

function canonical(value: unknown): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "";
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(entries.map(([name, inner]) => [name, canonical(inner)]));
}
