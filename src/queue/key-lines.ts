/**
 * FIFO by key. A key is busy while a message of it is with a consumer, or failed and waits, or is parked. Messages
 * of a busy key that the cursor passes are put into the key's line (lines.ts), so that one slow key holds up no other and
 * nothing is read twice. When the key is free again, its line goes first.
 */
import { configOf, keyAt, type QueueContext } from "./context.ts";
import { priorityOfLane } from "./lane.ts";
import { Lines, type Placed } from "./lines.ts";
import type { ReturnRow } from "./stores.ts";

/** Keys looked at, in one go, to find the free ones after a wake. */
const RESCAN_KEYS = 256;

export class KeyLines {
  /** Keys with messages out, and the sequences of these. */
  private readonly inFlight = new Map<string, Set<number>>();
  /** The same of the delivery that is put together now. */
  private readonly together = new Map<string, Set<number>>();
  /** Keys of it of which all that came back is in it. */
  private readonly caughtUp = new Set<string>();
  /** Free keys that have a line, by the priority of its first message. Bounded by the keys that were in flight. */
  private readonly free = new Map<number, Set<string>>();
  readonly lines = new Lines((key, sequence) => this.inFlight.get(key)?.has(sequence) === true);
  /** Where the search for free keys goes on: a key, null for the start, undefined when it is over. */
  private rescan: string | null | undefined;

  restore(queue: QueueContext): void {
    for (const { run, index } of queue.leases.openIn()) {
      const segment = queue.segments.get(run.segment);
      const key = keyAt(queue, segment, index);
      if (key !== null) addTo(this.inFlight, key, segment.first + index);
    }
    this.searchAgain(queue);
  }

  /** Which keys are free is not known: after a wake, or when the configuration may have freed some. */
  searchAgain(queue: QueueContext): void {
    this.rescan = queue.ledger.now.blocked > 0 ? null : undefined;
  }

  /** Keys with a message out, and keys in the lists of the free. */
  get sizes(): { inFlight: number; free: number } {
    return {
      inFlight: this.inFlight.size,
      free: [...this.free.values()].reduce((sum, keys) => sum + keys.size, 0),
    };
  }

  /** What was entered since the last delivery went out together; what is entered from now on is of the next. */
  endDelivery(): void {
    this.together.clear();
    this.caughtUp.clear();
  }

  enter(key: string, sequence: number): void {
    addTo(this.inFlight, key, sequence);
    addTo(this.together, key, sequence);
  }

  leave(queue: QueueContext, key: string, sequence: number): void {
    const out = this.inFlight.get(key);
    out?.delete(sequence);
    if (out?.size === 0) this.inFlight.delete(key);
    this.offer(queue, key);
  }

  /** The key may have become free: puts its line, if it has one, where the next delivery looks. */
  offer(queue: QueueContext, key: string): void {
    if (queue.ledger.now.blocked === 0 || this.isBusy(queue, key)) return;
    const priority = this.linePriority(queue, key);
    if (priority === null) return;
    const keys = this.free.get(priority);
    if (keys) keys.add(key);
    else this.free.set(priority, new Set([key]));
  }

  /** No fresh message of the key may be taken now. */
  isFull(queue: QueueContext, key: string): boolean {
    return this.isShut(queue, key, Number.POSITIVE_INFINITY);
  }

  /** Whether a message of the key may not go out for those that are out already. */
  private isShut(queue: QueueContext, key: string, sequence: number): boolean {
    const { maxPerKey, oneDeliveryPerKey } = configOf(queue);
    const out = this.inFlight.get(key);
    if (out === undefined) return false;
    if (out.size >= maxPerKey) return true;
    if (!oneDeliveryPerKey) return false;
    const own = this.together.get(key);
    for (const other of out) if (other < sequence && !own?.has(other)) return true;
    return false;
  }

  /** No message of the key may be taken now. */
  isBusy(queue: QueueContext, key: string): boolean {
    return this.isFull(queue, key) || this.isHeldBack(queue, key);
  }

  /** What came back and has been taken into the delivery that is put together holds up nothing behind it. */
  private isHeldBack(queue: QueueContext, key: string): boolean {
    const { waiting, ready, parked } = queue.ledger.now;
    if (waiting + ready + parked === 0 || this.caughtUp.has(key)) return false;
    if (!queue.stores.returns.hasKey(key)) return false;
    if (!this.together.has(key) || this.firstReturned(queue, key) !== undefined) return true;
    // Nothing comes back while messages are picked, so this need not be looked up again.
    this.caughtUp.add(key);
    return false;
  }

  /** The first of a key that came back and has not been taken; undefined: there is none. */
  private firstReturned(queue: QueueContext, key: string): number | undefined {
    const own = this.together.get(key);
    const line = queue.stores.returns.sequencesOfKey(key, (own?.size ?? 0) + 1);
    return line.find((sequence) => !own?.has(sequence));
  }

  /** A fresh message of the key must stand in line, unless its priority puts it before the whole line. */
  mustWait(queue: QueueContext, key: string, priority: number): boolean {
    if (this.isBusy(queue, key)) return true;
    if (queue.ledger.now.blocked === 0) return false;
    const line = this.linePriority(queue, key);
    return line !== null && line >= priority;
  }

  /** Whether a message that came back may go out: nothing of its key that came back stands before it. */
  mayReturn(queue: QueueContext, row: ReturnRow): boolean {
    if (row.key === null) return true;
    if (this.isShut(queue, row.key, row.sequence)) return false;
    if (queue.ledger.now.parked > 0 && queue.stores.returns.parkedOf(row.key).length > 0) return false;
    const { maxPerKey, oneDeliveryPerKey } = configOf(queue);
    // With several deliveries out at a time, only the order of first deliveries is kept.
    if (maxPerKey > 1 && !oneDeliveryPerKey) return true;
    return this.firstReturned(queue, row.key) === row.sequence;
  }

  /** The next free key of a priority, or null. It must be offered again if its line goes on. */
  takeFree(queue: QueueContext, priority: number): string | null {
    this.searchOn(queue);
    const keys = this.free.get(priority);
    if (!keys) return null;
    for (const key of keys) {
      keys.delete(key);
      if (this.isBusy(queue, key)) continue;
      if (this.linePriority(queue, key) === priority) return key;
      // The message for whose priority it was listed is gone.
      this.offer(queue, key);
    }
    return null;
  }

  /** Who is first in a key's line: the highest priority, then whoever was due first. */
  first(queue: QueueContext, key: string): Placed | null {
    return this.lines.first(queue, key);
  }

  private linePriority(queue: QueueContext, key: string): number | null {
    const first = this.lines.first(queue, key);
    return first && priorityOfLane(first.segment.lane);
  }

  private searchOn(queue: QueueContext): void {
    if (this.rescan === undefined) return;
    for (let i = 0; i < RESCAN_KEYS; i++) {
      const key = queue.stores.keys.nextLineKey(this.rescan);
      if (key === null) {
        this.rescan = undefined;
        return;
      }
      this.rescan = key;
      this.offer(queue, key);
    }
    queue.hasMoreWork = true;
  }
}

function addTo(keys: Map<string, Set<number>>, key: string, sequence: number): void {
  const known = keys.get(key);
  if (known) known.add(sequence);
  else keys.set(key, new Set([sequence]));
}
