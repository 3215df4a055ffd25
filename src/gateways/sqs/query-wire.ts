// AWS Query: parameters in a form or in a query string, answers in XML. Older SDKs, Debian's AWS CLI and presigned
// URLs speak it.
import { fromBase64, toBase64 } from "../../protocol/message-json.ts";
import { decodeStructure, integerOf, type Reader, type Scalar, type ScalarKind } from "./decode.ts";
import {
  answered,
  SQS_ERRORS,
  sqsRefusal,
  type Answer,
  type SqsErrorName,
  type SqsRefusal,
} from "./errors.ts";
import { invalid, missing } from "./parameters.ts";
import { addParameters, ParameterNode } from "./query-parameters.ts";
import type { MapShape, Member, Shape, StructureShape } from "./shape.ts";
import { isActionName, shapeOf, type ActionName, type Call } from "./shapes.ts";
import type { Wire } from "./wire.ts";
import { element, textElement } from "./xml.ts";

const NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/";
const FORM_TYPE = /^application\/x-www-form-urlencoded\s*(;|$)/i;
/** The path of a queue's own URL. */
const QUEUE_PATH = /^\/[^/]+\/[^/]+\/?$/;
/** What a queue's own URL does not take. It does take GetQueueUrl, even for another queue. */
const NOT_OF_A_QUEUE: ReadonlySet<ActionName> = new Set(["CreateQueue", "ListQueues"]);
/** Where this protocol says something else than the other. */
const MESSAGES: Readonly<Partial<Record<SqsErrorName, string>>> = {
  QueueDoesNotExist: "The specified queue does not exist for this wsdl version.",
};

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function isForm(request: Request): boolean {
  return request.method === "POST" && FORM_TYPE.test(request.headers.get("content-type") ?? "");
}

export const queryWire: Wire = {
  decode(request, body) {
    const url = new URL(request.url);
    const parameters = parametersOf(url, isForm(request) ? body : null);
    if (!parameters.ok) return parameters;
    const action = actionOf(parameters.value, url);
    if (!action.ok) return action;
    const addressed = addressQueue(parameters.value, action.value, url);
    if (!addressed.ok) return addressed;
    const input = decodeStructure(reader, shapeOf(action.value).input, addressed.value, "");
    return input.ok ? answered({ action: action.value, input: input.value } as Call) : input;
  },

  answer(action, output, requestId) {
    const shape = shapeOf(action).output;
    const result = shape === null ? "" : element(`${action}Result`, structureXml(shape, output));
    const metadata = element("ResponseMetadata", textElement("RequestId", requestId));
    return xmlResponse(200, `${action}Response`, result + metadata, requestId);
  },

  refuse(refusal, requestId) {
    const { code, status, fault } = SQS_ERRORS[refusal.error];
    const content =
      textElement("Type", fault) +
      textElement("Code", code) +
      textElement("Message", messageOf(refusal)) +
      textElement("Detail", "");
    const xml = element("Error", content) + textElement("RequestId", requestId);
    return xmlResponse(status, "ErrorResponse", xml, requestId);
  },
};

export function messageOf({ error, message }: SqsRefusal): string {
  return MESSAGES[error] ?? message;
}

function xmlResponse(status: number, name: string, content: string, requestId: string): Response {
  const xml = `<?xml version="1.0"?><${name} xmlns="${NAMESPACE}">${content}</${name}>`;
  return new Response(xml, {
    status,
    headers: { "content-type": "text/xml", "x-amzn-RequestId": requestId },
  });
}

function parametersOf(url: URL, form: Uint8Array | null): Answer<ParameterNode> {
  const root = addParameters(url.search.slice(1), new ParameterNode());
  if (form === null || !root.ok) return root;
  try {
    return addParameters(utf8.decode(form), root.value);
  } catch {
    return sqsRefusal("MalformedQueryString", "The request's body is not UTF-8.");
  }
}

function actionOf(parameters: ParameterNode, url: URL): Answer<ActionName> {
  const action = parameters.child("Action")?.value ?? "";
  if (action === "") return sqsRefusal("MissingAction", "The request must contain the parameter Action.");
  if (!isActionName(action) || (NOT_OF_A_QUEUE.has(action) && QUEUE_PATH.test(url.pathname))) {
    return sqsRefusal("InvalidAction", `The action ${action} is not valid for this endpoint.`);
  }
  return answered(action);
}

