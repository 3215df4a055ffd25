/** Who subscribes, kept up to date. */
import type { PresenceAnswer, PresenceMember } from "../protocol/exchange-commands.ts";
import type { SessionServerFrame } from "../protocol/session-frames.ts";
import { MillraceError } from "./errors.ts";
import { endsSession, type Session, type SessionPart } from "./session.ts";

export interface PresenceChange {
  /** Everyone there is now; a member with several patterns comes once for each. At most 1,000. */
  readonly members: readonly PresenceMember[];
  /** What is another since the last time: who came, went (`count` 0), or has another count. */
  readonly changes: readonly PresenceMember[];
}

export type PresenceHandler = (change: PresenceChange) => void;

/**
 * A change names one hub, and the list does not tell hubs apart: so a change is a reason to ask for the list again, not
 * more than once in this time however many changes come.
 */
const ASK_EVERY_MS = 1_000;

interface Waiter {
  readonly resolve: (result: IteratorResult<PresenceChange>) => void;
  readonly reject: (error: Error) => void;
}

export class PresenceWatch implements AsyncIterableIterator<PresenceChange> {
  /** Resolves when it has ended as asked, and rejects with what else ended it. */
  readonly closed: Promise<void>;
  private readonly session: Session;
  private readonly place: { readonly exchange: string; readonly pattern: string };
  private readonly handler: PresenceHandler | null;
  private readonly left: (watch: PresenceWatch) => void;
  private current = new Map<string, PresenceMember>();
  /** What the iterator has told; null before the first time. */
  private told: Map<string, PresenceMember> | null = null;
  private hasList = false;
  private readonly waiting: Waiter[] = [];
  private isAsking = false;
  private isStale = false;
  private cancelTimer: (() => void) | null = null;
  private forget: () => void = () => undefined;
  private ending: { readonly error: MillraceError | null } | null = null;
  private readonly ended = Promise.withResolvers<void>();

  /** @internal Made by `exchange.watchPresence`. */
  constructor(
    session: Session,
    place: { readonly exchange: string; readonly pattern: string },
    handler: PresenceHandler | null,
    left: (watch: PresenceWatch) => void,
  ) {
    this.session = session;
    this.place = place;
    this.handler = handler;
    this.left = left;
    this.closed = this.ended.promise;
    this.closed.catch(() => undefined);
    this.ask();
  }

  /** As the broker told last. */
  get members(): readonly PresenceMember[] {
    return [...this.current.values()];
  }

  /** @internal */
  isAt(exchange: string, pattern: string): boolean {
    return this.place.exchange === exchange && this.place.pattern === pattern;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<PresenceChange>> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.serve();
    });
  }

  async return(): Promise<IteratorResult<PresenceChange>> {
    await this.stop();
    return { done: true, value: undefined };
  }

  /** Resolves at once; the broker is told when it can be. */
  stop(): Promise<void> {
    this.end(null);
    return this.closed;
  }

  /** @internal */
  end(error: MillraceError | null): void {
    if (this.ending !== null) return;
    this.ending = { error };
    this.forget();
    this.cancelTimer?.();
    this.left(this);
    if (error === null) this.ended.resolve();
    else this.ended.reject(error);
    this.serve();
  }

  /** @internal Something changed, or the connection is another: what is known may be old. */
  changed(): void {
    if (this.isAsking || this.cancelTimer !== null) this.isStale = true;
    else this.ask();
  }

  /** @internal */
  reopened(): void {
    this.forget();
    this.ask();
  }

  private ask(): void {
    this.isAsking = true;
    this.isStale = false;
    this.cancelTimer?.();
    this.cancelTimer = null;
    this.forget = this.session.ask({
      frame: (ref) => ({ type: "presence", ref, ...this.place, watch: true }),
      timeoutMs: this.session.timeoutMs,
      whenLost: "reject",
      done: (result) => {
        this.isAsking = false;
        if (result instanceof MillraceError) this.refused(result);
        else if (result.frame.type === "presence") {
          this.wait();
          this.learn(result.frame);
        }
      },
    });
  }

  private refused(error: MillraceError): void {
    if (error.code === "disconnected" || endsSession(error)) return;
    if (!error.retry) return this.end(error);
    this.isStale = true;
    this.wait();
  }

  private wait(): void {
    this.cancelTimer = this.session.clock.after(ASK_EVERY_MS, () => {
      this.cancelTimer = null;
      if (this.isStale) this.ask();
    });
  }

  private learn(answer: PresenceAnswer): void {
    const before = this.hasList ? this.current : null;
    this.current = new Map(answer.list.map((one) => [`${one.member} ${one.pattern}`, one]));
    this.hasList = true;
    const changes = changesOf(before, this.current);
    if (before !== null && changes.length === 0) return;
    this.handler?.({ members: this.members, changes });
    this.serve();
  }

  private serve(): void {
    for (;;) {
      if (this.waiting.length === 0) return;
      if (this.ending !== null) {
        const waiter = this.waiting.shift()!;
        if (this.ending.error === null) waiter.resolve({ done: true, value: undefined });
        else waiter.reject(this.ending.error);
        continue;
      }
      const changes = changesOf(this.told, this.current);
      if (!this.hasList || (this.told !== null && changes.length === 0)) return;
      this.told = this.current;
      this.waiting.shift()!.resolve({ done: false, value: { members: this.members, changes } });
    }
  }
}

