/**
 * A subscription as the broker has it: one for each exchange and pattern of a session, whoever shares it here. It knows
 * which event came last, so it can go on after it when it was interrupted.
 *
 *   idle ──open session──► asking ──subscribed──► live ──gap: slow──► stalled
 *    ▲                       ▲  │ refused, may pass  │                   │ all was read
 *    └── connection lost ────┼──┴── after a wait     ├─ interrupted ─┐   │
 *                            └───────────────────────┴───────────────┴───┘
 *
 * Only in `live` do events count. Those that come in another state are from before the interruption was mended, and come
 * again: the subscription is asked for with the last position in `since`. So no event is told twice or out of order, and
 * each interruption ends with one verdict, recovered or gap.
 */
import type { SessionServerFrame, SubscribeFrame } from "../protocol/session-frames.ts";
import { Backoff } from "./backoff.ts";
import { MillraceError } from "./errors.ts";
import { eventsOfFrame, formatPosition, parsePosition, type EventsFrame, type Position } from "./event.ts";
import { endsSession, type Session } from "./session.ts";
import type { Subscription } from "./subscription.ts";
import { isAfter, type FeedItem, type Recovered, type SubscribeOptions } from "./subscription-options.ts";

type Frame<T extends SessionServerFrame["type"]> = Extract<SessionServerFrame, { type: T }>;

const RETRY_BACKOFF = { baseMs: 200, maxMs: 10_000, attemptsMax: Infinity };

export class SharedSubscription {
  readonly exchange: string;
  readonly pattern: string;
  readonly members = new Set<Subscription>();
  private readonly options: SubscribeOptions;
  private readonly session: Session;
  private readonly flushSeen: () => void;
  private readonly backoff: Backoff;
  private state: "idle" | "asking" | "live" | "stalled" = "idle";
  /** What was seen last. Null: nothing yet, so it begins with what was asked at first. */
  private cursor: Position | null;
  /** Whether all that was asked of the past has come, once. */
  private hasBegun = false;
  private isPastDue = false;
  /** Every missed event follows, so the last ones of topics are among them. */
  private recoversAll = false;
  private cause: Recovered["cause"] | null;
  private leftOut = 0;
  /** The cursor at the last recovery from slowness: a second one from the same place would lead nowhere. */
  private stalledAt: Position | null = null;
  private unreadFrames = 0;
  private forget: () => void = () => undefined;
  private cancelRetry: () => void = () => undefined;

  constructor(
    place: { readonly exchange: string; readonly pattern: string },
    options: SubscribeOptions,
    session: Session,
    flushSeen: () => void,
  ) {
    this.exchange = place.exchange;
    this.pattern = place.pattern;
    this.options = options;
    this.session = session;
    this.flushSeen = flushSeen;
    this.cursor = options.since === undefined ? null : parsePosition(options.since);
    this.cause = options.since === undefined ? null : "since";
    this.backoff = new Backoff(RETRY_BACKOFF, () => session.clock.random());
  }

  join(subscription: Subscription): void {
    this.members.add(subscription);
    if (this.state === "live" && !this.isPastDue) this.admit(subscription);
  }

  /**
   * The broker knows one subscription of a session by exchange and pattern, and a second would replace the first, with
   * events between them lost or sent twice. So only one that begins now, and asks for nothing else, may share it.
   */
  refuseUnlike(options: SubscribeOptions): void {
    if (asksForPast(options)) {
      throw new MillraceError(
        "bad_request",
        `${this.exchange} ${this.pattern}: is subscribed to by this client already; only the first may ask for the past`,
      );
    }
    for (const field of ["onSlow", "member", "format", "recoverSlow"] as const) {
      if (options[field] === undefined || options[field] === this.options[field]) continue;
      throw new MillraceError(
        "bad_request",
        `${field}: differs from that of this client's other subscription to ${this.exchange} ${this.pattern}`,
      );
    }
  }

  /** Lets in one that asked for nothing of the past. */
  private admit(subscription: Subscription): void {
    subscription.start(this.cursor!);
    subscription.become("live");
  }

