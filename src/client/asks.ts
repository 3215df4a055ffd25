/**
 * Requests over a session, each found again by its `ref`. A ref is never used twice by a client, not even over a new
 * connection: the reply to a call comes over whichever connection there is by then.
 */
import type { SessionClientFrame, SessionServerFrame } from "../protocol/session-frames.ts";
import type { Clock } from "./clock.ts";
import { MillraceError } from "./errors.ts";

export interface Answer {
  readonly frame: SessionServerFrame;
  readonly payload: Uint8Array;
}

/**
 * What becomes of a request that was sent when the connection broke:
 *
 *   repeat   it does no harm to carry it out twice: sent again over the next connection
 *   wait     its answer still comes, to the session's inbox, unless that is another one by then
 *   reject   `disconnected`, and its outcome is unknown
 *
 * One that was not sent yet is sent over the next connection.
 */
export type WhenLost = "repeat" | "wait" | "reject";

export interface AskOptions {
  /** The frame, with how much time is left for its answer. */
  readonly frame: (ref: number, leftMs: number) => SessionClientFrame;
  readonly payload?: Uint8Array;
  readonly timeoutMs: number;
  readonly whenLost: WhenLost;
  /** Called once. */
  readonly done: (result: Answer | MillraceError) => void;
}

interface Ask extends AskOptions {
  readonly ref: number;
  readonly deadlineMs: number;
  readonly cancelTimer: () => void;
  /** Over which connection it was sent last; 0: not yet. */
  sentOver: number;
}

export interface Wire {
  readonly isOpen: boolean;
  send(frame: SessionClientFrame, payload?: Uint8Array): void;
}

export class Asks {
  private readonly clock: Clock;
  private readonly wire: Wire;
  private readonly open = new Map<number, Ask>();
  private nextRef = 1;
  /** Counts connections. */
  private connection = 0;
  private idleWaiters: (() => void)[] = [];

  constructor(clock: Clock, wire: Wire) {
    this.clock = clock;
    this.wire = wire;
  }

  /** Sends it at once or over the next connection. The function it returns forgets it. */
  ask(options: AskOptions): () => void {
    const ref = this.nextRef++;
    const cancelTimer = this.clock.after(options.timeoutMs, () => this.expire(ref));
    const ask: Ask = {
      ...options,
      ref,
      cancelTimer,
      deadlineMs: this.clock.now() + options.timeoutMs,
      sentOver: 0,
    };
    this.open.set(ref, ask);
    if (this.wire.isOpen) this.send(ask);
    return () => this.take(ref);
  }

  private send(ask: Ask): void {
    ask.sentOver = this.connection;
    this.wire.send(ask.frame(ask.ref, Math.max(1, ask.deadlineMs - this.clock.now())), ask.payload);
  }

  /** A new connection: sends what must be sent, in the order in which it was asked. */
  opened(isSameInbox: boolean): void {
    for (const ask of this.open.values()) {
      if (ask.sentOver === this.connection) continue;
      if (ask.sentOver === 0 || ask.whenLost === "repeat") this.send(ask);
      else if (ask.whenLost === "wait" && !isSameInbox) {
        this.answer(ask.ref, lostError("the session's inbox was lost, and the reply with it"));
      }
    }
  }

  /** Before anything is sent over a new connection. */
  connected(): void {
    this.connection++;
  }

  lost(error: MillraceError): void {
    for (const ask of this.open.values()) {
      if (ask.sentOver > 0 && ask.whenLost === "reject") {
        this.answer(ask.ref, lostError("the connection broke before the answer", error));
      }
    }
  }

  /** False when nobody waits for it any more. */
  answer(ref: number, result: Answer | MillraceError): boolean {
    const ask = this.take(ref);
    ask?.done(result);
    return ask !== undefined;
  }

  /** The broker failed before it carried the request out, or rights ran out: whether it is asked again. */
  isRepeated(ref: number): boolean {
    return this.open.get(ref)?.whenLost === "repeat";
  }

  rejectAll(error: MillraceError): void {
    for (const ref of this.open.keys()) this.answer(ref, error);
  }

  get isAwaited(): boolean {
    return this.open.size > 0;
  }

  /** Resolves when every request is answered. */
  whenIdle(): Promise<void> {
    return this.open.size === 0
      ? Promise.resolve()
      : new Promise((resolve) => this.idleWaiters.push(resolve));
  }

  private take(ref: number): Ask | undefined {
    const ask = this.open.get(ref);
    if (ask === undefined) return undefined;
    this.open.delete(ref);
    ask.cancelTimer();
    if (this.open.size === 0) {
      const waiters = this.idleWaiters;
      this.idleWaiters = [];
      // After the answer is heard, which may ask for more.
      queueMicrotask(() => waiters.forEach((resolve) => resolve()));
    }
    return ask;
  }

  private expire(ref: number): void {
    const ask = this.open.get(ref);
    if (ask === undefined) return;
    const isSent = ask.sentOver > 0;
    this.answer(
      ref,
      new MillraceError("timeout", isSent ? "no answer in time" : "not sent in time: no connection", {
        facts: { outcome: isSent ? "unknown" : "not_sent" },
      }),
    );
  }
}

function lostError(detail: string, cause?: MillraceError): MillraceError {
  const facts = { outcome: "unknown" };
  return new MillraceError("disconnected", detail, cause === undefined ? { facts } : { facts, cause });
}
