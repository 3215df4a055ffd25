// What an AWS signature (version 4) covers of a request, in the one form that both sides give it before they sign. Of the
// two ways to write a path this is the one of all services but S3.

/** The parts of a request that a signature may cover, but for the body. */
export interface Signable {
  readonly method: string;
  /** As it was sent, so encoded once. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** A header by its name in lower case. Null: it is not there. */
  header(name: string): string | null;
}

/** What a request says its signature covers. */
export interface Coverage {
  /** Where the signature is: in the query, it can't cover itself. */
  readonly from: "header" | "query";
  /** Names, in lower case. */
  readonly signedHeaders: readonly string[];
}

export function signable(request: Request): Signable {
  const url = new URL(request.url);
  return {
    method: request.method,
    path: url.pathname,
    query: url.searchParams,
    header: (name) => {
      // Cloudflare's edge puts its own in place of the client's, and keeps that here.
      if (name === "accept-encoding") return clientAcceptEncoding(request) ?? request.headers.get(name);
      return request.headers.get(name) ?? (name === "host" ? url.host : null);
    },
  };
}

function clientAcceptEncoding({ cf }: Request): string | null {
  const value: unknown = cf?.["clientAcceptEncoding"];
  return typeof value === "string" ? value : null;
}

export function canonicalRequest(
  request: Signable,
  { from, signedHeaders }: Coverage,
  bodyHash: string,
): string {
  const headers = signedHeaders.map((name) => `${name}:${folded(request.header(name) ?? "")}\n`);
  return [
    request.method,
    canonicalPath(request.path),
    canonicalQuery(request.query, from),
    headers.join(""),
    signedHeaders.join(";"),
    bodyHash,
  ].join("\n");
}

/** Without empty and dotted segments, and encoded once more than it was sent: what all services but S3 want. */
function canonicalPath(path: string): string {
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "" && segment !== ".") segments.push(encoded(segment));
  }
  return `/${segments.join("/")}${segments.length > 0 && path.endsWith("/") ? "/" : ""}`;
}

/** By names, then by values, as they are when encoded. It is read as the actions read it, so `+` is a space. */
function canonicalQuery(query: URLSearchParams, from: Coverage["from"]): string {
  return [...query]
    .filter(([name]) => from === "header" || name !== "X-Amz-Signature")
    .map(([name, value]): [string, string] => [encoded(name), encoded(value)])
    .sort(([a, x], [b, y]) => compare(a, b) || compare(x, y))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** RFC 3986: all but letters, digits and `-._~`. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function folded(value: string): string {
  return value.trim().replace(/ +/g, " ");
}
