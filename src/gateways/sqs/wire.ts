// The two protocols of SQS behind one interface: which of them a request speaks, what it asks, how it is answered. Query has two
// kinds of answers.
import type { Answer, SqsRefusal } from "./errors.ts";
import { jsonWire, TARGET_HEADER, TARGET_PREFIX } from "./json-wire.ts";
import { asksForJson, queryJsonWire } from "./query-json.ts";
import { isForm, queryWire } from "./query-wire.ts";
import type { ActionName, Call, OutputOf } from "./shapes.ts";

export interface Wire {
  /** `body` is the request's, read already; its own is not touched. */
  decode(request: Request, body: Uint8Array): Answer<Call>;
  answer<A extends ActionName>(action: A, output: OutputOf<A>, requestId: string): Response;
  refuse(refusal: SqsRefusal, requestId: string): Response;
}

/** Null when the request is not for SQS. Says so by its head alone. */
export function wireOf(request: Request): Wire | null {
  if (request.method === "POST") {
    if (request.headers.get(TARGET_HEADER)?.startsWith(TARGET_PREFIX) === true) return jsonWire;
    return isForm(request) || namesAction(request) ? queryWireOf(request) : null;
  }
  return request.method === "GET" && namesAction(request) ? queryWireOf(request) : null;
}

function queryWireOf(request: Request): Wire {
  return asksForJson(request) ? queryJsonWire : queryWire;
}

function namesAction(request: Request): boolean {
  return new URL(request.url).searchParams.has("Action");
}
