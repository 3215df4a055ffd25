// The Worker's end of a socket to an object; the test plays the object.
import { decodeFrame, encodeBinaryFrame } from "../../src/protocol/frames.ts";

export class FakeSocket extends EventTarget {
  binaryType = "blob";
  isAccepted = false;
  closed: number | null = null;
  /** Heads of the frames that the Worker sent, and the payloads beside them. */
  readonly sent: unknown[] = [];
  readonly payloads: Uint8Array[] = [];
  private readonly waiting: (() => void)[] = [];

  accept(): void {
    this.isAccepted = true;
  }

  send(data: string | Uint8Array): void {
    const frame = decodeFrame(typeof data === "string" ? data : new Uint8Array(data).buffer);
    if (!frame.ok) throw new Error(frame.detail);
    this.sent.push(frame.value.head);
    this.payloads.push(frame.value.payload);
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  close(code: number): void {
    this.closed = code;
  }

  /** Resolves when the Worker has sent so many frames. */
  async sends(count: number): Promise<void> {
    while (this.sent.length < count) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  receive(head: object, payload?: Uint8Array): void {
    const data = payload === undefined ? JSON.stringify(head) : encodeBinaryFrame(head, payload).buffer;
    this.dispatchEvent(new MessageEvent("message", { data }));
  }

  /** The object's side is gone. */
  lose(): void {
    this.dispatchEvent(new Event("close"));
  }
}

/** An object's answer that opens the socket. Node knows no response with status 101. */
export function opens(socket: FakeSocket): Response {
  return { status: 101, webSocket: socket } as unknown as Response;
}

/** An object's answer that opens none. */
export function opensNone(code: string, status: number): Response {
  return Response.json({ code, detail: `why ${code}` }, { status });
}
