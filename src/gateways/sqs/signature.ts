/**
 * AWS Signature Version 4, the side that verifies. A request says in its Authorization header, or in the query of a
 * presigned URL, by which access key and over which of its parts it is signed; whoever knows the secret half makes the
 * same signature out of the same parts.
 *
 *   canonical request  method, path, query, the signed headers, hash of the body
 *   text to sign       algorithm, time, scope, hash of the canonical request
 *   signing key        secret ─HMAC─► date ─► region ─► service ─► "aws4_request"
 */
import { canonicalRequest, signable, type Coverage, type Signable } from "./canonical-request.ts";
import { answered, sqsRefusal, type Answer, type SqsRefusal } from "./errors.ts";

const ALGORITHM = "AWS4-HMAC-SHA256";
const TERMINATOR = "aws4_request";
const SERVICE = "sqs";
const SKEW_MS = 15 * 60_000;
const EXPIRES_SECONDS_MAX = 7 * 86_400;

/** What a request says of its signature. None of it is proved yet. */
export interface SignedAs extends Coverage {
  readonly accessKeyId: string;
  /** The credential's scope: YYYYMMDD, a region, the service and the terminator. */
  readonly date: string;
  readonly region: string;
  readonly service: string;
  readonly terminator: string;
  /** When it was signed, as it went into the signature: YYYYMMDDTHHMMSSZ. */
  readonly timestamp: string;
  /** How long a presigned URL is good for. Null: as a header is. */
  readonly expiresSeconds: number | null;
  readonly signature: string;
}

/** How a request is signed. Null: not at all. */
export function credentialOf(request: Request): Answer<SignedAs | null> {
  const authorization = request.headers.get("Authorization");
  if (authorization !== null) return ofHeader(authorization, request.headers);
  const query = new URL(request.url).searchParams;
  const isPresigned = ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"].some((name) =>
    query.has(name),
  );
  return isPresigned ? ofQuery(query) : answered(null);
}

/** Null when the signature is one of this secret over this request and this body, and not too old. */
export function verifySignature(
  request: Request,
  body: Uint8Array,
  signed: SignedAs,
  secretAccessKey: string,
  nowMs: number,
): Promise<SqsRefusal | null> {
  return verifySignable(SERVICE, signable(request), body, signed, secretAccessKey, nowMs);
}

/** The same for a service by another name. */
export async function verifySignable(
  service: string,
  request: Signable,
  body: Uint8Array,
  signed: SignedAs,
  secretAccessKey: string,
  nowMs: number,
): Promise<SqsRefusal | null> {
  const refused =
    scopeRefusal(signed, service) ?? timeRefusal(signed, nowMs) ?? coverRefusal(request, signed);
  if (refused !== null) return refused;
  const bodyHash = await sha256(body);
  // A hash that is signed and not the body's would leave the body unsigned, so UNSIGNED-PAYLOAD is none either.
  if ((request.header("x-amz-content-sha256") ?? bodyHash) !== bodyHash) {
    return mismatch("The value of 'X-Amz-Content-SHA256' is not the hash of the body.");
  }
  const canonical = canonicalRequest(request, signed, bodyHash);
  const scope = [signed.date, signed.region, signed.service, signed.terminator];
  const toSign = [ALGORITHM, signed.timestamp, scope.join("/"), await sha256(utf8(canonical))].join("\n");
  const key = await signingKey(secretAccessKey, scope);
  // `verify` compares in constant time. What is no signature at all is compared as one of no bytes.
  const isValid = await crypto.subtle.verify("HMAC", key, bytesOfHex(signed.signature), utf8(toSign));
  if (isValid) return null;
  return mismatch(
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
  );
}

interface Named {
  readonly credential: string;
  readonly signedHeaders: string;
  readonly signature: string;
  readonly timestamp: string;
  readonly expiresSeconds: number | null;
}

