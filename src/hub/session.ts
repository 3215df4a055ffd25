/**
 * A session as it lies in its socket's attachment, so that a sleeping hub holds nothing in memory. An attachment takes
 * 16 KiB; the limits on what a session may have keep it below.
 */
import type { SlowPolicy } from "../protocol/session-frames.ts";
import { LIMITS } from "../protocol/limits.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import { ATTACHMENT_BYTES_MAX, attachmentBytes } from "./attachment.ts";
import type { UnreadState } from "../protocol/unread.ts";
import type { SessionClaims } from "../protocol/exchange-rpc.ts";

export interface Subscription {
  readonly exchange: string;
  readonly pattern: string;
  readonly format: "json" | "binary";
  readonly onSlow: SlowPolicy;
  readonly member: string;
  /** Grants that a topic must match as well; null: the pattern is within one grant. */
  readonly scope: readonly string[] | null;
  /** The hub's at the exchange, when this began: in a later one it may have missed something. */
  readonly attachment: number;
  /** Live events begin after this place. */
  readonly epoch: string;
  readonly after: number;
}

export interface ConsumedQueue {
  readonly queue: string;
  /** The consumer's ids: one at each of the queue's partitions. */
  readonly ids: readonly number[];
  readonly name: string;
  readonly credit: number;
  readonly leaseMs: number | null;
  readonly priority: number;
  readonly isExclusive: boolean;
  readonly format: "json" | "binary";
}

export interface Watch {
  readonly exchange: string;
  readonly pattern: string;
}

export interface Session {
  /** With the tag, its inbox. Never used again on this hub, but by the same client that comes back. */
  readonly id: number;
  readonly tag: string;
  readonly claims: SessionClaims;
  readonly subscriptions: readonly Subscription[];
  readonly queues: readonly ConsumedQueue[];
  readonly watches: readonly Watch[];
  /** Until when replies to its calls may come. */
  readonly callsUntilMs: number;
  /** Event frames sent over this connection, as of the last `seen`: what a client counts goes on after a sleep. */
  readonly framesSent: number;
  /** Events were left out that it has not been told of. What they were is known in memory only. */
  readonly isSlow: boolean;
  readonly unread?: UnreadState;
}

export function newSession(id: number, tag: string, claims: SessionClaims): Session {
  return {
    id,
    tag,
    claims,
    subscriptions: [],
    queues: [],
    watches: [],
    callsUntilMs: 0,
    framesSent: 0,
    isSlow: false,
  };
}

/** Whether two states of a session hold the same; what only counts may differ. */
export function holdsTheSame(one: Session, other: Session): boolean {
  return (
    one.subscriptions === other.subscriptions && one.queues === other.queues && one.watches === other.watches
  );
}

export function subscriptionOf(session: Session, exchange: string, pattern: string): Subscription | null {
  return session.subscriptions.find((one) => one.exchange === exchange && one.pattern === pattern) ?? null;
}

/** A subscription to the same pattern is replaced. */
export function withSubscription(session: Session, subscription: Subscription): Session {
  const { exchange, pattern } = subscription;
  return { ...session, subscriptions: [...others(session.subscriptions, exchange, pattern), subscription] };
}

export function withoutSubscription(session: Session, exchange: string, pattern: string): Session {
  return { ...session, subscriptions: others(session.subscriptions, exchange, pattern) };
}

function others<T extends Watch>(list: readonly T[], exchange: string, pattern: string): T[] {
  return list.filter((one) => one.exchange !== exchange || one.pattern !== pattern);
}

export function withQueue(session: Session, queue: ConsumedQueue): Session {
  return { ...session, queues: [...session.queues.filter((one) => one.queue !== queue.queue), queue] };
}

export function withoutQueue(session: Session, queue: string): Session {
  return { ...session, queues: session.queues.filter((one) => one.queue !== queue) };
}

export function withWatch(session: Session, watch: Watch): Session {
  return { ...session, watches: [...others(session.watches, watch.exchange, watch.pattern), watch] };
}

export function withoutWatch(session: Session, exchange: string, pattern: string): Session {
  return { ...session, watches: others(session.watches, exchange, pattern) };
}

/** Whether the session has room for what it holds. */
export function refuseSize(session: Session): Refusal | null {
  const { subscriptions, watches, queues } = session;
  const count = subscriptions.length + watches.length;
  if (count > LIMITS.subscriptionsMax) {
    return refuse(
      "too_many_subscriptions",
      `session: has its ${LIMITS.subscriptionsMax} subscriptions and watches`,
    );
  }
  if (queues.length > LIMITS.consumedQueuesMax) {
    return refuse("too_many_subscriptions", `session: consumes its ${LIMITS.consumedQueuesMax} queues`);
  }
  // Two bytes a unit, whatever the text is.
  const texts = [
    ...subscriptions.flatMap((one) => [one.exchange, one.pattern, one.member, ...(one.scope ?? [])]),
    ...watches.flatMap((one) => [one.exchange, one.pattern]),
    ...queues.flatMap((one) => [one.queue, one.name]),
  ];
  const units = texts.reduce((sum, text) => sum + text.length, 0);
  if (units * 2 > LIMITS.subscriptionBytesMax) {
    return refuse(
      "too_many_subscriptions",
      `session: its patterns and names are over ${LIMITS.subscriptionBytesMax} bytes`,
    );
  }
  if (attachmentBytes(atItsWidest(session)) <= ATTACHMENT_BYTES_MAX) return null;
  return refuse(
    "too_many_subscriptions",
    `session: with its token's grants it is over the ${ATTACHMENT_BYTES_MAX} bytes that a session may have`,
  );
}

/** With the largest of all numbers that change without asking. */
function atItsWidest(session: Session): Session {
  const number = Number.MAX_SAFE_INTEGER;
  const epoch = "z".repeat(11);
  return {
    ...session,
    callsUntilMs: number,
    unread: { bytes: number, proof: `m${number}` },
    subscriptions: session.subscriptions.map((one) => ({
      ...one,
      attachment: number,
      epoch,
      after: number,
    })),
    queues: session.queues.map((one) => ({ ...one, ids: Array.from(one.ids, () => number) })),
  };
}
