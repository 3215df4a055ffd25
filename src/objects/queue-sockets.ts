/**
 * The sockets on a queue: frames in, frames out. A socket may publish, and may be one consumer. Each frame is
 * checked, becomes a job of the turn, and is answered when the turn is stored.
 */
import type { BatchCodec } from "../protocol/batch.ts";
import { decodeFrame, type CancelReason } from "../protocol/frames.ts";
import { LIMITS } from "../protocol/limits.ts";
import { splitPartitionName } from "../protocol/names.ts";
import { takePart } from "../protocol/publish-frame.ts";
import { ok, refuse, type Refusal } from "../protocol/result.ts";
import type { SocketClaims } from "../protocol/rpc.ts";
import { parseClientFrame } from "../protocol/schemas.ts";
import type { Dispatched } from "../queue/consumers.ts";
import type { Queue } from "../queue/queue.ts";
import type { Departure } from "../queue/release.ts";
import type { ConsumerIds } from "./consumer-ids.ts";
import { QueueFrames, type QueueTurn } from "./queue-frames.ts";
import {
  CLOSE,
  closeSocket,
  consumerOf,
  saveState,
  send,
  sendCancelled,
  sendDelivery,
  sendRefusal,
  stateOf,
  type SocketState,
} from "./queue-socket.ts";
import type { SocketTokens } from "./socket-tokens.ts";
import { SocketWatch } from "./socket-watch.ts";

export interface QueueSocketsPorts {
  readonly codec: BatchCodec;
  readonly turn: QueueTurn;
  readonly ids: ConsumerIds;
  readonly tokens: SocketTokens;
}

export class QueueSockets {
  private readonly ctx: DurableObjectState;
  private readonly codec: BatchCodec;
  private readonly turn: QueueTurn;
  private readonly ids: ConsumerIds;
  private readonly tokens: SocketTokens;
  private readonly byId = new Map<number, WebSocket>();
  /** Those of them that are consumers: the only ones a turn has to look at. */
  private readonly consuming = new Map<number, WebSocket>();
  private readonly watch: SocketWatch;
  private readonly frames: QueueFrames;
  private leaving: WebSocket | null = null;
  /** Consumers whose socket has closed, until their release has had its turn. */
  private readonly closed = new Set<number>();
  /** Leases of deliveries that could not be sent. */
  private readonly unsent: number[] = [];

