/**
 * The segments in memory: bytes, what a scan found in them, and which of their messages are settled. A cache over
 * the store, bounded in bytes; what a transition changed is written when it ends.
 */
import type { BatchCodec, RecordTable } from "../protocol/batch.ts";
import { FIELD, TABLE_STRIDE } from "../protocol/batch.ts";
import { assert } from "../protocol/assert.ts";
import { bitmapBytes, countBits, hasBit, setBit } from "./bitmap.ts";
import { firstSequenceOf, isDelayedLane, laneOfSegment } from "./lane.ts";
import type { Progress, SegmentHead, SegmentStore } from "./stores.ts";

const CACHE_BYTES_MAX = 16 * 1024 * 1024;
/** Rows that stay when their segments are gone, and the most that one of them holds: together a megabyte. */
const VACANT_MAX = 64;
const VACANT_BYTES_MAX = 16_384;

export class Segment implements SegmentHead {
  readonly id: number;
  readonly count: number;
  readonly timeMs: number;
  readonly ttlMs: number;
  readonly flags: number;
  readonly recordBytes: number;
  readonly bytes: Uint8Array;
  readonly table: RecordTable;
  readonly lane: number;
  readonly first: number;
  /** A bit for each message that is gone. */
  settled: Uint8Array;
  settledCount = 0;
  settledBytes = 0;

  constructor(head: SegmentHead, bytes: Uint8Array, table: RecordTable) {
    this.id = head.id;
    this.count = head.count;
    this.timeMs = head.timeMs;
    this.ttlMs = head.ttlMs;
    this.flags = head.flags;
    this.recordBytes = head.recordBytes;
    this.bytes = bytes;
    this.table = table;
    this.lane = laneOfSegment(head.id);
    this.first = firstSequenceOf(head.id);
    this.settled = new Uint8Array(bitmapBytes(head.count));
  }

  get isDelayed(): boolean {
    return isDelayedLane(this.lane);
  }

  isSettled(index: number): boolean {
    return this.settledCount > 0 && hasBit(this.settled, index);
  }

  unsettledFrom(index: number): number {
    if (this.settledCount === 0) return this.count - index;
    let count = 0;
    for (let i = index; i < this.count; i++) if (!hasBit(this.settled, i)) count++;
    return count;
  }

  /** When a message is first due: its place in the queue's order. */
  rankMs(index: number): number {
    return this.isDelayed ? this.timeMs + this.table.delayMs(index) : this.timeMs;
  }

  /** When a message dies of age, or null. The lower of its own time to live and the queue's wins. */
  expiresMs(index: number): number | null {
    const own = (this.table.flags(index) & FIELD.ttlMs) !== 0 ? this.table.ttlMs(index) : null;
    if (own === null) return this.ttlMs > 0 ? this.timeMs + this.ttlMs : null;
    return this.timeMs + (this.ttlMs > 0 ? Math.min(own, this.ttlMs) : own);
  }

  /** Whether a message has died of age. One with no time at all lives through the very moment it was accepted in. */
  isExpired(index: number, nowMs: number): boolean {
    const expiresMs = this.expiresMs(index);
    if (expiresMs === null || expiresMs > nowMs) return false;
    return expiresMs < nowMs || expiresMs > this.timeMs;
  }

  /** The bytes and the places of the records, which take more than small records themselves. */
  get memoryBytes(): number {
    return this.bytes.byteLength + this.count * TABLE_STRIDE * 4;
  }

  get mayExpire(): boolean {
    return this.ttlMs > 0 || (this.flags & FIELD.ttlMs) !== 0;
  }
}

export class Segments {
  private readonly store: SegmentStore;
  private readonly codec: BatchCodec;
  private readonly cache = new Map<number, Segment>();
  private readonly changed = new Map<number, Segment>();
  private cacheBytes = 0;
  /** No row may outlive its segment in this turn: someone wants everything gone. */
  isClearing = false;

