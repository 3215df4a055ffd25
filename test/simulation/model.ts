/**
 * What a queue should do, written as plainly as can be: every message is an object in a map, every question is a
 * walk over all of them. It predicts every answer but one: which of the messages that may go out do go out.
 */
import type { DeathReason, QueueCounts, QueueTotals } from "../../src/protocol/commands.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import { moveTarget } from "../../src/protocol/move-target.ts";
import type { QueueConfig } from "../../src/protocol/queue-config.ts";
import type { Facts } from "./facts.ts";

export type ModelState = "fresh" | "ready" | "waiting" | "leased" | "parked" | "dead";

export interface ModelMessage {
  readonly id: string;
  readonly sequence: number;
  readonly facts: Facts;
  /** The ordering key where it counts, and while the message holds its key back. */
  readonly key: string | null;
  /** When it was first due. */
  readonly rankMs: number;
  readonly expiresMs: number | null;
  readonly acceptedMs: number;
  state: ModelState;
  availableMs: number;
  attempts: number;
  failures: number;
  /** Why it was parked, and will have died when its key is freed without it. */
  parkedFor: DeathReason;
  /** It is to die when it comes up: its key was drained. */
  isDrained: boolean;
}

export type Outcome = "open" | "ack" | "nack" | "reject" | "lost" | "dead";

/** A message under a lease, and what it was when it went out. */
export interface ModelEntry {
  readonly message: ModelMessage;
  readonly attempt: number;
  readonly failures: number;
  untilMs: number;
  outcome: Outcome;
}

export interface ModelLease {
  readonly id: number;
  readonly consumer: string;
  consumerId: number;
  readonly attemptId: string | null;
  readonly untilMs: number;
  /** The time of some of its messages was changed on its own. */
  isSplit: boolean;
  readonly messages: ModelEntry[];
}

export interface Ending {
  readonly outcome: "nack" | "reject" | "lost";
  readonly isFailure: boolean;
  readonly delayMs?: number | undefined;
  readonly isFinal?: boolean;
}

/** How a message ended, for the checker that sees all queues. */
export type Fate = "acked" | "cancelled" | "purged" | "dropped" | "moved";

export interface Departure {
  readonly id: string;
  readonly target: string;
  readonly reason: DeathReason;
}

