/**
 * The queue's numbers: sequences, counts, cursors and producers. They live in memory and are saved as a snapshot
 * that rides on a row which a transition writes anyway (a lease), or on a row of its own when the transition
 * writes none. Publishing saves nothing: what was published after the last snapshot is found again from the
 * segments themselves. So a message's full life costs no row for counting.
 */
import type { QueueTotals, SequenceRun } from "../protocol/commands.ts";
import { assert } from "../protocol/assert.ts";
import { FIELD } from "../protocol/batch.ts";
import { LIMITS } from "../protocol/limits.ts";
import { LANE_SPAN, segmentId } from "./lane.ts";
import type { EndedInPlace } from "./lease-in-place.ts";
import type { IdentityStore, SegmentHead, SegmentNotes, SegmentStore } from "./stores.ts";

/** A publish as a producer may repeat it: `[first producer sequence, count, sequences in the batch's order]`. */
export type ProducerBatch = readonly [first: number, count: number, sequences: readonly SequenceRun[]];

export interface ProducerState {
  /** The first sequence ever accepted: a lower one is no repeat, whatever the producer believes. */
  first: number;
  /** The last sequence accepted. */
  last: number;
  touchedMs: number;
  /** The newest batches, oldest first, so that a repeated publish is answered with the first one's ids. */
  batches: ProducerBatch[];
}

/** Batches remembered of each producer: more than a client keeps in flight. */
const PRODUCER_BATCHES = 8;
/** Producers that a snapshot carries before they move to rows of their own. */
const DIRTY_PRODUCERS_MAX = 16;
const PRODUCERS_CACHED_MAX = 256;
const PRODUCER_SWEEP_MS = 3_600_000;
/** Segments published since the last snapshot, at the most: what a wake has to read. A snapshot costs a row. */
const UNSAVED_SEGMENTS_MAX = 128;
/** What stands in storage may have more: earlier versions saved less often. */
const STORED_UNSAVED_SEGMENTS_MAX = 1_024;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Snapshot {
  version: number;
  nextSequence: number;
  nextLease: number;
  nextMove: number;
  nextTask: number;
  clockMs: number;
  messages: number;
  bytes: number;
  waiting: number;
  ready: number;
  parked: number;
  dead: number;
  deadBytes: number;
  blocked: number;
  /** The first sequence whose body counts in `bytes` where it lies in the bucket; earlier versions counted none. */
  bodiesFrom: number;
  drains: number;
  /** When the last of all segments dies that have died or will, by the queue's time to live: see Retention. */
  lastDeathMs: number;
  /** Sequences, by lane, below which every segment was looked at when its time had come. */
  aged: Record<string, number>;
  /** The lane of a fair queue, as its priority, that was served last. */
  lastServed: number;
  /** When idle producers were last looked for. */
  sweptMs: number;
  totals: Mutable<QueueTotals>;
  cursors: Record<string, number>;
  producers: Record<string, ProducerState>;
  /** Rows of segments that are gone: see SegmentStore. */
  vacant: readonly number[];
  /** Segments whose row tells of an active lease, and the newest such leases that have ended. */
  inPlace: readonly number[];
  endedInPlace: readonly EndedInPlace[];
}

/** When a segment dies that does not. */
export const NEVER = Number.MAX_SAFE_INTEGER;

/** When the queue's time to live ends for all of a segment. */
export function diesMs({ timeMs, ttlMs }: Pick<SegmentHead, "timeMs" | "ttlMs">): number {
  return ttlMs > 0 ? timeMs + ttlMs : NEVER;
}

/** What snapshots of earlier versions do not tell: then what is written later has its time in a row, as before. */
const UNTOLD: Partial<Snapshot> = { lastDeathMs: NEVER, vacant: [], inPlace: [], endedInPlace: [] };

