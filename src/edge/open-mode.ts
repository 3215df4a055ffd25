/**
 * Open mode: without a key, whoever reaches the broker on loopback may do anything. So what must be kept out is whoever
 * reaches it from elsewhere, and web pages. A page may send simple requests to loopback without asking and open sockets
 * there, and by a name of its own that leads to 127.0.0.1 it may even read the answers.
 *
 * A page is known by headers that only the browser sets: `Origin`, which goes along with everything but a GET of the
 * page's own host, and `Sec-Fetch-Site`, which browsers send to loopback with everything, but not to a page's rebound name.
 */
import { LIMITS } from "../protocol/limits.ts";
import { parseName } from "../protocol/names.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { Claims, GrantVerb } from "../protocol/rpc.ts";

/** Chooses the namespace in open mode. With tokens, the token names it. */
export const NAMESPACE_HEADER = "Millrace-Namespace";
const NAMESPACE_DEFAULT = "default";
const EVERY_VERB: readonly GrantVerb[] = ["publish", "consume", "subscribe", "manage"];

/** `none`: the user asked for the address. */
const OWN_SITES: ReadonlySet<string> = new Set(["same-origin", "none"]);

/** How every browser calls itself, and an old PowerShell, which is none. */
const BROWSER = /^Mozilla\/(?!.*PowerShell)/;

/** What whoever asks may do: everything, or nothing. */
export function openClaims(request: Request): Result<Claims> {
  const refused = refuseRemote(request) ?? refusePage(request);
  if (refused !== null) return refused;
  const namespace = parseName(NAMESPACE_HEADER, request.headers.get(NAMESPACE_HEADER) ?? NAMESPACE_DEFAULT);
  if (!namespace.ok) return namespace;
  // Whoever comes is the same subject here.
  const { consumersMax } = LIMITS;
  const grants = EVERY_VERB.map((verb) => ({
    verb,
    pattern: "#",
    ...(verb === "consume" && { consumersMax }),
  }));
  return ok({ namespace: namespace.value, subject: "anonymous", grants });
}

/** Each of these may be false, and none lets anybody in by itself: that a host or an address is loopback proves nothing. */
function refuseRemote(request: Request): Refusal | null {
  const address = request.headers.get("CF-Connecting-IP");
  const host = request.headers.get("Host");
  const isNear =
    isLoopback(new URL(request.url).hostname) &&
    (host === null || isLoopbackOrigin(`http://${host}`)) &&
    (address === null || isLoopback(address));
  return isNear
    ? null
    : refuse(
        "unauthenticated",
        "MILLRACE_SECRET: is not set, so only loopback is served; set it with `npx wrangler secret put MILLRACE_SECRET`",
      );
}

/** A page of loopback may use the broker, from whichever port it comes: it is the developer's own. */
function refusePage({ headers, method }: Request): Refusal | null {
  const origin = headers.get("Origin");
  if (origin !== null) {
    if (isLoopbackOrigin(origin)) return null;
    return refuse("forbidden", "Origin: only pages of loopback may use a broker without tokens");
  }
  const site = headers.get("Sec-Fetch-Site");
  if (site !== null) {
    if (OWN_SITES.has(site)) return null;
    return refuse("forbidden", "Sec-Fetch-Site: only pages of loopback may use a broker without tokens");
  }
  // Where a browser says neither, it does not know that the host is loopback: the page's name was rebound. wrangler
  // lets a header (MF-Original-URL) replace the host that was asked, so that the host does not tell.
  const isReading = method === "GET" || method === "HEAD";
  if (!isReading || !BROWSER.test(headers.get("User-Agent") ?? "")) return null;
  return refuse(
    "forbidden",
    "Sec-Fetch-Site: is missing from a browser's request; ask for http://localhost, or set MILLRACE_SECRET and send a token",
  );
}

export function isLoopbackOrigin(origin: string): boolean {
  const url = URL.parse(origin);
  return url !== null && isLoopback(url.hostname);
}

/** A host or an address: localhost, 127.0.0.0/8, ::1. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || /^127(?:\.\d{1,3}){3}$/.test(host) || host === "[::1]" || host === "::1";
}
