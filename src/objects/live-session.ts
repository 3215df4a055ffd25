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
import type { Session } from "../hub/session.ts";
import { CLOSE, closeSocket } from "./queue-socket.ts";

/** An event that a slow session gets later: its JSON, or a whole binary frame. It holds on to no batch. */
export type KeptEvent = { readonly text: string } | { readonly frame: Uint8Array };

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
  private current: Session;
  private isOver = false;

  constructor(socket: WebSocket, session: Session) {
    this.socket = socket;
    this.current = session;
    this.flow = new Flow(session.framesSent);
  }

  get session(): Session {
    return this.current;
  }

  get id(): number {
    return this.current.id;
  }

  save(session: Session): void {
    this.current = session;
    if (!this.isOver) this.socket.serializeAttachment(session);
  }

  /** Sending to a peer that is already gone is no fault: the close event follows. */
  send(frame: SessionServerFrame, payload?: Uint8Array): void {
    this.sendRaw(payload === undefined ? JSON.stringify(frame) : encodeBinaryFrame(frame, payload));
  }

  sendRaw(frame: string | Uint8Array): void {
    try {
      this.socket.send(frame);
    } catch {
      // Closed meanwhile.
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
