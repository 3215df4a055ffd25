// Tokens: JSON Web Tokens signed with the deployment's secret (HS256), or by the owner of a key pair whose public
// half the deployment has (EdDSA).
import { decode, sign, verify } from "hono/jwt";
import { JwtTokenExpired, JwtTokenNotBefore, JwtTokenSignatureMismatched } from "hono/utils/jwt/types";
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { Claims, Grant } from "../protocol/rpc.ts";
import { check, present } from "../protocol/schemas.ts";
import { TokenClaims, type TokenGrant } from "./parameters.ts";

export interface IdentityKeys {
  /** MILLRACE_SECRET. */
  readonly secret?: string | undefined;
  /** MILLRACE_PUBLIC_KEY: an Ed25519 key as JWK, in JSON. */
  readonly publicKey?: string | undefined;
}

type Algorithm = "HS256" | "EdDSA";

export class Identity {
  private readonly keys: Partial<Record<Algorithm, string | JsonWebKey>> = {};
  /** Why no token can be verified though a key was given, or null. */
  private readonly misconfigured: Refusal | null = null;

  constructor(keys: IdentityKeys) {
    if (keys.secret) {
      this.keys.HS256 = keys.secret;
      // A short secret is guessed offline from a single token.
      if (new TextEncoder().encode(keys.secret).length < LIMITS.secretBytesMin) {
        this.misconfigured = refuse(
          "unauthenticated",
          `MILLRACE_SECRET: must be at least ${LIMITS.secretBytesMin} bytes; no request is taken until it is`,
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
    if (token.length > LIMITS.tokenBytesMax) {
      return refuse("unauthenticated", `token: is over ${LIMITS.tokenBytesMax} bytes`);
    }
    let payload: unknown;
    try {
      const { alg } = decode(token).header;
      // The algorithm is the token's choice only among those that a key is there for.
      const key = alg === "HS256" || alg === "EdDSA" ? this.keys[alg] : undefined;
      if (key === undefined) {
        return refuse("unauthenticated", "token: its algorithm is not one of this deployment's");
      }
      payload = await verify(token, key, alg);
    } catch (error) {
      return refuse("unauthenticated", `token: ${reason(error)}`);
    }
    const claims = check(TokenClaims, payload, "payload");
    if (!claims.ok) return refuse("unauthenticated", `token: ${claims.detail}`);
    const { ns, sub, jti, exp, grants } = claims.value;
    const expiresMs = exp * 1_000;
    if (expiresMs > nowMs + LIMITS.tokenLifeMsMax) {
      return refuse("unauthenticated", "token: exp: lies more than a year ahead");
    }
    return ok({
      namespace: ns,
      subject: sub,
      expiresMs,
      grants: grants.map((grant) => fromToken(present(grant))),
      ...(jti === undefined ? {} : { jti }),
    });
  }
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
  const { namespace, subject, jti, expiresMs, grants } = claims;
  return sign(
    {
      ns: namespace,
      sub: subject,
      grants: grants.map(toToken),
      ...(jti === undefined ? {} : { jti }),
      ...(expiresMs === undefined ? {} : { exp: Math.floor(expiresMs / 1_000) }),
    },
    secret,
    "HS256",
  );
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
  if (error instanceof JwtTokenExpired) return "has expired";
  if (error instanceof JwtTokenNotBefore) return "is not valid yet";
  if (error instanceof JwtTokenSignatureMismatched) return "its signature does not fit";
  return "can't be read";
}
