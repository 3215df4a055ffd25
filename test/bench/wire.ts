/** The protocol, frame by frame: what a client sends is what is counted, so nothing gathers or repeats in between. */
import { TypeScriptBatchCodec } from "../../src/protocol/typescript-batch-codec.ts";
import { readBatchHeader, type MessageRecord } from "../../src/protocol/batch.ts";
import {
  decodeFrame,
  encodeBinaryFrame,
  type ClientFrame,
  type ServerFrame,
} from "../../src/protocol/frames.ts";
import type { SessionClientFrame, SessionServerFrame } from "../../src/protocol/session-frames.ts";

type Sent = ClientFrame | SessionClientFrame;
type Came = ServerFrame | SessionServerFrame;
type OfType<T extends Came["type"]> = Extract<Came, { type: T }>;

export interface Frame<T extends Came["type"] = Came["type"]> {
  readonly head: OfType<T>;
  readonly payload: Uint8Array;
}

const codec = new TypeScriptBatchCodec();

export function batchOf(records: readonly MessageRecord[]): Uint8Array {
  const encoded = codec.encode(records, { origin: 0, firstSequence: 0, timeMs: 0 }, "client");
  if (!encoded.ok) throw new Error(`${encoded.code}: ${encoded.detail}`);
  return encoded.value;
}

/** How many messages a delivery has. */
export function messagesIn({ head: { runs = [], messages = [] }, payload }: Frame<"deliver">): number {
  let from = 0;
  let count = messages.length;
  for (const { bytes } of runs) {
    count += readBatchHeader(payload.subarray(from, from + bytes)).count;
    from += bytes;
  }
  return count;
}

/** Frames are kept by type until they are asked for. An `error` frame fails whoever waits, and the next who does. */
export class Wire {
  /** Gets the frames of its type in place of `next`. */
  onEvents: ((bytes: number, head: OfType<"events">, payload: Uint8Array) => void) | null = null;
  private readonly socket: WebSocket;
  private readonly came = new Map<string, Frame[]>();
  private waiting: { type: string; resolve: (frame: Frame) => void; reject: (error: Error) => void } | null =
    null;
  private error: Error | null = null;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => this.take(data as string | ArrayBuffer));
    socket.addEventListener("close", ({ code }) => this.fail(new Error(`closed with ${code}`)));
  }

  /** To a queue, or a session. */
  static async open(url: string, queue?: string): Promise<Wire> {
    const path = queue === undefined ? "/v1/socket" : `/v1/queues/${queue}/socket`;
    const wire = new Wire(new WebSocket(url.replace(/^http/, "ws") + path));
    await wire.next("hello");
    return wire;
  }

  send(frame: Sent, payload?: Uint8Array): void {
    this.socket.send(payload === undefined ? JSON.stringify(frame) : encodeBinaryFrame(frame, payload));
  }

  /** The next frame of a type. One caller at a time. */
  next<T extends Came["type"]>(type: T): Promise<Frame<T>> {
    const kept = this.came.get(type)?.shift();
    if (kept !== undefined) return Promise.resolve(kept as unknown as Frame<T>);
    if (this.error !== null) return Promise.reject(this.error);
    return new Promise((resolve, reject) => {
      this.waiting = { type, resolve: (frame) => resolve(frame as unknown as Frame<T>), reject };
    });
  }

  /** The bare ping of PROTOCOL §6.6, answered by the runtime. */
  ping(): void {
    this.socket.send("ping");
  }

  close(): void {
    this.socket.close(1000);
  }

  private take(data: string | ArrayBuffer): void {
    if (data === "pong") return;
    const decoded = decodeFrame(data);
    if (!decoded.ok) return this.fail(new Error(decoded.detail));
    const frame = { head: decoded.value.head as Came, payload: decoded.value.payload } as Frame;
    const { type } = frame.head;
    if (type === "mark") return this.send({ type: "reached", mark: (frame.head as OfType<"mark">).mark });
    if (type === "error") return this.fail(new Error(JSON.stringify(frame.head)));
    if (type === "events" && this.onEvents !== null) {
      const bytes = typeof data === "string" ? data.length : data.byteLength;
      return this.onEvents(bytes, frame.head, frame.payload);
    }
    const { waiting } = this;
    if (waiting?.type === type) {
      this.waiting = null;
      waiting.resolve(frame);
    } else {
      const kept = this.came.get(type);
      if (kept === undefined) this.came.set(type, [frame]);
      else kept.push(frame);
    }
  }

  private fail(error: Error): void {
    this.error ??= error;
    this.waiting?.reject(error);
    this.waiting = null;
  }
}

/** An HTTP request that must be taken. */
export async function ask<T>(url: string, method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(url + path, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text) as T;
}
