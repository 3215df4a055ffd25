// The route table, and what holds for every route.
import { OpenAPIHono } from "@hono/zod-openapi";
import { cors } from "hono/cors";
import { HTTPException } from "hono/http-exception";
import { methodNotAllowed } from "hono/method-not-allowed";
import type { Gateway } from "../protocol/gateway.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import { refusalOf } from "../protocol/schema-refusals.ts";
import { authenticate, isUpgrade } from "./auth.ts";
import { addBindingRoutes } from "./bindings.ts";
import { addBodyRoutes } from "./bodies.ts";
import { addConsumeRoutes } from "./consume.ts";
import { addEventRoutes } from "./events.ts";
import { addExchangeRoutes } from "./exchanges.ts";
import { hostGateways } from "./gateways.ts";
import { addHubRoutes } from "./hubs.ts";
import { remember } from "./isolate-memory.ts";
import { addMessageRoutes } from "./messages.ts";
import { addNamespaceRoutes } from "./namespace.ts";
import { isLoopbackOrigin } from "./open-mode.ts";
import { addPresenceRoutes } from "./presence.ts";
import { addPublishRoutes } from "./publish.ts";
import { addQueueRoutes } from "./queues.ts";
import { addRedriveRoutes } from "./redrive.ts";
import { problem } from "./refuse.ts";
import { addReplyRoutes } from "./replies.ts";
import { addRoutePublishRoutes } from "./route-publish.ts";
import { addRpcRoutes } from "./rpc.ts";
import type { EdgeApp, EdgeContext, EdgeEnv, EdgeMiddleware } from "./services.ts";
import { asPage, secureHeaders } from "./security-headers.ts";
import { addSocketRoute } from "./socket.ts";
import { addTokenRoutes } from "./tokens.ts";

/** `gateways`: other protocols, asked in their order before any route. */
export function createApp(gateways: readonly Gateway[] = []): EdgeApp {
  const app: EdgeApp = new OpenAPIHono<EdgeEnv>({
    defaultHook: (result, context) =>
      result.success
        ? undefined
        : problem(context, refusalOf(result.error, dataOf(result), WHERE[result.target] ?? result.target)),
  });
  app.use(secureHeaders(), allowOrigins(), remember(), hostGateways(gateways));
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (context, methods) =>
        problem(
          context,
          refuse("method_not_allowed", `method: ${context.req.method} is not taken here`, {
            allow: methods.join(", "),
          }),
        ),
    }),
  );
  app.use("/v1/*", authenticate());
  addQueueRoutes(app);
  addPublishRoutes(app);
  addConsumeRoutes(app);
  addSocketRoute(app);
  addBodyRoutes(app);
  addMessageRoutes(app);
  addRedriveRoutes(app);
  addExchangeRoutes(app);
  addBindingRoutes(app);
  addRoutePublishRoutes(app);
  addEventRoutes(app);
  addPresenceRoutes(app);
  addHubRoutes(app);
  addRpcRoutes(app);
  addReplyRoutes(app);
  addNamespaceRoutes(app);
  addTokenRoutes(app);
  app.get("/", async (context) => asPage(await context.env.site(context.req.raw)));
  app.get("/health", (context) => context.json({ ok: true }));
  addReference(app);
  app.notFound((context) => problem(context, refuse("no_route", `path: ${context.req.path} is no address`)));
  app.onError(problemOfError);
  return app;
}

const WHERE: Readonly<Record<string, string>> = { json: "body", param: "path" };

/** zod-validator hands the hook what it checked beside the error, though its type does not say so. */
function dataOf(result: object): unknown {
  return "data" in result ? result.data : undefined;
}

/**
 * Browsers elsewhere may call with a token: it is sent by hand, never by the browser itself, so any origin will do. In
 * open mode there is no token, and only loopback pages may read an answer.
 */
function allowOrigins(): EdgeMiddleware {
  const allow = cors({
    origin: (origin, context: EdgeContext) =>
      !context.env.identity.isOpen || isLoopbackOrigin(origin) ? origin : null,
    allowMethods: "GET PUT POST PATCH DELETE".split(" "),
    // All of them: a reply's headers have names of the responder's choice.
    exposeHeaders: ["*"],
    maxAge: 86_400,
  });
  // Sockets know no such headers, and an answer that opens one must not be copied to add them.
  return (context, next) => (isUpgrade(context.req.raw) ? next() : allow(context, next));
}

function problemOfError(error: Error, context: EdgeContext): Response {
  if (error instanceof HTTPException && error.status < 500)
    return problem(context, refusalOfException(error));
  context.env.log("error", "request_failed", {
    method: context.req.method,
    path: context.req.path,
    error: error.stack ?? String(error),
  });
  return problem(context, refuse("internal", "the request failed; the log has the cause"));
}

/** The validators throw for a body that is no JSON and for a content type they don't read. */
function refusalOfException(error: HTTPException): Refusal {
  return error.status === 415
    ? refuse("unsupported_media_type", "Content-Type: must be application/json")
    : refuse("bad_request", "body: is not JSON");
}

function addReference(app: EdgeApp): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "token", {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "Not needed on loopback while the broker has no MILLRACE_SECRET.",
  });
  app.doc31("/openapi.json", (context) => ({
    openapi: "3.1.0",
    info: {
      title: "Millrace",
      version: "1",
      description:
        "Queues that lose nothing, and exchanges that lead to them. Every refusal is a problem document with a `code` from one table: [errors](/docs/errors/).",
    },
    servers: [{ url: new URL(context.req.url).origin }],
    security: [{ token: [] }],
  }));
}
