/**
 * A client's socket on a queue of several partitions: one socket to each of them, and the frames of all as if they were
 * one queue's. Deliveries pass through as they are; publishes and settlements are split, and their answers put together.
 * Tokens, rates and heartbeats are the objects' business, as ever: every frame of the client reaches one.
 */
import type { BatchCodec } from "../protocol/batch.ts";
import { ERRORS } from "../protocol/errors.ts";
import {
  decodeFrame,
  encodeBinaryFrame,
  type ClientFrame,
  type PartFrame,
  type ServerFrame,
} from "../protocol/frames.ts";
import { batchOfFrame, stampOfFrame } from "../protocol/publish-frame.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { QueueLayout } from "../protocol/rpc.ts";
import { parseClientFrame } from "../protocol/schemas.ts";
import { Unread } from "../protocol/unread.ts";
import { PartConsumer } from "./part-consumer.ts";
import { PartPublisher } from "./part-publisher.ts";
import { PartSettlements } from "./part-settlements.ts";
import type { PublishPart } from "./publishing.ts";

export interface PartSocketsPorts {
  readonly codec: BatchCodec;
  readonly random: () => number;
  readonly drawMark: () => number;
  /** Names a consumer that names itself not. */
  readonly subject: string;
  /** The response that opens a socket at a partition. */
  open(partition: number, known: number): Promise<Response>;
  layout(): QueueLayout;
  /** Asks the head for the layout, and waits a moment where it is the same. */
  relearn(before: QueueLayout, tries: number): Promise<Refusal | null>;
}

type PublishFrame = Extract<ClientFrame, { type: "publish" }>;
type Answer = ServerFrame | PartFrame;

/** Our numbers for settlements; publishes have numbers of their own below. */
const SETTLE_REFS = 2 ** 40;
/** WebSocket close codes (RFC 6455 §7.4.1) that may be sent; others mean that there was no close frame. */
const CLOSE_LOST = 1011;
const RETRY_MS = 1_000;

export class PartSockets {
  private readonly ports: PartSocketsPorts;
  private readonly client: WebSocket;
  private readonly publisher: PartPublisher;
  private readonly settlements: PartSettlements;
  private readonly consumer: PartConsumer;
  private parts: WebSocket[] = [];
  private hello: Extract<ServerFrame, { type: "hello" }> | null = null;
  private isOver = false;
  private opening: Promise<unknown> = Promise.resolve();
  /** What the client has been sent from all sides. */
  private readonly unread = new Unread();
  /** The partitions' own marks on their way to the client and back. */
  private readonly partMarks = new Map<number, number>();

  private constructor(ports: PartSocketsPorts, client: WebSocket) {
    this.ports = ports;
    this.client = client;
    this.publisher = new PartPublisher({
      codec: ports.codec,
      random: ports.random,
      layout: () => ports.layout(),
      relearn: (tries) => this.relearn(tries),
      send: (part, ref) => this.sendPublish(part, ref),
      answer: (ref, answer) =>
        answer.ok ? this.tell({ type: "confirm", ref, ...answer.value }) : this.refuse(ref, answer),
    });
    this.settlements = new PartSettlements({
      firstRef: SETTLE_REFS,
      partitions: () => this.parts.length,
      send: (partition, ref, settlements) =>
        this.parts[partition]!.send(JSON.stringify({ type: "settle", ref, settlements })),
      answer: (ref, answer) =>
        answer.ok ? this.tell({ type: "settled", ref, results: answer.value }) : this.refuse(ref, answer),
    });
    this.consumer = new PartConsumer({
      name: () => `${ports.subject}.${Math.floor(ports.random() * 36 ** 6).toString(36)}`,
      partitions: () => this.parts.length,
      send: (partition, frame) => this.parts[partition]!.send(JSON.stringify(frame)),
      tell: (frame) => this.tell(frame),
      pass: (data) => this.pass(data),
    });
  }

