/**
 * Who gets the next delivery. Consumers of the highest priority that have credit, in turn; each gets a fair part
 * of what is ready, so that the first in line does not empty the queue before the second is asked.
 */
import type { ConsumerView, Delivery, Settlement } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { roomOf, type Unread } from "../protocol/unread.ts";
import { configOf, type QueueContext } from "./context.ts";
import { DELIVERY_BYTES_MAX, grant } from "./grant.ts";
import { mayDeliver } from "./partition.ts";
import { Picker } from "./pick.ts";

export interface Consumer {
  /** Never used again in this queue; also the order of arrival. */
  readonly id: number;
  /** Whose token it has. */
  readonly subject: string;
  readonly name: string;
  credit: number;
  readonly leaseMs: number | null;
  readonly priority: number;
  readonly isExclusive: boolean;
  /** One delivery, then gone. */
  readonly isOnce: boolean;
  /** With isOnce: see ReceiveCommand.attemptId. */
  readonly attemptId: string | null;
  isDraining: boolean;
  /** Whether its token still holds is being asked: it gets nothing until that is known. */
  isUnjudged?: boolean;
  /** Bytes that it may be sent before it must have read some; at least one message while there are any. Absent: no bound. */
  roomBytes?: number;
  /** Where its socket is elsewhere: what is counted here, by what it settles. */
  readonly unread?: Unread;
}

export interface Dispatched {
  readonly consumer: Consumer;
  readonly delivery: Delivery;
}

export class Consumers {
  private readonly all = new Map<number, Consumer>();
  private lastServed = 0;
  /** The last dispatch kept something from one that is not judged yet. */
  passedOver = false;

  get size(): number {
    return this.all.size;
  }

  /** Whether anyone takes what comes, now or when there is credit again. */
  get hasTaker(): boolean {
    for (const { isDraining } of this.all.values()) if (!isDraining) return true;
    return false;
  }

  get(id: number): Consumer | null {
    return this.all.get(id) ?? null;
  }

  /** `ofOneMax`: how many consumers of its subject there may be, this one among them. */
  attach(consumer: Consumer, ofOneMax: number = LIMITS.consumersOfOneMax): Result<void> {
    const others = [...this.all.values()].filter((other) => other.id !== consumer.id);
    const exclusive = others.find((other) => other.isExclusive);
    if (exclusive) return refuse("consumer_exclusive", `consumer ${exclusive.name} has the queue for itself`);
    if (consumer.isExclusive && others.length > 0) {
      return refuse("consumer_exclusive", `exclusive: the queue has ${others.length} other consumers`);
    }
    if (others.length >= LIMITS.consumersMax) {
      return refuse("too_many_consumers", `the queue has ${others.length} consumers, the most it takes`);
    }
    const isNew = !this.all.has(consumer.id);
    if (isNew && others.filter(({ subject }) => subject === consumer.subject).length >= ofOneMax) {
      return refuse(
        "too_many_consumers",
        `the subject has ${ofOneMax} consumers here, the most it may have`,
        {
          consumersMax: ofOneMax,
        },
      );
    }
    this.all.set(consumer.id, consumer);
    return ok(undefined);
  }

  /** Who knows a lease has read its delivery, whatever becomes of it. */
  noteRead({ leases }: QueueContext, settlements: readonly Settlement[]): void {
    for (const { lease } of settlements) {
      const holder = leases.find(lease)?.consumerId ?? 0;
      this.all.get(holder)?.unread?.settled(lease);
    }
  }

  detach(id: number): void {
    this.all.delete(id);
  }

  /** With a single active consumer only the one that came first is served. */
  isActive(queue: QueueContext, consumer: Consumer): boolean {
    return !configOf(queue).singleActiveConsumer || consumer.id === this.firstInLine();
  }

  /** Who, if anyone, keeps the queue's messages from a receive by this consumer. */
  keptBy(
    queue: QueueContext,
    receiver: string,
  ): { readonly name: string; readonly isExclusive: boolean } | null {
    for (const consumer of this.all.values()) {
      if (consumer.isExclusive || configOf(queue).singleActiveConsumer) return consumer;
    }
    if (!configOf(queue).singleActiveConsumer) return null;
    // Receivers have no socket: the one whose messages are out is the active one.
    for (const { consumer } of queue.leases.active.values()) {
      if (consumer !== receiver) return { name: consumer, isExclusive: false };
    }
    return null;
  }