function emptySnapshot(firstSequence: number): Snapshot {
  return {
    version: 0,
    nextSequence: firstSequence,
    nextLease: 1,
    nextMove: 1,
    nextTask: 1,
    clockMs: 0,
    messages: 0,
    bytes: 0,
    waiting: 0,
    ready: 0,
    parked: 0,
    dead: 0,
    deadBytes: 0,
    blocked: 0,
    bodiesFrom: 0,
    drains: 0,
    lastDeathMs: 0,
    aged: {},
    lastServed: 0,
    sweptMs: 0,
    totals: {
      published: 0,
      duplicates: 0,
      delivered: 0,
      acked: 0,
      failed: 0,
      deadLettered: 0,
      redriven: 0,
      expired: 0,
      cancelled: 0,
      purged: 0,
      dropped: 0,
    },
    cursors: {},
    producers: {},
    vacant: [],
    inPlace: [],
    endedInPlace: [],
  };
}

export class Ledger {
  /** Every number here is exact at the end of a transition. `messages` counts all that is unsettled, dead included. */
  readonly now: Snapshot;
  /** True when something changed that no segment row can tell. */
  isDirty = false;
  /** True when messages were handed out, which a lease tells that lies in its segment's row. */
  hasHandedOut = false;
  private unsavedSegments = 0;
  private readonly cache = new Map<string, ProducerState>();

  /** Of a queue that nothing was ever published to. */
  constructor(firstSequence: number) {
    this.now = emptySnapshot(firstSequence);
  }

  /** The leases that lie in the rows of segments that no snapshot knows yet. */
  restore(snapshot: string | null, segments: SegmentStore): string[] {
    const leases: string[] = [];
    if (snapshot !== null) this.read(JSON.parse(snapshot) as Snapshot);
    segments.setVacant(this.now.vacant);
    for (const [id, producer] of Object.entries(this.now.producers)) this.cache.set(id, producer);
    const savedNext = this.now.nextSequence;
    for (const lane of this.lanes()) {
      const from = segmentId(lane, savedNext);
      const heads = segments.heads(from, (lane + 1) * LANE_SPAN, STORED_UNSAVED_SEGMENTS_MAX + 1);
      assert(heads.length <= STORED_UNSAVED_SEGMENTS_MAX, "more unsaved segments than a snapshot allows");
      for (const head of heads) {
        const first = head.id % LANE_SPAN;
        this.addSegment(first, head.count, head.recordBytes);
        if ((head.flags & FIELD.bodyReference) !== 0) this.countBodiesFrom(first + head.count);
        this.now.clockMs = Math.max(this.now.clockMs, head.timeMs);
        this.now.lastDeathMs = Math.max(this.now.lastDeathMs, diesMs(head));
        if (head.producers !== null) this.foldProducers(head.producers);
        if (head.lease === null) continue;
        leases.push(head.lease);
        this.passLeased(lane, head);
      }
    }
    return leases;
  }

  private read(snapshot: Snapshot): void {
    Object.assign(this.now, UNTOLD, { bodiesFrom: snapshot.nextSequence }, snapshot);
  }

  /** This version saves a snapshot with a body in the bucket: one that no snapshot knows is of an earlier version. */
  private countBodiesFrom(sequence: number): void {
    this.now.bodiesFrom = Math.max(this.now.bodiesFrom, sequence);
  }

  /** It went out in the turn that wrote it, so all that stands before it in its lane had gone out. */
  private passLeased(lane: number, head: SegmentHead & SegmentNotes): void {
    this.now.cursors[lane] = Math.max(this.cursor(lane), (head.id % LANE_SPAN) + head.count);
    this.now.totals.delivered += head.count;
  }

  /** Producers in memory. */
  get producersKnown(): number {
    return this.cache.size;
  }

  lanes(): number[] {
    return Object.keys(this.now.cursors).map(Number);
  }

  hasLane(lane: number): boolean {
    return this.now.cursors[lane] !== undefined;
  }