/** Told of every message that comes into a queue or ends in it. */
export interface Watcher {
  arrived(id: string, queue: string): void;
  ended(id: string, queue: string, fate: Fate): void;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class ModelQueue {
  readonly name: string;
  readonly origin: number;
  config: QueueConfig;
  paused = false;
  clockMs = 0;
  nextSequence = 1;
  readonly messages = new Map<number, ModelMessage>();
  readonly leases = new Map<number, ModelLease>();
  readonly cancelKeys = new Map<string, number>();
  readonly totals: Mutable<QueueTotals> = {
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
  };
  /** Predicted moves that were not seen in the outbox yet. */
  readonly departures: Departure[] = [];
  /** Messages in the outbox: moves that are not known to have arrived. */
  readonly outbox: { readonly number: number; readonly target: string; readonly ids: readonly string[] }[] =
    [];
  private readonly random: () => number;
  private readonly watcher: Watcher;

  constructor(options: {
    name: string;
    origin: number;
    config: QueueConfig;
    random: () => number;
    watcher: Watcher;
  }) {
    this.name = options.name;
    this.origin = options.origin;
    this.config = options.config;
    this.random = options.random;
    this.watcher = options.watcher;
  }

  all(): ModelMessage[] {
    return [...this.messages.values()];
  }

  byId(id: string): ModelMessage | null {
    return this.all().find((message) => message.id === id) ?? null;
  }

  add(message: ModelMessage): void {
    this.messages.set(message.sequence, message);
    this.watcher.arrived(message.id, this.name);
  }

  isDue(message: ModelMessage): boolean {
    return message.rankMs <= this.clockMs;
  }

  isExpired(message: ModelMessage): boolean {
    return message.expiresMs !== null && message.expiresMs <= this.clockMs;
  }

  /** A message with no time at all may be delivered in the moment in which it was accepted. */
  isTooOld(message: ModelMessage): boolean {
    return (
      this.isExpired(message) &&
      !(message.expiresMs === message.acceptedMs && message.acceptedMs === this.clockMs)
    );
  }

  /** Open messages of a lease. */
  open(lease: ModelLease): ModelEntry[] {
    return lease.messages.filter(({ outcome }) => outcome === "open");
  }

  openOf(consumerId: number): number {
    let count = 0;
    for (const lease of this.leases.values())
      if (lease.consumerId === consumerId) count += this.open(lease).length;
    return count;
  }

  /** What must have happened by now: leases that ran out, back-offs that ended, age. */
  tick(nowMs: number): void {
    this.clockMs = Math.max(this.clockMs, nowMs);
    for (const lease of this.leases.values()) this.endOverdue(lease);
    for (const message of this.all()) {
      if (message.state === "waiting" && message.availableMs <= this.clockMs) message.state = "ready";
    }
    for (const message of this.all()) {
      const isOut = message.state === "leased" || message.state === "dead";
      // Of a drained message it is seen whether it died of age or with its key: both may be due at once.
      if (!isOut && !message.isDrained && this.isExpired(message)) this.bury(message, "expired");
    }
  }

  /** Something has run out, or has waited its time, by now. */
  get isOverdue(): boolean {
    const isOut = (lease: ModelLease): boolean =>
      this.open(lease).some(({ untilMs }) => untilMs <= this.clockMs);
    return (
      [...this.leases.values()].some(isOut) ||
      this.all().some(({ state, availableMs }) => state === "waiting" && availableMs <= this.clockMs)
    );
  }

  endOverdue(lease: ModelLease): void {
    for (const entry of this.open(lease))
      if (entry.untilMs <= this.clockMs) this.end(entry, { outcome: "lost", isFailure: true });
  }

  ack(entry: ModelEntry): void {
    entry.outcome = "ack";
    this.totals.acked++;
    this.remove(entry.message, "acked");
  }

  /** A delivery that was not acked. */
  end(entry: ModelEntry, ending: Ending): void {
    const { message } = entry;
    entry.outcome = ending.isFinal ? "dead" : ending.outcome;
    if (ending.isFailure) {
      this.totals.failed++;
      message.failures++;
    }
    if (this.isExpired(message) && !ending.isFinal) return this.bury(message, "expired");
    if (ending.isFinal || message.failures > (this.config.maxFailures ?? Number.POSITIVE_INFINITY)) {
      return this.giveUp(message, ending.isFinal ? "rejected" : "failed");
    }
    const policyMs =
      ending.outcome === "nack"
        ? this.config.nackDelayMs
        : ending.isFailure
          ? this.retryMs(message.attempts)
          : 0;
    const delayMs = ending.delayMs ?? policyMs;
    message.state = delayMs > 0 ? "waiting" : "ready";
    message.availableMs = delayMs > 0 ? this.clockMs + delayMs : 0;
  }

  private retryMs(attempts: number): number {
    const { kind, baseMs, maxMs, jitter } = this.config.retry;
    const growth = { fixed: 1, linear: attempts, exponential: 2 ** (attempts - 1) }[kind];
    return Math.round(Math.min(baseMs * growth, maxMs) * (1 - jitter * this.random()));
  }

  private giveUp(message: ModelMessage, reason: DeathReason): void {
    const { onKeyFailure } = this.config;
    if (message.key !== null && onKeyFailure === "park") {
      message.state = "parked";
      message.parkedFor = reason;
      return;
    }
    this.bury(message, reason);
    if (message.key !== null && onKeyFailure === "drain") this.drain(message.key);
  }

  /** The rest of a key, as published so far, is to die. */
  drain(key: string): void {
    for (const message of this.all())
      if (message.key === key && message.state === "fresh") message.isDrained = true;
  }

  bury(message: ModelMessage, reason: DeathReason): void {
    if (reason === "expired") this.totals.expired++;
    const target = this.config.deadLetter;
    const hops = (message.facts.death?.hops ?? 0) + 1;
    if (reason === "expired" && this.config.onExpiry === "drop") {
      this.totals.dropped++;
      this.remove(message, "dropped");
    } else if (target !== null && hops <= LIMITS.hopsMax) {
      this.departures.push({ id: message.id, target: moveTarget(target), reason });
      this.totals.deadLettered++;
      this.remove(message, "moved");
    } else if (target === null && (reason === "expired" || reason === "overflow")) {
      this.totals.dropped++;
      this.remove(message, "dropped");
    } else {
      message.state = "dead";
      message.isDrained = false;
    }
  }

  remove(message: ModelMessage, fate: Fate): void {
    this.messages.delete(message.sequence);
    const { cancelKey } = message.facts;
    if (cancelKey !== null && this.cancelKeys.get(cancelKey) === message.sequence)
      this.cancelKeys.delete(cancelKey);
    this.watcher.ended(message.id, this.name, fate);
  }

  /** A consumer is gone. */
  release(consumerId: number, how: "released" | "lost" | "restarted"): void {
    let isCharged = how === "lost";
    for (const lease of [...this.leases.values()].filter((one) => one.consumerId === consumerId)) {
      for (const entry of this.open(lease)) {
        this.end(entry, {
          outcome: "lost",
          isFailure: isCharged,
          delayMs: isCharged ? undefined : 0,
        });
        isCharged = false;
      }
    }
  }

  cancel(message: ModelMessage): void {
    this.totals.cancelled++;
    this.remove(message, "cancelled");
  }

  /** What is taken from a consumer is to it as if it had acked. */
  purge(upToSequence: number, withLeased: boolean): number {
    const gone = this.all().filter(
      (one) => (withLeased || one.state !== "leased") && one.sequence <= upToSequence,
    );
    const entries = [...this.leases.values()].flatMap((lease) => this.open(lease));
    for (const entry of entries) if (gone.includes(entry.message)) entry.outcome = "ack";
    for (const message of gone) this.remove(message, "purged");
    this.totals.purged += gone.length;
    return gone.length;
  }

  /** A message that was dead here is tried again. */
  bringBack(message: ModelMessage): void {
    message.state = "ready";
    message.failures = 0;
  }

  counts(): QueueCounts {
    const counts = { ready: 0, leased: 0, delayed: 0, parked: 0, dead: 0, deadLettering: 0, bytes: 0 };
    for (const message of this.all()) {
      counts.bytes += message.facts.bytes;
      if (message.state === "waiting") counts.delayed++;
      else if (message.state !== "fresh") counts[message.state]++;
      else if (this.isDue(message)) counts.ready++;
      else counts.delayed++;
    }
    for (const { ids } of this.outbox) counts.deadLettering += ids.length;
    return counts;
  }

  /**
   * The earliest time at which something is due that no event would bring about. A delayed message that becomes due
   * needs the alarm only where a consumer waits for it: whoever comes later looks for himself.
   */
  nextDueMs(isAwaited: boolean): number | null {
    const times: number[] = [];
    for (const lease of this.leases.values()) for (const { untilMs } of this.open(lease)) times.push(untilMs);
    for (const message of this.all()) {
      if (message.state === "waiting") times.push(message.availableMs);
      if (isAwaited && message.state === "fresh" && !this.isDue(message)) times.push(message.rankMs);
      if (message.expiresMs !== null && message.state !== "leased" && message.state !== "dead")
        times.push(message.expiresMs);
    }
    return times.length === 0 ? null : Math.min(...times);
  }
}