  /** For the first time, or after an interruption: from where it stands. */
  ask(): void {
    if (!this.session.isOpen) return;
    const { onSlow, member, format = "binary", last, lastValues } = this.options;
    const first = last === undefined ? {} : { last };
    const from: Pick<SubscribeFrame, "since" | "last"> =
      this.cursor === null ? first : { since: formatPosition(this.cursor) };
    this.drop();
    this.state = "asking";
    this.forget = this.session.ask({
      frame: (ref) => ({
        type: "subscribe",
        ref,
        exchange: this.exchange,
        pattern: this.pattern,
        format,
        ...from,
        ...(lastValues === undefined ? {} : { lastValues }),
        ...(onSlow === undefined ? {} : { onSlow }),
        ...(member === undefined ? {} : { member }),
      }),
      timeoutMs: this.session.timeoutMs,
      whenLost: "reject",
      done: (result) => {
        if (result instanceof MillraceError) this.refused(result);
        else if (result.frame.type === "subscribed") this.subscribed(result.frame);
      },
    });
  }

  private subscribed(frame: Frame<"subscribed">): void {
    const position = { epoch: frame.epoch, offset: frame.offset };
    this.backoff.reset();
    this.state = "live";
    this.judge(frame);
    this.recoversAll = frame.recovery === "complete" && this.hasBegun;
    this.isPastDue = this.cursor !== null || asksForPast(this.options);
    // Of another numbering nothing was seen yet.
    if (this.cursor !== null && this.cursor.epoch !== frame.epoch) this.cursor = { ...position, offset: 0 };
    for (const one of this.members) {
      if (one.state !== "subscribing" || asksForPast(one.options)) one.become("live");
    }
    if (this.isPastDue) this.awaitPast(position);
    else this.arriveAt(position);
  }

  /** The verdict on what was missed. */
  private judge(frame: Frame<"subscribed">): void {
    const after = this.cursor === null ? null : formatPosition(this.cursor);
    const { cause, leftOut } = this;
    this.cause = null;
    this.leftOut = 0;
    if (frame.recovery === "gap") {
      // That the exchange keeps nothing is no news to a subscriber that was slow: that it was slow is.
      const isSlow = cause === "slow" && frame.reason === "no_history";
      const reason = isSlow ? "slow" : (frame.reason ?? "expired");
      this.tell({ gap: { reason, after, ...(leftOut === 0 ? {} : { events: leftOut }) } });
    } else if (cause !== null && after !== null) this.tell({ recovered: { after, cause } });
  }

  /** What was asked of the past is sent at once, behind the answer: the answer to a ping comes behind all of it. */
  private awaitPast(position: Position): void {
    this.forget = this.session.ask({
      frame: (ref) => ({ type: "ping", ref }),
      timeoutMs: this.session.timeoutMs,
      whenLost: "reject",
      done: (result) => {
        if (!(result instanceof MillraceError) && this.state === "live") this.arriveAt(position);
      },
    });
  }

  private arriveAt(position: Position): void {
    // Events of a later numbering may have overtaken the answer.
    const isOfCursor = this.cursor === null || this.cursor.epoch === position.epoch;
    if (isOfCursor && isAfter(position, this.cursor)) this.cursor = position;
    this.hasBegun = true;
    this.isPastDue = false;
    for (const one of this.members) if (one.state === "subscribing") this.admit(one);
  }

  private refused(error: MillraceError): void {
    if (this.state !== "asking") return;
    this.state = "idle";
    if (error.code === "timeout") this.session.restart(error);
    // It is asked for again over the next connection.
    else if (error.code === "disconnected" || endsSession(error)) return;
    else if (error.retry) this.askLater();
    else this.end(error);
  }

  private askLater(): void {
    this.cancelRetry();
    this.cancelRetry = this.session.clock.after(this.backoff.next() ?? 0, () => this.ask());
  }

  // ---- what the broker sends