  private firstInLine(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { id, isDraining } of this.all.values()) if (!isDraining && id < first) first = id;
    return first;
  }

  views(queue: QueueContext): ConsumerView[] {
    // After an eviction they come back in another order.
    const all = [...this.all.values()].sort((a, b) => a.id - b.id);
    return all.map((consumer) => ({
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
    this.passedOver = false;
    if (!mayDeliver(queue)) return sent;
    for (const group of this.hungryByPriority(queue)) {
      let line = group;
      while (line.length > 0) {
        const share = fairShare(queue, line.length);
        for (const consumer of line) {
          const delivery = this.serve(queue, consumer, share, nowMs);
          // Nothing more may go out: a later consumer would get nothing either.
          if (delivery === null) return sent;
          sent.push({ consumer, delivery });
        }
        line = line.filter((consumer) => isHungry(queue, consumer) && this.all.has(consumer.id));
      }
    }
    return sent;
  }

  private serve(queue: QueueContext, consumer: Consumer, share: number, nowMs: number): Delivery | null {
    const room = Math.min(
      consumer.credit - queue.leases.openBy(consumer.id),
      LIMITS.leasedMax - queue.leases.openCount,
    );
    const bytesMax = Math.min(DELIVERY_BYTES_MAX, roomFor(consumer));
    const picks = new Picker(queue, Math.min(room, share), bytesMax, nowMs).run();
    if (picks.length === 0) return null;
    this.lastServed = consumer.id;
    const wantedMs = consumer.leaseMs ?? configOf(queue).leaseMs;
    // One that stays would be given the message again and again.
    const leaseMs = consumer.isOnce ? wantedMs : Math.max(wantedMs, LIMITS.leaseMsMin);
    const consumerId = consumer.isOnce ? 0 : consumer.id;
    if (consumer.isOnce) this.detach(consumer.id);
    const { name, subject, attemptId } = consumer;
    const holder = { consumer: name, subject, consumerId, attemptId, leaseMs };
    const delivery = grant(queue, picks, holder, nowMs);
    const { byteLength } = delivery.payload;
    if (consumer.roomBytes !== undefined) consumer.roomBytes -= byteLength;
    consumer.unread?.delivered(byteLength, delivery.lease);
    return delivery;
  }

  /** Consumers that may take more: the highest priority first, and within one those after the last one served. */
  private hungryByPriority(queue: QueueContext): Consumer[][] {
    const first = configOf(queue).singleActiveConsumer ? this.firstInLine() : null;
    const groups = new Map<number, Consumer[]>();
    for (const consumer of this.all.values()) {
      if (!isHungry(queue, consumer) || (first !== null && consumer.id !== first)) continue;
      if (consumer.isUnjudged === true) {
        this.passedOver ||= readyCount(queue) > 0;
        continue;
      }
      const group = groups.get(consumer.priority);
      if (group) group.push(consumer);
      else groups.set(consumer.priority, [consumer]);
    }
    const isNext = ({ id }: Consumer): number => (id > this.lastServed ? 0 : 1);
    return [...groups]
      .sort(([a], [b]) => b - a)
      .map(([, group]) => group.sort((a, b) => isNext(a) - isNext(b) || a.id - b.id));
  }
}

function roomFor({ unread, roomBytes = Infinity }: Consumer): number {
  return unread === undefined ? roomBytes : roomOf(unread, 0);
}

function isHungry(queue: QueueContext, consumer: Consumer): boolean {
  return !consumer.isDraining && roomFor(consumer) > 0 && queue.leases.openBy(consumer.id) < consumer.credit;
}

function fairShare(queue: QueueContext, consumers: number): number {
  return Math.max(1, Math.ceil(readyCount(queue) / consumers));
}

function readyCount({ ledger, leases }: QueueContext): number {
  const { messages, dead, parked, waiting } = ledger.now;
  return messages - dead - parked - waiting - leases.openCount;
}
