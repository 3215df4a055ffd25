// A queue's object as tests inside workerd speak to it: its methods, and a socket whose frames are waited for.
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import kernels from "../../wasm/build/millrace.wasm";
import type { QueueObject } from "../../src/objects/queue-object.ts";
import type { ClientFrame, ServerFrame } from "../../src/protocol/frames.ts";
import { decodeFrame, encodeBinaryFrame } from "../../src/protocol/frames.ts";
import { QUEUE_DEFAULTS, type QueueConfig } from "../../src/protocol/queue-config.ts";
import { CLAIMS_HEADER, type SocketClaims } from "../../src/protocol/rpc.ts";
import type { Result } from "../../src/protocol/result.ts";
import { WasmBatchCodec } from "../../src/protocol/wasm-batch-codec.ts";
import type { MessageRecord } from "../../src/protocol/batch.ts";

export const codec = new WasmBatchCodec(kernels);
const encoder = new TextEncoder();

export type QueueStub = ReturnType<typeof env.QUEUES.getByName>;

export function batchOf(...records: (string | Partial<MessageRecord>)[]): Uint8Array {
  const whole = records.map((record): MessageRecord => {
    if (typeof record === "string") return { body: encoder.encode(record) };
    return { body: new Uint8Array(0), ...record };
  });
  return must(codec.encode(whole, { origin: 0, firstSequence: 0, timeMs: 0 }, "client"));
}

export function must<T>(answer: Result<T>): T {
  if (!answer.ok) throw new Error(`${answer.code}: ${answer.detail}`);
  return answer.value;
}

/** Declares a queue in the namespace `test`, as the edge would. */
export async function declare(queue: string, config: Partial<QueueConfig> = {}): Promise<QueueStub> {
  await env.NAMESPACES.getByName("test").registerQueue(queue);
  const stub = env.QUEUES.getByName(`test/${queue}`);
  must(await stub.declare({ ...QUEUE_DEFAULTS, ...config }));
  return stub;
}

/**
 * Does what the alarm does and waits for it. An alarm that is due fires by itself at about the same time; doing its
 * work twice is harmless, which this proves along the way.
 */
export async function runAlarm(stub: QueueStub): Promise<void> {
  await runInDurableObject(stub, (object: QueueObject) => object.alarm());
}

export interface ReceivedFrame {
  readonly head: ServerFrame;
  readonly payload: Uint8Array;
}

export class TestSocket {
  private readonly frames: ReceivedFrame[] = [];
  private readonly waiting: ((frame: ReceivedFrame) => void)[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly socket: WebSocket;
  /** It does not say that it has reached the marks, which are gathered then. */
  isDeaf = false;
  readonly marks: number[] = [];
  /** Of payloads. */
  bytes = 0;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", (event) => {
      if (event.data === "pong") return;
      const frame = must(decodeFrame(event.data as string | ArrayBuffer)) as ReceivedFrame;
      this.bytes += frame.payload.byteLength;
      if (frame.head.type === "mark") {
        if (!this.isDeaf) this.send({ type: "reached", mark: frame.head.mark });
        else this.marks.push(frame.head.mark);
        return;
      }
      const wake = this.waiting.shift();
      if (wake) wake(frame);
      else this.frames.push(frame);
    });
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
    });
    socket.accept();
  }

  static async open(stub: QueueStub, claims: Partial<SocketClaims> = {}): Promise<TestSocket> {
    const whole: SocketClaims = {
      subject: "tester",
      publish: true,
      consume: true,
      expiresMs: null,
      ...claims,
    };
    const headers = { Upgrade: "websocket", [CLAIMS_HEADER]: JSON.stringify(whole) };
    const response = await stub.fetch("https://queue/", { headers });
    if (!response.webSocket) throw new Error(`no socket: ${response.status}`);
    const socket = new TestSocket(response.webSocket);
    await socket.next("hello");
    return socket;
  }

  async any(): Promise<ReceivedFrame> {
    return this.frames.shift() ?? (await new Promise<ReceivedFrame>((resolve) => this.waiting.push(resolve)));
  }

  /** The next frame, which must be of this type. */
  async next<T extends ServerFrame["type"]>(
    type: T,
  ): Promise<{ head: Extract<ServerFrame, { type: T }>; payload: Uint8Array }> {
    const frame = await this.any();
    if (frame.head.type !== type) throw new Error(`expected ${type}, got ${JSON.stringify(frame.head)}`);
    return frame as { head: Extract<ServerFrame, { type: T }>; payload: Uint8Array };
  }

  send(frame: ClientFrame, payload?: Uint8Array): void {
    this.socket.send(payload ? encodeBinaryFrame(frame, payload) : JSON.stringify(frame));
  }

  raw(data: string | Uint8Array): void {
    this.socket.send(data);
  }

  close(code = 1000): void {
    this.socket.close(code, "test");
  }
}
