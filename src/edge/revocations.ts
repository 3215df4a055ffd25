// Revoked tokens.
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { Claims } from "../protocol/rpc.ts";
import { call } from "./call.ts";
import type { EdgeContext } from "./services.ts";

/** Why the token of these claims is not taken any more, or null. */
export async function refuseRevoked(
  context: EdgeContext,
  { namespace, jti }: Claims,
): Promise<Refusal | null> {
  if (jti === undefined) return null;
  const revoked = await context.get("memory").revocations.has(context, namespace, jti);
  if (!revoked.ok) return revoked;
  return revoked.value ? refuse("unauthenticated", "token: has been revoked") : null;
}

/**
 * Which tokens are revoked, per namespace. An isolate asks at most once in LIMITS.revocationLagMs, so a revoked token
 * is taken that much longer at most. When the list can't be had, the token is not taken either.
 */
export class Revocations {
  private readonly lists = new Map<
    string,
    { readonly askedMs: number; readonly jtis: ReadonlySet<string> }
  >();

  async has(context: EdgeContext, namespace: string, jti: string): Promise<Result<boolean>> {
    const nowMs = context.env.now();
    let list = this.lists.get(namespace);
    if (list === undefined || nowMs - list.askedMs >= LIMITS.revocationLagMs) {
      const answer = await call(context, { method: "revokedTokens", repeatable: true }, () =>
        context.env.namespace(namespace).revokedTokens(),
      );
      if (!answer.ok) return answer;
      list = { askedMs: nowMs, jtis: new Set(answer.value) };
      this.lists.set(namespace, list);
    }
    return ok(list.jtis.has(jti));
  }
}