  cursor(lane: number): number {
    return this.now.cursors[lane] ?? 1;
  }

  moveCursor(lane: number, sequence: number): void {
    this.now.cursors[lane] = sequence;
    this.hasHandedOut = true;
  }

  /** A lane that no snapshot knows would not be looked at when the object wakes. */
  openLane(lane: number): void {
    if (this.now.cursors[lane] !== undefined) return;
    this.moveCursor(lane, this.now.nextSequence);
    this.isDirty = true;
  }

  /** Time never runs backwards in a queue, whatever the machine's clock does. */
  tickClock(nowMs: number): number {
    this.now.clockMs = Math.max(this.now.clockMs, nowMs);
    return this.now.clockMs;
  }

  addSegment(first: number, count: number, bytes: number): void {
    const end = first + count;
    this.now.nextSequence = Math.max(this.now.nextSequence, end);
    this.now.messages += count;
    this.now.bytes += bytes;
    this.now.totals.published += count;
    if (++this.unsavedSegments >= UNSAVED_SEGMENTS_MAX) this.isDirty = true;
  }

  producer(id: string, identities: IdentityStore): ProducerState | null {
    const cached = this.cache.get(id);
    if (cached) return cached;
    const stored = identities.producer(id);
    if (stored === null) return null;
    const state = JSON.parse(stored) as ProducerState;
    this.remember(id, state);
    return state;
  }

  /** Takes a producer's batch; the caller stores the returned JSON with the batch's segment. */
  recordProducer(id: string, state: ProducerState): void {
    if (state.batches.length > PRODUCER_BATCHES)
      state.batches.splice(0, state.batches.length - PRODUCER_BATCHES);
    this.remember(id, state);
    this.now.producers[id] = state;
  }

  private remember(id: string, state: ProducerState): void {
    this.cache.delete(id);
    this.cache.set(id, state);
    for (const oldest of this.cache.keys()) {
      if (this.cache.size <= PRODUCERS_CACHED_MAX) break;
      if (this.now.producers[oldest] === undefined) this.cache.delete(oldest);
      else break;
    }
  }

  private foldProducers(json: string): void {
    for (const [id, state] of Object.entries(JSON.parse(json) as Record<string, ProducerState>)) {
      // Segments are read lane by lane, not in the order of their publishing.
      const known = this.now.producers[id] ?? this.cache.get(id);
      if (known === undefined || known.last < state.last) this.recordProducer(id, state);
    }
  }

  /** Moves producers out of the snapshot when it carries too many. */
  spillProducers(identities: IdentityStore): void {
    const ids = Object.keys(this.now.producers);
    if (ids.length <= DIRTY_PRODUCERS_MAX) return;
    for (const id of ids) {
      const state = this.now.producers[id]!;
      identities.putProducer(id, JSON.stringify(state), state.touchedMs);
    }
    this.now.producers = {};
    this.isDirty = true;
  }

  /** Forgets producers that were idle for a day. Looks at all of them, so it does so once an hour at the most. */
  sweepProducers(identities: IdentityStore): void {
    const { clockMs, sweptMs, producers } = this.now;
    if (clockMs - sweptMs < PRODUCER_SWEEP_MS) return;
    const beforeMs = clockMs - LIMITS.producerIdleMs;
    identities.removeProducersBefore(beforeMs);
    for (const [id, state] of this.cache) if (state.touchedMs < beforeMs) this.cache.delete(id);
    for (const [id, state] of Object.entries(producers)) if (state.touchedMs < beforeMs) delete producers[id];
    this.now.sweptMs = clockMs;
    this.isDirty = true;
  }

  /** The snapshot to store now; the caller must write it. */
  save(): { version: number; json: string } {
    this.now.version++;
    this.unsavedSegments = 0;
    this.isDirty = false;
    this.hasHandedOut = false;
    return { version: this.now.version, json: JSON.stringify(this.now) };
  }
}
