// Who subscribes to an exchange.
import { createRoute } from "@hono/zod-openapi";
import { subscriptionScope } from "../routing/grants.ts";
import type { Refusal } from "../protocol/result.ts";
import { answers } from "./answers.ts";
import { lacks, namesExchange } from "./auth.ts";
import { Presence } from "./exchange-answers.ts";
import { callExchange, ExchangeParam, pathExchange } from "./exchange-calls.ts";
import { PresenceQuery } from "./parameters.ts";
import { answer, problem } from "./refuse.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";

export function addPresenceRoutes(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/exchanges/{exchange}/presence",
    tags: ["Exchanges"],
    summary: "See who subscribes",
    description:
      "The subscribers whose pattern overlaps `pattern` (default: all). Grant: manage on the exchange's name, or subscribe for topics that the pattern matches.",
    middleware: [namesExchange()],
    request: { params: ExchangeParam, query: PresenceQuery },
    responses: answers(200, "Who is there now.", Presence),
  });
  app.openapi(route, async (context) => {
    const { pattern } = context.req.valid("query");
    const lacking = lacksPresence(context, pattern);
    if (lacking !== null) return problem(context, lacking);
    const presence = await callExchange(context, {
      method: "presence",
      repeatable: true,
      run: (exchange) => exchange.presence(pattern),
    });
    return answer(context, presence);
  });
}

function lacksPresence(context: EdgeContext, pattern: string): Refusal | null {
  const exchange = pathExchange(context);
  const { grants } = context.get("claims");
  const scope = subscriptionScope(grants, exchange, pattern, context.env.now());
  return scope.kind === "none" ? lacks(context, ["manage"], exchange) : null;
}
