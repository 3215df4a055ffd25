// Exchanges as things: declare, look at, change, delete, list.
import { createRoute, z } from "@hono/zod-openapi";
import { namePatterns } from "../routing/grants.ts";
import { EXCHANGE_DEFAULTS } from "../protocol/exchange-config.ts";
import { ExchangeChanges } from "../protocol/exchange-schemas.ts";
import { ok, type Refusal } from "../protocol/result.ts";
import { present } from "../protocol/schemas.ts";
import { answers } from "./answers.ts";
import { lacks, needsExchange } from "./auth.ts";
import { call } from "./call.ts";
import { ExchangeDetails } from "./exchange-answers.ts";
import { callExchange, ExchangeParam } from "./exchange-calls.ts";
import { ListQuery, RemoveExchangeQuery } from "./parameters.ts";
import { answer, problem } from "./refuse.ts";
import { jsonBody } from "./request-body.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";

const LIST_LIMIT_DEFAULT = 100;

export function addExchangeRoutes(app: EdgeApp): void {
  addDeclare(app);
  addUpdate(app);
  addInspect(app);
  addRemove(app);
  addList(app);
}

/** An alternate exchange gets messages, so naming one takes the right to send there. */
function lacksAlternate(context: EdgeContext, alternate: string | null | undefined): Refusal | null {
  return alternate === null || alternate === undefined
    ? null
    : lacks(context, ["publish", "manage"], alternate);
}

const changesBody = { content: { "application/json": { schema: ExchangeChanges } } };

function addDeclare(app: EdgeApp): void {
  const route = createRoute({
    method: "put",
    path: "/v1/exchanges/{exchange}",
    tags: ["Exchanges"],
    summary: "Declare an exchange",
    description:
      "Makes the exchange, or finds it with an equal configuration. What is left out is the default. Grant: manage; for `alternate`, publish or manage on its name.",
    middleware: [needsExchange("manage"), jsonBody()],
    request: { params: ExchangeParam, body: changesBody },
    responses: {
      ...answers(201, "It is new.", ExchangeDetails),
      200: { description: "It was there, with this configuration." },
    },
  });
  app.openapi(route, async (context) => {
    const config = { ...EXCHANGE_DEFAULTS, ...present(context.req.valid("json")) };
    const lacking = lacksAlternate(context, config.alternate);
    if (lacking !== null) return problem(context, lacking);
    const declared = await callExchange(context, {
      method: "declare",
      repeatable: true,
      run: (exchange) => exchange.declare(config),
    });
    if (!declared.ok) return problem(context, declared);
    return answer(context, ok(declared.value.info), declared.value.created ? 201 : 200);
  });
}

function addUpdate(app: EdgeApp): void {
  const route = createRoute({
    method: "patch",
    path: "/v1/exchanges/{exchange}",
    tags: ["Exchanges"],
    summary: "Change an exchange",
    description:
      "Changes the named fields; `kind` and `durable` can't be changed. `history` is replaced whole. Grant: manage; for `alternate`, publish or manage on its name.",
    middleware: [needsExchange("manage"), jsonBody()],
    request: { params: ExchangeParam, body: changesBody },
    responses: answers(200, "As it is now.", ExchangeDetails),
  });
  app.openapi(route, async (context) => {
    const changes = present(context.req.valid("json"));
    const lacking = lacksAlternate(context, changes.alternate);
    if (lacking !== null) return problem(context, lacking);
    const updated = await callExchange(context, {
      method: "update",
      repeatable: true,
      run: (exchange) => exchange.update(changes),
    });
    return answer(context, updated);
  });
}

function addInspect(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/exchanges/{exchange}",
    tags: ["Exchanges"],
    summary: "Look at an exchange",
    description:
      "Configuration, counts, and where its events stand. Grant: publish, subscribe or manage on its name.",
    middleware: [needsExchange("publish", "subscribe", "manage")],
    request: { params: ExchangeParam },
    responses: answers(200, "The exchange.", ExchangeDetails),
  });
  app.openapi(route, async (context) =>
    answer(
      context,
      await callExchange(context, {
        method: "inspect",
        repeatable: true,
        run: (exchange) => exchange.inspect(),
      }),
    ),
  );
}

function addRemove(app: EdgeApp): void {
  const route = createRoute({
    method: "delete",
    path: "/v1/exchanges/{exchange}",
    tags: ["Exchanges"],
    summary: "Delete an exchange",
    description:
      "Deletes the exchange with its bindings, history and delayed messages, and tells its subscribers. With `ifUnused` only when it has neither bindings nor subscribers. Grant: manage.",
    middleware: [needsExchange("manage")],
    request: { params: ExchangeParam, query: RemoveExchangeQuery },
    responses: answers(
      200,
      "How many bindings and delayed messages went with it.",
      z.object({ bindings: z.int(), delayed: z.int() }),
    ),
  });
  app.openapi(route, async (context) => {
    const { ifUnused = false } = context.req.valid("query");
    const removed = await callExchange(context, {
      method: "remove",
      repeatable: false,
      run: (exchange) => exchange.remove({ ifUnused }),
    });
    return answer(context, removed);
  });
}

function addList(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/exchanges",
    tags: ["Exchanges"],
    summary: "List exchanges",
    description:
      "In the order of their names; only those whose name the token has some grant for. `after` goes on from a page's own `after`.",
    request: { query: ListQuery },
    responses: answers(
      200,
      "A page.",
      z.object({ exchanges: z.array(z.string()), after: z.string().optional() }),
    ),
  });
  app.openapi(route, async (context) => {
    const { prefix = "", limit = LIST_LIMIT_DEFAULT, after = "" } = context.req.valid("query");
    const { namespace, grants } = context.get("claims");
    const patterns = namePatterns(grants, ["publish", "subscribe", "manage"], context.env.now());
    const page = await call(context, { method: "listExchanges", repeatable: true }, () =>
      context.env.namespace(namespace).listExchanges({ prefix, limit, after, patterns }),
    );
    return answer(context, page);
  });
}
