/**
 * What goes over a queue's WebSocket (PROTOCOL §6). The same commands in two forms:
 *
 *   text frame     one JSON object
 *   binary frame   u32 size of the head, little-endian │ head: the same JSON object │ payload: batches
 *
 * A publish with a payload needs no `messages`; a delivery with a payload has none. Everything else is alike.
 * The bare text `ping` is answered with `pong` by the platform, without waking the queue.
 */
import type { DeliveryRun, PublishConfirm, Settlement, SettlementResult } from "./commands.ts";
import { BATCH_LIMITS, LIMITS } from "./limits.ts";
import type { DeliveredJson, MessageJson } from "./message-json.ts";
import { ok, refuse, type Refusal, type Result } from "./result.ts";

/** Becomes a consumer. One per socket; `consume` again sets everything anew but the name. */
export interface ConsumeFrame {
  readonly type: "consume";
  /** A name for people; leases and logs show it. Default: one is made up. */
  readonly consumer?: string;
  /** Deliveries it may hold unsettled. Default 20. */
  readonly credit?: number;
  readonly leaseMs?: number;
  /** Consumers of a higher priority are served first while they have credit. Default 0; -100 to 100. */
  readonly priority?: number;
  /** Refused when the queue has another consumer; keeps all others out. */
  readonly exclusive?: boolean;
  /** How deliveries come. Default: json. */
  readonly format?: "json" | "binary";
  /** The client promises a `ping` this often; after two and a half times the silence it counts as gone. */
  readonly heartbeatMs?: number;
  /** One delivery, then the consumer is gone and its lease stays. What a long poll uses. */
  readonly once?: boolean;
  /** With `once`: a receive with the same attempt id and consumer gets the same delivery again while it is untouched. */
  readonly attemptId?: string;
}

export type ClientFrame =
  | ConsumeFrame
  | { readonly type: "credit"; readonly credit: number }
  | { readonly type: "settle"; readonly ref?: number; readonly settlements: readonly Settlement[] }
  | {
      readonly type: "publish";
      readonly ref?: number;
      readonly producer?: string;
      readonly sequence?: number;
      readonly messages?: readonly MessageJson[];
    }
  /** No more deliveries; `drained` follows when nothing is unsettled. */
  | { readonly type: "drain" }
  /** Stops consuming: what is unsettled goes back to its place, not counted as failed. `cancelled` follows. */
  | { readonly type: "cancel" }
  /** It has read all that came before that mark. */
  | { readonly type: "reached"; readonly mark: number }
  | { readonly type: "ping"; readonly ref?: number };

export type CancelReason =
  "asked" | "queue_deleted" | "heartbeat_lost" | "token_expired" | "token_revoked" | "too_slow" | "once";

export type ServerFrame =
  | { readonly type: "hello"; readonly queue: string; readonly origin: number }
  | {
      readonly type: "consuming";
      readonly consumer: string;
      readonly credit: number;
      readonly active: boolean;
    }
  /** Tells a waiting consumer that its turn has come (single active consumer). */
  | { readonly type: "active"; readonly consumer: string }
  | ({ readonly type: "deliver" } & DeliverHead)
  | ({ readonly type: "confirm"; readonly ref: number | null } & PublishConfirm)
  | { readonly type: "settled"; readonly ref: number | null; readonly results: readonly SettlementResult[] }
  | { readonly type: "drained" }
  | { readonly type: "cancelled"; readonly consumer: string; readonly reason: CancelReason }
  /** Much is unread, as far as the broker can tell: answered by `reached`. */
  | { readonly type: "mark"; readonly mark: number }
  | { readonly type: "pong"; readonly ref: number | null }
  | ({ readonly type: "error"; readonly ref: number | null } & Omit<Refusal, "ok">);

/** From a partition to the edge, which gathers the frames of all of them for its client: there are more now. */
export interface PartFrame {
  readonly type: "partitions";
  readonly partitions: number;
}

export interface DeliverHead {
  readonly lease: number;
  /** Proves the right to settle to others than this consumer's subject. */
  readonly key?: string;
  readonly untilMs: number;
  /** Binary form: what the payload's batches are. */
  readonly runs?: readonly DeliveryRun[];
  /** JSON form. */
  readonly messages?: readonly DeliveredJson[];
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function encodeBinaryFrame(head: object, payload: Uint8Array): Uint8Array {
  const headBytes = encoder.encode(JSON.stringify(head));
  const frame = new Uint8Array(4 + headBytes.length + payload.length);
  new DataView(frame.buffer).setUint32(0, headBytes.length, true);
  frame.set(headBytes, 4);
  frame.set(payload, 4 + headBytes.length);
  return frame;
}

/** Splits a frame into its head (parsed, not yet checked) and payload (empty for text). */
export function decodeFrame(data: string | ArrayBuffer): Result<{ head: unknown; payload: Uint8Array }> {
  if (typeof data === "string") {
    if (data.length > LIMITS.frameBytesMax)
      return refuse("bad_frame", `frame: over ${LIMITS.frameBytesMax} bytes`);
    return parseHead(data, new Uint8Array(0));
  }
  const bytes = new Uint8Array(data);
  if (bytes.length < 4) return refuse("bad_frame", "frame: shorter than its head size");
  if (bytes.length > LIMITS.frameBytesMax) {
    return refuse("bad_frame", `frame: over ${LIMITS.frameBytesMax} bytes`);
  }
  const headBytes = new DataView(data).getUint32(0, true);
  if (headBytes > LIMITS.frameHeadBytesMax || 4 + headBytes > bytes.length) {
    return refuse("bad_frame", "frame: its head does not fit");
  }
  let text: string;
  try {
    text = decoder.decode(bytes.subarray(4, 4 + headBytes));
  } catch {
    return refuse("bad_frame", "frame: its head is not UTF-8");
  }
  return parseHead(text, bytes.subarray(4 + headBytes));
}

function parseHead(text: string, payload: Uint8Array): Result<{ head: unknown; payload: Uint8Array }> {
  try {
    return ok({ head: JSON.parse(text), payload });
  } catch {
    return refuse("bad_frame", "frame: not JSON");
  }
}

/** Subprotocol that a browser offers; the token rides beside it as `bearer.<token>` and is never echoed. */
export const SUBPROTOCOL = "millrace.v1";
export const BEARER_PREFIX = "bearer.";

export const FRAME_PAYLOAD_BYTES_MAX = BATCH_LIMITS.batchBytesMax;
