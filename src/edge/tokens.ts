// Revoking tokens. The broker issues none: whoever holds the secret does (`npm run token`).
import { createRoute, z } from "@hono/zod-openapi";
import { LIMITS } from "../protocol/limits.ts";
import { ok } from "../protocol/result.ts";
import { present, RevokeRequest } from "../protocol/schemas.ts";
import { answers } from "./answers.ts";
import { needsNamespace } from "./auth.ts";
import { call } from "./call.ts";
import { answer, problem } from "./refuse.ts";
import { jsonBody } from "./request-body.ts";
import type { EdgeApp } from "./services.ts";

export function addTokenRoutes(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/tokens/revoke",
    tags: ["Namespace"],
    summary: "Revoke a token",
    description: `Refuses the token with this \`jti\` until \`untilMs\` (default: as long as any token may run). It may still be taken for up to ${LIMITS.revocationLagMs / 1_000} seconds. Its sessions end; a queue's socket ends with the next frame or before the next delivery. Grant: manage \`#\`.`,
    middleware: [needsNamespace(), jsonBody()],
    request: { body: { required: true, content: { "application/json": { schema: RevokeRequest } } } },
    responses: answers(200, "It is on the list.", z.object({ jti: z.string(), untilMs: z.int() })),
  });
  app.openapi(route, async (context) => {
    const { namespace } = context.get("claims");
    const { jti, untilMs = context.env.now() + LIMITS.tokenLifeMsMax } = present(context.req.valid("json"));
    const revoked = await call(context, { method: "revokeToken", repeatable: true }, () =>
      context.env.namespace(namespace).revokeToken(jti, untilMs),
    );
    return revoked.ok ? answer(context, ok({ jti, untilMs })) : problem(context, revoked);
  });
}
