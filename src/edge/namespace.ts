// The namespace: how much of it is used, and its quotas.
import { createRoute } from "@hono/zod-openapi";
import { present, QuotaRequest } from "../protocol/schemas.ts";
import { answers, Usage } from "./answers.ts";
import { needsNamespace } from "./auth.ts";
import { call } from "./call.ts";
import { answer } from "./refuse.ts";
import { jsonBody } from "./request-body.ts";
import type { EdgeApp } from "./services.ts";

export function addNamespaceRoutes(app: EdgeApp): void {
  const usage = createRoute({
    method: "get",
    path: "/v1/namespace",
    tags: ["Namespace"],
    summary: "Look at the namespace",
    description: "Queues, exchanges and bytes, used and allowed. Grant: manage `#`.",
    middleware: [needsNamespace()],
    responses: answers(200, "Usage and quotas.", Usage),
  });
  app.openapi(usage, async (context) => {
    const { namespace } = context.get("claims");
    return answer(
      context,
      await call(context, { method: "usage", repeatable: true }, () =>
        context.env.namespace(namespace).usage(),
      ),
    );
  });
  const quota = createRoute({
    method: "put",
    path: "/v1/namespace/quota",
    tags: ["Namespace"],
    summary: "Set quotas",
    description:
      "What is left out stays. A quota below what is used takes nothing away; it only stops growth. Grant: manage `#`.",
    middleware: [needsNamespace(), jsonBody()],
    request: { body: { content: { "application/json": { schema: QuotaRequest } } } },
    responses: answers(200, "Usage and quotas as they are now.", Usage),
  });
  app.openapi(quota, async (context) => {
    const { namespace } = context.get("claims");
    const wanted = present(context.req.valid("json"));
    return answer(
      context,
      await call(context, { method: "setQuota", repeatable: true }, () =>
        context.env.namespace(namespace).setQuota(wanted),
      ),
    );
  });
}
