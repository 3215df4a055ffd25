/**
 * What really happened in the queues' objects, told by the transactions that went through; and what callers were told.
 * Every event has a place in one order.
 */
import { partitionOfSequence } from "../../../src/protocol/partitions.ts";

/** A message from its publish on. */
export interface Sent {
  readonly id: string;
  readonly queue: string;
  readonly key: string | null;
  readonly dedupId: string | null;
  readonly isDelayed: boolean;
  /** Its batch, and its place there. */
  readonly batch: number;
  readonly index: number;
  readonly isStamped: boolean;
  readonly start: number;
  confirmed: number;
  /** `duplicate`: the caller was told that it is known. */
  outcome: "pending" | "confirmed" | "duplicate" | "refused" | "unknown";
}

/** A message as it was stored once, by a publish; what moved from another queue has no number here. */
export interface Copy {
  readonly id: string;
  readonly queue: string;
  readonly sequence: number;
  readonly at: number;
  readonly atMs: number;
}

export interface Grant {
  readonly id: string;
  readonly queue: string;
  readonly sequence: number;
  readonly lease: number;
  readonly attempt: number;
  /** It died before, and was brought back. */
  readonly hasDied: boolean;
}

export class Truth {
  readonly sent = new Map<string, Sent>();
  readonly copies = new Map<string, Copy>();
  readonly copiesOf = new Map<string, Copy[]>();
  /** Ids that came from other queues, by queue; and how many messages that were. */
  readonly moved = new Map<string, string[]>();
  readonly movedCounts = new Map<string, number>();
  readonly granted = new Map<string, string>();
  readonly acked = new Map<string, string>();
  readonly ackedIds = new Set<string>();
  readonly mayBePurged = new Set<string>();
  /** When an object learned that there are more partitions, by queue. */
  readonly growths = new Map<string, number[]>();
  private order = 0;

  tick(): number {
    return ++this.order;
  }

  get now(): number {
    return this.order;
  }

  stored(copy: Copy): void {
    this.copies.set(place(copy.queue, copy.sequence), copy);
    this.copiesOf.set(copy.id, [...(this.copiesOf.get(copy.id) ?? []), copy]);
  }

  arrived(queue: string, ids: readonly string[], accepted: number): void {
    this.moved.set(queue, [...(this.moved.get(queue) ?? []), ...ids]);
    this.movedCounts.set(queue, (this.movedCounts.get(queue) ?? 0) + accepted);
  }

  ackedAt(queue: string, sequence: number): void {
    const id = this.granted.get(place(queue, sequence));
    if (id === undefined) return;
    this.acked.set(place(queue, sequence), id);
    this.ackedIds.add(id);
  }

  /** A partition was purged: whatever it may have held may be gone. */
  purged(queue: string, partition: number): void {
    for (const copy of this.copies.values()) {
      if (copy.queue === queue && partitionOfSequence(copy.sequence) === partition)
        this.mayBePurged.add(copy.id);
    }
    for (const id of this.moved.get(queue) ?? []) this.mayBePurged.add(id);
  }

  grew(queue: string): void {
    this.growths.set(queue, [...(this.growths.get(queue) ?? []), this.tick()]);
  }

  /** Whether an object learned of more partitions since. */
  hasGrownSince(queue: string, since: number): boolean {
    return (this.growths.get(queue)?.at(-1) ?? 0) > since;
  }
}

export function place(queue: string, sequence: number): string {
  return `${queue} ${sequence}`;
}
