/**
 * The frames of a queue's socket. Each is checked by what the token allows, becomes a job of the turn, and is answered when
 * the turn is stored. So the frames of one socket take effect in their order, whatever they are.
 */
import { replyQueuesOf } from "../protocol/reply-queues.ts";
import { lacksReplyPattern } from "../routing/grants.ts";
import type { BatchCodec } from "../protocol/batch.ts";
import type { PublishCommand, PublishConfirm, Settlement, SettlementResult } from "../protocol/commands.ts";
import type { ClientFrame, ConsumeFrame } from "../protocol/frames.ts";
import { batchOfFrame, stampOfFrame, type PartHead } from "../protocol/publish-frame.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { Queue } from "../queue/queue.ts";
import {
  consumerFrom,
  consumerOf,
  saveUnread,
  send,
  sendCancelled,
  sendRefusal,
  stateOf,
  unreadOf,
  type SocketConsumer,
  type SocketState,
} from "./queue-socket.ts";

export interface Load {
  readonly payload: Uint8Array;
  readonly part: PartHead;
}

/** What the frames need of the object around them. */
export interface QueueTurn {
  readonly name: string;
  open(): Queue | null;
  publish(command: PublishCommand): Promise<Result<PublishConfirm>>;
  whenDeclared<T>(run: (queue: Queue, nowMs: number) => Result<T>): Promise<Result<T>>;
  later<T>(run: (queue: Queue, nowMs: number) => Result<T>, waitMs: number): Promise<Result<T>>;
}

export interface QueueFramesPorts {
  readonly codec: BatchCodec;
  readonly turn: QueueTurn;
  isOpen(socketId: number): boolean;
  save(socket: WebSocket, state: SocketState): void;
}

export class QueueFrames {
  private readonly ports: QueueFramesPorts;

  constructor(ports: QueueFramesPorts) {
    this.ports = ports;
  }

  async handle(
    socket: WebSocket,
    state: SocketState,
    frame: ClientFrame,
    load: Load,
  ): Promise<Refusal | null> {
    const ref = "ref" in frame && frame.ref !== undefined ? frame.ref : null;
    switch (frame.type) {
      case "ping":
        return this.inTurn(socket, () => {
          send(socket, { type: "pong", ref });
          return null;
        });
      case "reached":
        return this.reached(socket, frame.mark);
      case "publish":
        return this.publish(socket, state, frame, load, ref);
      case "consume":
        return this.consume(socket, frame);
      case "credit":
        return this.changeConsumer(socket, (consumer) => ({ ...consumer, credit: frame.credit }));
      case "settle":
        return this.settle(socket, state, frame.settlements, ref);
      case "drain":
        return this.changeConsumer(socket, (consumer) => ({ ...consumer, isDraining: true }));
      case "cancel":
        return this.cancel(socket);
    }
  }

  /**
   * What a frame does is done in the turn, and judged there: a frame sent before it may still wait for the same turn.
   * Its refusal is told there too, so that answers come in the order of the frames.
   */
  private async inTurn(
    socket: WebSocket,
    run: (queue: Queue, nowMs: number) => Refusal | null,
  ): Promise<Refusal | null> {
    const answer = await this.ports.turn.whenDeclared((queue, nowMs) => {
      const refusal = run(queue, nowMs);
      if (refusal) sendRefusal(socket, null, refusal);
      return ok(undefined);
    });
    return answer.ok ? null : answer;
  }

  private async publish(
    socket: WebSocket,
    state: SocketState,
    frame: Extract<ClientFrame, { type: "publish" }>,
    { payload, part }: Load,
    ref: number | null,
  ): Promise<Refusal | null> {
    if (!state.claims.publish)
      return refuse("forbidden", "publish: the token does not allow it on this queue");
    const batch = batchOfFrame(this.ports.codec, frame, payload);
    if (!batch.ok) return batch;
    const { publishRate: rate, replyTo } = state.claims;
    const lacking = replyTo && lacksReplyPattern(replyTo, replyQueuesOf(this.ports.codec, batch.value));
    if (lacking) return lacking;
    const stamp = stampOfFrame(frame, part);
    const command = { batch: batch.value, publisher: state.claims, ...stamp, ...(rate && { rate }) };
    const confirm = await this.ports.turn.publish(command);
    // Said here, not by the caller, so that answers stay in the order of the publishes.
    if (!confirm.ok) {
      sendRefusal(socket, ref, confirm);
      return null;
    }
    send(socket, { type: "confirm", ref, ...confirm.value });
    return null;
  }

