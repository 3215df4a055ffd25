/**
 * Which consumers' sockets may go on: those whose peer is heard of and reads, and whose token holds. Whether a token is revoked is
 * asked only where something would be delivered, or is held, under it; a delivery waits for the answer, a publish does not.
 */
import type { Queue } from "../queue/queue.ts";
import { LIMITS } from "../protocol/limits.ts";
import { roomOf } from "../protocol/unread.ts";
import { isFlushed, stateOf, unreadOf, type SocketConsumer, type SocketState } from "./queue-socket.ts";
import type { SocketTokens } from "./socket-tokens.ts";

/** Silence, in heartbeats, after which a peer counts as gone. */
const HEARTBEATS_MISSED = 2.5;

export type DeathReason = "heartbeat_lost" | "token_expired" | "token_revoked" | "too_slow";

export interface DeadConsumer {
  readonly socket: WebSocket;
  readonly state: SocketState;
  readonly consumer: SocketConsumer;
  readonly reason: DeathReason;
}

export class SocketWatch {
  private readonly ctx: DurableObjectState;
  private readonly tokens: SocketTokens;
  /** By the consumer's id. */
  private readonly consuming: ReadonlyMap<number, WebSocket>;
  /** When a socket last sent a frame in this life of the object; bare pings are known to the platform. */
  private readonly heard = new WeakMap<WebSocket, number>();

  constructor(ctx: DurableObjectState, tokens: SocketTokens, consuming: ReadonlyMap<number, WebSocket>) {
    this.ctx = ctx;
    this.tokens = tokens;
    this.consuming = consuming;
  }

  /** Since when it is full of what is unread and holds no lease any more: who reads would have settled. */
  private readonly deafSince = new WeakMap<WebSocket, number>();

  hear(socket: WebSocket, nowMs: number): void {
    this.heard.set(socket, nowMs);
  }

  private silentFromMs(socket: WebSocket, consumer: SocketConsumer): number {
    if (consumer.heartbeatMs === null) return Number.POSITIVE_INFINITY;
    const pingMs = this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
    const heardMs = Math.max(consumer.sinceMs, pingMs, this.heard.get(socket) ?? 0);
    return heardMs + consumer.heartbeatMs * HEARTBEATS_MISSED;
  }

  /** When to look again at the consumers that hold messages; null: nothing here waits for time. */
  nextDeadlineMs(queue: Queue): number | null {
    let next = (queue.waitsForJudgement ? this.tokens.nextTryMs : null) ?? Number.POSITIVE_INFINITY;
    for (const [id, socket] of this.consuming) {
      const { consumer, claims } = stateOf(socket);
      if (consumer === null) continue;
      const deafMs = this.deafSince.get(socket);
      if (deafMs !== undefined) next = Math.min(next, deafMs + LIMITS.deafMs);
      if (queue.unsettledOf(id) === 0) continue;
      next = Math.min(next, this.silentFromMs(socket, consumer), this.tokens.nextLookMs(claims));
    }
    return next === Number.POSITIVE_INFINITY ? null : next;
  }

  /** Before the alarm's turn, where messages are held, or waited for, under tokens that may have been revoked. */
  async learnRevoked(queue: Queue): Promise<void> {
    for (const [id, socket] of this.consuming) {
      const isConcerned = queue.unsettledOf(id) > 0 || queue.waitsForJudgement;
      const learning = isConcerned && this.tokens.learn(stateOf(socket).claims, Date.now());
      // One answer tells of all tokens.
      if (learning) return void (await learning);
    }
  }

  /** After a turn that kept something back from a consumer whose token is not judged: once it is, `again` is called. */
  async judge(queue: Queue, nowMs: number, again: () => Promise<unknown>): Promise<void> {
    if (!queue.waitsForJudgement || (this.tokens.nextTryMs ?? 0) > nowMs) return;
    await this.learnRevoked(queue);
    await again();
  }

  /** Inside a turn: consumers whose peer fell silent, or whose token ended. Of the others, which may get something. */
  findDead(queue: Queue, nowMs: number): DeadConsumer[] {
    const dead: DeadConsumer[] = [];
    const unreadBytes = this.unreadBytes();
    for (const socket of this.consuming.values()) {
      const state = stateOf(socket);
      const { consumer, claims } = state;
      if (consumer === null) continue;
      const isSilent = this.silentFromMs(socket, consumer) <= nowMs;
      const isDeaf = this.isDeaf(queue, state.id, socket, nowMs);
      const reason = isSilent ? "heartbeat_lost" : isDeaf ? "too_slow" : this.tokens.endedBy(claims, nowMs);
      if (reason !== null) dead.push({ socket, state, consumer, reason });
      else queue.judge(state.id, this.tokens.isJudged(claims, nowMs), roomFor(socket, consumer, unreadBytes));
    }
    return dead;
  }

  private unreadBytes(): number {
    let bytes = 0;
    for (const socket of this.consuming.values()) bytes += unreadOf(socket).bytes;
    return bytes;
  }

  private isDeaf(queue: Queue, id: number, socket: WebSocket, nowMs: number): boolean {
    if (!unreadOf(socket).isStalled || isFlushed(socket) || queue.unsettledOf(id) > 0) {
      this.deafSince.delete(socket);
      return false;
    }
    const sinceMs = this.deafSince.get(socket) ?? nowMs;
    this.deafSince.set(socket, sinceMs);
    return sinceMs + LIMITS.deafMs <= nowMs;
  }
}

/** Text may be several times what it is made of: it is counted when it is sent, and little is sent in one go. */
const TEXT_PART = 4;

function roomFor(socket: WebSocket, { format }: SocketConsumer, allBytes: number): number {
  const room = roomOf(unreadOf(socket), allBytes);
  return format === "json" ? Math.ceil(room / TEXT_PART) : room;
}
