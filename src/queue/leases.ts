/**
 * Who holds what, until when. One lease covers a whole delivery. Leases are fenced: a message is settled only by
 * the lease under which it is open, and what became of each message is remembered with its lease for a while
 * after the lease has ended, so that settling twice is told from settling too late.
 */
import { assert } from "../protocol/assert.ts";
import type { SequenceRun } from "../protocol/commands.ts";
import { hasBit } from "./bitmap.ts";
import { endedInPlace, leaseInPlace, rowOfEnded, type EndedInPlace } from "./lease-in-place.ts";
import type { LeaseRow, LeaseStore, SegmentStore } from "./stores.ts";
import type { Ledger } from "./ledger.ts";
import type { Segments } from "./segments.ts";
import { firstSequenceOf } from "./lane.ts";

/** What became of a message under a lease. Stored: never renumber. */
export const OUTCOME = { open: 0, acked: 1, nacked: 2, rejected: 3, lost: 4, dead: 5 } as const;
export type Outcome = (typeof OUTCOME)[keyof typeof OUTCOME];

/** Consecutive messages of one segment under one lease, with the same history. */
export interface LeaseRun {
  readonly segment: number;
  readonly index: number;
  readonly count: number;
  readonly attempt: number;
  readonly failures: number;
  readonly firstSentMs: number;
  /** The message has a row among the returned: it came back before, or was dead here and redriven. */
  readonly isReturned?: true;
}

export interface Lease {
  readonly id: number;
  slot: number;
  readonly consumer: string;
  consumerId: number;
  readonly attemptId: string | null;
  /** Who may settle: the subject it was granted to, and who knows the key. Null: see LeaseRow. */
  readonly subject: string | null;
  readonly key: string | null;
  readonly grantedMs: number;
  untilMs: number;
  /** When it ends for messages whose time was changed on its own, by their place. */
  readonly untils: Map<number, number>;
  runs: readonly LeaseRun[];
  /** An Outcome a message, run after run. */
  readonly outcomes: Uint8Array;
  open: number;
  /** Some outcome is neither open nor acked, which the segments alone could not tell after a wake. */
  deviates: boolean;
}

/** Ended leases that are remembered. */
const ENDED_MAX = 256;
/** Active leases in their segments' rows, and ended ones that a snapshot remembers: snapshots are written often. */
const IN_PLACE_MAX = 64;
const ENDED_IN_PLACE_MAX = 16;

export class Leases {
  readonly active = new Map<number, Lease>();
  private readonly ended = new Map<number, Lease>();
  private readonly changed = new Set<Lease>();
  private slots = 0;
  private freeSlots: number[] = [];
  openCount = 0;
  /** Open messages of each consumer's socket. */
  private readonly openOf = new Map<number, number>();
  /** Active leases by the segments that they have messages of. */
  private readonly bySegment = new Map<number, Set<Lease>>();
  /** Active leases that lie in their segments' rows. */
  private readonly inPlace = new Set<Lease>();
  private endedInPlace: EndedInPlace[] = [];

  /** `ended`: leases that lay in rows of segments that are gone. */
  restore(rows: readonly LeaseRow[], ended: readonly EndedInPlace[], segments: Segments): void {
    this.endedInPlace = [...ended];
    this.take([...rows, ...ended.map(rowOfEnded)], segments);
  }

  private take(rows: readonly LeaseRow[], segments: Segments): void {
    const runsOf = new Map(rows.map((row) => [row, JSON.parse(row.runs) as LeaseRun[]]));
    const alive = segments.alive([...runsOf.values()].flat().map(({ segment }) => segment));
    // In the order in which they were granted, whatever slots they took: "the oldest" must survive an eviction.
    for (const row of [...rows].sort((a, b) => a.lease - b.lease)) {
      this.slots = Math.max(this.slots, row.slot);
      const runs = runsOf.get(row)!;
      const count = runs.reduce((sum, run) => sum + run.count, 0);
      const outcomes = row.outcomes ?? new Uint8Array(count);
      const lease: Lease = {
        ...row,
        id: row.lease,
        runs,
        untils: new Map(row.untils === null ? [] : (JSON.parse(row.untils) as [number, number][])),
        outcomes,
        open: 0,
        deviates: row.outcomes !== null,
      };
      let at = 0;
      for (const run of runs) {
        const settled = alive.has(run.segment) ? (segments.progressOf(run.segment)?.settled ?? null) : null;
        for (let i = 0; i < run.count; i++, at++) {
          if (outcomes[at] !== OUTCOME.open) continue;
          if (settled === null || hasBit(settled, run.index + i)) outcomes[at] = OUTCOME.acked;
          else lease.open++;
        }
      }
      if (lease.open > 0) {
        this.activate(lease);
        this.count(lease.consumerId, lease.open);
        if (lease.slot === 0) this.inPlace.add(lease);
      } else {
        this.ended.set(lease.id, lease);
      }
    }
  }