  constructor(ctx: DurableObjectState, ports: QueueSocketsPorts) {
    this.ctx = ctx;
    this.codec = ports.codec;
    this.turn = ports.turn;
    this.ids = ports.ids;
    this.tokens = ports.tokens;
    this.watch = new SocketWatch(ctx, ports.tokens, this.consuming);
    this.frames = new QueueFrames({
      codec: ports.codec,
      turn: ports.turn,
      isOpen: (id) => this.byId.has(id),
      save: (socket, state) => this.save(socket, state),
    });
    // Answered by the platform without waking the object.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }

  /** Takes up the sockets that outlived hibernation; returns the ids of those that consume. */
  reattach(queue: Queue): Set<number> {
    const live = new Set<number>();
    this.byId.clear();
    this.consuming.clear();
    // A socket whose closing woke the object may not be listed any more, but it has not been lost by a restart.
    const sockets = new Set(this.ctx.getWebSockets());
    if (this.leaving) sockets.add(this.leaving);
    for (const socket of sockets) {
      const state = stateOf(socket);
      this.byId.set(state.id, socket);
      this.ids.note(state.id);
      const consumer = consumerOf(state);
      if (consumer === null) continue;
      queue.attach(consumer, LIMITS.consumersMax);
      this.consuming.set(state.id, socket);
      live.add(state.id);
    }
    return live;
  }

  /** `parts`: sockets at partitions, this one among them, that serve one client; 1: the client's own. */
  accept(claims: SocketClaims, parts: number): Response {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    const id = this.ids.next(Date.now());
    this.save(server, { id, claims, isPart: parts > 1, parts, consumer: null });
    this.byId.set(id, server);
    const { queue } = splitPartitionName(this.turn.name);
    send(server, { type: "hello", queue, origin: this.turn.open()!.stored.origin });
    return new Response(null, { status: 101, webSocket: client });
  }

  async onMessage(socket: WebSocket, data: string | ArrayBuffer): Promise<void> {
    if (data === "ping") {
      // Only a ping that came before the automatic answer was set gets here.
      socket.send("pong");
      return;
    }
    this.watch.hear(socket, Date.now());
    // Without waiting where nothing is to be asked: frames are handled in the order in which they come.
    const learning = this.tokens.learn(stateOf(socket).claims, Date.now());
    const unknown = learning && (await learning);
    const state = stateOf(socket);
    const endedBy = this.tokens.endedBy(state.claims, Date.now());
    if (unknown !== null || endedBy !== null) {
      if (endedBy !== null && state.consumer) sendCancelled(socket, state.consumer.name, endedBy);
      const how = endedBy === "token_revoked" ? "it has been revoked" : "it has expired";
      sendRefusal(socket, null, unknown ?? refuse("unauthenticated", `token: ${how}`));
      await this.release(socket, "released");
      return;
    }
    const decoded = decodeFrame(data);
    if (!decoded.ok) return sendRefusal(socket, null, decoded);
    const ref = refOf(decoded.value.head);
    const { head, part } = state.isPart
      ? takePart(decoded.value.head)
      : { head: decoded.value.head, part: {} };
    const frame = parseClientFrame(head);
    if (!frame.ok) return sendRefusal(socket, ref, frame);
    let refusal: Refusal | null;
    try {
      refusal = await this.frames.handle(socket, state, frame.value, {
        payload: decoded.value.payload,
        part,
      });
    } catch (error) {
      // Rolled back: nothing of this turn was stored.
      console.error("a turn failed", {
        queue: this.turn.name,
        frame: frame.value.type,
        error: String(error),
      });
      refusal = refuse("internal", "the broker failed; nothing was confirmed");
    }
    if (refusal) sendRefusal(socket, ref, refusal);
  }

  async onClose(socket: WebSocket, code: number): Promise<void> {
    this.leaving = socket;
    this.turn.open();
    this.leaving = null;
    const state = stateOf(socket);
    this.byId.delete(state.id);
    this.consuming.delete(state.id);
    if (state.consumer === null) return;
    // A consumer that drained said goodbye; any other took its messages with it.
    const isFarewell = state.consumer.isDraining && code === CLOSE.normal;
    this.closed.add(state.id);
    await this.release(socket, isFarewell ? "released" : "lost");
    this.closed.delete(state.id);
  }

  private async release(socket: WebSocket, how: Departure): Promise<void> {
    const state = stateOf(socket);
    if (state.consumer === null) return;
    await this.turn.whenDeclared((queue, nowMs) => {
      queue.detach(state.id, how, nowMs);
      this.save(socket, { ...state, consumer: null });
      return ok(undefined);
    });
  }

  private save(socket: WebSocket, state: SocketState): void {
    saveState(socket, state);
    if (state.consumer !== null && this.byId.has(state.id)) this.consuming.set(state.id, socket);
    else this.consuming.delete(state.id);
  }

  nextDeadlineMs(queue: Queue): number | null {
    return this.watch.nextDeadlineMs(queue);
  }

  learnRevoked(queue: Queue): Promise<void> {
    return this.watch.learnRevoked(queue);
  }

  /**
   * Inside a turn, before it delivers: consumers whose peer fell silent, or whose token ended, are gone. Those whose
   * socket has closed get nothing more, but keep what they hold until the frames they sent before have been handled.
   */
  dropDead(queue: Queue, nowMs: number): void {
    for (const id of this.closed) {
      const consumer = queue.consumer(id);
      if (consumer) consumer.isDraining = true;
    }
    for (const { socket, state, consumer, reason } of this.watch.findDead(queue, nowMs)) {
      queue.detach(state.id, reason.startsWith("token") ? "released" : "lost", nowMs);
      this.save(socket, { ...state, consumer: null });
      sendCancelled(socket, consumer.name, reason);
      closeSocket(socket, CLOSE.policy, reason);
    }
  }

  /** After a turn: deliveries, and what consumers must know of what changed. */
  afterTurn(queue: Queue, dispatched: readonly Dispatched[]): void {
    for (const { consumer, delivery } of dispatched) {
      const socket = this.byId.get(consumer.id);
      // A consumer on a hub has none.
      if (!socket) continue;
      const state = stateOf(socket);
      const isSent = sendDelivery(socket, state.consumer?.format ?? "json", delivery, this.codec);
      if (!isSent) this.unsent.push(delivery.lease);
      if (consumer.isOnce && state.consumer) {
        this.save(socket, { ...state, consumer: null });
        sendCancelled(socket, consumer.name, "once");
      }
    }
    for (const socket of this.consuming.values()) this.tellChanges(queue, socket);
    if (this.unsent.length > 0) this.ctx.waitUntil(this.takeBack(this.unsent.splice(0)));
    if (!queue.waitsForJudgement) return;
    const again = (): Promise<unknown> => this.turn.whenDeclared(() => ok(undefined));
    this.ctx.waitUntil(this.watch.judge(queue, Date.now(), again));
  }

  /** Nobody has heard of these deliveries: they are no attempt that failed. */
  private async takeBack(leases: readonly number[]): Promise<void> {
    await this.turn.whenDeclared((queue, nowMs) => {
      queue.releaseLeases(leases, nowMs);
      return ok(undefined);
    });
  }

  private tellChanges(queue: Queue, socket: WebSocket): void {
    const state = stateOf(socket);
    const known = state.consumer && queue.consumer(state.id);
    if (!state.consumer || !known) return;
    if (!state.consumer.isActive && queue.isActive(known)) {
      this.save(socket, { ...state, consumer: { ...state.consumer, isActive: true } });
      send(socket, { type: "active", consumer: known.name });
    }
    if (known.isDraining && queue.unsettledOf(state.id) === 0) {
      queue.detachDrained(state.id);
      this.save(socket, { ...state, consumer: null });
      send(socket, { type: "drained" });
    }
  }

  /** Inside a turn: the queue has more partitions. A client that came when there was one comes again, to all. */
  tellSpread(queue: Queue, nowMs: number): void {
    const { count } = queue.partition;
    for (const socket of this.byId.values()) {
      const state = stateOf(socket);
      if (state.isPart) {
        send(socket, { type: "partitions", partitions: count });
        continue;
      }
      if (state.consumer !== null) queue.detach(state.id, "released", nowMs);
      this.save(socket, { ...state, consumer: null });
      closeSocket(socket, CLOSE.restart, "partitions_changed");
    }
  }

  cancelAll(reason: CancelReason): void {
    for (const socket of this.byId.values()) {
      const state = stateOf(socket);
      if (state.consumer) sendCancelled(socket, state.consumer.name, reason);
      this.save(socket, { ...state, consumer: null });
      closeSocket(socket, CLOSE.goingAway, reason);
    }
  }
}

function refOf(head: unknown): number | null {
  const ref = typeof head === "object" && head !== null && "ref" in head ? head.ref : null;
  return typeof ref === "number" ? ref : null;
}
