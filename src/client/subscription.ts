/** One subscription of the application: what waits for its handler, and how much of it was read. */
import { MillraceError, asError } from "./errors.ts";
import { formatPosition, type ExchangeEvent, type Position } from "./event.ts";
import { Fifo } from "./fifo.ts";
import { isPromiseLike } from "./handler.ts";
import { DRAIN_OPTIONS, unknownOption } from "./known-options.ts";
import type { EventHandler, FeedItem, SubscribeOptions, SubscriptionState } from "./subscription-options.ts";
import type { Clock } from "./clock.ts";

/** What a subscription needs of the one that it shares with others at the broker. */
export interface SubscriptionSource {
  readonly clock: Clock;
  readonly timeoutMs: number;
  leave(subscription: Subscription): Promise<void>;
}

/** Events that came in one frame: once the last of them is read, the frame is. */
interface Unread {
  readonly endsAt: number;
  readonly release: () => void;
}

export class Subscription {
  readonly exchange: string;
  readonly pattern: string;
  /** Resolves when the broker has taken it for the first time: what is published from then on arrives. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended as asked, and rejects with what else ended it, such as `forbidden` or `exchange_not_found`. */
  readonly closed: Promise<void>;
  /** @internal */
  readonly options: SubscribeOptions;
  private readonly handler: EventHandler;
  private readonly source: SubscriptionSource;
  private readonly bufferEvents: number;
  private readonly items = new Fifo<FeedItem>();
  private readonly unread = new Fifo<Unread>();
  private addedEvents = 0;
  private handledEvents = 0;
  private isRunning = false;
  private current: SubscriptionState = "subscribing";
  private last: Position | null = null;
  /** Set: it ends when what is here was handled, as asked (null) or with an error. */
  private ending: { readonly error: MillraceError | null } | null = null;
  private isDraining = false;
  private cancelDrainTimer: () => void = () => undefined;
  private readonly becameReady = Promise.withResolvers<void>();
  private readonly ended = Promise.withResolvers<void>();

  /** @internal Made by `exchange.subscribe`. */
  constructor(
    place: { readonly exchange: string; readonly pattern: string },
    handler: EventHandler,
    options: SubscribeOptions,
    source: SubscriptionSource,
    bufferEvents: number,
  ) {
    this.exchange = place.exchange;
    this.pattern = place.pattern;
    this.handler = handler;
    this.options = options;
    this.source = source;
    this.bufferEvents = bufferEvents;
    this.ready = this.becameReady.promise;
    this.closed = this.ended.promise;
    // Whoever does not look at them is told by `onError`.
    this.ready.catch(() => undefined);
    this.closed.catch(() => undefined);
  }

  get state(): SubscriptionState {
    return this.current;
  }

  /** For a later `since`: of the last event that was handled, or where events began. Null before there is either. */
  get position(): string | null {
    return this.last === null ? null : formatPosition(this.last);
  }

  /** Ends at once: events that wait are let go. Resolves when the broker knows. */
  async unsubscribe(): Promise<void> {
    const left = this.leave();
    this.end(null);
    await left;
  }

  /**
   * No new events; waits until those that are here are handled, and ends. After `timeoutMs` (default: the client's)
   * it ends with `timeout`, and the rest is let go.
   */
  drain(options: { timeoutMs?: number } = {}): Promise<void> {
    const unknown = unknownOption(options, DRAIN_OPTIONS);
    if (unknown !== null) return Promise.reject(unknown);
    if (this.current === "closed" || this.isDraining) return this.closed;
    this.isDraining = true;
    this.cancelDrainTimer = this.source.clock.after(options.timeoutMs ?? this.source.timeoutMs, () =>
      this.end(new MillraceError("timeout", "the handler did not end in time")),
    );
    void this.leave().then(() => this.endWhenRead(null));
    return this.closed;
  }

  private leave(): Promise<void> {
    return this.current === "closed" ? Promise.resolve() : this.source.leave(this).catch(() => undefined);
  }

  // ---- from the broker

  /** @internal Asks for nothing of the past: events begin after this position. */
  start(position: Position): void {
    this.last ??= position;
  }

  /** @internal `release` is called when all of them were read. */
  add(events: readonly ExchangeEvent[], release: () => void): void {
    for (const event of events) this.items.push({ event });
    this.addedEvents += events.length;
    this.unread.push({ endsAt: this.addedEvents, release });
    this.releaseRead();
    this.run();
  }

  /** @internal */
  tell(item: FeedItem): void {
    this.items.push(item);
    this.run();
  }

  /** @internal */
  become(state: SubscriptionState): void {
    if (this.current === state || this.current === "closed") return;
    this.current = state;
    if (state === "live") this.becameReady.resolve();
    this.options.onState?.(state);
  }

  /** @internal */
  endWhenRead(error: MillraceError | null): void {
    this.ending ??= { error };
    this.run();
  }

  /** @internal */
  end(error: MillraceError | null): void {
    if (this.current === "closed") return;
    this.become("closed");
    this.cancelDrainTimer();
    this.items.takeAll();
    this.handledEvents = this.addedEvents;
    this.releaseRead();
    const reason = error ?? new MillraceError("closed", "the subscription has ended");
    this.becameReady.reject(reason);
    if (error === null) this.ended.resolve();
    else {
      this.options.onError?.(error);
      this.ended.reject(error);
    }
  }

  // ---- to the application

  private run(): void {
    if (this.isRunning) return;
    for (let item = this.items.shift(); item !== undefined; item = this.items.shift()) {
      if ("event" in item) {
        const handling = this.handle(item.event);
        if (handling !== null) {
          this.isRunning = true;
          void handling.then(() => {
            this.isRunning = false;
            this.run();
          });
          return;
        }
      } else this.notify(item);
    }
    if (this.ending !== null) this.end(this.ending.error);
  }

  /** Null when the handler is done already. */
  private handle(event: ExchangeEvent): Promise<void> | null {
    try {
      const result = this.handler(event);
      if (isPromiseLike(result)) {
        return Promise.resolve(result).then(
          () => this.finish(event),
          (error: unknown) => this.finish(event, asError(error)),
        );
      }
      this.finish(event);
    } catch (error) {
      this.finish(event, asError(error));
    }
    return null;
  }

  private finish(event: ExchangeEvent, error?: Error): void {
    if (error !== undefined) this.options.onError?.(error, event);
    // The last events of topics come in no order of time with what follows them.
    if (event.from !== "snapshot") this.last = event;
    if (this.current === "closed") return;
    this.handledEvents++;
    this.releaseRead();
  }

  private notify(item: Exclude<FeedItem, { event: ExchangeEvent }>): void {
    if ("gap" in item) this.options.onGap?.(item.gap);
    else this.options.onRecovered?.(item.recovered);
  }

  private releaseRead(): void {
    for (let next = this.unread.peek(); next !== undefined; next = this.unread.peek()) {
      if (next.endsAt - this.handledEvents > this.bufferEvents) return;
      this.unread.shift();
      next.release();
    }
  }
}
