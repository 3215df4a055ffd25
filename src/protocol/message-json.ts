/**
 * Messages as JSON, for people and for clients without the batch format (PROTOCOL §4). Pure: the edge and the
 * queue's object both turn batches into JSON and back with these, once.
 */
import type { BatchCodec, HeaderValue, MessageRecord } from "./batch.ts";
import type { AttemptLogEntry, Delivery, MessageState, MessageView } from "./commands.ts";
import { deliveredRecords } from "./delivered.ts";
import type { EventJson } from "./session-frames.ts";
import { ok, refuse, type Result } from "./result.ts";
import { isUtf8, readText } from "./utf8.ts";

/** A header's value in JSON; bytes are `{ "base64": "…" }`. */
export type HeaderJson = string | number | boolean | { readonly base64: string };

/** What a publisher sends. Exactly one of body (text), json (any value) and bodyBase64; none means an empty body. */
export interface MessageJson {
  readonly routingKey?: string;
  readonly orderingKey?: string;
  readonly priority?: number;
  readonly delayMs?: number;
  readonly ttlMs?: number;
  readonly dedupId?: string;
  readonly cancelKey?: string;
  readonly correlationId?: string;
  readonly replyTo?: string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, HeaderJson>>;
  readonly body?: string;
  /** Encoded as JSON; contentType becomes application/json unless given. */
  readonly json?: unknown;
  readonly bodyBase64?: string;
}

/** What a consumer gets. `body` when it is UTF-8, else `bodyBase64`. */
export interface DeliveredJson extends Omit<MessageJson, "json" | "delayMs"> {
  readonly id: string;
  readonly sequence: number;
  /** Settles this message: `<lease>-<sequence>` in base 36. */
  readonly receipt: string;
  readonly attempt: number;
  readonly failures: number;
  readonly timeMs: number;
  readonly firstSentMs: number;
  readonly leaseUntilMs: number;
  /** A DeathRecord, on dead letters. */
  readonly death?: unknown;
  /** The body lies in a bucket; over HTTP the edge fetches it, over a socket the client does (PROTOCOL §5.9). */
  readonly bodyReference?: string;
}

/** A message as a peek shows it. */
export interface ViewJson extends Omit<
  DeliveredJson,
  "receipt" | "attempt" | "firstSentMs" | "leaseUntilMs"
> {
  readonly state: MessageState;
  readonly attempts: number;
  /** When a delayed message becomes ready. */
  readonly dueMs?: number;
  readonly expiresMs?: number;
  /** Who holds a leased message, and until when. */
  readonly consumer?: string;
  readonly leaseUntilMs?: number;
  readonly log?: readonly AttemptLogEntry[];
  /** Size of the body; of a body in a bucket, the size of its reference. */
  readonly bodyBytes: number;
  /** Where it lies, when that is not the queue that was asked: its dead-letter queue. */
  readonly queue?: string;
}

/** What settles one message of a delivery. */
export interface Receipt {
  readonly lease: number;
  readonly sequence: number;
  readonly key?: string;
}

export const RECEIPT_PATTERN = /^([0-9a-z]{1,11})-([0-9a-z]{1,11})(?:-([0-9a-z]{1,32}))?$/;

export function formatReceipt({ lease, sequence, key }: Receipt): string {
  const address = `${lease.toString(36)}-${sequence.toString(36)}`;
  return key === undefined ? address : `${address}-${key}`;
}

export function parseReceipt(receipt: string): Receipt | null {
  const match = RECEIPT_PATTERN.exec(receipt);
  if (!match) return null;
  const lease = Number.parseInt(match[1]!, 36);
  const sequence = Number.parseInt(match[2]!, 36);
  if (!Number.isSafeInteger(lease) || !Number.isSafeInteger(sequence)) return null;
  return { lease, sequence, ...(match[3] === undefined ? {} : { key: match[3] }) };
}

const encoder = new TextEncoder();

/** All of them, or the refusal of the first that is none. */
export function recordsFromJson(messages: readonly MessageJson[]): Result<MessageRecord[]> {
  const records: MessageRecord[] = [];
  for (const [index, message] of messages.entries()) {
    const record = recordFromJson(message, `messages[${index}]`);
    if (!record.ok) return record;
    records.push(record.value);
  }
  return ok(records);
}

/** Encodes what a publisher sent. `where` is how refusals call the message, such as `messages[3]`. */
export function recordFromJson(message: MessageJson, where = ""): Result<MessageRecord> {
  const prefix = where === "" ? "" : `${where}.`;
  const { body, json, bodyBase64, headers, ...rest } = message;
  if ([body, json, bodyBase64].filter((form) => form !== undefined).length > 1) {
    return refuse("bad_request", `${where || "message"}: has more than one of body, json and bodyBase64`);
  }
  const bytes = bodyBase64 === undefined ? encoder.encode(body ?? jsonText(json)) : fromBase64(bodyBase64);
  if (bytes === null) return refuse("bad_request", `${prefix}bodyBase64: is not base64`);
  const decoded = headersFromJson(headers, prefix);
  if (!decoded.ok) return decoded;
  return ok({
    ...rest,
    ...(json !== undefined && rest.contentType === undefined ? { contentType: "application/json" } : {}),
    ...(decoded.value === undefined ? {} : { headers: decoded.value }),
    body: bytes,
  });
}

function jsonText(json: unknown): string {
  return json === undefined ? "" : JSON.stringify(json);
}