  /** Ended leases in memory, and consumers with something open. */
  get sizes(): { ended: number; holders: number } {
    return { ended: this.ended.size, holders: this.openOf.size };
  }

  find(id: number): Lease | null {
    return this.active.get(id) ?? this.ended.get(id) ?? null;
  }

  grant(lease: Omit<Lease, "slot" | "untils" | "outcomes" | "open" | "deviates">): Lease {
    const count = lease.runs.reduce((sum, run) => sum + run.count, 0);
    const granted: Lease = {
      ...lease,
      // Where it is to be stored is known when the turn ends.
      slot: 0,
      untils: new Map(),
      outcomes: new Uint8Array(count),
      open: count,
      deviates: false,
    };
    this.activate(granted);
    this.count(granted.consumerId, count);
    this.changed.add(granted);
    return granted;
  }

  /** Ends a message's stay under its lease. `at` is its place in the outcomes. */
  close(lease: Lease, at: number, outcome: Outcome): void {
    assert(lease.outcomes[at] === OUTCOME.open, `lease ${lease.id} closes message ${at} twice`);
    lease.outcomes[at] = outcome;
    lease.open--;
    this.count(lease.consumerId, -1);
    if (outcome !== OUTCOME.acked) {
      lease.deviates = true;
      this.changed.add(lease);
    }
    if (lease.open > 0) return;
    this.active.delete(lease.id);
    for (const { segment } of lease.runs) {
      const leases = this.bySegment.get(segment);
      leases?.delete(lease);
      if (leases?.size === 0) this.bySegment.delete(segment);
    }
    this.ended.set(lease.id, lease);
    if (!this.inPlace.delete(lease) || lease.deviates) return;
    this.endedInPlace = [...this.endedInPlace, endedInPlace(lease)].slice(-ENDED_IN_PLACE_MAX);
  }

  private activate(lease: Lease): void {
    this.active.set(lease.id, lease);
    for (const { segment } of lease.runs) {
      const leases = this.bySegment.get(segment);
      if (leases) leases.add(lease);
      else this.bySegment.set(segment, new Set([lease]));
    }
  }

  /** What became of a message after its delivery had ended. */
  amend(lease: Lease, at: number, outcome: Outcome): void {
    assert(lease.outcomes[at] !== OUTCOME.open, `lease ${lease.id} still holds message ${at}`);
    lease.outcomes[at] = outcome;
    this.changed.add(lease);
  }

  /** `places`: which of its open messages. */
  extend(lease: Lease, untilMs: number, places: ReadonlySet<number>): void {
    if (places.size === lease.open) {
      lease.untilMs = untilMs;
      lease.untils.clear();
    } else {
      for (const at of places) lease.untils.set(at, untilMs);
    }
    this.changed.add(lease);
  }

  /** Gives a message that is nobody's back to the lease it was under. It has a row among the returned now. */
  reopen(lease: Lease, at: number, untilMs: number): void {
    assert(lease.outcomes[at] !== OUTCOME.open, `lease ${lease.id} still holds message ${at}`);
    // Its socket may be gone by now: then nobody but the clock would end the lease.
    if (lease.open === 0) lease.consumerId = 0;
    lease.outcomes[at] = OUTCOME.open;
    lease.runs = withReturned(lease.runs, at);
    lease.untils.set(at, untilMs);
    lease.deviates = true;
    lease.open++;
    this.count(lease.consumerId, 1);
    this.ended.delete(lease.id);
    this.activate(lease);
    this.changed.add(lease);
  }

  /** The earliest end of a lease, or null. */
  nextUntilMs(): number | null {
    let next: number | null = null;
    for (const lease of this.active.values()) {
      const untilMs = endOf(lease);
      if (next === null || untilMs < next) next = untilMs;
    }
    return next;
  }

  overdue(nowMs: number): Lease[] {
    return [...this.active.values()].filter((lease) => endOf(lease) <= nowMs);
  }

  /** Each open message that lies in a segment, or in all. */
  *openIn(segmentId?: number): Generator<{ lease: Lease; run: LeaseRun; index: number; at: number }> {
    const leases = segmentId === undefined ? this.active.values() : this.bySegment.get(segmentId);
    for (const lease of leases ?? []) yield* openMessages(lease, segmentId);
  }

  /** Who holds a message of a segment; null: nobody. */
  holderOf(segmentId: number, index: number): Lease | null {
    for (const open of this.openIn(segmentId)) if (open.index === index) return open.lease;
    return null;
  }