function ofHeader(authorization: string, headers: Headers): Answer<SignedAs> {
  const [scheme] = authorization.split(" ", 1);
  if (scheme !== ALGORITHM) {
    // What may be a bearer token is not repeated.
    return incomplete(`Authorization header must be of the algorithm '${ALGORITHM}'.`);
  }
  const parameters = parametersOf(authorization.slice(scheme.length));
  if (parameters === null) {
    return incomplete("Authorization header must be key=value pairs, parted by commas, each key once.");
  }
  const credential = parameters.get("Credential");
  const signedHeaders = parameters.get("SignedHeaders");
  const signature = parameters.get("Signature");
  const sentAt = headers.get("X-Amz-Date") ?? headers.get("Date");
  if (!credential || !signedHeaders || !signature || sentAt === null) {
    const missing = ["Credential", "Signature", "SignedHeaders"]
      .filter((name) => !parameters.get(name))
      .map((name) => `Authorization header requires '${name}' parameter.`);
    if (sentAt === null) {
      missing.push("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.");
    }
    return incomplete(missing.join(" "));
  }
  const timestamp = timestampOf(sentAt);
  if (timestamp === null) return noTimestamp(sentAt);
  return signedAs("header", { credential, signedHeaders, signature, timestamp, expiresSeconds: null });
}

function ofQuery(query: URLSearchParams): Answer<SignedAs> {
  const algorithm = query.get("X-Amz-Algorithm");
  const credential = query.get("X-Amz-Credential");
  const signedHeaders = query.get("X-Amz-SignedHeaders");
  const signature = query.get("X-Amz-Signature");
  const sentAt = query.get("X-Amz-Date");
  if (!algorithm || !credential || !signedHeaders || !signature || !sentAt) {
    return incomplete(
      "AWS query-string parameters must include 'X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-Signature', 'X-Amz-SignedHeaders' and 'X-Amz-Date'.",
    );
  }
  if (algorithm !== ALGORITHM) return incomplete(`Unsupported AWS 'algorithm': '${algorithm}'.`);
  const expires = query.get("X-Amz-Expires");
  const expiresSeconds = expires === null ? null : Number(expires);
  if (expires !== null && (!/^[1-9]\d{0,5}$/.test(expires) || Number(expires) > EXPIRES_SECONDS_MAX)) {
    return incomplete(`X-Amz-Expires must be 1 to ${EXPIRES_SECONDS_MAX} seconds.`);
  }
  const timestamp = isTimestamp(sentAt) ? sentAt : null;
  if (timestamp === null) return noTimestamp(sentAt);
  return signedAs("query", { credential, signedHeaders, signature, timestamp, expiresSeconds });
}

function signedAs(from: Coverage["from"], { credential, signedHeaders, ...named }: Named): Answer<SignedAs> {
  const parts = credential.split("/");
  const [accessKeyId, date, region, service, terminator] = parts;
  if (parts.length !== 5 || !accessKeyId || !date || !region || !service || !terminator) {
    return incomplete(
      "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
    );
  }
  // It becomes a part of names that are given out.
  if (!/^[\w-]{1,64}$/.test(region)) {
    return incomplete("Credential must name a region of letters and digits.");
  }
  const names = signedHeaders.split(";");
  if (!names.every((name) => /^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name))) {
    return incomplete("SignedHeaders must be names of headers in lower case, parted by semicolons.");
  }
  return answered({ from, accessKeyId, date, region, service, terminator, signedHeaders: names, ...named });
}

/** `a=1, b=2`. Null: something in it is not of this form, or comes twice. */
function parametersOf(text: string): Map<string, string> | null {
  const pairs = text.split(",").map((pair) => /^ *(\w+)=([^ ]*) *$/.exec(pair));
  const parameters = new Map(pairs.flatMap((pair) => (pair === null ? [] : [[pair[1]!, pair[2]!]])));
  return parameters.size === pairs.length ? parameters : null;
}