  /** A socket for the client, with one to each partition behind it. */
  static async open(ports: PartSocketsPorts): Promise<Result<WebSocket>> {
    const { 0: client, 1: server } = new WebSocketPair();
    const sockets = new PartSockets(ports, server);
    server.accept();
    const refused = await sockets.openParts();
    if (refused) {
      sockets.closeAll(1000, "");
      return refused;
    }
    server.binaryType = "arraybuffer";
    server.addEventListener("message", ({ data }) => sockets.onMessage(data as string | ArrayBuffer));
    server.addEventListener("close", ({ code, reason }) => sockets.closeAll(code, reason));
    server.addEventListener("error", () => sockets.closeAll(CLOSE_LOST, ""));
    return ok(client);
  }

  /** Opens what is missing, one call after the other: each counts on what the one before has opened. */
  private openParts(): Promise<Refusal | null> {
    const opened = this.opening.then(() => this.openMissing());
    this.opening = opened.catch(() => undefined);
    return opened;
  }

  private async openMissing(): Promise<Refusal | null> {
    const { partitions } = this.ports.layout();
    for (let i = this.parts.length; i < partitions; i++) {
      const response = await this.ports.open(i, partitions);
      const { webSocket: socket } = response;
      if (!socket) return (await response.json()) as Refusal;
      socket.binaryType = "arraybuffer";
      socket.addEventListener("message", ({ data }) => this.onPart(i, data as string | ArrayBuffer));
      socket.addEventListener("close", ({ code, reason }) => this.end(code, reason));
      socket.addEventListener("error", () => this.end(CLOSE_LOST, ""));
      this.parts.push(socket);
      socket.accept();
    }
    return null;
  }

  private async relearn(tries: number): Promise<Refusal | null> {
    try {
      const refused = (await this.ports.relearn(this.ports.layout(), tries)) ?? (await this.openParts());
      if (!refused) this.consumer.attach();
      return refused;
    } catch {
      // An object could not be reached. What is not confirmed is in doubt, and the client comes again.
      this.end(CLOSE_LOST, "");
      return refuse("unavailable", "the connection to the queue was lost", { retryAfterMs: RETRY_MS });
    }
  }

  /** There are more partitions; the head says so when all of them know. */
  private async follow(partitions: number): Promise<void> {
    for (let tries = 0; this.parts.length < partitions && !this.isOver; tries++) {
      if ((await this.relearn(tries)) !== null) return;
    }
  }

  // From the client

  private onMessage(data: string | ArrayBuffer): void {
    if (data === "ping") {
      // The platform answers for the objects, and they know by it that the client is there.
      for (const part of this.parts) part.send("ping");
      this.pass("pong");
      return;
    }
    const decoded = decodeFrame(data);
    if (!decoded.ok) return this.refuse(null, decoded);
    const ref = refOf(decoded.value.head);
    const frame = parseClientFrame(decoded.value.head);
    if (!frame.ok) return this.refuse(ref, frame);
    const refused = this.handle(frame.value, decoded.value.payload, ref);
    if (refused) this.refuse(ref, refused);
  }

  private handle(frame: ClientFrame, payload: Uint8Array, ref: number | null): Refusal | null {
    switch (frame.type) {
      case "ping":
        this.tell({ type: "pong", ref });
        return null;
      case "reached":
        this.reached(frame.mark);
        return null;
      case "publish":
        return this.publish(frame, payload, ref);
      case "settle":
        this.settlements.settle(frame.settlements, ref);
        return null;
      case "consume":
        this.consumer.start(frame);
        return null;
      case "credit":
        return this.consumer.setCredit(frame.credit);
      case "drain":
      case "cancel":
        return this.consumer.stop(frame);
    }
  }

  private publish(frame: PublishFrame, payload: Uint8Array, ref: number | null): Refusal | null {
    const batch = batchOfFrame(this.ports.codec, frame, payload);
    if (!batch.ok) return batch;
    this.publisher.publish(ref, { batch: batch.value, ...stampOfFrame(frame) });
    return null;
  }