  events(frame: EventsFrame, payload: Uint8Array, seen: () => void): void {
    const fresh =
      this.state === "live" ? eventsOfFrame(frame, payload).filter((event) => this.isNews(frame, event)) : [];
    const last = fresh.at(-1);
    if (last !== undefined && frame.from !== "snapshot") {
      this.cursor = { epoch: last.epoch, offset: last.offset };
    }
    // One that asked for nothing of the past waits until that is over.
    const readers = [...this.members].filter(({ state }) => state !== "subscribing");
    if (fresh.length === 0 || readers.length === 0) {
      seen();
      return;
    }
    let openReaders = readers.length;
    this.unreadFrames++;
    for (const reader of readers) {
      reader.add(fresh, () => {
        if (--openReaders > 0) return;
        this.unreadFrames--;
        seen();
        this.resumeIfRead();
      });
    }
  }

  /** A topic's last event is news unless it was seen, or comes again among the missed ones, since all of them come. */
  private isNews(frame: EventsFrame, event: Position): boolean {
    if (frame.from === "snapshot" && !this.hasBegun) return true;
    return isAfter(event, this.cursor) && !(frame.from === "snapshot" && this.recoversAll);
  }

  gap(frame: Frame<"gap">): void {
    if (this.state === "stalled") this.leftOut += frame.events;
    if (this.state !== "live") return;
    const { recoverSlow = this.options.onSlow !== "conflate" } = this.options;
    if (recoverSlow && frame.reason === "slow" && this.cursor !== null && this.cursor !== this.stalledAt) {
      this.leftOut = frame.events;
      this.cause = "slow";
      this.stalledAt = this.cursor;
      this.state = "stalled";
      this.become("interrupted");
      this.resumeIfRead();
      return;
    }
    const after = this.cursor === null ? null : formatPosition(this.cursor);
    this.tell({ gap: { reason: frame.reason, after, events: frame.events } });
    // With conflation the last event of each topic still comes, and lies before the place that the gap names.
    if (this.options.onSlow === "conflate") return;
    if (isAfter(frame, this.cursor)) this.cursor = { epoch: frame.epoch, offset: frame.offset };
  }

  /** What a slow subscriber missed is asked for when it has read the rest: before, it would only be slow again. */
  private resumeIfRead(): void {
    if (this.state !== "stalled" || this.unreadFrames > 0) return;
    this.flushSeen();
    this.ask();
  }

  unsubscribed(reason: Frame<"unsubscribed">["reason"]): void {
    if (reason === "exchange_deleted") {
      // It may be there again: the answer to what is asked tells.
      if (this.state === "asking") return;
      this.end(new MillraceError("exchange_not_found", "the exchange was deleted"));
    } else if (reason === "grant_ended") {
      this.end(new MillraceError("forbidden", "the token's grant has ended"));
    } else if (reason === "interrupted" && this.state !== "asking") {
      this.interrupt("broker");
      this.ask();
    }
  }

  // ---- the connection

  lost(): void {
    this.interrupt("connection");
  }

  private interrupt(cause: Recovered["cause"]): void {
    this.drop();
    this.state = "idle";
    // Until the past that was asked for is here, nothing was promised that could be missing.
    if (this.cursor !== null) this.cause ??= cause;
    this.become("interrupted");
  }

  private drop(): void {
    this.forget();
    this.cancelRetry();
  }

  /** The last one that shared it is gone. */
  async leave(): Promise<void> {
    this.drop();
    const { exchange, pattern, session } = this;
    if (this.state === "idle" || !session.isOpen) return;
    this.state = "idle";
    // With its connection the subscription is gone, too: asked for over the next one, this would end one made meanwhile.
    await new Promise<void>((resolve) => {
      session.ask({
        frame: (ref) => ({ type: "unsubscribe", ref, exchange, pattern }),
        timeoutMs: session.timeoutMs,
        whenLost: "reject",
        done: () => resolve(),
      });
    });
  }

  end(error: MillraceError): void {
    this.drop();
    this.state = "idle";
    for (const one of this.members) one.endWhenRead(error);
    this.members.clear();
  }

  private tell(item: FeedItem): void {
    for (const one of this.members)
      if (one.state !== "subscribing" || asksForPast(one.options)) one.tell(item);
  }

  private become(state: "live" | "interrupted"): void {
    for (const one of this.members) if (one.state !== "subscribing") one.become(state);
  }
}

export function asksForPast(options: SubscribeOptions): boolean {
  const { since, last, lastValues } = options;
  return since !== undefined || last !== undefined || lastValues === true;
}
