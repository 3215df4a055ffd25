/**
 * A WebSocket to the broker that comes back by itself: a queue's, or a session's. It knows nothing of messages: it
 * connects, proves that the other side lives, and tells its owner what arrived and what was lost.
 *
 *   idle ──connect──► connecting ──hello──► open
 *                      │   ▲                 │
 *                      ▼   └── backoff ◄─────┤  lost: closed, silent, or restarted by the owner
 *                    failed (idle again)     ▼
 *                                          closed  by `close()`, for good
 *
 * The backoff ends early when a sibling has reached the broker, and is short while someone waits for an answer.
 */
import { BEARER_PREFIX, decodeFrame, SUBPROTOCOL, type ServerFrame } from "../protocol/frames.ts";
import { RESUME_PREFIX } from "../protocol/inbox.ts";
import type { SessionServerFrame } from "../protocol/session-frames.ts";
import { Backoff, type BackoffOptions } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import { errorOfRefusal, MillraceError } from "./errors.ts";
import type { Reach, Reacher } from "./reach.ts";

/** What is used of a WebSocket: the part that browsers, Node, Deno and Workers have alike. */
export interface WebSocketLike {
  binaryType: string;
  /** Missing on some platforms; then it counts as 0. */
  readonly bufferedAmount?: number;
  send(data: string | Uint8Array): void;
  close(code?: number, reason?: string): void;
  addEventListener(
    type: "open" | "message" | "close" | "error",
    listener: (event: SocketEvent) => void,
  ): void;
}
export interface SocketEvent {
  readonly data?: unknown;
  readonly code?: number;
  readonly reason?: string;
}
export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

export type ConnectionState = "connecting" | "open" | "waiting" | "closed";

export interface SocketOptions {
  readonly url: string;
  /** Asked anew for each connection: what a session that comes back is opened again with. */
  readonly resume: () => string | null;
  readonly WebSocket: WebSocketConstructor;
  /** Asked anew for each connection, so that a token that ran out is replaced. */
  readonly token: () => Promise<string | undefined>;
  /** After a refused handshake, whose reason a WebSocket never tells: why, if trying again is of no use; else null. */
  readonly explain: () => Promise<MillraceError | null>;
  readonly clock: Clock;
  /** From the start of a connection to the broker's `hello`. */
  readonly connectTimeoutMs: number;
  /** A `ping` this often; a connection that stays silent until the next one is lost. */
  readonly heartbeatMs: number;
  readonly reconnect: BackoffOptions;
  /** Shared by all sockets of the client. */
  readonly reach: Reach;
}

/** What arrives: at a queue's socket, or at a session's. */
export type Frame = ServerFrame | SessionServerFrame;

export interface SocketOwner<F extends Frame = ServerFrame> {
  /** A new connection. Nothing that was sent over an earlier one is answered any more. */
  opened(hello: Extract<F, { type: "hello" }>): void;
  received(frame: F, payload: Uint8Array): void;
  /** An open connection is gone; another is being made. */
  lost(error: MillraceError): void;
  /** Given up. The socket is idle, and `connect` may be called again. */
  failed(error: MillraceError): void;
  stateChanged(state: ConnectionState, error?: MillraceError, retryInMs?: number): void;
  /** Whether the application waits for what only a connection can bring. */
  readonly isAwaited: boolean;
}

/** What a WebSocket says when its connection broke and no close frame came. */
const CLOSED_ABNORMALLY = 1006;
const NO_PAYLOAD = new Uint8Array(0);
const STABLE_MS = 10_000;
/** The longest wait for the next try while someone waits. */
export const AWAITED_MS_MAX = 5_000;
/** From then on a handshake counts as hanging, when another has just succeeded. */
const HANGING_MS = 2_000;
/** For the answer to a ping that is sent because the way is in doubt. */
const PROBE_MS = 5_000;

export class BrokerSocket<F extends Frame = ServerFrame> implements Reacher {
  private readonly options: SocketOptions;
  private readonly owner: SocketOwner<F>;
  private readonly backoff: Backoff;
  private state: "idle" | ConnectionState = "idle";
  private socket: WebSocketLike | null = null;
  /** Counts connections: an event of an older one finds another number here and is ignored. */
  private generation = 0;
  private cancelTimer: () => void = () => undefined;
  private isPongDue = false;
  private triedMs = 0;
  private openedMs = 0;
  /** The wait that runs was drawn while nobody waited. */
  private isLeisurely = false;
  /** A sibling ended the last wait. It does so once, or two that are always turned away would call each other for ever. */
  private wasCalled = false;

