/**
 * The Worker's end of a session at a hub, for requests that wait: events over HTTP, calls. The Worker waits, and the
 * hub's object may sleep.
 *
 * Frames that nobody has asked for yet are kept here. A socket can't be told to pause; what bounds them is that a hub
 * sends no more than LIMITS.unseenBytesMax of events before it is told that they were `seen`, which is said only when
 * the reader has taken them.
 */
import { decodeFrame } from "../protocol/frames.ts";
import { LIMITS } from "../protocol/limits.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import type { SessionClientFrame, SessionServerFrame } from "../protocol/session-frames.ts";

/** Well below what makes a session slow. */
const SEEN_FRAMES = LIMITS.seenEveryFrames / 2;
const SEEN_BYTES = LIMITS.unseenBytesMax / 8;

export interface ReceivedFrame {
  readonly frame: SessionServerFrame;
  readonly payload: Uint8Array;
  /** Of the whole frame: characters of text count as bytes. */
  readonly bytes: number;
}

export class HubSession {
  private readonly socket: WebSocket;
  private readonly received: (string | ArrayBuffer)[] = [];
  private wake: (() => void) | null = null;
  private isOver = false;
  private framesRead = 0;
  private framesTold = 0;
  private untoldBytes = 0;

  /** Takes a socket that was not accepted yet. It is closed when the client goes. */
  constructor(socket: WebSocket, signal: AbortSignal) {
    this.socket = socket;
    // Since compatibility date 2026-03-17 the default is "blob", which can't be read at once.
    socket.binaryType = "arraybuffer";
    // Listeners first: what arrives between accept() and them would be lost.
    socket.addEventListener("message", (event) => {
      this.received.push(event.data as string | ArrayBuffer);
      this.wake?.();
    });
    socket.addEventListener("close", () => this.end());
    socket.addEventListener("error", () => this.end());
    signal.addEventListener("abort", () => this.close(), { once: true });
    socket.accept();
    // The client may have gone while the socket was being opened.
    if (signal.aborted) this.close();
  }

  send(frame: SessionClientFrame): void {
    if (!this.isOver) this.socket.send(JSON.stringify(frame));
  }

  sendBinary(frame: Uint8Array): void {
    if (!this.isOver) this.socket.send(frame);
  }

  /**
   * The next frame: "silence" when none came for so long; null when the connection is over, or no use any more. One
   * caller at a time.
   */
  async next(silenceMs?: number): Promise<ReceivedFrame | "silence" | null> {
    for (;;) {
      const data = this.received.shift();
      const received = data === undefined ? null : readFrame(data);
      // The reader has taken all that came before it.
      if (received?.frame.type === "mark") this.send({ type: "reached", mark: received.frame.mark });
      else if (data !== undefined) return received;
      if (data !== undefined) continue;
      if (this.isOver) return null;
      if (!(await this.arrival(silenceMs))) return "silence";
    }
  }

  /** The reader has taken an event frame. */
  seen(bytes: number): void {
    this.framesRead++;
    this.untoldBytes += bytes;
    if (this.framesRead - this.framesTold < SEEN_FRAMES && this.untoldBytes < SEEN_BYTES) return;
    this.framesTold = this.framesRead;
    this.untoldBytes = 0;
    this.send({ type: "seen", frames: this.framesRead });
  }

  /** Closing is also how the hub learns that the client went. */
  close(): void {
    if (!this.isOver) this.socket.close(1000, "done");
    this.received.length = 0;
    this.end();
  }

  private end(): void {
    this.isOver = true;
    this.wake?.();
  }

  private arrival(silenceMs: number | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const settle = (arrived: boolean): void => {
        clearTimeout(timer);
        this.wake = null;
        resolve(arrived);
      };
      this.wake = () => settle(true);
      if (silenceMs !== undefined) timer = setTimeout(() => settle(false), silenceMs);
    });
  }
}

/** Null for a frame that can't be read: it may have held events, so the session must not go on without them. */
function readFrame(data: string | ArrayBuffer): ReceivedFrame | null {
  const decoded = decodeFrame(data);
  if (!decoded.ok) return null;
  const { head, payload } = decoded.value;
  const bytes = typeof data === "string" ? data.length : data.byteLength;
  return { frame: head as SessionServerFrame, payload, bytes };
}

/** What an error frame says. */
export function refusalOfFrame(frame: Extract<SessionServerFrame, { type: "error" }>): Refusal {
  return refuse(frame.code, frame.detail, frame.facts);
}

export function sessionLost(what: string): Refusal {
  return refuse("unavailable", `${what}: the connection to the hub was lost`, { retryAfterMs: 1_000 });
}
