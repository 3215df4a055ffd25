// AWS JSON 1.0: the action in a header, its input as a JSON object, and every name as the table has it.
import { fromBase64, toBase64 } from "../../protocol/message-json.ts";
import { decodeStructure, inRange, integerOf, type Reader, type Scalar, type ScalarKind } from "./decode.ts";
import { answered, SQS_ERRORS, sqsRefusal, type Answer, type SqsRefusal } from "./errors.ts";
import type { Shape, StructureShape } from "./shape.ts";
import { isActionName, shapeOf, type ActionName, type Call } from "./shapes.ts";
import type { Wire } from "./wire.ts";

export const TARGET_HEADER = "x-amz-target";
export const TARGET_PREFIX = "AmazonSQS.";

const CONTENT_TYPE = "application/x-amz-json-1.0";
// A byte order mark is not JSON, and is refused as such.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const jsonWire: Wire = {
  decode(request, body) {
    const action = (request.headers.get(TARGET_HEADER) ?? "").slice(TARGET_PREFIX.length);
    if (!isActionName(action)) {
      return sqsRefusal("InvalidAction", `The action ${action} is not valid for this endpoint.`);
    }
    const document = parse(body);
    if (!document.ok) return document;
    const input = decodeStructure(reader, shapeOf(action).input, document.value, "");
    return input.ok ? answered({ action, input: input.value } as Call) : input;
  },

  answer(action, output, requestId) {
    const body = bodyOf(action, output);
    return new Response(body, { headers: { "content-type": CONTENT_TYPE, "x-amzn-RequestId": requestId } });
  },

  refuse(refusal, requestId) {
    const { type, code, status, fault } = SQS_ERRORS[refusal.error];
    return new Response(JSON.stringify({ __type: type, message: refusal.message }), {
      status,
      headers: {
        "content-type": CONTENT_TYPE,
        "x-amzn-RequestId": requestId,
        // The code by which clients of the older protocol know the error; SDKs still report it.
        "x-amzn-query-error": `${code};${fault}`,
      },
    });
  },
};

function parse(body: Uint8Array): Answer<unknown> {
  try {
    return answered(JSON.parse(utf8.decode(body)) as unknown);
  } catch {
    return sqsRefusal("SerializationException", "The request's body is not JSON in UTF-8.");
  }
}

/** An action without an output is answered with nothing at all, as AWS does. */
function bodyOf(action: ActionName, output: object): string {
  const shape = shapeOf(action).output;
  return shape === null ? "" : JSON.stringify(encodeStructure(shape, output));
}

function encodeStructure(shape: StructureShape, value: object): object {
  const from = value as Readonly<Record<string, unknown>>;
  const members: [string, unknown][] = [];
  for (const [name, member] of Object.entries(shape.members)) {
    const found = from[name];
    if (found === undefined || isEmpty(member.shape, found)) continue;
    members.push([name, encode(member.shape, found)]);
  }
  return Object.fromEntries(members);
}

/** Lists and maps without anything in them are left out, required or not: SDKs take a list for its presence. */
function isEmpty(shape: Shape, value: unknown): boolean {
  if (shape.kind === "list") return (value as readonly unknown[]).length === 0;
  return shape.kind === "map" && Object.keys(value as object).length === 0;
}

function encode(shape: Shape, value: unknown): unknown {
  switch (shape.kind) {
    case "list":
      return (value as readonly unknown[]).map((item) => encode(shape.item, item));
    case "map":
      return Object.fromEntries(
        Object.entries(value as object).map(([key, item]) => [key, encode(shape.value, item)]),
      );
    case "structure":
      return encodeStructure(shape, value as object);
    case "blob":
      return toBase64(value as Uint8Array);
    case "string":
    case "integer":
    case "long":
    case "boolean":
      return value;
  }
}

const reader: Reader<unknown> = {
  scalar(node, kind) {
    const value = scalarOf(node, kind);
    return value === null ? unexpected(node, kind) : answered(value);
  },

  items(node) {
    return Array.isArray(node) ? answered(node as readonly unknown[]) : unexpected(node, "list");
  },

  entries(node) {
    return isObject(node) ? answered(Object.entries(node)) : unexpected(node, "map");
  },

  refuseStructure(node) {
    return isObject(node) ? null : unexpected(node, "structure");
  },

  member(node, name) {
    // Null says absent, as in every AWS JSON protocol.
    return (node as Readonly<Record<string, unknown>>)[name] ?? undefined;
  },
};

function isObject(node: unknown): node is object {
  return typeof node === "object" && node !== null && !Array.isArray(node);
}

/**
 * Null when it is of another type. Numbers and truth values may come as text, and text as they are; fractions lose their
 * fraction.
 */
function scalarOf(node: unknown, kind: ScalarKind): Scalar | null {
  switch (kind) {
    case "string":
      if (typeof node === "number" || typeof node === "boolean") return String(node);
      return typeof node === "string" ? node : null;
    case "integer":
    case "long":
      if (typeof node === "string") return integerOf(node, kind);
      return typeof node === "number" ? inRange(Math.trunc(node), kind) : null;
    case "boolean":
      if (typeof node === "boolean") return node;
      return node === "true" ? true : node === "false" ? false : null;
    case "blob":
      return typeof node === "string" ? fromBase64(node) : null;
  }
}

const WANTED = {
  string: "a String",
  integer: "an Integer",
  long: "a Long",
  boolean: "a Boolean",
  blob: "a Blob",
  list: "a List",
  map: "a Map",
  structure: "a Structure",
} as const satisfies Record<Shape["kind"], string>;

function unexpected(node: unknown, wanted: Shape["kind"]): SqsRefusal {
  if (Array.isArray(node)) {
    return sqsRefusal("SerializationException", "Start of list found where not expected");
  }
  if (isObject(node)) {
    return sqsRefusal("SerializationException", "Start of structure or map found where not expected.");
  }
  const found = typeof node === "boolean" ? String(node) : node === null ? "null" : typeof node;
  return sqsRefusal(
    "SerializationException",
    `${found.toUpperCase()}_VALUE can not be converted to ${WANTED[wanted]}`,
  );
}
