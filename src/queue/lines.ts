/**
 * Lines of keys: messages that the cursor has passed while their key was busy, a row or two for each key and some tens of
 * thousands of sequences (line-rows.ts). Rows are written when messages join and removed when nothing of them is left; in between
 * nothing is written. What is in memory of them is a cache of first rows, bounded in bytes
 * (line-cache.ts).
 */
import { keyAt, type QueueContext } from "./context.ts";
import { firstSequenceOf, isDelayedLane, LANE_SPAN, laneOf, priorityOfLane, segmentId } from "./lane.ts";
import { LineCache } from "./line-cache.ts";
import { encodeRuns, Line, lineOf, mergeRuns, ROW_SPAN, type Run } from "./line-rows.ts";
import type { Segment } from "./segments.ts";
import { Spans } from "./spans.ts";

/** Rows looked at in one go where a fence asks what lies before it. */
const BELOW_MAX = 64;

export interface Placed {
  readonly segment: Segment;
  readonly index: number;
}

export class Lines {
  /** The first row of a key's line; null: it has none. */
  private readonly heads = new LineCache();
  private readonly spans = new Spans();
  /** Whether a message of the key that is neither settled nor returned is with a consumer. */
  private readonly isOut: (key: string, sequence: number) => boolean;

  constructor(isOut: (key: string, sequence: number) => boolean) {
    this.isOut = isOut;
  }

  /** Puts messages of a lane, which the cursor passes now, into their key's line. */
  join(queue: QueueContext, key: string, lane: number, runs: readonly Run[]): void {
    // Segments of delayed messages come up in the order of due times.
    let rest = mergeRuns([], runs);
    while (rest.length > 0) {
      const [first] = rest[0]!;
      const floor = lane * LANE_SPAN;
      const stored = queue.stores.keys.lineAtOrBefore(key, segmentId(lane, first), floor);
      const open = stored === null ? null : this.openRow(key, lineOf(stored));
      const goesOn = open !== null && first - open.first < ROW_SPAN;
      const id = goesOn ? open.id : segmentId(lane, first);
      const [within, beyond] = cutRuns(rest, firstSequenceOf(id) + ROW_SPAN);
      const line = new Line(id, mergeRuns(goesOn ? open.rest() : [], within));
      this.write(queue, key, line);
      if (!goesOn) this.count(queue, 1);
      const head = this.heads.get(key);
      if (head === null || (head !== undefined && id <= head.id)) this.heads.set(key, line);
      rest = beyond;
    }
  }

  /** The row as it is known in memory, where what is gone has been passed over. */
  private openRow(key: string, stored: Line): Line {
    const head = this.heads.get(key);
    return head?.id === stored.id ? head : stored;
  }

  private write(queue: QueueContext, key: string, { id, first, runs }: Line): void {
    queue.stores.keys.putLine({ key, id, positions: encodeRuns(first, runs) });
  }

  private remove(queue: QueueContext, key: string, { id }: Line): void {
    queue.stores.keys.removeLine(key, id);
    if (this.heads.get(key)?.id === id) this.heads.delete(key);
    this.count(queue, -1);
  }

  private count(queue: QueueContext, change: 1 | -1): void {
    queue.ledger.now.blocked += change;
    queue.ledger.isDirty = true;
  }

  /** Who is first in a key's line: the highest priority, then whoever was due first. */
  first(queue: QueueContext, key: string): Placed | null {
    if (queue.ledger.now.blocked === 0) return null;
    const head = this.head(queue, key);
    if (head === null) return null;
    const delayedLane = laneOf(priorityOfLane(head.lane), true);
    if (!queue.ledger.hasLane(delayedLane)) return this.live(queue, key, head);
    // Segments of delayed messages are not stored in the order in which their messages became due.
    let first = isDelayedLane(head.lane) ? null : this.live(queue, key, head);
    for (const line of this.rowsOf(queue, key, delayedLane)) {
      for (const place of this.firstOfEach(queue, key, line)) {
        if (first === null || isBefore(place, first)) first = place;
      }
    }
    return first;
  }

  private rowsOf(queue: QueueContext, key: string, lane: number): Line[] {
    return queue.stores.keys.linesBetween(key, lane * LANE_SPAN, (lane + 1) * LANE_SPAN).map(lineOf);
  }

  /** The first message of each segment that a row has something of. */
  private *firstOfEach(queue: QueueContext, key: string, line: Line): Generator<Placed> {
    for (;;) {
      const place = this.live(queue, key, line);
      if (place === null) return;
      yield place;
      line.skipTo(place.segment.first + place.segment.count);
    }
  }

  /** The first row with something left. */
  private head(queue: QueueContext, key: string): Line | null {
    for (;;) {
      const known = this.heads.get(key);
      if (known === null) return null;
      const row = known === undefined ? queue.stores.keys.firstLine(key) : null;
      const line = known ?? (row && lineOf(row));
      if (known === undefined) this.heads.set(key, line);
      if (line === null || this.live(queue, key, line) !== null) return line;
      this.remove(queue, key, line);
    }
  }

