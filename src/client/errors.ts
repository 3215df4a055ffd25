/**
 * The one error class of the client, and the one place where problems (HTTP) and error frames (WebSocket) become it.
 */
import { ERRORS, isErrorCode, type ErrorCode } from "../protocol/errors.ts";
import type { Refusal } from "../protocol/result.ts";

/**
 * What only the client can say:
 *
 *   timeout           no answer in time; `facts.outcome` is "unknown" when the request may have been carried out
 *   disconnected      the broker can't be reached, or was lost on the way; `facts.outcome` as for timeout
 *   closed            the client, or this consumer, was closed
 *   buffer_full       the publisher holds as much as it may (`bufferMessagesMax`, `bufferBytesMax`)
 *   responder_failed  who answered a call failed; its words are the detail, and `facts.error`
 */
export type ClientErrorCode = "timeout" | "disconnected" | "closed" | "buffer_full" | "responder_failed";

const CLIENT_RETRY: Record<ClientErrorCode, boolean> = {
  timeout: true,
  disconnected: true,
  closed: false,
  buffer_full: true,
  responder_failed: false,
};

export type Facts = NonNullable<Refusal["facts"]>;

/** Every error this client throws. Decide by `code`; the message is for people and may change. */
export class MillraceError extends Error {
  override readonly name = "MillraceError";
  readonly code: ErrorCode | ClientErrorCode;
  /** The HTTP status of the answer, where there was one. */
  readonly status?: number;
  /** Whether the same request may succeed later without being changed. */
  readonly retry: boolean;
  /** What a program needs to recover, such as `expectedSequence`, `retryAfterMs` or `outcome`. Empty if nothing. */
  readonly facts: Facts;

  constructor(
    code: ErrorCode | ClientErrorCode,
    detail: string,
    more: { status?: number; facts?: Facts; cause?: unknown } = {},
  ) {
    super(`${code}: ${detail}`, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.facts = more.facts ?? {};
    if (more.status !== undefined) this.status = more.status;
    this.retry = isErrorCode(code) ? ERRORS[code].retry : CLIENT_RETRY[code];
  }
}

/** Works across realms and bundles, where `instanceof` may not. */
export function isMillraceError(error: unknown, code?: ErrorCode | ClientErrorCode): error is MillraceError {
  if (!(error instanceof Error) || error.name !== "MillraceError") return false;
  return code === undefined || (error as MillraceError).code === code;
}

/** A refusal as a value, or the body of an error frame. A code of a newer broker is told as `internal`. */
export function errorOfRefusal(refusal: { code: string; detail: string; facts?: Facts }): MillraceError {
  const more = refusal.facts === undefined ? {} : { facts: refusal.facts };
  return isErrorCode(refusal.code)
    ? new MillraceError(refusal.code, refusal.detail, more)
    : new MillraceError("internal", `${refusal.code}: ${refusal.detail}`, more);
}

const PROBLEM_FIELDS = new Set(["type", "title", "status", "detail", "instance", "code", "facts"]);

/**
 * An RFC 9457 problem. Facts are read from a member `facts` and from extension members. An answer that is no
 * problem of ours (a proxy's page) becomes `unavailable` for 5xx and 429, else `bad_request`.
 */
export function errorOfProblem(status: number, body: unknown): MillraceError {
  if (typeof body !== "object" || body === null || !("code" in body) || typeof body.code !== "string") {
    const code = status >= 500 || status === 429 ? "unavailable" : "bad_request";
    return new MillraceError(code, `the broker's address answered with status ${status}`, { status });
  }
  const facts: Record<string, number | string | boolean> = {};
  const members = { ...body, ...("facts" in body && typeof body.facts === "object" ? body.facts : {}) };
  for (const [name, value] of Object.entries(members as Record<string, unknown>)) {
    if (PROBLEM_FIELDS.has(name)) continue;
    if (typeof value === "number" || typeof value === "string" || typeof value === "boolean")
      facts[name] = value;
  }
  const detail = "detail" in body && typeof body.detail === "string" ? body.detail : `status ${status}`;
  const code = isErrorCode(body.code) ? body.code : status >= 500 ? "unavailable" : "bad_request";
  return new MillraceError(code, detail, { status, facts });
}

/** Anything that was thrown, as an Error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
