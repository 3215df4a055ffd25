// A hub's object as tests inside workerd speak to it: sessions over sockets, whose frames are waited for.
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { HubObject } from "../../src/objects/hub-object.ts";
import type { SessionClaims } from "../../src/protocol/exchange-rpc.ts";
import { decodeFrame, encodeBinaryFrame } from "../../src/protocol/frames.ts";
import { RESUME_HEADER } from "../../src/protocol/inbox.ts";
import { readRecord, readText } from "../../src/protocol/record.ts";
import { CLAIMS_HEADER, type Grant } from "../../src/protocol/rpc.ts";
import { indexesOf } from "../../src/protocol/runs.ts";
import type {
  SessionClientFrame,
  SessionServerFrame,
  SubscribeFrame,
} from "../../src/protocol/session-frames.ts";
import { codec, must } from "./queue-client.ts";

const decoder = new TextDecoder();

export type HubStub = ReturnType<typeof env.HUBS.getByName>;

/** Hubs are numbered. */
export function hubStub(hub = 0): HubStub {
  return env.HUBS.getByName(`test/${hub}`);
}

export async function runHubAlarm(stub: HubStub): Promise<void> {
  await runInDurableObject(stub, (object: HubObject) => object.alarm());
}

/** Everything is granted. */
export const FULL: readonly Grant[] = [
  { verb: "publish", pattern: "#" },
  { verb: "consume", pattern: "#" },
  { verb: "subscribe", pattern: "#" },
];

export interface SessionOptions {
  readonly hub?: number;
  readonly claims?: Partial<SessionClaims>;
  /** Of a session that was cut off. */
  readonly resume?: string;
}

type FrameOf<T extends SessionServerFrame["type"]> = Extract<SessionServerFrame, { type: T }>;

interface Received<F extends SessionServerFrame = SessionServerFrame> {
  readonly head: F;
  readonly payload: Uint8Array;
}

/** One event as `offset:topic=body`. */
export function eventsOf({ head, payload }: Received<FrameOf<"events">>): string[] {
  if (head.events !== undefined) {
    return head.events.map(({ offset, routingKey = "", body = "" }) => `${offset}:${routingKey}=${body}`);
  }
  const table = must(codec.scan(payload, "broker"));
  const offsets = [...indexesOf(head.offsets!)];
  return offsets.map((offset, i) => {
    const topic = readText(payload, table.routingKeyOffset(i), table.routingKeySize(i));
    return `${offset}:${topic}=${decoder.decode(readRecord(payload, table.offset(i)).body)}`;
  });
}

export class TestSession {
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Set by the first frame. */
  inbox = "";
  resume = "";
  /** It does not say that it has reached the marks, which are gathered then. */
  isDeaf = false;
  readonly marks: number[] = [];
  /** Of payloads. */
  bytes = 0;
  private readonly frames: Received[] = [];
  private readonly waiting: ((frame: Received) => void)[] = [];
  private readonly socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", (event) => {
      const frame = must(decodeFrame(event.data as string | ArrayBuffer)) as Received;
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

  /** What the hub answers to the request for a socket. */
  static async request({ hub = 0, claims = {}, resume }: SessionOptions = {}): Promise<Response> {
    const whole: SessionClaims = { namespace: "test", subject: "tester", grants: FULL, ...claims };
    const headers = new Headers({ Upgrade: "websocket", [CLAIMS_HEADER]: JSON.stringify(whole) });
    if (resume !== undefined) headers.set(RESUME_HEADER, resume);
    return hubStub(hub).fetch("https://hub/", { headers });
  }

  static async open(options: SessionOptions = {}): Promise<TestSession> {
    const response = await TestSession.request(options);
    if (!response.webSocket) throw new Error(`no socket: ${response.status}`);
    const session = new TestSession(response.webSocket);
    const { inbox, resume } = (await session.next("hello")).head;
    Object.assign(session, { inbox, resume });
    return session;
  }

  send(frame: SessionClientFrame, payload?: Uint8Array): void {
    this.socket.send(payload ? encodeBinaryFrame(frame, payload) : JSON.stringify(frame));
  }

  raw(data: string): void {
    this.socket.send(data);
  }

  close(code = 1000): void {
    this.socket.close(code, "test");
  }

  async any(): Promise<Received> {
    return this.frames.shift() ?? (await new Promise<Received>((resolve) => this.waiting.push(resolve)));
  }

  /** The next frame, which must be of this type. */
  async next<T extends SessionServerFrame["type"]>(type: T): Promise<Received<FrameOf<T>>> {
    const frame = await this.any();
    if (frame.head.type !== type) throw new Error(`expected ${type}, got ${JSON.stringify(frame.head)}`);
    return frame as Received<FrameOf<T>>;
  }

  /** Sends a frame and waits for the answer. */
  async ask<T extends SessionServerFrame["type"]>(
    frame: SessionClientFrame,
    type: T,
    payload?: Uint8Array,
  ): Promise<FrameOf<T>> {
    this.send(frame, payload);
    return (await this.next(type)).head;
  }

  subscribe(
    exchange: string,
    pattern: string,
    wish: Omit<SubscribeFrame, "type" | "exchange" | "pattern"> = {},
  ): Promise<FrameOf<"subscribed">> {
    return this.ask({ type: "subscribe", exchange, pattern, ...wish }, "subscribed");
  }

  /** So many events, from as many frames as they take. */
  async events(count: number): Promise<string[]> {
    const all: string[] = [];
    while (all.length < count) all.push(...eventsOf(await this.next("events")));
    return all;
  }

  /** All that has come when the hub has answered a ping: nothing of before is under way. */
  async rest(): Promise<Received[]> {
    this.send({ type: "ping", ref: 424_242 });
    const all: Received[] = [];
    for (;;) {
      const frame = await this.any();
      if (frame.head.type === "pong" && frame.head.ref === 424_242) return all;
      all.push(frame);
    }
  }

  async restTypes(): Promise<string[]> {
    return (await this.rest()).map(({ head }) => head.type);
  }
}