  private async consume(socket: WebSocket, frame: ConsumeFrame): Promise<Refusal | null> {
    if (!stateOf(socket).claims.consume)
      return refuse("forbidden", "consume: the token does not allow it on this queue");
    return this.inTurn(socket, (queue, nowMs) => {
      const state = stateOf(socket);
      // Closed since it asked: nobody would ever detach it.
      if (!this.ports.isOpen(state.id)) return refuse("not_consuming", "consume: the socket is closed");
      const consumer = consumerFrom(frame, state, nowMs);
      const attached = queue.attach(consumerOf({ ...state, consumer })!, state.claims.consumersMax);
      if (!attached.ok) return attached;
      const isActive = queue.isActive(queue.consumer(state.id)!);
      this.ports.save(socket, { ...state, consumer: { ...consumer, isActive } });
      // Said inside the turn, so that it comes before the first delivery.
      send(socket, { type: "consuming", consumer: consumer.name, credit: consumer.credit, active: isActive });
      return null;
    });
  }

  /** There may be room for more. */
  private async reached(socket: WebSocket, mark: number): Promise<Refusal | null> {
    if (!unreadOf(socket).reached(mark)) return null;
    saveUnread(socket);
    return stateOf(socket).consumer === null ? null : this.inTurn(socket, () => null);
  }

  private cancel(socket: WebSocket): Promise<Refusal | null> {
    return this.inTurn(socket, (queue, nowMs) => {
      const state = stateOf(socket);
      if (state.consumer === null) return refuse("not_consuming", "cancel: this socket has no consumer");
      queue.detach(state.id, "released", nowMs);
      this.ports.save(socket, { ...state, consumer: null });
      sendCancelled(socket, state.consumer.name, "asked");
      return null;
    });
  }

  private changeConsumer(
    socket: WebSocket,
    change: (consumer: SocketConsumer) => SocketConsumer,
  ): Promise<Refusal | null> {
    return this.inTurn(socket, (queue) => {
      const state = stateOf(socket);
      const known = queue.consumer(state.id);
      if (state.consumer === null || known === null)
        return refuse("not_consuming", "this socket has no consumer");
      const consumer = change(state.consumer);
      this.ports.save(socket, { ...state, consumer });
      known.credit = consumer.credit;
      known.isDraining = consumer.isDraining;
      return null;
    });
  }

  private async settle(
    socket: WebSocket,
    state: SocketState,
    settlements: readonly Settlement[],
    ref: number | null,
  ): Promise<Refusal | null> {
    if (!state.claims.consume)
      return refuse("forbidden", "settle: the token does not allow it on this queue");
    // Who knows a lease has read its delivery, whatever became of it.
    const unread = unreadOf(socket);
    let hasRead = false;
    for (const { lease } of settlements) hasRead = unread.settled(lease) || hasRead;
    if (hasRead) saveUnread(socket);
    const { subject } = state.claims;
    const asked = settlements.map((settlement) => ({ ...settlement, subject }));
    const { turn } = this.ports;
    const run = (queue: Queue, nowMs: number): Result<SettlementResult[]> => ok(queue.settle(asked, nowMs));
    const waitMs = turn.open()?.ackWaitMs(state.id, asked) ?? 0;
    const results = await (waitMs > 0 ? turn.later(run, waitMs) : turn.whenDeclared(run));
    if (!results.ok) return results;
    send(socket, { type: "settled", ref, results: results.value });
    return null;
  }
}