  constructor(options: SocketOptions, owner: SocketOwner<F>) {
    this.options = options;
    this.owner = owner;
    this.backoff = new Backoff(options.reconnect, () => options.clock.random());
  }

  get isOpen(): boolean {
    return this.state === "open";
  }
  /** Bytes handed to the platform and not yet sent. */
  get bufferedBytes(): number {
    return this.socket?.bufferedAmount ?? 0;
  }

  /** Starts connecting, unless that is under way, done, or the socket was closed. Cuts a wait that began while nobody waited. */
  connect(): void {
    if (this.state === "idle") {
      this.options.reach.add(this);
      this.open();
    } else if (this.state === "waiting" && this.isLeisurely) {
      this.cancelTimer();
      this.isLeisurely = false;
      this.wait(Math.floor(this.options.clock.random() * AWAITED_MS_MAX));
    }
  }

  // ---- what siblings know

  retry(isNew: boolean): void {
    if (isNew) this.backoff.reset();
    // A handshake that began in an outage may hang long after it.
    const isHanging = this.state === "connecting" && this.options.clock.now() - this.triedMs >= HANGING_MS;
    if ((this.state !== "waiting" && !isHanging) || (this.wasCalled && !isNew)) return;
    this.wasCalled = true;
    this.release(undefined, "trying anew");
    this.open();
  }

  probe(): void {
    if (this.state !== "open" || this.isPongDue) return;
    this.cancelTimer();
    this.ping(Math.min(PROBE_MS, this.options.heartbeatMs));
  }

  /** The owner asks `isOpen` first; on a connection that is just breaking, the frame is lost with it. */
  send(frame: string | Uint8Array): void {
    try {
      this.socket?.send(frame);
    } catch (error) {
      this.restart(new MillraceError("disconnected", "the socket took no more frames", { cause: error }));
    }
  }

  /** Drops the connection, for `error`, and makes another after the backoff. */
  restart(error: MillraceError): void {
    if (this.state === "open" || this.state === "connecting") this.drop(error);
  }

  /** Ends it for good, without a word to the owner. */
  close(): void {
    if (this.state === "closed") return;
    this.release(1000, "closed");
    this.options.reach.remove(this);
    this.become("closed");
  }

  private open(): void {
    const generation = ++this.generation;
    this.triedMs = this.options.clock.now();
    this.become("connecting");
    this.cancelTimer = this.options.clock.after(this.options.connectTimeoutMs, () => {
      if (generation === this.generation)
        this.drop(new MillraceError("timeout", "no connection to the broker in time"));
    });
    this.options.token().then(
      (token) => {
        if (generation === this.generation) this.attach(generation, token);
      },
      (error: unknown) => {
        if (generation === this.generation)
          this.drop(new MillraceError("disconnected", "the token function failed", { cause: error }));
      },
    );
  }

  private attach(generation: number, token: string | undefined): void {
    let socket: WebSocketLike;
    try {
      const resume = this.options.resume();
      const protocols = [
        SUBPROTOCOL,
        ...(token === undefined ? [] : [BEARER_PREFIX + token]),
        ...(resume === null ? [] : [RESUME_PREFIX + resume]),
      ];
      socket = new this.options.WebSocket(this.options.url, protocols);
    } catch (error) {
      // Only a malformed address, or a token with characters that no header may hold, throws here.
      this.fail(new MillraceError("bad_request", "the url or the token is malformed", { cause: error }));
      return;
    }
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    let isAccepted = false;
    const whenCurrent = (run: (event: SocketEvent) => void) => (event: SocketEvent) => {
      if (generation === this.generation) run(event);
    };
    socket.addEventListener(
      "open",
      whenCurrent(() => (isAccepted = true)),
    );
    socket.addEventListener(
      "message",
      whenCurrent((event) => this.receive(event.data)),
    );
    socket.addEventListener(
      "close",
      whenCurrent((event) => {
        const detail = `closed with ${event.code ?? 1006}${event.reason ? ` (${event.reason})` : ""}`;
        const error = new MillraceError("disconnected", `the connection to the broker was ${detail}`);
        if (!isAccepted) this.askWhy(generation, error);
        else {
          this.drop(error);
          if ((event.code ?? CLOSED_ABNORMALLY) === CLOSED_ABNORMALLY) this.options.reach.doubted(this);
        }
      }),
    );
    // `close` follows every `error`, and an unheard `error` event is fatal to some WebSocket libraries.
    socket.addEventListener("error", () => undefined);
  }

