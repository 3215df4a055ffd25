/** What a person publishes, and how it becomes a record (for a batch) or JSON (for the routes that take JSON). */
import type { HeaderValue, MessageRecord } from "../protocol/batch.ts";
import type { HeaderJson, MessageJson } from "../protocol/message-json.ts";
import { writeText } from "../protocol/utf8.ts";
import { MillraceError } from "./errors.ts";
import type { Known } from "./known-options.ts";

/**
 * Text goes as UTF-8, bytes as they are, and anything else as JSON with the content type `application/json`
 * (unless another is given).
 */
export type MessageBody = string | Uint8Array | ArrayBuffer | object | number | boolean | null;

export interface PublishOptions {
  /** What an exchange routes by, and filters look at. */
  readonly routingKey?: string;
  /** On FIFO queues: messages of one key are delivered one after the other. */
  readonly orderingKey?: string;
  /** 0 (default) to 31; higher goes first. */
  readonly priority?: number;
  /** Not delivered before this long after its acceptance. Up to 366 days. */
  readonly delayMs?: number;
  /** Expires this long after its acceptance; the queue's own, if shorter, wins. */
  readonly ttlMs?: number;
  /** A second message with this id within the queue's window is left out, and answered with the first one's id. */
  readonly dedupId?: string;
  /** Your own name for the message, by which it can be found, cancelled and replaced. */
  readonly cancelKey?: string;
  /** Tells replies apart: a responder sends it back with the reply. */
  readonly correlationId?: string;
  /**
   * The queue that the reply is wanted in: whoever serves this one (`client.serve`) publishes it there, with your
   * `correlationId`, and with the header `millrace-error` if it failed. It outlives you, which `client.call` does not.
   */
  readonly replyTo?: string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, HeaderValue>>;
}

export const PUBLISH_OPTIONS: Known<PublishOptions> = {
  routingKey: true,
  orderingKey: true,
  priority: true,
  delayMs: true,
  ttlMs: true,
  dedupId: true,
  cancelKey: true,
  correlationId: true,
  replyTo: true,
  contentType: true,
  headers: true,
};

export interface OutgoingMessage extends PublishOptions {
  readonly body: MessageBody;
}

export const OUTGOING_MESSAGE: Known<OutgoingMessage> = { ...PUBLISH_OPTIONS, body: true };

export interface Published {
  readonly id: string;
  /** True when a message with the same `dedupId` was there before; `id` is that one's. */
  readonly duplicate: boolean;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const encoder = new TextEncoder();

/** The body is copied, so that the caller may use its bytes again at once. Throws `bad_request` without a body. */
export function recordOf(body: MessageBody, options: PublishOptions): MessageRecord {
  const record: Writable<MessageRecord> = { body: NO_BYTES };
  // One by one: a field whose name is in a variable is far slower to get, and this is done for every message.
  const { routingKey, orderingKey, priority, delayMs, ttlMs, dedupId, cancelKey, correlationId } = options;
  const { replyTo, contentType, headers } = options;
  if (routingKey !== undefined) record.routingKey = routingKey;
  if (orderingKey !== undefined) record.orderingKey = orderingKey;
  if (priority !== undefined) record.priority = priority;
  if (delayMs !== undefined) record.delayMs = delayMs;
  if (ttlMs !== undefined) record.ttlMs = ttlMs;
  if (dedupId !== undefined) record.dedupId = dedupId;
  if (cancelKey !== undefined) record.cancelKey = cancelKey;
  if (correlationId !== undefined) record.correlationId = correlationId;
  if (replyTo !== undefined) record.replyTo = replyTo;
  if (contentType !== undefined) record.contentType = contentType;
  if (headers !== undefined) record.headers = headers;
  if (typeof body === "string") record.body = bytesOf(body);
  else if (body instanceof Uint8Array) record.body = copyOf(body);
  else if (body instanceof ArrayBuffer) record.body = new Uint8Array(body.slice(0));
  else {
    record.body = bytesOf(jsonText(body));
    record.contentType ??= "application/json";
  }
  return record;
}

const NO_BYTES = new Uint8Array(0);

/** Small bodies lie side by side in one buffer: a buffer of its own for each costs more than all else of a publish. */
const POOL_BYTES = 32_768;
const POOLED_BYTES_MAX = 1_024;
let pool = new Uint8Array(POOL_BYTES);
let poolUsed = 0;

function haveRoom(size: number): void {
  if (poolUsed + size <= POOL_BYTES) return;
  pool = new Uint8Array(POOL_BYTES);
  poolUsed = 0;
}

function takePooled(size: number): Uint8Array {
  poolUsed += size;
  return pool.subarray(poolUsed - size, poolUsed);
}

function copyOf(body: Uint8Array): Uint8Array {
  if (body.length > POOLED_BYTES_MAX) return body.slice();
  haveRoom(body.length);
  pool.set(body, poolUsed);
  return takePooled(body.length);
}

function bytesOf(text: string): Uint8Array {
  if (text.length * 3 > POOLED_BYTES_MAX) return encoder.encode(text);
  haveRoom(text.length * 3);
  return takePooled(writeText(text, pool, poolUsed));
}

function jsonText(body: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(body);
  } catch (error) {
    throw new MillraceError("bad_request", "body: can't be written as JSON", { cause: error });
  }
  if (text === undefined) throw new MillraceError("bad_request", "body: is missing, or has no JSON form");
  return text;
}

/** No fewer bytes than the record takes in a batch: a UTF-16 unit is at most three bytes of UTF-8. */
export function recordBytesMax(record: MessageRecord): number {
  const { routingKey = "", orderingKey = "", dedupId = "", cancelKey = "", correlationId = "" } = record;
  const { replyTo = "", contentType = "", body } = record;
  const keys = routingKey.length + orderingKey.length + dedupId.length + cancelKey.length;
  const units = keys + correlationId.length + replyTo.length + contentType.length;
  let bytes = 64 + body.length + 3 * units;
  if (record.headers !== undefined) {
    for (const [name, value] of Object.entries(record.headers)) {
      bytes += 16 + name.length * 3 + (typeof value === "string" ? value.length * 3 : 0);
      if (value instanceof Uint8Array) bytes += value.length;
    }
  }
  return bytes;
}

export function jsonOf(body: MessageBody, options: PublishOptions): MessageJson {
  const { body: bytes, headers, ...fields } = recordOf(body, options);
  const json: Writable<MessageJson> = { ...fields };
  if (typeof body === "string") json.body = body;
  else json.bodyBase64 = base64Of(bytes);
  if (headers !== undefined) {
    const entries = Object.entries(headers).map(([name, value]): [string, HeaderJson] => [
      name,
      value instanceof Uint8Array ? { base64: base64Of(value) } : value,
    ]);
    json.headers = Object.fromEntries(entries);
  }
  return json;
}

export function base64Of(bytes: Uint8Array): string {
  let text = "";
  // In slices: the arguments of one call are limited.
  for (let at = 0; at < bytes.length; at += 8_192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8_192));
  }
  return btoa(text);
}

export function bytesOfBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