function headersFromJson(
  headers: MessageJson["headers"],
  prefix: string,
): Result<Record<string, HeaderValue> | undefined> {
  if (headers === undefined) return ok(undefined);
  const entries: [string, HeaderValue][] = [];
  for (const [name, value] of Object.entries(headers)) {
    const bytes = typeof value === "object" ? fromBase64(value.base64) : value;
    if (bytes === null) return refuse("bad_request", `${prefix}headers.${name}: is not base64`);
    entries.push([name, bytes]);
  }
  // A header may be called `__proto__`: fromEntries defines it, where an assignment would set the prototype.
  return ok(entries.length === 0 ? undefined : Object.fromEntries(entries));
}

/** The messages of a delivery, in the order of its payload. */
export function deliveryToJson(delivery: Delivery, codec: BatchCodec): DeliveredJson[] {
  const { lease, key, untilMs } = delivery;
  return Array.from(deliveredRecords(delivery, codec), ({ id, sequence, timeMs, record, run }) => ({
    id,
    sequence,
    receipt: formatReceipt({ lease, sequence, ...(key === undefined ? {} : { key }) }),
    attempt: run.attempt,
    failures: run.failures,
    timeMs,
    firstSentMs: run.firstSentMs,
    leaseUntilMs: untilMs,
    ...metadataToJson(record),
    ...(record.ttlMs === undefined ? {} : { ttlMs: record.ttlMs }),
    ...(record.death === undefined ? {} : { death: JSON.parse(record.death) as unknown }),
  }));
}

export function viewToJson(view: MessageView): ViewJson {
  const { body: _body, bodyReference: _reference, headers: _headers, ...rest } = view;
  return { ...rest, ...metadataToJson(view) };
}

/** A message that is told rather than delivered: an event, or a reply. `timeMs` is that of its batch. */
export function eventToJson(record: MessageRecord, offset: number, timeMs: number): EventJson {
  return {
    offset,
    timeMs: record.timeMs ?? timeMs,
    ...(record.id === undefined ? {} : { id: record.id }),
    ...metadataToJson(record),
    ...(record.ttlMs === undefined ? {} : { ttlMs: record.ttlMs }),
    ...(record.death === undefined ? {} : { death: JSON.parse(record.death) as unknown }),
  };
}

const METADATA = [
  "routingKey",
  "orderingKey",
  "priority",
  "dedupId",
  "cancelKey",
  "correlationId",
  "replyTo",
  "contentType",
] as const;

type Metadata = Pick<MessageRecord, (typeof METADATA)[number] | "headers" | "bodyReference" | "body">;

/** What a record and a view have in common: the sender's fields that are set, headers and body. */
function metadataToJson(
  message: Metadata,
): Omit<MessageJson, "json" | "delayMs" | "ttlMs"> & Pick<DeliveredJson, "bodyReference"> {
  const set = METADATA.filter((field) => message[field] !== undefined).map((field) => [
    field,
    message[field],
  ]);
  return {
    ...(Object.fromEntries(set) as Pick<MessageRecord, (typeof METADATA)[number]>),
    ...(message.headers === undefined ? {} : { headers: headersToJson(message.headers) }),
    ...(message.bodyReference
      ? { bodyReference: readBodyReference(message.body).reference }
      : bodyToJson(message.body)),
  };
}

function headersToJson(headers: Readonly<Record<string, HeaderValue>>): Record<string, HeaderJson> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? { base64: toBase64(value) } : value,
    ]),
  );
}

/** `body` when the bytes are UTF-8, else `bodyBase64`. */
export function bodyToJson(body: Uint8Array): { body: string } | { bodyBase64: string } {
  return isUtf8(body, 0, body.length)
    ? { body: readText(body, 0, body.length) }
    : { bodyBase64: toBase64(body) };
}

/**
 * The body of a record whose real body lies in a bucket, under `<namespace>/<queue>/<uuid>`. A client names it by
 * `<queue>.<uuid>`: a dead letter keeps the reference while it moves from queue to queue.
 */
export interface BodyReference {
  readonly key: string;
  readonly bytes: number;
  /** An exchange led the message to several queues: none of them may delete the body when it is done. */
  readonly isShared?: true;
}

export function encodeBodyReference(reference: BodyReference): Uint8Array {
  return encoder.encode(JSON.stringify(reference));
}

export function readBodyReference(body: Uint8Array): BodyReference & { readonly reference: string } {
  const { key, ...rest } = JSON.parse(readText(body, 0, body.length)) as BodyReference;
  return { key, ...rest, reference: key.slice(key.indexOf("/") + 1).replace("/", ".") };
}

const UUID_LENGTH = 36;

/** The bucket's key of a client's reference, or null when it has not the form of one. */
export function bodyKey(namespace: string, reference: string): string | null {
  const dot = reference.length - UUID_LENGTH - 1;
  if (dot < 1 || reference[dot] !== "." || !/^[A-Za-z0-9._-]+$/.test(reference)) return null;
  return `${namespace}/${reference.slice(0, dot)}/${reference.slice(dot + 1)}`;
}

// `Uint8Array.fromBase64` is in every current browser and in workerd, and not in Node before 25.
interface NativeBase64 {
  readonly fromBase64?: (text: string) => Uint8Array;
}
const fromBase64Native = (Uint8Array as unknown as NativeBase64).fromBase64?.bind(Uint8Array);
const toBase64Native = (Uint8Array.prototype as unknown as { readonly toBase64?: () => string }).toBase64;

/** RFC 4648 §4, padded or not; null for anything else. */
export function fromBase64(text: string): Uint8Array | null {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  try {
    if (fromBase64Native !== undefined) return fromBase64Native(text);
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

// Bounded by what a call may take as arguments.
const CHUNK_BYTES = 0x2000;

export function toBase64(bytes: Uint8Array): string {
  if (toBase64Native !== undefined) return toBase64Native.call(bytes);
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK_BYTES));
  }
  return btoa(binary);
}
