/**
 * Which messages go out next. Priorities strictly, the higher first; within one priority:
 *
 *   1. messages that come back from an earlier attempt, in their original order
 *   2. in a FIFO queue, the lines of keys that are free again
 *   3. fresh messages, in the order in which they became due: one published with a delay counts from the moment
 *      it is due, every other from its publish
 *
 * Picking moves the cursors and buries what has expired on the way; the caller leases what is returned.
 */
import { FIELD } from "../protocol/batch.ts";
import { configOf, keyAt, type QueueContext } from "./context.ts";
import { bury } from "./dead-letter.ts";
import { isLastFailure } from "./retry.ts";
import { firstSequenceOf, isDelayedLane, LANE_SPAN, laneOf, priorityOfLane, segmentId } from "./lane.ts";
import type { Run } from "./line-rows.ts";
import type { Segment } from "./segments.ts";
import type { DelayedRow, ReturnRow } from "./stores.ts";

export interface Pick {
  readonly segment: Segment;
  readonly index: number;
  readonly count: number;
  /** The message's history, when it has one. */
  readonly row: ReturnRow | null;
}

/** Records looked at in one go, taken or not. */
const SCAN_MAX = 8_192;

/** Until when one segment's messages go before another's. Due at the same time, the earlier published goes first. */
function lastBefore(first: DelayedRow, second: DelayedRow): number {
  return first.segment < second.segment ? second.dueMs : second.dueMs - 1;
}

export class Picker {
  readonly picks: Pick[] = [];
  private readonly queue: QueueContext;
  private readonly nowMs: number;
  private room: number;
  private bytesLeft: number;
  private scansLeft = SCAN_MAX;
  /** The last message that came back and was looked at, by priority. */
  private readonly lastReturned = new Map<number, ReturnRow>();
  /** Keys of which something that came back was taken, and whose lines have not been looked at since. */
  private readonly keysBack = new Set<string>();
  /** Fresh messages that must wait, by lane and key. */
  private readonly aside = new Map<number, Map<string, Run[]>>();
  /** What is picked is all that the delivery can hold. */
  private isClosed = false;

  constructor(queue: QueueContext, messagesMax: number, bytesMax: number, nowMs: number) {
    this.queue = queue;
    this.nowMs = nowMs;
    this.room = messagesMax;
    this.bytesLeft = bytesMax;
  }

  run(): Pick[] {
    if (configOf(this.queue).fairLanes > 0) this.takeInTurn();
    else this.takeByPriority();
    this.queue.keys.endDelivery();
    if (this.scansLeft <= 0) this.queue.hasMoreWork = true;
    return this.picks;
  }

  private takeByPriority(): void {
    for (const priority of this.priorities()) {
      this.takeReturned(priority);
      this.offerKeysBack();
      if (this.queue.ledger.now.blocked > 0) this.takeLines(priority);
      this.takeFresh(priority);
      if (this.isFull()) break;
    }
  }

  /** Of each lane an equal part, and again while some have more; the lane after the one that was last begins. */
  private takeInTurn(): void {
    const { now } = this.queue.ledger;
    const all = this.priorities();
    let line = [
      ...all.filter((lane) => lane < now.lastServed),
      ...all.filter((lane) => lane >= now.lastServed),
    ];
    while (!this.isFull() && line.length > 0) {
      const share = Math.max(1, Math.floor(this.room / line.length));
      line = line.filter((lane) => this.takeShare(lane, share));
    }
  }

  /** Whether the lane may have more. */
  private takeShare(lane: number, share: number): boolean {
    if (this.isFull()) return false;
    const before = this.room;
    const given = Math.min(share, before);
    this.room = given;
    this.takeReturned(lane);
    this.takeFresh(lane);
    const taken = given - this.room;
    this.room = before - taken;
    if (taken > 0) {
      this.queue.ledger.now.lastServed = lane;
      // No lease in its segment's row tells of it.
      this.queue.ledger.isDirty = true;
    }
    return taken === given;
  }

  private priorities(): number[] {
    const { queue } = this;
    const found = new Set(queue.ledger.lanes().map(priorityOfLane));
    return [...found].sort((a, b) => b - a);
  }

  private isFull(): boolean {
    return this.isClosed || this.room <= 0 || this.scansLeft <= 0;
  }