/** A request names its queue in a parameter, or else it is sent to the queue's own URL. */
function addressQueue(parameters: ParameterNode, action: ActionName, url: URL): Answer<ParameterNode> {
  const named = parameters.child("QueueUrl")?.value !== undefined;
  if (named || !Object.hasOwn(shapeOf(action).input.members, "QueueUrl")) return answered(parameters);
  const address = url.origin + url.pathname;
  if (!QUEUE_PATH.test(url.pathname)) {
    return sqsRefusal("InvalidAddress", `The address ${address} is not valid for this endpoint.`);
  }
  parameters.add(["QueueUrl"], address);
  return answered(parameters);
}

const reader: Reader<ParameterNode> = {
  scalar(node, kind, path) {
    if (node.value === undefined) return missing(path);
    const value = scalarOf(node.value, kind);
    if (value !== null) return answered(value);
    return invalid(path, node.value, `${WANTED[kind]}.`);
  },

  /**
   * `X.1`, or `X.member.1` as in services whose lists are not flat. `X` alone is how boto's first version writes one
   * item, and with nothing in it how the second writes an empty list.
   */
  items(node) {
    const items = (node.child("member") ?? node).numbered();
    return answered(items.length === 0 && (node.value ?? "") !== "" ? [node] : items);
  },

  entries(node, shape, path) {
    const entries: [string, ParameterNode][] = [];
    const seen = new Set<string>();
    for (const [index, entry] of entryNodes(node, shape).entries()) {
      const key = (entry.child(shape.key) ?? entry.child("key"))?.value;
      if (key === undefined) return missing(`${path}.${index + 1}.${shape.key}`);
      if (seen.has(key)) return twice(key, `${path}.${index + 1}.${shape.key}`);
      seen.add(key);
      // Without a value there is nothing in it: an attribute that has only a name, or a text that is missing.
      entries.push([key, entry.child("Value") ?? entry.child("value") ?? new ParameterNode()]);
    }
    return answered(entries);
  },

  refuseStructure() {
    return null;
  },

  member(node, name, member) {
    const found = (member.query === null ? undefined : node.child(member.query)) ?? node.child(name);
    return found ?? (isBatch(member) ? new ParameterNode() : undefined);
  },
};

/** `X.1.Name`, `X.entry.1.key`, or `X.Name` alone. */
function entryNodes(node: ParameterNode, shape: MapShape): readonly ParameterNode[] {
  const entries = (node.child("entry") ?? node).numbered();
  return entries.length === 0 && node.child(shape.key) !== undefined ? [node] : entries;
}

function twice(key: string, path: string): Answer<never> {
  return invalid(path, key, "Already exists.");
}

/** This protocol has no way to write an empty list. A batch without entries is an empty one, not a missing one. */
function isBatch({ shape }: Member): boolean {
  return shape.kind === "list" && shape.item.kind === "structure";
}

/** Null when the text is not of the kind. */
function scalarOf(text: string, kind: ScalarKind): Scalar | null {
  switch (kind) {
    case "string":
      return text;
    case "integer":
    case "long":
      return integerOf(text, kind);
    case "boolean":
      return text === "true" || text === "1" ? true : text === "false" || text === "0" ? false : null;
    case "blob":
      return fromBase64(text);
  }
}

const WANTED = {
  string: "Must be a text",
  integer: "Must be an integer",
  long: "Must be an integer",
  boolean: "Must be true or false",
  blob: "Must be base64",
} as const satisfies Record<ScalarKind, string>;

function structureXml(shape: StructureShape, value: object): string {
  const from = value as Readonly<Record<string, unknown>>;
  let xml = "";
  for (const [name, member] of Object.entries(shape.members)) {
    const found = from[name];
    if (found !== undefined) xml += valueXml(member.query ?? name, member.shape, found);
  }
  return xml;
}

/** Lists and maps are flat: each item and each entry is an element of the name. */
function valueXml(name: string, shape: Shape, value: unknown): string {
  switch (shape.kind) {
    case "list":
      return (value as readonly unknown[]).map((item) => valueXml(name, shape.item, item)).join("");
    case "map":
      return Object.entries(value as object)
        .map(([key, item]) =>
          element(name, textElement(shape.key, key) + valueXml("Value", shape.value, item)),
        )
        .join("");
    case "structure":
      return element(name, structureXml(shape, value as object));
    case "blob":
      return textElement(name, toBase64(value as Uint8Array));
    case "string":
    case "integer":
    case "long":
    case "boolean":
      return textElement(name, String(value));
  }
}
