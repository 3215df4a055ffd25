/**
 * FIFO by key. A key is busy while a message of it is with a consumer, or failed and waits, or is parked. Messages
 * of a busy key that the cursor passes are put into the key's line (one bitmap row for each key and segment), so
 * that one slow key holds up no other and nothing is read twice. When the key is free again, its line goes first.
 */
import { configOf, keyAt, type QueueContext } from "./context.ts";
import { laneOfSegment, priorityOfLane } from "./lane.ts";

/** Keys looked at, in one go, to find the free ones after a wake. */
const RESCAN_KEYS = 256;

export class KeyLines {
  private readonly inFlight = new Map<string, number>();
  /** Free keys that have a line, by the priority of its first message. Bounded by the keys that were in flight. */
  private readonly free = new Map<number, Set<string>>();
  /** Where the search for free keys goes on: a key, null for the start, undefined when it is over. */
  private rescan: string | null | undefined;

  restore(queue: QueueContext): void {
    for (const { run, index } of queue.leases.openIn()) {
      const key = keyAt(queue, queue.segments.get(run.segment), index);
      if (key !== null) this.enter(key);
    }
    this.rescan = queue.ledger.now.blocked > 0 ? null : undefined;
  }

  /** Keys with a message out, and keys in the lists of the free. */
  get sizes(): { inFlight: number; free: number } {
    return {
      inFlight: this.inFlight.size,
      free: [...this.free.values()].reduce((sum, keys) => sum + keys.size, 0),
    };
  }

  enter(key: string): void {
    this.inFlight.set(key, (this.inFlight.get(key) ?? 0) + 1);
  }

  leave(queue: QueueContext, key: string): void {
    const count = this.inFlight.get(key) ?? 0;
    if (count > 1) this.inFlight.set(key, count - 1);
    else this.inFlight.delete(key);
    this.offer(queue, key);
  }

  /** The key may have become free: puts its line, if it has one, where the next delivery looks. */
  offer(queue: QueueContext, key: string): void {
    if (queue.ledger.now.blocked === 0 || this.isBusy(queue, key)) return;
    const first = queue.stores.keys.firstBlocked(key);
    if (first === null) return;
    const priority = priorityOfLane(laneOfSegment(first.segment));
    const keys = this.free.get(priority);
    if (keys) keys.add(key);
    else this.free.set(priority, new Set([key]));
  }

  isFull(queue: QueueContext, key: string): boolean {
    return (this.inFlight.get(key) ?? 0) >= configOf(queue).maxPerKey;
  }

  /** No message of the key may be taken now. */
  isBusy(queue: QueueContext, key: string): boolean {
    return this.isFull(queue, key) || this.isHeldBack(queue, key);
  }

  private isHeldBack(queue: QueueContext, key: string): boolean {
    const { waiting, ready, parked } = queue.ledger.now;
    return waiting + ready + parked > 0 && queue.stores.returns.hasKey(key);
  }

  /** A fresh message of the key must stand in line. */
  mustWait(queue: QueueContext, key: string): boolean {
    if (this.isBusy(queue, key)) return true;
    return queue.ledger.now.blocked > 0 && queue.stores.keys.firstBlocked(key) !== null;
  }

  /** The next free key of a priority, or null. It must be offered again if its line goes on. */
  takeFree(queue: QueueContext, priority: number): string | null {
    this.searchOn(queue);
    const keys = this.free.get(priority);
    if (!keys) return null;
    for (const key of keys) {
      keys.delete(key);
      if (!this.isBusy(queue, key)) return key;
    }
    return null;
  }

  freePriorities(queue: QueueContext): number[] {
    this.searchOn(queue);
    return [...this.free].filter(([, keys]) => keys.size > 0).map(([priority]) => priority);
  }

  private searchOn(queue: QueueContext): void {
    if (this.rescan === undefined) return;
    for (let i = 0; i < RESCAN_KEYS; i++) {
      const key = queue.stores.keys.nextBlockedKey(this.rescan);
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
