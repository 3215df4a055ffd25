/**
 * One WebSocket for all that a client does beside queues: events, publishing to exchanges, calls, replies, presence.
 * It is opened when it is first needed. What each of these remembers is theirs (SessionPart); here are the connection,
 * the requests that wait for an answer, and the inbox: the address at which replies reach this client. It opens the same
 * session again when it comes back, so that what arrived meanwhile is not lost.
 */
import { encodeBinaryFrame } from "../protocol/frames.ts";
import type { SessionClientFrame, SessionServerFrame } from "../protocol/session-frames.ts";
import { Asks, type Answer, type AskOptions } from "./asks.ts";
import type { Clock } from "./clock.ts";
import { errorOfRefusal, MillraceError } from "./errors.ts";
import type { BrokerSocket, ConnectionState, SocketOwner } from "./socket.ts";

type ServerHello = Extract<SessionServerFrame, { type: "hello" }>;

export interface SessionPart {
  /** A new connection: what was lost with the last one is asked for again. */
  opened?(): void;
  /** Whether the application waits for something of it. */
  readonly isAwaited?: boolean;
  /** What is no answer to a request. */
  received?(frame: SessionServerFrame, payload: Uint8Array): void;
  lost?(error: MillraceError): void;
  /** Given up, or closed. */
  failed?(error: MillraceError): void;
}

export interface SessionPorts {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** A socket to `/v1/socket`; `resume` is asked anew for each connection, and null before the first. */
  readonly connect: (
    owner: SocketOwner<SessionServerFrame>,
    resume: () => string | null,
  ) => BrokerSocket<SessionServerFrame>;
  readonly stateChanged: SocketOwner["stateChanged"];
}

/** Refusals that are about the session and not about what was asked: the connection ends with them. */
const ENDS_SESSION = new Set<string>(["unauthenticated", "too_slow", "internal", "unavailable", "hub_full"]);

export function endsSession(error: MillraceError): boolean {
  return ENDS_SESSION.has(error.code);
}

export class Session implements SocketOwner<SessionServerFrame> {
  readonly clock: Clock;
  readonly timeoutMs: number;
  private readonly ports: SessionPorts;
  private readonly socket: BrokerSocket<SessionServerFrame>;
  private readonly asks: Asks;
  private readonly parts = new Set<SessionPart>();
  private inbox: string | null = null;
  private resume: string | null = null;
  /** The application may hear that the socket is open a moment before we do. */
  private isGreeted = false;
  private closedBy: MillraceError | null = null;

  constructor(ports: SessionPorts) {
    this.ports = ports;
    this.clock = ports.clock;
    this.timeoutMs = ports.timeoutMs;
    this.asks = new Asks(ports.clock, this);
    this.socket = ports.connect(this, () => this.resume);
  }

  add(part: SessionPart): void {
    this.parts.add(part);
  }

  get isOpen(): boolean {
    return this.isGreeted && this.socket.isOpen;
  }
  get bufferedBytes(): number {
    return this.socket.bufferedBytes;
  }

  /** Opens the session unless it is open, or being opened. Throws `closed`. */
  connect(): void {
    if (this.closedBy !== null) throw this.closedBy;
    this.socket.connect();
  }

  /** The caller asks `isOpen` first. */
  send(frame: SessionClientFrame, payload?: Uint8Array): void {
    this.socket.send(payload === undefined ? JSON.stringify(frame) : encodeBinaryFrame(frame, payload));
  }

  /** Opens the session when it must. The function it returns forgets the request. */
  ask(options: AskOptions): () => void {
    if (this.closedBy !== null) {
      options.done(this.closedBy);
      return () => undefined;
    }
    const forget = this.asks.ask(options);
    this.socket.connect();
    return forget;
  }

  /** A request that does no harm when it is carried out twice. Rejects after the client's `timeoutMs`. */
  request(frame: (ref: number) => SessionClientFrame, payload?: Uint8Array): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.ask({
        frame,
        ...(payload === undefined ? {} : { payload }),
        timeoutMs: this.timeoutMs,
        whenLost: "repeat",
        done: (result) => (result instanceof MillraceError ? reject(result) : resolve(result)),
      });
    });
  }

  restart(error: MillraceError): void {
    this.socket.restart(error);
  }

  /** Resolves when every request is answered. */
  whenIdle(): Promise<void> {
    return this.asks.whenIdle();
  }

  close(error: MillraceError): void {
    if (this.closedBy !== null) return;
    this.closedBy = error;
    this.socket.close();
    this.failed(error);
  }

  // ---- the socket's owner

  get isAwaited(): boolean {
    return this.asks.isAwaited || [...this.parts].some((part) => part.isAwaited === true);
  }

  opened(hello: ServerHello): void {
    const isSameInbox = hello.inbox === this.inbox;
    this.inbox = hello.inbox;
    this.resume = hello.resume;
    this.isGreeted = true;
    this.asks.connected();
    // Subscriptions before requests, whose events they may be waiting for.
    for (const part of this.parts) part.opened?.();
    this.asks.opened(isSameInbox);
  }

  received(frame: SessionServerFrame, payload: Uint8Array): void {
    if (frame.type === "error") this.refused(frame.ref, errorOfRefusal(frame));
    else if (!("ref" in frame) || frame.ref === null || !this.asks.answer(frame.ref, { frame, payload })) {
      for (const part of this.parts) part.received?.(frame, payload);
    }
  }

  lost(error: MillraceError): void {
    this.asks.lost(error);
    for (const part of this.parts) part.lost?.(error);
  }

  failed(error: MillraceError): void {
    this.asks.rejectAll(error);
    for (const part of this.parts) part.failed?.(error);
  }

  stateChanged(state: ConnectionState, error?: MillraceError, retryInMs?: number): void {
    if (state !== "open") this.isGreeted = false;
    this.ports.stateChanged(state, error, retryInMs);
  }

  private refused(ref: number | null, error: MillraceError): void {
    const isEnd = endsSession(error);
    // A request that may be repeated stays in line, and goes out again over the next connection.
    if (ref !== null && !(isEnd && this.asks.isRepeated(ref))) this.asks.answer(ref, error);
    if (isEnd) this.restart(error);
  }
}
