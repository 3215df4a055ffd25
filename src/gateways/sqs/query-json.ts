/**
 * Query answered in JSON, for requests whose `Accept` asks for it. It is the XML document by other means: the same nesting, maps
 * as lists of pairs, and every member of the answer, null where it has none.
 */
import { toBase64 } from "../../protocol/message-json.ts";
import { SQS_ERRORS } from "./errors.ts";
import { messageOf, queryWire } from "./query-wire.ts";
import type { Shape, StructureShape } from "./shape.ts";
import { shapeOf } from "./shapes.ts";
import type { Wire } from "./wire.ts";

/** Members that have other names here than in the table. */
const NAMES: Readonly<Record<string, string>> = { Messages: "messages", QueueUrls: "queueUrls" };

export const queryJsonWire: Wire = {
  decode: (request, body) => queryWire.decode(request, body),

  answer(action, output, requestId) {
    const shape = shapeOf(action).output;
    const result = shape === null ? {} : { [`${action}Result`]: structureJson(shape, output) };
    const metadata = { ResponseMetadata: { RequestId: requestId } };
    return jsonResponse(200, { [`${action}Response`]: { ...result, ...metadata } }, requestId);
  },

  refuse(refusal, requestId) {
    const { code, status, fault } = SQS_ERRORS[refusal.error];
    const error = { Code: code, Message: messageOf(refusal), Type: fault };
    return jsonResponse(status, { Error: error, RequestId: requestId }, requestId);
  },
};

export function asksForJson(request: Request): boolean {
  return request.headers.get("Accept")?.includes("application/json") === true;
}

function jsonResponse(status: number, document: object, requestId: string): Response {
  return new Response(JSON.stringify(document), {
    status,
    headers: { "content-type": "application/json", "x-amzn-RequestId": requestId },
  });
}

function structureJson(shape: StructureShape, value: object): object {
  const from = value as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    Object.entries(shape.members).map(([name, member]) => [
      NAMES[name] ?? name,
      from[name] === undefined ? null : valueJson(member.shape, from[name]),
    ]),
  );
}

function valueJson(shape: Shape, value: unknown): unknown {
  switch (shape.kind) {
    case "list":
      return (value as readonly unknown[]).map((item) => valueJson(shape.item, item));
    case "map":
      return Object.entries(value as object).map(([key, item]) => ({
        [shape.key]: key,
        Value: valueJson(shape.value, item),
      }));
    case "structure":
      return structureJson(shape, value as object);
    case "blob":
      return toBase64(value as Uint8Array);
    case "string":
    case "integer":
    case "long":
    case "boolean":
      return value;
  }
}
