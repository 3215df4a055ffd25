/**
 * A client's socket on a queue of several partitions: one socket to each of them, and the frames of all as if they were
 * one queue's. Deliveries pass through as they are; publishes and settlements are split, and their answers put together.
 * Tokens, rates and heartbeats are the objects' business, as ever: every frame of the client reaches one.
 */
import type { BatchCodec } from "../protocol/batch.ts";
import { ERRORS, type ErrorCode } from "../protocol/errors.ts";
import {
  decodeFrame,
  encodeBinaryFrame,
  type ClientFrame,
  type ConsumeFrame,
  type PartFrame,
  type ServerFrame,
} from "../protocol/frames.ts";
import { LIMITS } from "../protocol/limits.ts";
import { batchOfFrame, stampOfFrame } from "../protocol/publish-frame.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { QueueLayout } from "../protocol/rpc.ts";
import { parseClientFrame } from "../protocol/schemas.ts";
import { creditOf } from "./merge.ts";
import { PartPublisher } from "./part-publisher.ts";
import { PartSettlements } from "./part-settlements.ts";
import type { PublishPart } from "./publishing.ts";

export interface PartSocketsPorts {
  readonly codec: BatchCodec;
  readonly random: () => number;
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
type Consuming = ConsumeFrame & { readonly consumer: string };
type ConsumerFrame = Extract<ServerFrame, { type: "consuming" | "active" | "drained" | "cancelled" }>;

/** Our numbers for settlements; publishes have numbers of their own below. */
const SETTLE_REFS = 2 ** 40;
/** WebSocket close codes (RFC 6455 §7.4.1) that may be sent; others mean that there was no close frame. */
const CLOSE_LOST = 1011;

export class PartSockets {
  private readonly ports: PartSocketsPorts;
  private readonly client: WebSocket;
  private readonly publisher: PartPublisher;
  private readonly settlements: PartSettlements;
  private parts: WebSocket[] = [];
  private hello: Extract<ServerFrame, { type: "hello" }> | null = null;
  private isOver = false;
  private opening: Promise<unknown> = Promise.resolve();

  /** What the client consumes with; null: it does not. */
  private consume: Consuming | null = null;
  /** Partitions that have said that it consumes, and of those that were asked to end it, how many have. */
  private attached = 0;
  private asked = 0;
  private ended = 0;
  /** What the client is told when they all have; null: it did not ask. */
  private ending: "drained" | "cancelled" | null = null;
  /** Why it is no consumer: the others say the same. */
  private refusedBy: ErrorCode | null = null;
  private isActive = false;
  private isTold = false;
  /** Deliveries that came before the client was told that it consumes. */
  private readonly early: (string | ArrayBuffer)[] = [];
  private hasOne = false;

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
    const refused = (await this.ports.relearn(this.ports.layout(), tries)) ?? (await this.openParts());
    if (!refused && this.consume !== null) this.sayConsume();
    return refused;
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
      case "publish":
        return this.publish(frame, payload, ref);
      case "settle":
        this.settlements.settle(frame.settlements, ref);
        return null;
      case "consume":
        return this.startConsume(frame);
      case "credit":
        if (this.consume === null) return notConsuming();
        this.consume = { ...this.consume, credit: frame.credit };
        // Partitions that were added while there was no credit do not know it yet.
        if (frame.credit > 0 && this.attached < this.parts.length) this.sayConsume();
        else if (this.ending === null) this.sayCredit();
        return null;
      case "drain":
      case "cancel":
        if (this.consume === null) return notConsuming();
        if (frame.type === "drain" && this.ending !== null) return null;
        this.ending = frame.type === "drain" ? "drained" : "cancelled";
        // One that is added from here on never knows the consumer.
        this.asked = this.parts.length;
        this.ended = 0;
        this.toAll(() => frame);
        return null;
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

  private startConsume(frame: ConsumeFrame): Refusal | null {
    const made = `${this.ports.subject}.${Math.floor(this.ports.random() * 36 ** 6).toString(36)}`;
    const consumer = frame.consumer ?? this.consume?.consumer ?? made;
    this.consume = { ...frame, consumer };
    this.isActive = false;
    this.isTold = false;
    this.hasOne = false;
    this.ending = null;
    this.refusedBy = null;
    this.sayConsume();
    return null;
  }