  /** Takes a run of records when they fit; at least one always does. */
  private take(segment: Segment, index: number, count: number, row: ReturnRow | null): number {
    const { table } = segment;
    let taken = 0;
    while (taken < count && taken < this.room) {
      const size = table.size(index + taken);
      if (size > this.bytesLeft && this.picks.length + taken > 0) {
        this.isClosed = true;
        break;
      }
      this.bytesLeft -= size;
      taken++;
    }
    if (taken === 0) return 0;
    this.room -= taken;
    const last = this.picks.at(-1);
    const joins =
      last &&
      row === null &&
      last.row === null &&
      last.segment === segment &&
      last.index + last.count === index;
    if (joins) this.picks[this.picks.length - 1] = { ...last, count: last.count + taken };
    else this.picks.push({ segment, index, count: taken, row });
    return taken;
  }

  private takeReturned(priority: number): void {
    if (this.queue.ledger.now.ready === 0 || this.isFull()) return;
    // A lane's turn may come again: what was taken in the last one is leased only when all is picked.
    let last: ReturnRow | null = this.lastReturned.get(priority) ?? null;
    for (;;) {
      // Rows that their key holds back are passed over, so one page may not be enough.
      const limit: number = Math.min(this.room + 1, 1_024);
      const rows = this.queue.stores.returns.ready(priority, last, limit);
      for (const row of rows) {
        if (this.isFull() || !this.takeRow(row)) return;
        this.lastReturned.set(priority, row);
      }
      last = rows.at(-1) ?? null;
      if (rows.length < limit) return;
    }
  }

  /** Takes a message that came back; false when the delivery is closed. */
  private takeRow(row: ReturnRow): boolean {
    const { queue } = this;
    this.scansLeft--;
    const segment = queue.segments.get(row.segment);
    if (this.buryExpired(segment, row.index) || !queue.keys.mayReturn(queue, row)) return true;
    const config = configOf(queue);
    const goesAlone = config.lastAttemptAlone && isLastFailure(config, row.failures + 1);
    if (goesAlone && this.picks.length > 0) {
      this.isClosed = true;
      return false;
    }
    if (this.take(segment, row.index, 1, row) === 0) return false;
    if (goesAlone) this.isClosed = true;
    if (row.key !== null) {
      queue.keys.enter(row.key, row.sequence);
      this.keysBack.add(row.key);
    }
    return true;
  }

  /** What stands behind the messages that came back may go along with them. */
  private offerKeysBack(): void {
    for (const key of this.keysBack) this.queue.keys.offer(this.queue, key);
    this.keysBack.clear();
  }

  private takeLines(priority: number): void {
    while (!this.isFull()) {
      const key = this.queue.keys.takeFree(this.queue, priority);
      if (key === null) return;
      const first = this.queue.keys.first(this.queue, key);
      if (first === null) continue;
      const { segment, index } = first;
      this.scansLeft--;
      if (!this.buryExpired(segment, index)) {
        if (this.take(segment, index, 1, null) === 0) {
          this.queue.keys.offer(this.queue, key);
          return;
        }
        this.queue.keys.enter(key, segment.first + index);
        this.queue.keys.lines.leave(this.queue, segment, index);
      }
      this.queue.keys.offer(this.queue, key);
    }
  }

  private takeFresh(priority: number): void {
    this.takeFreshOf(priority);
    for (const [lane, keys] of this.aside) {
      for (const [key, runs] of keys) this.queue.keys.lines.join(this.queue, key, lane, runs);
    }
    this.aside.clear();
  }

  private takeFreshOf(priority: number): void {
    const lane = laneOf(priority, false);
    const delayedLane = laneOf(priority, true);
    while (!this.isFull()) {
      const fresh = this.freshSegment(lane);
      const due = this.queue.stores.timers.dueDelayed(delayedLane, this.nowMs, 2);
      const [first, second] = due;
      if (first && (fresh === null || first.dueMs <= fresh.segment.timeMs)) {
        this.takeDelayed(
          first.segment,
          Math.min(
            this.nowMs,
            fresh?.segment.timeMs ?? this.nowMs,
            second ? lastBefore(first, second) : this.nowMs,
          ),
        );
      } else if (fresh !== null) {
        this.takeFrom(fresh.segment, fresh.index, fresh.segment.count, (next) =>
          this.queue.ledger.moveCursor(lane, fresh.segment.first + next),
        );
      } else {
        return;
      }
    }
  }

  /** The segment under a lane's cursor and the index that is next, or null at the lane's end. */
  private freshSegment(lane: number): { segment: Segment; index: number } | null {
    const { ledger, segments, stores } = this.queue;
    const cursor = ledger.cursor(lane);
    if (cursor >= ledger.now.nextSequence) return null;
    const at = segmentId(lane, cursor);
    const below = stores.segments.atOrBelow(at, lane * LANE_SPAN);
    if (below !== null) {
      const segment = segments.get(below);
      if (segment.first + segment.count > cursor) return { segment, index: cursor - segment.first };
    }
    const above = stores.segments.atOrAbove(at, (lane + 1) * LANE_SPAN);
    if (above !== null) return { segment: segments.get(above), index: 0 };
    ledger.moveCursor(lane, ledger.now.nextSequence);
    return null;
  }

