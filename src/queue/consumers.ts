/**
 * Who gets the next delivery. Consumers of the highest priority that have credit, in turn; each gets a fair part
 * of what is ready, so that the first in line does not empty the queue before the second is asked.
 */
import type { ConsumerView, Delivery } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { configOf, type QueueContext } from "./context.ts";
import { endDelivery } from "./fail.ts";
import { DELIVERY_BYTES_MAX, grant } from "./grant.ts";
import { openMessages } from "./leases.ts";
import { Picker } from "./pick.ts";

export interface Consumer {
  /** The socket's number, never used again; also the order of arrival. */
  readonly id: number;
  readonly name: string;
  credit: number;
  readonly leaseMs: number | null;
  readonly priority: number;
  readonly isExclusive: boolean;
  /** One delivery, then gone. */
  readonly isOnce: boolean;
  isDraining: boolean;
}

export interface Dispatched {
  readonly consumer: Consumer;
  readonly delivery: Delivery;
}

export class Consumers {
  private readonly all = new Map<number, Consumer>();
  private lastServed = 0;

  get size(): number {
    return this.all.size;
  }

  get(id: number): Consumer | null {
    return this.all.get(id) ?? null;
  }

  attach(consumer: Consumer): Result<void> {
    const others = [...this.all.values()].filter((other) => other.id !== consumer.id);
    const exclusive = others.find((other) => other.isExclusive);
    if (exclusive) return refuse("consumer_exclusive", `consumer ${exclusive.name} has the queue for itself`);
    if (consumer.isExclusive && others.length > 0) {
      return refuse("consumer_exclusive", `exclusive: the queue has ${others.length} other consumers`);
    }
    if (others.length >= LIMITS.consumersMax) {
      return refuse("too_many_leases", `the queue has ${others.length} consumers, the most it takes`);
    }
    this.all.set(consumer.id, consumer);
    return ok(undefined);
  }

  detach(id: number): void {
    this.all.delete(id);
  }

  /** With a single active consumer only the one that came first is served. */
  isActive(queue: QueueContext, consumer: Consumer): boolean {
    if (!configOf(queue).singleActiveConsumer) return true;
    for (const other of this.all.values()) {
      if (other.id < consumer.id && !other.isDraining) return false;
    }
    return true;
  }

  views(queue: QueueContext): ConsumerView[] {
    return [...this.all.values()].map((consumer) => ({
      consumer: consumer.name,
      credit: consumer.credit,
      unsettled: queue.leases.openBy(consumer.id),
      priority: consumer.priority,
      exclusive: consumer.isExclusive,
      active: this.isActive(queue, consumer),
    }));
  }

  /** Hands out what is ready. Everything is leased when this returns; the shell sends it once that is stored. */
  dispatch(queue: QueueContext, nowMs: number): Dispatched[] {
    const sent: Dispatched[] = [];
    if (queue.stored.paused) return sent;
    for (;;) {
      const hungry = this.hungry(queue);
      const consumer = hungry.find(({ id }) => id > this.lastServed) ?? hungry[0];
      if (!consumer) return sent;
      const want = Math.min(
        consumer.credit - queue.leases.openBy(consumer.id),
        this.fairShare(queue, hungry.length),
      );
      const picks = new Picker(queue, want, DELIVERY_BYTES_MAX, nowMs).run();
      if (picks.length === 0) return sent;
      this.lastServed = consumer.id;
      const leaseMs = consumer.leaseMs ?? configOf(queue).leaseMs;
      const holder = {
        consumer: consumer.name,
        consumerId: consumer.isOnce ? 0 : consumer.id,
        attemptId: null,
        leaseMs,
      };
      sent.push({ consumer, delivery: grant(queue, picks, holder, nowMs) });
      if (consumer.isOnce) this.detach(consumer.id);
    }
  }

  /** Consumers of the highest priority that may take more, in order of arrival. */
  private hungry(queue: QueueContext): Consumer[] {
    if (queue.leases.openCount >= LIMITS.leasedMax) return [];
    const able = [...this.all.values()].filter(
      (one) => !one.isDraining && queue.leases.openBy(one.id) < one.credit && this.isActive(queue, one),
    );
    const highest = Math.max(...able.map((one) => one.priority));
    return able.filter((one) => one.priority === highest).sort((a, b) => a.id - b.id);
  }

  private fairShare(queue: QueueContext, consumers: number): number {
    const { messages, dead, parked, waiting } = queue.ledger.now;
    const ready = messages - dead - parked - waiting - queue.leases.openCount;
    return Math.max(1, Math.ceil(ready / consumers));
  }
}

/** How a consumer went: `lost` charges the oldest message it held with a failure. */
export type Departure = "released" | "lost" | "restarted";

/** Gives back what a consumer's socket held. */
export function releaseConsumer(
  queue: QueueContext,
  consumerId: number,
  how: Departure,
  nowMs: number,
): void {
  const clockMs = queue.ledger.tickClock(nowMs);
  let isOldest = how === "lost";
  for (const lease of [...queue.leases.active.values()]) {
    if (lease.consumerId !== consumerId) continue;
    for (const message of [...openMessages(lease)]) {
      const outcome = how === "released" ? "nack" : "consumer_lost";
      endDelivery(queue, message, {
        outcome,
        nowMs: clockMs,
        isFailure: isOldest,
        ...(isOldest ? {} : { delayMs: 0 }),
      });
      isOldest = false;
    }
  }
}