  /** Puts leases into rows that the turn writes anyway; how many. The others get rows of their own. */
  place(segments: SegmentStore): number {
    let placed = 0;
    for (const lease of this.changed) {
      this.inPlace.delete(lease);
      const place = this.inPlace.size < IN_PLACE_MAX ? leaseInPlace(lease) : null;
      if (place !== null && segments.place(place.segment, place.count, JSON.stringify(place))) {
        this.changed.delete(lease);
        this.inPlace.add(lease);
        placed++;
      } else if (lease.slot === 0) {
        lease.slot = this.takeSlot();
      }
    }
    return placed;
  }

  /** Whether all of a segment is out under a lease that lies in its row. */
  isInPlace(segmentId: number): boolean {
    for (const lease of this.bySegment.get(segmentId) ?? []) if (this.inPlace.has(lease)) return true;
    return false;
  }

  /** What a snapshot tells of leases that have no row of their own. */
  noteInPlace(ledger: Ledger): void {
    ledger.now.inPlace = Array.from(this.inPlace, ({ runs }) => runs[0]!.segment);
    ledger.now.endedInPlace = this.endedInPlace;
  }

  /** Writes changed leases, the last one with the ledger's snapshot; tells whether it wrote one. */
  commit(store: LeaseStore, ledger: Ledger): boolean {
    if (this.changed.size === 0) {
      this.forgetOldest();
      return false;
    }
    const { version, json } = ledger.save();
    let left = this.changed.size;
    for (const lease of this.changed) {
      if (--left === 0) store.write(rowOf(lease), version, json);
      else store.write(rowOf(lease), 0, "{}");
    }
    this.changed.clear();
    this.forgetOldest();
    return true;
  }

  /** Slots of leases that ended long ago are free for others. */
  private forgetOldest(): void {
    for (const [id, { slot }] of this.ended) {
      if (this.ended.size <= ENDED_MAX) return;
      this.ended.delete(id);
      if (slot > 0) this.freeSlots.push(slot);
    }
  }

  openBy(consumerId: number): number {
    return this.openOf.get(consumerId) ?? 0;
  }

  private count(consumerId: number, change: number): void {
    this.openCount += change;
    const open = this.openBy(consumerId) + change;
    if (open === 0) this.openOf.delete(consumerId);
    else this.openOf.set(consumerId, open);
  }

  private takeSlot(): number {
    const free = this.freeSlots.pop();
    if (free !== undefined) return free;
    if (this.ended.size >= ENDED_MAX) {
      for (const [id, lease] of this.ended) {
        // A lease that still waits to be written keeps its slot until it is.
        if (this.changed.has(lease)) continue;
        this.ended.delete(id);
        if (lease.slot > 0) return lease.slot;
      }
    }
    return ++this.slots;
  }
}

/** When a message's stay under its lease ends. */
export function untilOf(lease: Lease, at: number): number {
  return lease.untils.get(at) ?? lease.untilMs;
}

/** When the first of its open messages ends its stay. */
export function endOf(lease: Lease): number {
  if (lease.untils.size === 0) return lease.untilMs;
  let first = Number.POSITIVE_INFINITY;
  for (const { at } of openMessages(lease)) first = Math.min(first, untilOf(lease, at));
  return first;
}

/** The runs with one message of them a run of its own, which has a row among the returned. */
function withReturned(runs: readonly LeaseRun[], place: number): LeaseRun[] {
  let at = 0;
  return runs.flatMap((run) => {
    const inside = place - at;
    at += run.count;
    if (inside < 0 || inside >= run.count || run.isReturned) return [run];
    const parts = [
      { ...run, count: inside },
      { ...run, index: run.index + inside, count: 1, isReturned: true as const },
      { ...run, index: run.index + inside + 1, count: run.count - inside - 1 },
    ];
    return parts.filter(({ count }) => count > 0);
  });
}

export function* openMessages(
  lease: Lease,
  segmentId?: number,
): Generator<{ lease: Lease; run: LeaseRun; index: number; at: number }> {
  let at = 0;
  for (const run of lease.runs) {
    if (segmentId !== undefined && run.segment !== segmentId) {
      at += run.count;
      continue;
    }
    for (let i = 0; i < run.count; i++, at++) {
      if (lease.outcomes[at] === OUTCOME.open) yield { lease, run, index: run.index + i, at };
    }
  }
}

export function sequencesOf(lease: Lease): SequenceRun[] {
  return lease.runs.map(({ segment, index, count }) => [firstSequenceOf(segment) + index, count]);
}

function rowOf(lease: Lease): LeaseRow {
  return {
    slot: lease.slot,
    lease: lease.id,
    consumer: lease.consumer,
    consumerId: lease.consumerId,
    attemptId: lease.attemptId,
    subject: lease.subject,
    key: lease.key,
    grantedMs: lease.grantedMs,
    untilMs: lease.untilMs,
    untils: lease.untils.size === 0 ? null : JSON.stringify([...lease.untils]),
    runs: JSON.stringify(lease.runs),
    outcomes: lease.deviates ? lease.outcomes : null,
  };
}