  /** The first message of a row that is still in line; the row moves on to it. */
  private live(queue: QueueContext, key: string, line: Line): Placed | null {
    for (let sequence = line.at; sequence !== null; sequence = line.at) {
      const segment = this.segmentAt(queue, line, sequence);
      if (segment === null) continue;
      const index = sequence - segment.first;
      if (this.isInLine(queue, key, segment, index)) return { segment, index };
      line.skipTo(sequence + 1);
    }
    return null;
  }

  /** The segment that has a sequence; null: it is gone, and the row moves on to the next one that is there. */
  private segmentAt(queue: QueueContext, line: Line, sequence: number): Segment | null {
    const { lane } = line;
    const id = segmentId(lane, sequence);
    const known = this.knownSegmentAt(queue, id);
    if (known !== null) return known;
    const { segments } = queue.stores;
    const below = segments.atOrBelow(id, lane * LANE_SPAN);
    const segment = below === null ? null : queue.segments.find(below);
    if (segment !== null && sequence < segment.first + segment.count) {
      this.spans.add(segment.id, segment.count);
      return segment;
    }
    const above = segments.atOrAbove(id, (lane + 1) * LANE_SPAN);
    line.skipTo(above === null ? line.last + 1 : firstSequenceOf(above));
    return null;
  }

  private knownSegmentAt(queue: QueueContext, id: number): Segment | null {
    const known = this.spans.find(id);
    if (known === null) return null;
    const segment = queue.segments.find(known);
    if (segment === null) this.spans.remove(known);
    return segment;
  }

  private isInLine(queue: QueueContext, key: string, segment: Segment, index: number): boolean {
    const sequence = segment.first + index;
    if (segment.isSettled(index) || this.isOut(key, sequence)) return false;
    const { waiting, ready, parked, dead } = queue.ledger.now;
    return waiting + ready + parked + dead === 0 || queue.stores.returns.get(sequence) === null;
  }

  /** A message leaves its key's line, or will in a moment. Its row goes with the last one. */
  leave(queue: QueueContext, segment: Segment, index: number): void {
    const key = keyAt(queue, segment, index);
    if (key === null) return;
    const sequence = segment.first + index;
    const line = this.rowWith(queue, key, segment.lane, sequence);
    if (line === null) return;
    const place = this.live(queue, key, line);
    if (place !== null && place.segment.first + place.index !== sequence) return;
    const { run, gone } = line;
    line.skipTo(sequence + 1);
    if (this.live(queue, key, line) === null) this.remove(queue, key, line);
    // It is still there for now.
    else if (place !== null) [line.run, line.gone] = [run, gone];
  }

  private rowWith(queue: QueueContext, key: string, lane: number, sequence: number): Line | null {
    const head = this.heads.get(key);
    if (head === null) return null;
    const { keys } = queue.stores;
    if (isDelayedLane(lane)) return this.rowsOf(queue, key, lane).find((row) => row.has(sequence)) ?? null;
    if (head?.lane === lane && head.first <= sequence && sequence <= head.last)
      return head.has(sequence) ? head : null;
    const row = keys.lineAtOrBefore(key, segmentId(lane, sequence), lane * LANE_SPAN);
    const line = row && lineOf(row);
    return line?.has(sequence) ? line : null;
  }

  /** Whether a message before a sequence is in a line. Rows that begin before it and have nothing there are cut. */
  hasBelow(queue: QueueContext, sequence: number): boolean {
    for (;;) {
      const rows = queue.stores.keys.linesBelow(sequence, BELOW_MAX);
      for (const row of rows) {
        const line = lineOf(row);
        const place = this.live(queue, row.key, line);
        if (place === null) {
          this.remove(queue, row.key, line);
          continue;
        }
        const first = place.segment.first + place.index;
        if (first < sequence) return true;
        const later = new Line(segmentId(line.lane, first), line.rest());
        queue.stores.keys.removeLine(row.key, line.id);
        this.write(queue, row.key, later);
        this.heads.delete(row.key);
      }
      if (rows.length < BELOW_MAX) return false;
    }
  }
}

function cutRuns(runs: readonly Run[], below: number): [within: Run[], beyond: Run[]] {
  const within: Run[] = [];
  const beyond: Run[] = [];
  for (const [first, count] of runs) {
    const inside = Math.max(0, Math.min(count, below - first));
    if (inside > 0) within.push([first, inside]);
    if (inside < count) beyond.push([first + inside, count - inside]);
  }
  return [within, beyond];
}

function isBefore(a: Placed, b: Placed): boolean {
  const ranks = a.segment.rankMs(a.index) - b.segment.rankMs(b.index);
  return ranks < 0 || (ranks === 0 && a.segment.first + a.index < b.segment.first + b.index);
}