  private askWhy(generation: number, error: MillraceError): void {
    const proceed = (why: MillraceError | null): void => {
      if (generation !== this.generation) return;
      if (why === null) this.drop(error);
      else this.fail(why);
    };
    this.options.explain().then(proceed, () => proceed(null));
  }

  private receive(data: unknown): void {
    this.isPongDue = false;
    if (data === "pong") return;
    const decoded = decodeFrame(data as string | ArrayBuffer);
    if (!decoded.ok) {
      this.drop(errorOfRefusal(decoded));
      return;
    }
    // The broker is trusted to keep to its protocol; what it says is not checked field by field.
    const frame = decoded.value.head as F;
    if (frame.type === "hello") this.greet(frame as Extract<F, { type: "hello" }>);
    // Whoever does not say that it reads gets no more.
    else if (frame.type === "mark") this.send(JSON.stringify({ type: "reached", mark: frame.mark }));
    else this.owner.received(frame, decoded.value.payload ?? NO_PAYLOAD);
  }

  private greet(hello: Extract<F, { type: "hello" }>): void {
    if (this.state !== "connecting") return;
    this.cancelTimer();
    this.openedMs = this.options.clock.now();
    this.isPongDue = false;
    this.become("open");
    this.beat();
    this.owner.opened(hello);
    this.options.reach.reached(this);
  }

  private beat(): void {
    this.cancelTimer = this.options.clock.after(this.options.heartbeatMs, () =>
      this.ping(this.options.heartbeatMs),
    );
  }

  /** Lost if nothing arrives in that time. */
  private ping(withinMs: number): void {
    this.isPongDue = true;
    this.cancelTimer = this.options.clock.after(withinMs, () => {
      if (!this.isPongDue) {
        if (withinMs < this.options.heartbeatMs) this.beat();
        else this.ping(withinMs);
      } else {
        this.drop(new MillraceError("disconnected", "the broker did not answer a ping"));
        this.options.reach.doubted(this);
      }
    });
    this.send("ping");
  }

  private drop(error: MillraceError): void {
    const wasOpen = this.state === "open";
    // Only a connection that lasted ends the backoff: a broker that accepts and closes at once must not be hammered.
    if (wasOpen && this.options.clock.now() - this.openedMs >= STABLE_MS) {
      this.backoff.reset();
      this.wasCalled = false;
    }
    this.release(wasOpen ? 1000 : undefined, "restarting");
    this.isLeisurely = !this.owner.isAwaited;
    const waitMs = this.backoff.next(this.isLeisurely ? Infinity : AWAITED_MS_MAX);
    if (waitMs === null) {
      this.fail(new MillraceError("disconnected", "gave up connecting to the broker", { cause: error }));
      return;
    }
    this.wait(waitMs, error);
    if (wasOpen) this.owner.lost(error);
  }

  private wait(waitMs: number, error?: MillraceError): void {
    this.become("waiting", error, waitMs);
    this.cancelTimer = this.options.clock.after(waitMs, () => {
      this.wasCalled = false;
      this.open();
    });
  }

  private fail(error: MillraceError): void {
    this.release(undefined, "failed");
    this.options.reach.remove(this);
    this.become("closed", error);
    this.state = "idle";
    this.owner.failed(error);
  }

  private release(code: number | undefined, reason: string): void {
    this.generation++;
    this.cancelTimer();
    const socket = this.socket;
    this.socket = null;
    try {
      if (code === undefined) socket?.close();
      else socket?.close(code, reason);
    } catch {
      // Already closed, or never opened: it is gone either way.
    }
  }

  private become(state: ConnectionState, error?: MillraceError, retryInMs?: number): void {
    this.state = state;
    this.owner.stateChanged(state, error, retryInMs);
  }
}
