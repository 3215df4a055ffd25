/**
 * Which deliveries are open, and when their leases must be renewed. A lease is renewed when half of it is over, as a
 * whole, as long as any of its messages is unsettled.
 */
import type { SequenceRun } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { Clock } from "./clock.ts";
import type { MillraceError } from "./errors.ts";
import type { Message } from "./message.ts";

interface Held {
  readonly messages: readonly Message[];
  readonly leaseMs: number;
  openCount: number;
  renewAtMs: number;
}

export class LeaseKeeper {
  private readonly clock: Clock;
  /** Null: leases are not renewed, only kept in mind. */
  private readonly renew: ((lease: number) => void) | null;
  private readonly held = new Map<number, Held>();
  private lastLeaseMs: number | null = null;
  private cancelTimer: (() => void) | null = null;

  constructor(clock: Clock, renew: ((lease: number) => void) | null) {
    this.clock = clock;
    this.renew = renew;
  }

  get isEmpty(): boolean {
    return this.held.size === 0;
  }

  /**
   * @param leaseMs the lease's length; null when only `untilMs` is known, which is by the broker's clock. Then it is
   *   taken from an earlier delivery, and before there is one, from the difference to our own clock.
   */
  add(lease: number, untilMs: number, leaseMs: number | null, messages: readonly Message[]): void {
    const nowMs = this.clock.now();
    const length = Math.max(LIMITS.leaseMsMin, leaseMs ?? this.lastLeaseMs ?? untilMs - nowMs);
    if (leaseMs !== null) this.lastLeaseMs = length;
    this.held.set(lease, {
      messages,
      leaseMs: length,
      openCount: messages.length,
      renewAtMs: nowMs + length / 2,
    });
    this.arm();
  }

  settled(message: Message): void {
    const held = this.held.get(message.lease);
    if (held !== undefined && --held.openCount === 0) this.held.delete(message.lease);
  }

  /** These are not ours any more. */
  lost(lease: number, [first, count]: SequenceRun, error: MillraceError): void {
    const held = this.held.get(lease);
    for (const message of held?.messages ?? []) {
      if (message.sequence < first || message.sequence >= first + count || !message.isOpen) continue;
      message.lose(error);
      this.settled(message);
    }
  }

  /** Tells everyone who still works on a message, and forgets all leases. */
  abandonAll(error: MillraceError): void {
    for (const { messages } of this.held.values()) {
      for (const message of messages) if (message.isOpen) message.abandon(error);
    }
    this.held.clear();
    this.cancelTimer?.();
    this.cancelTimer = null;
  }

  /** One timer for all. It is not moved when a lease ends early; it then finds nothing to do. */
  private arm(): void {
    if (this.renew === null || this.cancelTimer !== null || this.held.size === 0) return;
    let earliestMs = Infinity;
    for (const { renewAtMs } of this.held.values()) earliestMs = Math.min(earliestMs, renewAtMs);
    this.cancelTimer = this.clock.after(Math.max(0, earliestMs - this.clock.now()), () => {
      this.cancelTimer = null;
      const nowMs = this.clock.now();
      for (const [lease, held] of this.held) {
        if (held.renewAtMs > nowMs) continue;
        held.renewAtMs = nowMs + held.leaseMs / 2;
        this.renew?.(lease);
      }
      this.arm();
    });
  }
}
