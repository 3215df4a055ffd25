// Who subscribes to an exchange.
import { createRoute } from "@hono/zod-openapi";
import { narrowPresence, presenceScope } from "../routing/presence-scope.ts";
import { ok } from "../protocol/result.ts";
import { answers } from "./answers.ts";
import { lacks, namesExchange } from "./auth.ts";
import { Presence } from "./exchange-answers.ts";
import { callExchange, ExchangeParam, pathExchange } from "./exchange-calls.ts";
import { PresenceQuery } from "./parameters.ts";
import { answer, problem } from "./refuse.ts";
import type { EdgeApp } from "./services.ts";

export function addPresenceRoutes(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/exchanges/{exchange}/presence",
    tags: ["Exchanges"],
    summary: "See who subscribes",
    description:
      "The subscribers whose pattern overlaps `pattern` (default: all), as far as the token may subscribe there; all of them to whoever manages the exchange. The exchange must have `presence`. Grant: manage on the exchange's name, or subscribe for topics that the pattern matches.",
    middleware: [namesExchange()],
    request: { params: ExchangeParam, query: PresenceQuery },
    responses: answers(200, "Who is there now.", Presence),
  });
  app.openapi(route, async (context) => {
    const { pattern } = context.req.valid("query");
    const exchangeName = pathExchange(context);
    const scope = presenceScope(context.get("claims").grants, exchangeName, pattern, context.env.now());
    if (scope.kind === "none") return problem(context, lacks(context, ["manage"], exchangeName)!);
    const presence = await callExchange(context, {
      method: "presence",
      repeatable: true,
      run: (exchange) => exchange.presence(pattern),
    });
    return answer(context, presence.ok ? ok(narrowPresence(scope, presence.value)) : presence);
  });
}