  private sayConsume(): void {
    const { consume } = this;
    if (consume === null || this.ending !== null || consume.credit === 0) return;
    this.attached = 0;
    const credit = consume.credit ?? LIMITS.creditDefault;
    // With `once` the first delivery is the only one, so each may be as large as asked for.
    const share = (partition: number): number =>
      consume.once === true ? credit : creditOf(credit, partition, this.parts.length);
    this.toAll((partition) => ({ ...consume, credit: share(partition) }));
  }

  private sayCredit(): void {
    const credit = this.consume?.credit ?? LIMITS.creditDefault;
    this.toAll((partition) => ({
      type: "credit",
      credit: credit === 0 ? 0 : creditOf(credit, partition, this.parts.length),
    }));
  }

  private toAll(frame: (partition: number) => object): void {
    for (const [partition, part] of this.parts.entries()) part.send(JSON.stringify(frame(partition)));
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
        return this.deliver(partition, answer.lease, data);
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
      case "pong":
        return;
      case "consuming":
      case "active":
      case "drained":
      case "cancelled":
        if (this.consume !== null) this.consumerChanged(this.consume, answer);
    }
  }

  private deliver(partition: number, lease: number, data: string | ArrayBuffer): void {
    if (this.consume?.once === true) {
      if (this.hasOne) {
        // The first was faster: this one goes back, as if it had not been sent.
        const back = [{ lease, verdict: "nack", delayMs: 0 }];
        this.parts[partition]!.send(JSON.stringify({ type: "settle", ref: 0, settlements: back }));
        return;
      }
      this.hasOne = true;
      for (const [other, part] of this.parts.entries()) {
        if (other !== partition) part.send(JSON.stringify({ type: "cancel" }));
      }
    }
    if (this.isTold) this.pass(data);
    else this.early.push(data);
  }

  /** What each partition says of its consumer is told once. */
  private consumerChanged(consume: Consuming, answer: ConsumerFrame): void {
    switch (answer.type) {
      case "consuming": {
        this.isActive ||= answer.active;
        if (++this.attached < this.parts.length || this.isTold) return;
        this.isTold = true;
        const { consumer, credit = LIMITS.creditDefault } = consume;
        this.tell({ type: "consuming", consumer, credit, active: this.isActive });
        for (const data of this.early.splice(0)) this.pass(data);
        return;
      }
      case "active":
        if (!this.isActive) this.tell(answer);
        this.isActive = true;
        return;
      case "drained":
        if (this.ending === "drained") this.partEnded(consume);
        return;
      case "cancelled":
        if (answer.reason !== "asked") this.stopConsume(answer);
        // With `once` the others were asked to stop by us.
        else if (this.ending === "cancelled" && !this.hasOne) this.partEnded(consume);
    }
  }

  private partEnded({ consumer }: Consuming): void {
    if (++this.ended < this.asked) return;
    this.stopConsume(
      this.ending === "drained" ? { type: "drained" } : { type: "cancelled", consumer, reason: "asked" },
    );
  }

  /** The consumer is gone everywhere: at once where one partition says so, unless the client asked for it. */
  private stopConsume(answer: Extract<ServerFrame, { type: "drained" | "cancelled" }>): void {
    const isPartial = answer.type === "cancelled" && answer.reason !== "asked" && answer.reason !== "once";
    // Those that are gone already refuse it, which nobody waits for.
    if (isPartial) this.toAll(() => ({ type: "cancel" }));
    this.consume = null;
    this.tell(answer);
  }

  private refused(ref: number | null, refusal: Refusal): void {
    if (ref !== null && ref > SETTLE_REFS) this.settlements.answered(ref, refusal);
    else if (ref !== null && ref > 0) this.publisher.answered(ref, refusal);
    else if (refusal.code === "not_consuming") {
      // It had drained before it was asked to cancel.
      if (this.ending === "cancelled" && this.consume !== null) this.partEnded(this.consume);
    } else if (refusal.code !== this.refusedBy) this.refuseConsume(refusal);
  }

  /** One partition refused the consumer, so it is one nowhere. */
  private refuseConsume(refusal: Refusal): void {
    if (this.consume !== null && !this.isTold) {
      this.refusedBy = refusal.code;
      this.toAll(() => ({ type: "cancel" }));
      this.consume = null;
    }
    this.refuse(null, refusal);
  }

  // The end

  private pass(data: string | ArrayBuffer): void {
    if (!this.isOver) this.client.send(data);
  }

  private tell(frame: ServerFrame): void {
    this.pass(JSON.stringify(frame));
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

function notConsuming(): Refusal {
  return refuse("not_consuming", "this socket has no consumer");
}
