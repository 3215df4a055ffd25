// Tokens: JSON Web Tokens signed with the deployment's secret (HS256), or by the owner of a key pair whose public
// half the deployment has (EdDSA). Access keys are tokens too, for protocols that sign their requests (PROTOCOL §8.6).
import { decode, sign, verify } from "hono/jwt";
import { JwtTokenSignatureMismatched } from "hono/utils/jwt/types";
import type { AccessKey } from "../protocol/gateway.ts";
import { LIMITS } from "../protocol/limits.ts";
import { toBase64 } from "../protocol/message-json.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { Claims, Grant } from "../protocol/rpc.ts";
import { check, present } from "../protocol/schemas.ts";
import { ACCESS_KEY_USE, TokenClaims, type TokenGrant, type TokenPayload } from "./parameters.ts";

export interface IdentityKeys {
  /** MILLRACE_SECRET. */
  readonly secret?: string | undefined;
  /** MILLRACE_PUBLIC_KEY: an Ed25519 key as JWK, in JSON. */
  readonly publicKey?: string | undefined;
}

/** What a client of AWS is given to sign with. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

type Algorithm = "HS256" | "EdDSA";
type Keys = Partial<Record<Algorithm, JsonWebKey>>;

/** No JWT's signing input has a space or a colon, so no signature of a token is ever a secret access key. */
const ACCESS_KEY_DOMAIN = "millrace sigv4:";

const encoder = new TextEncoder();

export class Identity {
  private readonly keys: Keys = {};
  private readonly secret: string | null = null;
  /** Why no token can be verified though a key was given, or null. */
  private readonly misconfigured: Refusal | null = null;

  constructor(keys: IdentityKeys) {
    if (keys.secret) {
      this.secret = keys.secret;
      this.keys.HS256 = hmacKey(keys.secret);
      const weakness = weaknessOf(keys.secret);
      if (weakness !== null) {
        this.misconfigured = refuse(
          "unauthenticated",
          `MILLRACE_SECRET: ${weakness}; no request is taken until it is. \`openssl rand -hex 32\` makes one`,
        );
      }
    }
    if (keys.publicKey) {
      const key = parsePublicKey(keys.publicKey);
      if (key === null) {
        this.misconfigured = refuse(
          "unauthenticated",
          "MILLRACE_PUBLIC_KEY: must be an Ed25519 public key as JWK; no request is taken until it is",
        );
      } else {
        this.keys.EdDSA = key;
      }
    }
  }

  /** No key at all: whoever reaches the broker on loopback may do anything. */
  get isOpen(): boolean {
    return this.misconfigured === null && Object.keys(this.keys).length === 0;
  }

  /** The token's claims, when its signature and times hold. Whether it is revoked is asked elsewhere. */
  async verify(token: string, nowMs: number): Promise<Result<Claims>> {
    if (this.misconfigured !== null) return this.misconfigured;
    const payload = await payloadOf(token, this.keys, nowMs);
    if (!payload.ok) return payload;
    // An access key's id goes over the wire and into logs in the clear: it must open nothing by itself.
    if (payload.value.use === ACCESS_KEY_USE) {
      return refuse("unauthenticated", "token: is the id of an access key, which only signs requests");
    }
    return ok(claimsOf(payload.value));
  }

  /** The same for the id of an access key. It tells the secret half of it as well. */
  async verifyAccessKey(accessKeyId: string, nowMs: number): Promise<Result<AccessKey>> {
    if (this.misconfigured !== null) return this.misconfigured;
    const { HS256 } = this.keys;
    if (HS256 === undefined || this.secret === null) {
      return refuse(
        "unauthenticated",
        "access key: its secret is derived from MILLRACE_SECRET, which this deployment does not have",
      );
    }
    // Whoever has only the private key of a pair can't make the secret half, so such a token is no access key.
    const payload = await payloadOf(accessKeyId, { HS256 }, nowMs);
    if (!payload.ok) return payload;
    if (payload.value.use !== ACCESS_KEY_USE) {
      return refuse("unauthenticated", "access key: is a token for bearers, which signs no requests");
    }
    const secretAccessKey = await secretAccessKeyOf(accessKeyId, this.secret);
    return ok({ claims: claimsOf(payload.value), secretAccessKey });
  }
}

