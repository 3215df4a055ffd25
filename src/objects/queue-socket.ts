/**
 * A consumer's socket. All that must outlive hibernation lies in its attachment, so that a sleeping object holds
 * nothing in memory; what can be derived from it needs no row.
 */
import type { Delivery } from "../protocol/commands.ts";
import { ERRORS } from "../protocol/errors.ts";
import {
  encodeBinaryFrame,
  type CancelReason,
  type ConsumeFrame,
  type PartFrame,
  type ServerFrame,
} from "../protocol/frames.ts";
import type { BatchCodec } from "../protocol/batch.ts";
import { LIMITS } from "../protocol/limits.ts";
import { deliveryToJson } from "../protocol/message-json.ts";
import type { Refusal } from "../protocol/result.ts";
import type { SocketClaims } from "../protocol/rpc.ts";
import { Unread, type UnreadState } from "../protocol/unread.ts";
import type { Consumer } from "../queue/consumers.ts";

export interface SocketState {
  /** Never used again in this queue. */
  readonly id: number;
  readonly claims: SocketClaims;
  /** It comes from the edge, which has one at each partition for a client. */
  readonly isPart: boolean;
  readonly consumer: SocketConsumer | null;
  /** Of several sockets, one at each partition, that serve one client. */
  readonly parts?: number;
  readonly unread?: UnreadState;
}

export interface SocketConsumer {
  readonly name: string;
  readonly credit: number;
  readonly leaseMs: number | null;
  readonly priority: number;
  readonly isExclusive: boolean;
  readonly isOnce: boolean;
  readonly isDraining: boolean;
  readonly format: "json" | "binary";
  readonly heartbeatMs: number | null;
  /** When it began to consume: silence is counted from here. */
  readonly sinceMs: number;
  readonly attemptId: string | null;
  /** Whether the client was told that its turn has come. */
  readonly isActive: boolean;
}

/** WebSocket close codes (RFC 6455 §7.4.1 and its registry): normal, going away, policy violation, service restart. */
export const CLOSE = { normal: 1000, goingAway: 1001, policy: 1008, restart: 1012 } as const;

const unreads = new WeakMap<WebSocket, Unread>();

/** What the attachment holds, so that it is read once in each life of the object. */
const known = new WeakMap<WebSocket, SocketState>();

export function stateOf(socket: WebSocket): SocketState {
  let state = known.get(socket);
  if (!state) {
    state = socket.deserializeAttachment() as SocketState;
    known.set(socket, state);
  }
  return state;
}

export function saveState(socket: WebSocket, changed: SocketState): void {
  const unread = unreads.get(socket);
  const state = unread ? { ...changed, unread: unread.save() } : changed;
  socket.serializeAttachment(state);
  known.set(socket, state);
}

export function consumerOf(state: SocketState): Consumer | null {
  const { consumer } = state;
  if (consumer === null) return null;
  const { name, credit, leaseMs, priority, isExclusive, isOnce, isDraining, attemptId } = consumer;
  const { subject } = state.claims;
  return {
    id: state.id,
    subject,
    name,
    credit,
    leaseMs,
    priority,
    isExclusive,
    isOnce,
    isDraining,
    attemptId,
  };
}

/** What its peer has not shown to have read. */
export function unreadOf(socket: WebSocket): Unread {
  let unread = unreads.get(socket);
  if (!unread) {
    const { unread: state, parts = 1 } = stateOf(socket);
    unread = new Unread(state, LIMITS.unreadBytesMax / parts);
    unreads.set(socket, unread);
  }
  return unread;
}

/** Writes down what is unread, so that sleep does not wipe it out. */
export function saveUnread(socket: WebSocket): void {
  saveState(socket, stateOf(socket));
}

/** Nobody who has not read it can tell it: 52 bits of the platform's randomness. */
export function drawMark(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high >>> 12) * 2 ** 32 + low + 1;
}

/** False: it could not be sent. */
export function send(socket: WebSocket, frame: ServerFrame | PartFrame): boolean {
  return transmit(socket, JSON.stringify(frame));
}

/** Sending to a peer that is already gone is no fault: the close event follows. */
function transmit(socket: WebSocket, data: string | Uint8Array, lease?: number): boolean {
  if (!trySend(socket, data)) return false;
  const unread = unreadOf(socket);
  if (lease === undefined) unread.answered(data.length);
  else unread.delivered(data.length, lease);
  if (unread.wantsMark) {
    const mark = drawMark();
    if (trySend(socket, JSON.stringify({ type: "mark", mark } satisfies ServerFrame))) unread.marked(mark);
  }
  if (unread.wantsSaving) saveUnread(socket);
  if (unread.isDeaf && !isFlushed(socket)) closeSocket(socket, CLOSE.policy, "too_slow");
  return true;
}

/** Where the platform tells what waits in it, that it has sent all proves as much as the peer's word. */
export function isFlushed(socket: WebSocket): boolean {
  const { bufferedAmount } = socket as { readonly bufferedAmount?: number };
  if (bufferedAmount !== 0) return false;
  unreadOf(socket).allSent();
  return true;
}

function trySend(socket: WebSocket, data: string | Uint8Array): boolean {
  try {
    socket.send(data);
    return true;
  } catch {
    // Closed meanwhile.
    return false;
  }
}

/** The consumer that a frame asks for. A name once given stays. */
export function consumerFrom(frame: ConsumeFrame, state: SocketState, nowMs: number): SocketConsumer {
  return {
    name: frame.consumer ?? state.consumer?.name ?? `${state.claims.subject}.${state.id.toString(36)}`,
    credit: frame.credit ?? LIMITS.creditDefault,
    leaseMs: frame.leaseMs ?? null,
    priority: frame.priority ?? 0,
    isExclusive: frame.exclusive ?? false,
    isOnce: frame.once ?? false,
    isDraining: false,
    format: frame.format ?? "json",
    heartbeatMs: frame.heartbeatMs ?? null,
    sinceMs: nowMs,
    attemptId: frame.attemptId ?? null,
    isActive: true,
  };
}

/** False: it could not be sent. */
export function sendDelivery(
  socket: WebSocket,
  format: "json" | "binary",
  delivery: Delivery,
  codec: BatchCodec,
): boolean {
  const { lease, key, untilMs, runs, payload } = delivery;
  const head = { type: "deliver", lease, ...(key && { key }), untilMs } as const;
  const frame =
    format === "json"
      ? JSON.stringify({ ...head, messages: deliveryToJson(delivery, codec) })
      : encodeBinaryFrame({ ...head, runs }, payload);
  const isSent = transmit(socket, frame, lease);
  if (isSent) saveUnread(socket);
  return isSent;
}

/** Tells a refusal, and closes the socket where the table says so. */
export function sendRefusal(socket: WebSocket, ref: number | null, refusal: Refusal): void {
  const { ok: _ok, ...rest } = refusal;
  send(socket, { type: "error", ref, ...rest });
  if (ERRORS[refusal.code].closes) closeSocket(socket, CLOSE.policy, refusal.code);
}

export function sendCancelled(socket: WebSocket, consumer: string, reason: CancelReason): void {
  send(socket, { type: "cancelled", consumer, reason });
}

export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason);
  } catch {
    // Closed meanwhile.
  }
}
