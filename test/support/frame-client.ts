// A WebSocket from outside, frame by frame: what comes waits until it is asked for.
import { BEARER_PREFIX, SUBPROTOCOL } from "../../src/protocol/frames.ts";

export class FrameClient {
  /** The code the socket was closed with. */
  readonly closed: Promise<number>;
  private readonly socket: WebSocket;
  private readonly frames: unknown[] = [];
  private readonly waiting: ((frame: unknown) => void)[] = [];

  constructor(address: URL, token: string) {
    this.socket = new WebSocket(address.href, [SUBPROTOCOL, `${BEARER_PREFIX}${token}`]);
    this.closed = new Promise((resolve) => {
      this.socket.addEventListener("close", (event) => resolve(event.code));
    });
    this.socket.addEventListener("message", (event) => {
      const frame: unknown = JSON.parse(String(event.data));
      const waiting = this.waiting.shift();
      if (waiting) waiting(frame);
      else this.frames.push(frame);
    });
  }

  /** The subprotocol that the broker chose. */
  get protocol(): string | null {
    return this.socket.protocol;
  }

  next(): Promise<unknown> {
    if (this.frames.length > 0) return Promise.resolve(this.frames.shift());
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  send(data: string | Uint8Array): void {
    this.socket.send(data);
  }

  close(): void {
    this.socket.close();
  }
}
