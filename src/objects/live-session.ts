/**
 * A session with its socket. What must outlive hibernation is the `Session`, kept in the socket's attachment; the rest
 * may be lost with the instance: what was sent and not seen counts as seen.
 */
import { encodeBinaryFrame } from "../protocol/frames.ts";
import type { ErrorCode } from "../protocol/errors.ts";
import type { Refusal } from "../protocol/result.ts";
import type { SessionServerFrame, UnsubscribeReason } from "../protocol/session-frames.ts";
import type { EventFrames } from "../hub/event-frames.ts";
import { Flow } from "../hub/flow.ts";
import type { Session, Subscription } from "../hub/session.ts";
import type { ReplayRest } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { Unread } from "../protocol/unread.ts";
import { CLOSE, closeSocket, drawMark } from "./queue-socket.ts";

/** An event that a slow session gets later: its JSON, or a whole binary frame. It holds on to no batch. */
export type KeptEvent = { readonly text: string } | { readonly frame: Uint8Array };

/** The subscription is known to begin at its place; what is saved says otherwise until all has been told. */
export interface WaitingPast {
  readonly subscription: Subscription;
  readonly rest: ReplayRest;
}

/** A subscription that waits for its past. Live events are held until that has been sent. */
export interface PendingReplay {
  readonly held: {
    readonly frames: EventFrames;
    readonly indexes: readonly number[];
    readonly epoch: string;
  }[];
  bytes: number;
  /** Its exchange pushes here since it was asked for: from then on an interruption concerns it. */
  isStarted: boolean;
  /** Events between its past and what is held may have been missed: it ends as soon as it has begun. */
  interrupted: UnsubscribeReason | null;
  /** What of its past waits until the session has read some of what it has. */
  rest: WaitingPast | null;
  /** What came when no more could be held, by the push: its last event that matches, and how many do. */
  readonly unheld: { readonly epoch: string; readonly offset: number; readonly events: number }[];
}

/** After these nothing more can be said over the socket (PROTOCOL §6.9). */
const SESSION_ENDS: ReadonlySet<ErrorCode> = new Set(["bad_frame", "unauthenticated", "too_slow"]);

export class LiveSession {
  readonly socket: WebSocket;
  readonly flow: Flow<KeptEvent>;
  /** By exchange and pattern. */
  readonly pending = new Map<string, PendingReplay>();
  /** What its peer has not shown to have read; deliveries are their queues' to count. */
  private readonly unread: Unread;
  private stalledMs: number | null = null;
  private current: Session;
  private isOver = false;

  constructor(socket: WebSocket, session: Session) {
    this.socket = socket;
    this.current = session;
    this.flow = new Flow(session.framesSent);
    this.unread = new Unread(session.unread);
  }

  get session(): Session {
    return this.current;
  }

  get id(): number {
    return this.current.id;
  }

  save(session: Session): void {
    this.current = { ...session, unread: this.unread.save() };
    if (!this.isOver) this.socket.serializeAttachment(this.current);
  }

  /** It reads so little that nothing may be sent to it that it has not just asked for. */
  get isStalled(): boolean {
    return this.unread.isStalled && !this.isFlushed();
  }

  /** Whether some of the past may be sent, and leave room for what comes live. */
  get hasRoomForPast(): boolean {
    return this.unread.bytes < LIMITS.unreadBytesMax / 2 || this.isFlushed();
  }

  /** Bytes of live events that wait behind their subscriptions' past. */
  get heldBytes(): number {
    let bytes = 0;
    for (const pending of this.pending.values()) bytes += pending.bytes;
    return bytes;
  }

  /** The peer has read up to a mark. False: it is none that it was sent. */
  reached(mark: number): boolean {
    if (!this.unread.reached(mark)) return false;
    if (this.unread.wantsSaving) this.save(this.current);
    return true;
  }

  /** Whether it has read nothing for so long that it is given up; asked now and then. */
  isDeaf(nowMs: number): boolean {
    this.stalledMs = this.isStalled ? (this.stalledMs ?? nowMs) : null;
    return this.stalledMs !== null && this.stalledMs + LIMITS.deafMs <= nowMs;
  }

  private isFlushed(): boolean {
    const { bufferedAmount } = this.socket as { readonly bufferedAmount?: number };
    if (bufferedAmount !== 0) return false;
    this.unread.allSent();
    return true;
  }

  /** Sending to a peer that is already gone is no fault: the close event follows. */
  send(frame: SessionServerFrame, payload?: Uint8Array): void {
    this.sendRaw(payload === undefined ? JSON.stringify(frame) : encodeBinaryFrame(frame, payload));
  }

  sendRaw(frame: string | Uint8Array): void {
    this.transmit(frame, true);
  }

  /** It gets as many as it has room for; answers it makes itself. */
  sendEvents(frame: string | Uint8Array): void {
    this.transmit(frame, false);
  }

  private transmit(frame: string | Uint8Array, isAnswer: boolean): void {
    if (!this.trySend(frame)) return;
    const { unread } = this;
    if (isAnswer) unread.answered(frame.length);
    else unread.sent(frame.length);
    if (unread.wantsMark) {
      const mark = drawMark();
      if (this.trySend(JSON.stringify({ type: "mark", mark } satisfies SessionServerFrame)))
        unread.marked(mark);
    }
    if (unread.wantsSaving) this.save(this.current);
    const isOver = unread.isDeaf || unread.bytes >= LIMITS.unreadSessionBytesMax;
    if (isOver && !this.isFlushed()) this.close(CLOSE.policy, "too_slow");
  }

  /** A delivery: its queue sees to it that not too much of them is unread. */
  sendDelivery(frame: string | Uint8Array): void {
    this.transmit(frame, false);
  }

  private trySend(frame: string | Uint8Array): boolean {
    try {
      this.socket.send(frame);
      return true;
    } catch {
      // Closed meanwhile.
      return false;
    }
  }

  /** Tells a refusal. One that is about an exchange or a queue leaves the rest of the session as it is. */
  refuse(ref: number | null, { ok: _ok, ...refusal }: Refusal): void {
    this.send({ type: "error", ref, ...refusal });
    if (SESSION_ENDS.has(refusal.code)) this.close(CLOSE.policy, refusal.code);
  }

  /** Over: the socket may linger, and is not taken for a session again. */
  forget(): void {
    this.isOver = true;
    this.socket.serializeAttachment(null);
  }

  close(code: number, reason: string): void {
    closeSocket(this.socket, code, reason);
  }
}

export function pendingKey(exchange: string, pattern: string): string {
  return `${exchange} ${pattern}`;
}
