// Requests to SQS as they are written by hand, and what a wire makes of them.
import type { Answer } from "../../src/gateways/sqs/errors.ts";
import type { Call } from "../../src/gateways/sqs/shapes.ts";
import { wireOf } from "../../src/gateways/sqs/wire.ts";

export const ORIGIN = "http://broker.test:8787";
const encoder = new TextEncoder();

const bytesOf = (body: string | Uint8Array): Uint8Array =>
  typeof body === "string" ? encoder.encode(body) : body;

function decoded(request: Request, body: string | Uint8Array): Answer<Call> {
  const wire = wireOf(request);
  if (wire === null) throw new Error("no wire takes this request");
  return wire.decode(request, bytesOf(body));
}

export function jsonRequest(action: string): Request {
  return new Request(`${ORIGIN}/`, {
    method: "POST",
    headers: { "content-type": "application/x-amz-json-1.0", "x-amz-target": `AmazonSQS.${action}` },
  });
}

export function formRequest(path = "/", contentType = "application/x-www-form-urlencoded"): Request {
  return new Request(ORIGIN + path, { method: "POST", headers: { "content-type": contentType } });
}

/** A text is sent as it is; anything else as JSON. */
export function decodeJson(action: string, body: unknown): Answer<Call> {
  const raw = typeof body === "string" || body instanceof Uint8Array;
  return decoded(jsonRequest(action), raw ? body : JSON.stringify(body));
}

export function decodeForm(body: string | Uint8Array, path = "/"): Answer<Call> {
  return decoded(formRequest(path), body);
}

export function decodeGet(pathAndQuery: string): Answer<Call> {
  return decoded(new Request(ORIGIN + pathAndQuery), "");
}

/** The input of what was understood. */
export function inputOf(answer: Answer<Call>): object {
  if (!answer.ok) throw new Error(`${answer.error}: ${answer.message}`);
  return answer.value.input;
}
