/**
 * A message of SQS as a record of the broker's, and back. Its attributes are headers, for everyone to read. What SQS knows
 * beyond that lies in headers that no attribute may be called by:
 *
 *   AWS.SenderId     who sent it
 *   AWS.TraceHeader  the system attribute
 *   AWS.Types        JSON: the types of attributes that their header does not tell, by name
 *   AWS.Spilled      JSON: [name, type, bytes] of attributes too large for headers; their values lie, in this order, in
 *                    front of the body
 */
import { concatBytes } from "@noble/hashes/utils.js";
import type { Headers, HeaderValue, MessageRecord } from "../../protocol/batch.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { toBase64 } from "../../protocol/message-json.ts";
import { isUtf8, readText } from "../../protocol/utf8.ts";
import { bytesOf, hasForbiddenCharacters, isBinary, type AttributeValue } from "./message-attributes.ts";

const SENDER = "AWS.SenderId";
const TRACE = "AWS.TraceHeader";
const TYPES = "AWS.Types";
const SPILLED = "AWS.Spilled";
const RESERVED = new Set([SENDER, TRACE, TYPES, SPILLED]);

/** What values take of the room for headers; the rest is for ten names and types, which may have 255 bytes each. */
const HEADER_VALUES_BYTES_MAX = LIMITS.headersBytesMax - 9_384;

/** Said of a body that SQS could not carry as text: it comes in base64. */
const ENCODING_ATTRIBUTE = "Millrace.BodyEncoding";

type Attributes = Readonly<Record<string, AttributeValue>>;
type Spilled = readonly [name: string, type: string, bytes: number];

export interface SqsContent {
  readonly body: string;
  readonly attributes: Attributes;
  readonly trace?: AttributeValue;
  readonly sender: string;
}

const encoder = new TextEncoder();

export function contentToRecord(content: SqsContent): Pick<MessageRecord, "headers" | "body"> {
  const headers: [string, HeaderValue][] = [];
  const types: [string, string][] = [];
  const spilled: Spilled[] = [];
  const parts: Uint8Array[] = [];
  let room = HEADER_VALUES_BYTES_MAX;
  const put = (name: string, value: AttributeValue): void => {
    const bytes = bytesOf(value);
    if (bytes.length > room) {
      spilled.push([name, value.DataType, bytes.length]);
      parts.push(bytes);
      return;
    }
    room -= bytes.length;
    headers.push([name, isBinary(value) ? bytes : value.StringValue!]);
    if (value.DataType !== (isBinary(value) ? "Binary" : "String")) types.push([name, value.DataType]);
  };
  // First, for it does not count to the message's size, and a body may be as large as bodies may.
  if (content.trace !== undefined) put(TRACE, content.trace);
  for (const [name, value] of Object.entries(content.attributes)) put(name, value);
  headers.push([SENDER, content.sender.slice(0, LIMITS.textBytesMax)]);
  if (types.length > 0) headers.push([TYPES, JSON.stringify(Object.fromEntries(types))]);
  if (spilled.length > 0) headers.push([SPILLED, JSON.stringify(spilled)]);
  return { headers: Object.fromEntries(headers), body: concatBytes(...parts, encoder.encode(content.body)) };
}

/** Of a message that came by another door, too: its headers are attributes, as far as they can be. */
export function recordToContent(
  headers: Headers = {},
  bytes: Uint8Array,
): Omit<SqsContent, "sender"> & { sender?: string } {
  const attributes: [string, AttributeValue][] = [];
  const types = typesOf(headers);
  for (const [name, value] of Object.entries(headers)) {
    if (!RESERVED.has(name)) attributes.push([name, attributeOf(value, types.get(name))]);
  }
  let at = 0;
  for (const [name, type, size] of spilledOf(headers, bytes.length)) {
    attributes.push([name, valueOf(type, bytes.slice(at, at + size))]);
    at += size;
  }
  const [body, isEncoded] = bodyText(bytes.subarray(at));
  if (isEncoded) attributes.push([ENCODING_ATTRIBUTE, { DataType: "String", StringValue: "base64" }]);
  const trace = attributes.find(([name]) => name === TRACE)?.[1] ?? traceOf(headers[TRACE]);
  const sender = textOf(headers[SENDER]);
  return {
    body,
    attributes: Object.fromEntries(attributes.filter(([name]) => name !== TRACE)),
    ...(trace === undefined ? {} : { trace }),
    ...(sender === undefined ? {} : { sender }),
  };
}

// Anyone may publish headers of these names by another door: what is not as it is written above is not looked at.

function typesOf(headers: Headers): ReadonlyMap<string, string> {
  const types = jsonOf(headers[TYPES]);
  if (typeof types !== "object" || types === null) return new Map();
  return new Map(
    Object.entries(types).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

function spilledOf(headers: Headers, bodyBytes: number): readonly Spilled[] {
  const spilled = jsonOf(headers[SPILLED]);
  if (!Array.isArray(spilled) || !spilled.every(isSpilled)) return [];
  return spilled.reduce((sum, [, , bytes]) => sum + bytes, 0) <= bodyBytes ? spilled : [];
}

function isSpilled(value: unknown): value is Spilled {
  if (!Array.isArray(value) || value.length !== 3) return false;
  const [name, type, bytes] = value as unknown[];
  return (
    typeof name === "string" && typeof type === "string" && Number.isInteger(bytes) && Number(bytes) >= 0
  );
}

function jsonOf(value: HeaderValue | undefined): unknown {
  try {
    return JSON.parse(textOf(value) ?? "null") as unknown;
  } catch {
    return null;
  }
}

function traceOf(value: HeaderValue | undefined): AttributeValue | undefined {
  return typeof value === "string" ? { DataType: "String", StringValue: value } : undefined;
}

function textOf(value: HeaderValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function valueOf(type: string, bytes: Uint8Array): AttributeValue {
  if (isBinary({ DataType: type }) || !isUtf8(bytes, 0, bytes.length)) return attributeOf(bytes, type);
  return attributeOf(readText(bytes, 0, bytes.length), type);
}

function attributeOf(value: HeaderValue, told: string | undefined): AttributeValue {
  const isBytes = value instanceof Uint8Array;
  const type = told !== undefined && isBinary({ DataType: told }) === isBytes ? told : undefined;
  if (isBytes) return { DataType: type ?? "Binary", BinaryValue: value };
  const text = String(value);
  // XML could not carry it.
  if (hasForbiddenCharacters(text)) return { DataType: "Binary", BinaryValue: encoder.encode(text) };
  return { DataType: type ?? (typeof value === "number" ? "Number" : "String"), StringValue: text };
}

function bodyText(bytes: Uint8Array): readonly [text: string, isEncoded: boolean] {
  if (isUtf8(bytes, 0, bytes.length)) {
    const text = readText(bytes, 0, bytes.length);
    if (!hasForbiddenCharacters(text)) return [text, false];
  }
  return [toBase64(bytes), true];
}
