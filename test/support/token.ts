// Tokens for the edge's tests.
import { signToken } from "../../src/edge/identity.ts";
import type { Claims, Grant } from "../../src/protocol/rpc.ts";

export const SECRET = "a secret that is long enough for HS256";

export function tokenWith(grants: readonly Grant[], claims: Partial<Claims> = {}): Promise<string> {
  const expiresMs = Date.now() + 60_000;
  return signToken({ namespace: "acme", subject: "tester", expiresMs, grants, ...claims }, SECRET);
}

export async function authorization(
  grants: readonly Grant[],
  claims: Partial<Claims> = {},
): Promise<Record<string, string>> {
  return { Authorization: `Bearer ${await tokenWith(grants, claims)}` };
}
