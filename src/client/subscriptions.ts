/** All subscriptions of a client: which of the application's share one at the broker, and which frame is for whom. */
import type { SessionServerFrame } from "../protocol/session-frames.ts";
import { MillraceError } from "./errors.ts";
import { SeenCounter } from "./seen.ts";
import type { Session, SessionPart } from "./session.ts";
import { SharedSubscription } from "./shared-subscription.ts";
import type { EventHandler, SubscribeOptions } from "./subscription-options.ts";
import { Subscription, type SubscriptionSource } from "./subscription.ts";

interface Place {
  readonly exchange: string;
  readonly pattern: string;
}

/** Roughly what a frame takes beside its payload, and a run of offsets in it. */
const FRAME_HEAD_BYTES = 200;
const OFFSETS_BYTES = 20;

export class Subscriptions implements SessionPart, SubscriptionSource {
  private readonly session: Session;
  private readonly shared = new Map<string, SharedSubscription>();
  private readonly open = new Set<Subscription>();
  private readonly seen: SeenCounter;

  constructor(session: Session) {
    this.session = session;
    this.seen = new SeenCounter((frames) => {
      if (session.isOpen) session.send({ type: "seen", frames });
    });
    session.add(this);
  }

  get clock(): Session["clock"] {
    return this.session.clock;
  }
  get timeoutMs(): number {
    return this.session.timeoutMs;
  }

  /** Throws `bad_request` and `closed`. See Exchange.subscribe for what may be shared. */
  subscribe(
    place: Place,
    handler: EventHandler,
    options: SubscribeOptions,
    bufferEvents: number,
  ): Subscription {
    this.session.connect();
    const shared = this.share(place, options);
    const subscription = new Subscription(place, handler, options, this, bufferEvents);
    this.open.add(subscription);
    subscription.closed.then(
      () => this.open.delete(subscription),
      () => this.open.delete(subscription),
    );
    shared.join(subscription);
    if (shared.members.size === 1) shared.ask();
    return subscription;
  }

  private share(place: Place, options: SubscribeOptions): SharedSubscription {
    const found = this.shared.get(keyOf(place));
    if (found !== undefined && found.members.size > 0) {
      found.refuseUnlike(options);
      return found;
    }
    if (options.since !== undefined && options.last !== undefined) {
      throw new MillraceError("bad_request", "last: does not go with since");
    }
    const shared = new SharedSubscription(place, options, this.session, () => this.seen.flush());
    this.shared.set(keyOf(place), shared);
    return shared;
  }

  async leave(subscription: Subscription): Promise<void> {
    const shared = this.shared.get(keyOf(subscription));
    if (shared?.members.delete(subscription) !== true || shared.members.size > 0) return;
    this.shared.delete(keyOf(subscription));
    await shared.leave();
  }

  /** Resolves when all of them have ended; rejects with the first one's error that did not end well. */
  async drain(options: { timeoutMs?: number }): Promise<void> {
    await Promise.all([...this.open].map((subscription) => subscription.drain(options)));
  }

  // ---- the session's part

  get isAwaited(): boolean {
    return this.open.size > 0;
  }

  opened(): void {
    this.seen.opened();
    for (const [key, shared] of this.shared) {
      // One that the broker ended has no members any more.
      if (shared.members.size > 0) shared.ask();
      else this.shared.delete(key);
    }
  }

  received(frame: SessionServerFrame, payload: Uint8Array): void {
    if (frame.type === "events") {
      const seen = this.seen.arrived(payload.length + sizeOf(frame) + FRAME_HEAD_BYTES);
      const shared = this.shared.get(keyOf(frame));
      if (shared === undefined) seen();
      else shared.events(frame, payload, seen);
    } else if (frame.type === "gap") this.shared.get(keyOf(frame))?.gap(frame);
    else if (frame.type === "unsubscribed" && frame.ref === null) {
      this.shared.get(keyOf(frame))?.unsubscribed(frame.reason);
    }
  }

  lost(): void {
    for (const shared of this.shared.values()) shared.lost();
  }

  failed(error: MillraceError): void {
    const all = [...this.shared.values()];
    this.shared.clear();
    for (const shared of all) shared.end(error);
    if (error.code === "closed") for (const one of this.open) one.end(error);
  }
}

function keyOf({ exchange, pattern }: Place): string {
  // No name of an exchange has a space in it.
  return `${exchange} ${pattern}`;
}

function sizeOf({ events, offsets }: Extract<SessionServerFrame, { type: "events" }>): number {
  // JSON is for looking at the wire, so it may cost what it does.
  const textBytes = events === undefined ? 0 : JSON.stringify(events).length;
  return textBytes + (offsets?.length ?? 0) * OFFSETS_BYTES;
}
