// The only place where a code becomes an HTTP status: RFC 9457 problem documents.
import { ERRORS, isErrorCode, type ErrorCode } from "../protocol/errors.ts";
import { refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { EdgeContext } from "./services.ts";

export const PROBLEM_TYPE = "application/problem+json";

/** Where the reference explains the code; relative, so that it leads to the deployment's own pages. */
export function problemUri(code: ErrorCode): string {
  return `/docs/errors/#${code}`;
}

/** The members that RFC 9457 and this table define; a fact never hides one of them. */
export interface ProblemJson {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly instance: string;
}

/** Answers with a refusal. `instance` is the path alone: a query may hold what belongs in no log. */
export function problem(context: EdgeContext, refusal: Refusal): Response {
  return problemResponse(refusal, context.req.path, context.req.header("Authorization") !== undefined);
}

export function problemResponse(refusal: Refusal, instance: string, hasToken: boolean): Response {
  const { status, title } = ERRORS[refusal.code];
  const document: ProblemJson = {
    ...refusal.facts,
    type: problemUri(refusal.code),
    title,
    status,
    code: refusal.code,
    detail: refusal.detail,
    instance,
  };
  const headers = new Headers({ "Content-Type": PROBLEM_TYPE, "Cache-Control": "no-store" });
  for (const [name, value] of headersFor(refusal, status, hasToken)) headers.set(name, value);
  return new Response(JSON.stringify(document), { status, headers });
}

/** The headers that the status asks for: RFC 9110 §10.2.3, §11.6.1, §15.5.6, §15.5.22; RFC 6750 §3. */
function headersFor(refusal: Refusal, status: number, hasToken: boolean): [string, string][] {
  switch (status) {
    case 401:
      return [["WWW-Authenticate", `Bearer realm="millrace"${hasToken ? ', error="invalid_token"' : ""}`]];
    case 403:
      return [["WWW-Authenticate", 'Bearer realm="millrace", error="insufficient_scope"']];
    case 405:
      return [["Allow", String(refusal.facts?.["allow"] ?? "")]];
    case 426:
      return [
        ["Upgrade", "websocket"],
        ["Connection", "Upgrade"],
      ];
    case 429:
    case 503: {
      const retryAfterMs = refusal.facts?.["retryAfterMs"];
      return [
        ["Retry-After", String(typeof retryAfterMs === "number" ? Math.ceil(retryAfterMs / 1_000) : 1)],
      ];
    }
    default:
      return [];
  }
}

/** The answer of a call: its value as JSON, or the problem. */
export function answer<T>(context: EdgeContext, result: Result<T>, status: 200 | 201 | 207 = 200): Response {
  return result.ok ? context.json(result.value as object, status) : problem(context, result);
}

/** What an object's own HTTP answer says when it opens no socket. */
export async function refusalOfResponse(response: Response): Promise<Refusal> {
  const body: unknown = await response.json().catch(() => null);
  if (typeof body === "object" && body !== null && "code" in body && "detail" in body) {
    const { code, detail } = body;
    if (typeof code === "string" && isErrorCode(code) && typeof detail === "string") {
      return refuse(code, detail);
    }
  }
  return refuse("unavailable", "socket: none was opened");
}
