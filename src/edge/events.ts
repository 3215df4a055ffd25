// Events of an exchange over plain HTTP, as an EventSource reads them.
import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import type { ReplayCommand } from "../protocol/exchange-commands.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { present, type Present } from "../protocol/schemas.ts";
import { subscriptionScope } from "../routing/grants.ts";
import { PROBLEMS } from "./answers.ts";
import { namesExchange, TOKEN_COOKIE } from "./auth.ts";
import { eventStream, type SubscribedFrame } from "./event-stream.ts";
import { ExchangeParam, pathExchange } from "./exchange-calls.ts";
import { HubSession, refusalOfFrame, sessionLost } from "./hub-session.ts";
import { openSession } from "./hubs.ts";
import { EventsHeaders, EventsQuery } from "./parameters.ts";
import { problem } from "./refuse.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";

const SUBSCRIBE_REF = 1;

const HEADERS = {
  "Content-Type": "text/event-stream",
  // A proxy that gathers or packs the stream would hold events back.
  "Cache-Control": "no-store, no-transform",
};

export function addEventRoutes(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/exchanges/{exchange}/events",
    tags: ["Exchanges"],
    summary: "Follow events",
    description: `A stream of server-sent events: each event is a \`message\` whose data is the event as one line of JSON and whose id is its position. \`subscribed\`, \`gap\` and \`unsubscribed\` are events of the broker. An EventSource that connects again goes on where it was, by \`Last-Event-ID\`. The token comes in Authorization or, for an EventSource, in the cookie \`${TOKEN_COOKIE}\`. Grant: subscribe for topics that the pattern matches.`,
    middleware: [namesExchange()],
    request: { params: ExchangeParam, query: EventsQuery, headers: EventsHeaders },
    responses: {
      200: {
        description: "The stream; it ends only with the connection or the exchange.",
        content: { "text/event-stream": { schema: z.string() } },
      },
      ...PROBLEMS,
    },
  });
  app.openapi(route, async (context): Promise<Response> => {
    const replay = replayOf(
      present(context.req.valid("query")),
      present(context.req.valid("header"))["Last-Event-ID"],
    );
    const { grants } = context.get("claims");
    const exchange = pathExchange(context);
    if (subscriptionScope(grants, exchange, replay.pattern, context.env.now()).kind === "none") {
      return problem(
        context,
        refuse("forbidden", `token: has no grant to subscribe "${replay.pattern}" in "${exchange}"`),
      );
    }
    const opened = await openSession(context);
    if (!opened.ok) return problem(context, opened);
    const session = new HubSession(opened.value, context.req.raw.signal);
    const subscribed = await subscribe(session, context, replay);
    if (!subscribed.ok) {
      session.close();
      return problem(context, subscribed);
    }
    const isReplaying = replay.last !== undefined;
    const { codec } = context.env;
    const stream = eventStream({ session, subscribed: subscribed.value, isReplaying, codec });
    return new Response(stream, { headers: HEADERS });
  });
}

/** Where the client was wins over where the address says to begin: it is the address of the first connection. */
function replayOf(
  { pattern, since, last, lastValues }: Present<z.output<typeof EventsQuery>>,
  lastEventId: string | undefined,
): ReplayCommand {
  const position = lastEventId ?? since;
  return {
    pattern,
    ...(position !== undefined && { since: position }),
    ...(position === undefined && last !== undefined && { last }),
    ...(lastValues && { lastValues }),
  };
}

async function subscribe(
  session: HubSession,
  context: EdgeContext,
  replay: ReplayCommand,
): Promise<Result<SubscribedFrame>> {
  const exchange = pathExchange(context);
  session.send({ type: "subscribe", ref: SUBSCRIBE_REF, exchange, format: "binary", ...replay });
  for (;;) {
    const next = await session.next();
    if (next === null || next === "silence") return sessionLost("subscribe");
    if (next.frame.type === "subscribed") return ok(next.frame);
    if (next.frame.type === "error") return refusalOfFrame(next.frame);
  }
}