  private sendPublish({ partition, publish }: PublishPart, ref: number): void {
    const { producer, batch, known = 1 } = publish;
    const stamp = producer && { producer: producer.id, sequence: producer.sequence };
    const part = { known, ...(producer?.span === undefined ? {} : { span: producer.span }) };
    this.parts[partition]!.send(encodeBinaryFrame({ type: "publish", ref, ...stamp, part }, batch));
  }

  /** What the client has read it has read of all partitions; each knows only its own marks. */
  private reached(mark: number): void {
    if (!this.unread.reached(mark)) return;
    const partition = this.partMarks.get(mark);
    this.partMarks.delete(mark);
    if (partition !== undefined) this.parts[partition]!.send(JSON.stringify({ type: "reached", mark }));
  }

  // From a partition

  private onPart(partition: number, data: string | ArrayBuffer): void {
    if (data === "pong") return;
    const decoded = decodeFrame(data);
    if (!decoded.ok) return this.end(CLOSE_LOST, "");
    const answer = decoded.value.head as Answer;
    switch (answer.type) {
      case "hello":
        if (this.hello === null) this.tell((this.hello = answer));
        return;
      case "deliver":
        return this.consumer.deliver(partition, answer.lease, data);
      case "confirm": {
        const { type: _type, ref, ...confirm } = answer;
        return this.publisher.answered(ref ?? 0, ok(confirm));
      }
      case "settled":
        return this.settlements.answered(answer.ref ?? 0, ok(answer.results));
      case "error": {
        const { type: _type, ref, ...refusal } = answer;
        return this.refused(ref, { ok: false, ...refusal });
      }
      case "partitions":
        void this.follow(answer.partitions);
        return;
      case "mark":
        this.partMarks.set(answer.mark, partition);
        this.mark(answer.mark);
        return;
      case "pong":
        return;
      case "consuming":
      case "active":
      case "drained":
      case "cancelled":
        this.consumer.changed(answer);
    }
  }

  private refused(ref: number | null, refusal: Refusal): void {
    if (ref !== null && ref > SETTLE_REFS) this.settlements.answered(ref, refusal);
    else if (ref !== null && ref > 0) this.publisher.answered(ref, refusal);
    else if (this.consumer.refused(refusal)) this.refuse(null, refusal);
  }

  // The end

  private pass(data: string | ArrayBuffer): void {
    if (!this.isOver) this.client.send(data);
  }

  private tell(frame: ServerFrame): void {
    const text = JSON.stringify(frame);
    this.pass(text);
    // Deliveries are the partitions' to count.
    this.unread.answered(text.length);
    if (this.unread.isDeaf) return this.end(1008, "too_slow");
    if (this.unread.wantsMark) this.mark(this.ports.drawMark());
  }

  private mark(mark: number): void {
    this.pass(JSON.stringify({ type: "mark", mark } satisfies ServerFrame));
    this.unread.marked(mark);
  }

  private refuse(ref: number | null, { ok: _ok, ...refusal }: Refusal): void {
    this.tell({ type: "error", ref, ...refusal });
    if (ERRORS[refusal.code].closes) this.end(1008, refusal.code);
  }

  /** A partition is gone, or the broker has nothing more to say: the client comes again. */
  private end(code: number, reason: string): void {
    if (this.isOver) return;
    this.closeAll(code, reason);
    closeSocket(this.client, code, reason);
  }

  private closeAll(code: number, reason: string): void {
    this.isOver = true;
    for (const part of this.parts) closeSocket(part, code, reason);
  }
}

/** 1005 and 1006 tell of a close, and can't be sent (RFC 6455 §7.4.1). */
function closeSocket(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code === 1005 ? 1000 : code === 1006 ? CLOSE_LOST : code, reason);
  } catch {
    // Closed meanwhile.
  }
}

function refOf(head: unknown): number | null {
  const ref = typeof head === "object" && head !== null && "ref" in head ? head.ref : null;
  return typeof ref === "number" ? ref : null;
}