  private takeDelayed(id: number, untilMs: number): void {
    const { timers } = this.queue.stores;
    const segment = this.queue.segments.get(id);
    const row = timers.delayed(id)!;
    let end = row.nextIndex + 1;
    while (end < segment.count && segment.rankMs(end) <= untilMs) end++;
    this.takeFrom(segment, row.nextIndex, end, (next) => {
      if (next >= segment.count) timers.removeDelayed(id);
      else
        timers.putDelayed({
          ...row,
          dueMs: segment.rankMs(next),
          nextIndex: next,
          remaining: segment.unsettledFrom(next),
        });
    });
  }

  /** Takes what may go out between two indexes and tells how far it came. */
  private takeFrom(segment: Segment, from: number, end: number, advance: (next: number) => void): void {
    const mayBeDead = (segment.flags & FIELD.death) !== 0;
    const isPlain =
      segment.settledCount === 0 && !segment.mayExpire && !mayBeDead && !configOf(this.queue).fifo;
    let index = from;
    if (isPlain) {
      const taken = this.take(segment, from, end - from, null);
      this.scansLeft -= taken;
      index += taken;
    } else {
      for (; index < end && !this.isFull(); index++) {
        this.scansLeft--;
        if (segment.isSettled(index) || this.isElsewhere(segment, index)) continue;
        if (this.buryExpired(segment, index)) continue;
        const key = keyAt(this.queue, segment, index);
        if (key !== null && this.setAside(segment, index, key)) continue;
        if (this.take(segment, index, 1, null) === 0) break;
        if (key !== null) this.queue.keys.enter(key, segment.first + index);
      }
    }
    if (index > from) advance(index);
  }

  /**
   * A message that nobody took can be dead in its place: it came from another queue with its hops used up, and then
   * was too old or too many. Its row tells, and still does when it was redriven before the cursor came by.
   */
  private isElsewhere(segment: Segment, index: number): boolean {
    if ((segment.flags & FIELD.death) === 0) return false;
    return this.queue.stores.returns.get(segment.first + index) !== null;
  }

  /** Whether a fresh message must stand in its key's line; they are gathered in `aside`. */
  private setAside(segment: Segment, index: number, key: string): boolean {
    if (this.queue.ledger.now.drains > 0) {
      const before = this.queue.stores.keys.drain(key);
      if (before !== null && segment.first + index < before) {
        bury(this.queue, segment, index, {
          reason: "failed",
          nowMs: this.nowMs,
          note: "its key was drained",
        });
        return true;
      }
      if (before !== null && this.isPassed(before)) {
        this.queue.stores.keys.removeDrain(key);
        this.queue.ledger.now.drains--;
        this.queue.ledger.isDirty = true;
      }
    }
    // A key that had to wait a message ago still has to: nothing of it ends while messages are picked.
    const waits = this.aside.values().some((keys) => keys.has(key));
    if (!waits && !this.queue.keys.mustWait(this.queue, key, priorityOfLane(segment.lane))) return false;
    let keys = this.aside.get(segment.lane);
    if (keys === undefined) this.aside.set(segment.lane, (keys = new Map()));
    const sequence = segment.first + index;
    const runs = keys.get(key);
    const last = runs?.at(-1);
    if (runs === undefined) keys.set(key, [[sequence, 1]]);
    else if (last !== undefined && last[0] + last[1] === sequence) last[1]++;
    else runs.push([sequence, 1]);
    return true;
  }

  /** Whether every message before a sequence has come up, in whatever lane it lies. */
  private isPassed(sequence: number): boolean {
    const { ledger, stores } = this.queue;
    return ledger.lanes().every((lane) => {
      if (!isDelayedLane(lane)) return ledger.cursor(lane) >= sequence;
      const oldest = stores.timers.oldestDelayed(lane);
      return oldest === null || firstSequenceOf(oldest) >= sequence;
    });
  }

  private buryExpired(segment: Segment, index: number): boolean {
    if (segment.ttlMs === 0 && (segment.table.flags(index) & FIELD.ttlMs) === 0) return false;
    if (!segment.isExpired(index, this.nowMs)) return false;
    bury(this.queue, segment, index, { reason: "expired", nowMs: this.nowMs });
    return true;
  }
}
