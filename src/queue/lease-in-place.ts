/**
 * A lease that covers a whole segment in the turn that writes the segment needs no row: it lies in the segment's own. That is
 * the life of a message that is published while someone waits for it, and takes a row off it.
 */
import type { Lease } from "./leases.ts";
import type { LeaseRow } from "./stores.ts";

/** As stored (JSON). A first attempt, of all of the segment. */
export type LeaseInPlace = Pick<
  LeaseRow,
  "lease" | "consumer" | "consumerId" | "attemptId" | "grantedMs" | "untilMs" | "subject" | "key"
> & { readonly segment: number; readonly count: number };

/** One of which every message was acked, as a snapshot remembers it: id, subject, key, segment, messages. */
export type EndedInPlace = readonly [
  lease: number,
  subject: string | null,
  key: string | null,
  segment: number,
  count: number,
];

/** Null: its row must be one of its own. */
export function leaseInPlace(lease: Lease): LeaseInPlace | null {
  const [run, ...more] = lease.runs;
  const isWhole = run !== undefined && more.length === 0 && run.index === 0 && !run.isReturned;
  if (!isWhole || lease.slot !== 0 || lease.deviates || lease.untils.size > 0) return null;
  if (lease.open < lease.outcomes.length || run.attempt !== 1) return null;
  const { id, consumer, consumerId, attemptId, grantedMs, untilMs, subject, key } = lease;
  const { segment, count } = run;
  return { lease: id, consumer, consumerId, attemptId, grantedMs, untilMs, subject, key, segment, count };
}

/** As if it had a row of its own. */
export function rowInPlace({ segment, count, ...lease }: LeaseInPlace): LeaseRow {
  const run = { segment, index: 0, count, attempt: 1, failures: 0, firstSentMs: lease.grantedMs };
  return { ...lease, slot: 0, untils: null, runs: JSON.stringify([run]), outcomes: null };
}

export function endedInPlace({ id, subject, key, runs }: Lease): EndedInPlace {
  const { segment, count } = runs[0]!;
  return [id, subject, key, segment, count];
}

export function rowOfEnded([lease, subject, key, segment, count]: EndedInPlace): LeaseRow {
  const fixed = { consumer: "", consumerId: 0, attemptId: null, grantedMs: 0, untilMs: 0 };
  return rowInPlace({ ...fixed, lease, subject, key, segment, count });
}