/** What the token says, when one of these keys signed it and its times hold. */
async function payloadOf(token: string, keys: Keys, nowMs: number): Promise<Result<TokenPayload>> {
  if (token.length > LIMITS.tokenBytesMax) {
    return refuse("unauthenticated", `token: is over ${LIMITS.tokenBytesMax} bytes`);
  }
  let payload: unknown;
  try {
    const { alg } = decode(token).header;
    // The algorithm is the token's choice only among those that a key is there for.
    const key = alg === "HS256" || alg === "EdDSA" ? keys[alg] : undefined;
    if (key === undefined) {
      return refuse("unauthenticated", "token: its algorithm is not one of this deployment's");
    }
    // Its times are judged below, by the clock that everything here goes by.
    payload = await verify(token, key, { alg, exp: false, nbf: false, iat: false });
  } catch (error) {
    return refuse("unauthenticated", `token: ${reason(error)}`);
  }
  const checked = check(TokenClaims, payload, "payload");
  if (!checked.ok) return refuse("unauthenticated", `token: ${checked.detail}`);
  const untimely = whyUntimely(checked.value, nowMs);
  return untimely === null ? checked : refuse("unauthenticated", `token: ${untimely}`);
}

/** The end is exact. A beginning may lie ahead by as much as the clocks of issuer and broker may differ. */
function whyUntimely({ exp, nbf, iat }: TokenPayload, nowMs: number): string | null {
  const startMsMax = nowMs + LIMITS.clockSkewMsMax;
  if (exp * 1_000 <= nowMs) return "has expired";
  if (exp * 1_000 > nowMs + LIMITS.tokenLifeMsMax) return "exp: lies more than a year ahead";
  if (nbf !== undefined && nbf * 1_000 > startMsMax) return "nbf: is not valid yet";
  if (iat !== undefined && iat * 1_000 > startMsMax)
    return "iat: issued in the future; the clocks of its issuer and the broker differ by more than a minute";
  return null;
}

function claimsOf({ ns, sub, jti, exp, grants }: TokenPayload): Claims {
  return {
    namespace: ns,
    subject: sub,
    expiresMs: exp * 1_000,
    grants: grants.map((grant) => fromToken(present(grant))),
    ...(jti === undefined ? {} : { jti }),
  };
}

function fromToken({ exp, ...grant }: TokenGrant): Grant {
  return exp === undefined ? grant : { ...grant, expiresMs: exp * 1_000 };
}

/** Seconds are cut, never rounded up: no right lasts longer than was said. */
function toToken({ expiresMs, ...grant }: Grant): TokenGrant {
  return expiresMs === undefined ? grant : { ...grant, exp: Math.floor(expiresMs / 1_000) };
}

/** Makes a token. For the command line and tests: the broker itself issues none. */
export async function signToken(claims: Claims, secret: string): Promise<string> {
  return sign(payloadFrom(claims), hmacKey(secret), "HS256");
}

/** Makes an access key. For the command line and tests, as `signToken`. */
export async function signAccessKey(claims: Claims, secret: string): Promise<Credentials> {
  const accessKeyId = await sign({ ...payloadFrom(claims), use: ACCESS_KEY_USE }, hmacKey(secret), "HS256");
  return { accessKeyId, secretAccessKey: await secretAccessKeyOf(accessKeyId, secret) };
}

function payloadFrom({ namespace, subject, jti, expiresMs, grants }: Claims) {
  return {
    ns: namespace,
    sub: subject,
    grants: grants.map(toToken),
    ...(jti === undefined ? {} : { jti }),
    ...(expiresMs === undefined ? {} : { exp: Math.floor(expiresMs / 1_000) }),
  };
}

/** Derived and stored nowhere: whoever has the deployment's secret makes it again (PROTOCOL §8.6). */
async function secretAccessKeyOf(accessKeyId: string, secret: string): Promise<string> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), algorithm, false, ["sign"]);
  const mac = await crypto.subtle.sign("HMAC", key, encoder.encode(`${ACCESS_KEY_DOMAIN}${accessKeyId}`));
  return toBase64Url(new Uint8Array(mac));
}

function toBase64Url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** As a JWK: a text is taken for PEM by hono as soon as it has the word PUBLIC or PRIVATE in it. */
function hmacKey(secret: string): JsonWebKey {
  return { kty: "oct", k: toBase64Url(encoder.encode(secret)) };
}

/** What a secret must be and is not, or null. A weak one is guessed offline from a single token. */
function weaknessOf(secret: string): string | null {
  const bytes = encoder.encode(secret);
  if (bytes.length < LIMITS.secretBytesMin) return `must be at least ${LIMITS.secretBytesMin} bytes`;
  const different = new Set(bytes).size;
  if (different >= LIMITS.secretDifferentBytesMin) return null;
  return `must be random: it has ${different} different bytes, and at least ${LIMITS.secretDifferentBytesMin} are asked for`;
}

function parsePublicKey(text: string): JsonWebKey | null {
  try {
    const { kty, crv, x } = JSON.parse(text) as JsonWebKey;
    // Only what a public key has: a private half that was pasted by mistake goes no further.
    return kty === "OKP" && crv === "Ed25519" && typeof x === "string" ? { kty, crv, x } : null;
  } catch {
    return null;
  }
}

function reason(error: unknown): string {
  if (error instanceof JwtTokenSignatureMismatched) return "its signature does not fit";
  return "can't be read";
}
