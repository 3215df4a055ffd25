// Who asks. With a key, every request under /v1 needs a token; without one, only loopback is served.
import { BEARER_PREFIX, SUBPROTOCOL } from "../protocol/frames.ts";
import { RESUME_PREFIX } from "../protocol/inbox.ts";
import { parseName } from "../protocol/names.ts";
import { refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { Claims, GrantVerb } from "../protocol/rpc.ts";
import { lacksGrant, managesAll } from "../routing/grants.ts";
import { openClaims } from "./open-mode.ts";
import { problem } from "./refuse.ts";
import { refuseRevoked } from "./revocations.ts";
import type { EdgeContext, EdgeMiddleware } from "./services.ts";

/** An EventSource can set no header, so it may send the token in this cookie. */
export const TOKEN_COOKIE = "millrace_token";
const EVENTS_PATH = /^\/v1\/exchanges\/[^/]+\/events$/;

/** Puts the caller's claims into the context, or refuses. */
export function authenticate(): EdgeMiddleware {
  let openWasSaid = false;
  return async (context, next) => {
    const { identity, log } = context.env;
    const claims = identity.isOpen ? openClaims(context.req.raw) : await tokenClaims(context);
    if (!claims.ok) return problem(context, claims);
    if (identity.isOpen && !openWasSaid) {
      openWasSaid = true;
      log("info", "open_mode", { reason: "MILLRACE_SECRET is not set; loopback needs no token" });
    }
    context.set("claims", claims.value);
    return next();
  };
}

async function tokenClaims(context: EdgeContext): Promise<Result<Claims>> {
  const token = tokenOf(context.req.raw);
  if (token === null) {
    return refuse("unauthenticated", "Authorization: is missing; send Bearer and a token");
  }
  const claims = await context.env.identity.verify(token, context.env.now());
  if (!claims.ok) return claims;
  return (await refuseRevoked(context, claims.value)) ?? claims;
}

/**
 * The token of the Authorization header. Where a browser can set no header: of a subprotocol when it opens a socket, of
 * a cookie when it asks for events.
 */
function tokenOf(request: Request): string | null {
  const authorization = request.headers.get("Authorization");
  if (authorization !== null) return /^Bearer +([^ ]+) *$/i.exec(authorization)?.[1] ?? null;
  if (!isUpgrade(request)) return isEventRequest(request) ? cookieOf(request, TOKEN_COOKIE) : null;
  return offeredBehind(request, BEARER_PREFIX);
}

/** The one address that takes a cookie: it only reads, so that no page elsewhere can do anything by it. */
function isEventRequest(request: Request): boolean {
  return request.method === "GET" && EVENTS_PATH.test(new URL(request.url).pathname);
}

function cookieOf(request: Request, name: string): string | null {
  const cookies = (request.headers.get("Cookie") ?? "").split(";").map((cookie) => cookie.trim());
  return cookies.find((cookie) => cookie.startsWith(`${name}=`))?.slice(name.length + 1) ?? null;
}

export function isUpgrade(request: Request): boolean {
  return request.headers.get("Upgrade")?.toLowerCase() === "websocket";
}

/** What a session that was cut off is opened again with. */
export function offeredResumeKey(request: Request): string | null {
  return offeredBehind(request, RESUME_PREFIX);
}

function offeredBehind(request: Request, prefix: string): string | null {
  const offer = offeredProtocols(request).find((protocol) => protocol.startsWith(prefix));
  return offer === undefined ? null : offer.slice(prefix.length);
}

export function offersSubprotocol(request: Request): boolean {
  return offeredProtocols(request).includes(SUBPROTOCOL);
}

function offeredProtocols(request: Request): string[] {
  return (request.headers.get("Sec-WebSocket-Protocol") ?? "").split(",").map((offer) => offer.trim());
}

/** The route's queue has a proper name, and the token one of these verbs for it. */
export function needs(...verbs: GrantVerb[]): EdgeMiddleware {
  return needsNamed("queue", verbs);
}

/** As for queues. */
export function needsExchange(...verbs: GrantVerb[]): EdgeMiddleware {
  return needsNamed("exchange", verbs);
}

function needsNamed(field: "queue" | "exchange", verbs: readonly GrantVerb[]): EdgeMiddleware {
  return async (context, next) => {
    const name = parseName(field, context.req.param(field) ?? "");
    if (!name.ok) return problem(context, name);
    const lacking = lacks(context, verbs, name.value);
    return lacking === null ? next() : problem(context, lacking);
  };
}

/** The route's exchange has a proper name; what the token may do with it depends on the request. */
export function namesExchange(): EdgeMiddleware {
  return async (context, next) => {
    const name = parseName("exchange", context.req.param("exchange") ?? "");
    return name.ok ? next() : problem(context, name);
  };
}

/** Why the token has none of these verbs over a queue or an exchange, or null. */
export function lacks(context: EdgeContext, verbs: readonly GrantVerb[], name: string): Refusal | null {
  return lacksGrant(context.get("claims"), verbs, name, context.env.now());
}

/** The token governs the whole namespace. */
export function needsNamespace(): EdgeMiddleware {
  return async (context, next) =>
    managesAll(context.get("claims").grants, context.env.now())
      ? next()
      : problem(context, refuse("forbidden", 'token: has no grant to manage "#"'));
}