  get bytesHeld(): number {
    return this.cacheBytes;
  }

  constructor(store: SegmentStore, codec: BatchCodec) {
    this.store = store;
    this.codec = codec;
  }

  /** Segments in memory. */
  get size(): number {
    return this.cache.size;
  }

  /** The segment, or null when all of it is settled. */
  find(id: number): Segment | null {
    const known = this.cache.get(id) ?? this.changed.get(id);
    if (known) {
      this.cache.delete(id);
      this.cache.set(id, known);
      return known;
    }
    const row = this.store.read(id);
    if (row === null) return null;
    const scanned = this.codec.scan(row.bytes, "broker");
    assert(scanned.ok, `segment ${id} on disk is damaged: ${scanned.ok ? "" : scanned.detail}`);
    const segment = new Segment(row, row.bytes, scanned.value);
    const progress = this.store.progress(id);
    if (progress) {
      segment.settled = progress.settled;
      segment.settledCount = countBits(progress.settled);
      segment.settledBytes = progress.settledBytes;
    }
    this.keep(segment);
    return segment;
  }

  /** Which of these segments have something left. */
  alive(ids: readonly number[]): ReadonlySet<number> {
    return this.store.alive([...new Set(ids)]);
  }

  /** What is settled, without reading the segment's bytes; null when it is gone. */
  progressOf(id: number): Progress | null {
    const known = this.cache.get(id);
    if (known) return { settled: known.settled, settledBytes: known.settledBytes };
    const head = this.store.heads(id, id + 1, 1)[0];
    if (head === undefined) return null;
    return this.store.progress(id) ?? { settled: new Uint8Array(bitmapBytes(head.count)), settledBytes: 0 };
  }

  get(id: number): Segment {
    const segment = this.find(id);
    assert(segment, `segment ${id} is referred to but gone`);
    return segment;
  }

  add(segment: Segment, producers: string | null): void {
    this.store.insert({ ...headOf(segment), bytes: segment.bytes, producers });
    this.keep(segment);
  }

  /** Marks a message as gone; false when it was already. */
  settle(segment: Segment, index: number): boolean {
    if (!setBit(segment.settled, index)) return false;
    segment.settledCount++;
    segment.settledBytes += segment.table.size(index);
    this.changed.set(segment.id, segment);
    return true;
  }

  /** Writes what changed. A segment with nothing left goes, and `ended` is told. */
  commit(ended: (segment: Segment) => void): void {
    for (const segment of this.changed.values()) {
      if (segment.settledCount < segment.count) {
        this.store.writeProgress(segment.id, {
          settled: segment.settled,
          settledBytes: segment.settledBytes,
        });
        continue;
      }
      ended(segment);
      const isKept =
        !this.isClearing &&
        segment.bytes.byteLength <= VACANT_BYTES_MAX &&
        this.store.vacant.size < VACANT_MAX;
      if (isKept) this.store.vacate(segment.id);
      else this.store.remove(segment.id);
      this.store.removeProgress(segment.id);
      this.forget(segment.id);
    }
    this.changed.clear();
    if (this.isClearing) this.store.removeVacant();
    this.isClearing = false;
    for (const [id] of this.cache) {
      if (this.cacheBytes <= CACHE_BYTES_MAX) break;
      this.forget(id);
    }
  }

  /** Drops a segment that the caller has removed from the store. */
  forget(id: number): void {
    const segment = this.cache.get(id);
    if (segment) this.cacheBytes -= segment.memoryBytes;
    this.cache.delete(id);
    this.changed.delete(id);
  }

  private keep(segment: Segment): void {
    this.cache.set(segment.id, segment);
    this.cacheBytes += segment.memoryBytes;
  }
}

function headOf(segment: Segment): SegmentHead {
  const { id, count, timeMs, ttlMs, flags, recordBytes } = segment;
  return { id, count, timeMs, ttlMs, flags, recordBytes };
}
