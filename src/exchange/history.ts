/**
 * The events of an exchange: their numbering, and what is kept of them. A turn's events are one row. The last row is
 * never removed while numbers must go on, so that the next offset is known after any wake.
 */
import { stampBatch, type BatchCodec, type RecordSlice } from "../protocol/batch.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { HistoryHead, HistoryRow, HistoryStore } from "./stores.ts";

/** Rows taken away by one turn; each turn adds one, so it keeps up. */
const TRIM_ROWS = 8;
/** And as many times so many by one alarm. */
const TRIMS_MAX = 1_000;

export interface Turn {
  readonly first: number;
  readonly count: number;
  /** Stamped with epoch, first offset and time. */
  readonly batch: Uint8Array;
}

export class History {
  private readonly store: HistoryStore;
  private readonly codec: BatchCodec;
  private config: ExchangeConfig;
  readonly epoch: number;
  private lastOffset: number;
  private bytesSoFar: number;
  private writtenPushed: number;
  /** Every hub has the events up to here. */
  private pushed: number;

  constructor(config: ExchangeConfig, epoch: number, store: HistoryStore, codec: BatchCodec) {
    this.config = config;
    this.epoch = epoch;
    this.store = store;
    this.codec = codec;
    const last = store.last();
    this.lastOffset = last === null ? 0 : last.first + last.count - 1;
    this.bytesSoFar = last?.bytesSoFar ?? 0;
    this.writtenPushed = last?.pushed ?? 0;
    this.pushed = this.writtenPushed;
  }

  /** What is kept from now on. Where it lies and how it is numbered stays as it is. */
  configure(config: ExchangeConfig): void {
    this.config = config;
  }

  /** Events that may be asked for; 0: none. */
  get eventsMax(): number {
    const { durable, history } = this.config;
    return durable ? history.eventsMax : Math.min(history.eventsMax, LIMITS.memoryHistoryEventsMax);
  }

  get offset(): number {
    return this.lastOffset;
  }

  get epochText(): string {
    return this.epoch.toString(36);
  }

  /** Whether rows are written at all: for the history itself, or for the numbers that last values carry. */
  get isKept(): boolean {
    return isNumbered(this.config);
  }

  /** Gives the turn's events their offsets, and stores them when anything is to be kept. */
  append(slices: readonly RecordSlice[], count: number, nowMs: number): Turn {
    const first = this.lastOffset + 1;
    const header = { origin: this.epoch, firstSequence: first, timeMs: nowMs };
    const batch = this.batchOf(slices, count, header);
    this.lastOffset += count;
    if (this.isKept) {
      this.bytesSoFar += batch.length;
      const { pushed, bytesSoFar } = this;
      const batchBytes = batch.length;
      this.store.insert({ first, count, timeMs: nowMs, batchBytes, bytesSoFar, pushed, bytes: batch });
      this.writtenPushed = pushed;
      this.trim(nowMs);
    }
    return { first, count, batch };
  }

  /** Events that nobody sees and nothing keeps. */
  skip(count: number): void {
    this.lastOffset += count;
  }

  /** A whole batch is stamped where it lies; what was put together is a copy anyway. */
  private batchOf(
    slices: readonly RecordSlice[],
    count: number,
    header: { origin: number; firstSequence: number; timeMs: number },
  ): Uint8Array {
    const [only] = slices;
    if (slices.length === 1 && only !== undefined && only.count === count && isWhole(only)) {
      stampBatch(only.bytes, header);
      return only.bytes;
    }
    return this.codec.join(slices, header);
  }

  markPushed(offset: number): void {
    this.pushed = Math.max(this.pushed, offset);
  }

  /**
   * After a wake: what some hub may not have. Null when older events than are kept may be among it. Hubs and clients
   * drop what they have seen.
   */
  unpushed(): HistoryRow[] | null {
    const rows: HistoryRow[] = [];
    for (let at = this.writtenPushed + 1; at <= this.lastOffset;) {
      const row = this.store.atOrAfter(at);
      if (row === null || row.first > at) return null;
      rows.push(row);
      at = row.first + row.count;
    }
    return rows;
  }

  /** The first offset that may still be asked for; past the last one when nothing may. */
  earliestOffset(nowMs: number): number {
    const { eventsMax } = this;
    const { ageMs } = this.config.history;
    const [first] = this.store.firstHeads(1);
    if (eventsMax === 0 || first === undefined) return this.lastOffset + 1;
    const byCount = Math.max(first.first, this.lastOffset - eventsMax + 1);
    if (ageMs === null) return byCount;
    const young = this.store.firstAfter(nowMs - ageMs);
    return young === null ? this.lastOffset + 1 : Math.max(byCount, young.first);
  }

  rowAt(offset: number): HistoryRow | null {
    return this.store.atOrAfter(offset);
  }

  rowBefore(offset: number): HistoryRow | null {
    return this.store.before(offset);
  }

  size(): { events: number; bytes: number } {
    const [first] = this.store.firstHeads(1);
    const last = this.store.last();
    if (first === undefined || last === null || this.eventsMax === 0) return { events: 0, bytes: 0 };
    const bytes = last.bytesSoFar - first.bytesSoFar + first.batchBytes;
    return { events: this.lastOffset - first.first + 1, bytes };
  }

  /** As `trim`, many times; what is left after them is for the next alarm. */
  trimAll(nowMs: number): void {
    for (let i = 0; i < TRIMS_MAX && this.trim(nowMs); i++);
  }

  /** Takes away rows that nobody may ask for any more. True when there may be more of them. */
  trim(nowMs: number): boolean {
    const heads = this.store.firstHeads(TRIM_ROWS + 1);
    let before: number | null = null;
    for (const [i, head] of heads.entries()) {
      const next = heads[i + 1];
      // The last row carries the numbers on.
      if (next === undefined || !this.isSpent(head, nowMs)) break;
      before = next.first;
    }
    if (before === null) return false;
    this.store.removeBefore(before);
    return before === heads.at(-1)?.first && heads.length > TRIM_ROWS;
  }

  private isSpent(head: HistoryHead, nowMs: number): boolean {
    const { ageMs } = this.config.history;
    return this.isOver(head) || (ageMs !== null && head.timeMs + ageMs <= nowMs);
  }

  /** Whether what came later fills the history by itself. */
  private isOver(head: HistoryHead): boolean {
    if (head.first + head.count - 1 <= this.lastOffset - this.eventsMax) return true;
    const bytesMax = this.config.durable ? LIMITS.historyBytesMax : LIMITS.memoryHistoryBytesMax;
    return this.bytesSoFar - head.bytesSoFar > bytesMax;
  }

  /** When rows must be taken away by the alarm; null when there is nothing to wait for. */
  nextTrimMs(): number | null {
    const [head, next] = this.store.firstHeads(2);
    if (head === undefined || next === undefined) return null;
    // More rows are to go than a turn takes away: at once.
    if (this.isOver(head)) return head.timeMs;
    const { ageMs } = this.config.history;
    // A row more than needed may stay for a minute: an alarm for each would cost more than it frees.
    return ageMs === null ? null : head.timeMs + ageMs + 60_000;
  }
}

export function isNumbered(config: ExchangeConfig): boolean {
  return config.history.eventsMax > 0 || config.lastValuesMax > 0;
}

function isWhole({ bytes, offset, size }: RecordSlice): boolean {
  return offset + size === bytes.length;
}
