// A WebSocket whose other end is in this process: what a fake broker, or a fake hub, listens at.
import { decodeFrame, encodeBinaryFrame } from "../../../src/protocol/frames.ts";
import type { ClientFrame, ServerFrame } from "../../../src/protocol/frames.ts";
import type { SessionClientFrame, SessionServerFrame } from "../../../src/protocol/session-frames.ts";
import type { SocketEvent, WebSocketConstructor, WebSocketLike } from "../../../src/client/socket.ts";

type ToBroker = ClientFrame | SessionClientFrame;
type FromBroker = ServerFrame | SessionServerFrame;

/** The other end. */
export interface SocketHost<In extends ToBroker, Out extends FromBroker> {
  readonly answersPings: boolean;
  take(socket: FakeSocket<In, Out>, frame: In, payload: Uint8Array): void;
}

export class FakeSocket<
  In extends ToBroker = ClientFrame,
  Out extends FromBroker = ServerFrame,
> implements WebSocketLike {
  binaryType = "blob";
  bufferedAmount = 0;
  isOpen = true;
  readonly url: string;
  readonly protocols: string[];
  readonly frames: In[] = [];
  pings = 0;
  private readonly listeners = new Map<string, (event: SocketEvent) => void>();
  private readonly host: SocketHost<In, Out>;

  constructor(host: SocketHost<In, Out>, url: string, protocols: string[]) {
    this.host = host;
    this.url = url;
    this.protocols = protocols;
  }

  addEventListener(type: string, listener: (event: SocketEvent) => void): void {
    this.listeners.set(type, listener);
  }
  emit(type: string, event: SocketEvent = {}): void {
    this.listeners.get(type)?.(event);
  }
  send(data: string | Uint8Array): void {
    if (!this.isOpen) return;
    if (data === "ping") {
      this.pings++;
      if (this.host.answersPings) this.emit("message", { data: "pong" });
      return;
    }
    const bytes = typeof data === "string" ? data : new Uint8Array(data).buffer;
    const decoded = decodeFrame(bytes);
    if (!decoded.ok) throw new Error(decoded.detail);
    const frame = decoded.value.head as In;
    this.frames.push(frame);
    const payload = decoded.value.payload;
    // Never inside `send`: an answer comes in a later turn.
    queueMicrotask(() => this.host.take(this, frame, payload));
  }
  close(): void {
    this.isOpen = false;
  }
  /** The connection breaks. */
  lose(code = 1006): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.emit("close", { code });
  }
  tell(frame: Out, payload?: Uint8Array): void {
    if (!this.isOpen) return;
    const data = payload === undefined ? JSON.stringify(frame) : encodeBinaryFrame(frame, payload).buffer;
    this.emit("message", { data });
  }
  of<T extends In["type"]>(type: T): Extract<In, { type: T }>[] {
    return this.frames.filter((frame) => frame.type === type) as Extract<In, { type: T }>[];
  }
}

/** A constructor out of a function: `new` gives what a called function returns. */
export function newable(make: (url: string, protocols: string[]) => WebSocketLike): WebSocketConstructor {
  return function (url: string, protocols: string[]) {
    return make(url, protocols);
  } as unknown as WebSocketConstructor;
}