function changesOf(
  before: ReadonlyMap<string, PresenceMember> | null,
  now: ReadonlyMap<string, PresenceMember>,
): PresenceMember[] {
  const changes: PresenceMember[] = [];
  for (const [key, member] of now) if (before?.get(key)?.count !== member.count) changes.push(member);
  for (const [key, member] of before ?? []) if (!now.has(key)) changes.push({ ...member, count: 0 });
  return changes;
}

/** All watches of a client. Those of the same exchange and pattern share one at the broker. */
export class Presences implements SessionPart {
  private readonly session: Session;
  private readonly watches = new Set<PresenceWatch>();

  constructor(session: Session) {
    this.session = session;
    session.add(this);
  }

  async ask(exchange: string, pattern: string): Promise<PresenceAnswer> {
    const { frame } = await this.session.request((ref) => ({ type: "presence", ref, exchange, pattern }));
    const { subscriptions, members, list } = frame as Extract<SessionServerFrame, { type: "presence" }>;
    return { exchange, subscriptions, members, list };
  }

  watch(exchange: string, pattern: string, handler: PresenceHandler | null): PresenceWatch {
    this.session.connect();
    const watch = new PresenceWatch(this.session, { exchange, pattern }, handler, (left) => {
      this.watches.delete(left);
      if (this.at({ exchange, pattern }).length > 0 || !this.session.isOpen) return;
      // Not over the next connection, where it would end one made meanwhile.
      this.session.ask({
        frame: (ref) => ({ type: "unwatch", ref, exchange, pattern }),
        timeoutMs: this.session.timeoutMs,
        whenLost: "reject",
        done: () => undefined,
      });
    });
    this.watches.add(watch);
    return watch;
  }

  /** All of them, as asked. */
  end(): void {
    for (const watch of this.watches) watch.end(null);
  }

  get isAwaited(): boolean {
    return this.watches.size > 0;
  }

  opened(): void {
    for (const watch of this.watches) watch.reopened();
  }

  received(frame: SessionServerFrame): void {
    if (frame.type === "presence_changed") {
      for (const watch of this.at(frame)) watch.changed();
    } else if (frame.type === "unwatched" && frame.ref === null) {
      const error =
        frame.reason === "grant_ended"
          ? new MillraceError("forbidden", "the token's grant has ended")
          : new MillraceError("exchange_not_found", "the exchange was deleted");
      for (const watch of this.at(frame)) watch.end(error);
    }
  }

  private at({ exchange, pattern }: { exchange: string; pattern: string }): PresenceWatch[] {
    return [...this.watches].filter((watch) => watch.isAt(exchange, pattern));
  }

  failed(error: MillraceError): void {
    for (const watch of this.watches) watch.end(error);
  }
}