function scopeRefusal(signed: SignedAs, service: string): SqsRefusal | null {
  const { date, timestamp } = signed;
  if (signed.service !== service) {
    return mismatch(`Credential should be scoped to correct service: '${service}'.`);
  }
  if (signed.terminator !== TERMINATOR) {
    return mismatch(`Credential should be scoped with a valid terminator: '${TERMINATOR}'.`);
  }
  if (timestamp.slice(0, 8) !== date) {
    return mismatch(
      `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${date}' != '${timestamp.slice(0, 8)}', from '${timestamp}'.`,
    );
  }
  return null;
}

function timeRefusal({ timestamp, expiresSeconds }: SignedAs, nowMs: number): SqsRefusal | null {
  const signedMs = msOf(timestamp);
  if (signedMs - SKEW_MS > nowMs) {
    return mismatch(
      `Signature not yet current: ${timestamp} is still later than ${basic(nowMs + SKEW_MS)} (${basic(nowMs)} + 15 min.)`,
    );
  }
  const lifeMs = expiresSeconds === null ? SKEW_MS : expiresSeconds * 1_000;
  if (signedMs + lifeMs >= nowMs) return null;
  const life = expiresSeconds === null ? "15 min." : `${expiresSeconds} s.`;
  return mismatch(
    `Signature expired: ${timestamp} is now earlier than ${basic(nowMs - lifeMs)} (${basic(nowMs)} - ${life})`,
  );
}

/**
 * What must be signed: the host, and the header that names the action. The rest is the client's choice, and what proxies
 * add on the way is not signed.
 */
function coverRefusal(request: Signable, { signedHeaders }: SignedAs): SqsRefusal | null {
  if (!signedHeaders.includes("host")) {
    return mismatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
  }
  if (request.header("x-amz-target") !== null && !signedHeaders.includes("x-amz-target")) {
    return mismatch("'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.");
  }
  const absent = signedHeaders.find((name) => request.header(name) === null);
  return absent === undefined ? null : mismatch(`The signed header '${absent}' is not in the request.`);
}

async function signingKey(secretAccessKey: string, scope: readonly string[]): Promise<CryptoKey> {
  let secret: BufferSource = utf8(`AWS4${secretAccessKey}`);
  for (const part of scope) {
    secret = await crypto.subtle.sign("HMAC", await hmacKey(secret, "sign"), utf8(part));
  }
  return hmacKey(secret, "verify");
}

function hmacKey(secret: BufferSource, use: "sign" | "verify"): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, [use]);
}

/** In hexadecimal digits. */
async function sha256(bytes: Uint8Array): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const encoder = new TextEncoder();

function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Lower case only, as signatures are written. No bytes for what is no SHA-256. */
function bytesOfHex(text: string): Uint8Array {
  if (!/^[0-9a-f]{64}$/.test(text)) return new Uint8Array(0);
  return Uint8Array.from({ length: 32 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** X-Amz-Date has the form that is signed. A Date header may have that of HTTP, and is signed in the other. */
function timestampOf(sentAt: string): string | null {
  if (isTimestamp(sentAt)) return sentAt;
  const ms = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(sentAt)
    ? Date.parse(sentAt)
    : Number.NaN;
  return Number.isNaN(ms) ? null : basic(ms);
}

function isTimestamp(text: string): boolean {
  return /^\d{8}T\d{6}Z$/.test(text) && !Number.isNaN(msOf(text));
}

function msOf(timestamp: string): number {
  return Date.parse(timestamp.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));
}

/** ISO 8601, basic format. */
function basic(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace(/[-:]/g, "")}Z`;
}

function noTimestamp(sentAt: string): SqsRefusal {
  return incomplete(`Date must be in ISO-8601 'basic format'. Got '${sentAt}'.`);
}

function incomplete(message: string): SqsRefusal {
  return sqsRefusal("IncompleteSignature", message);
}

function mismatch(message: string): SqsRefusal {
  return sqsRefusal("SignatureDoesNotMatch", message);
}
