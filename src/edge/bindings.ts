// What leads where: bindings of an exchange, and why a message would go where it goes.
import { createRoute } from "@hono/zod-openapi";
import { explainedTo } from "../routing/explain-scope.ts";
import { allowsName, allowsTopic, lacksBindGrant } from "../routing/grants.ts";
import type { Binding } from "../protocol/exchange-commands.ts";
import { BindRequest, ExplainRequest } from "../protocol/exchange-schemas.ts";
import { ok, type Refusal } from "../protocol/result.ts";
import { present } from "../protocol/schemas.ts";
import { answers } from "./answers.ts";
import { lacks, namesExchange, needsExchange } from "./auth.ts";
import { BindingDetails, BindingPage, Explained } from "./exchange-answers.ts";
import { callExchange, ExchangeParam, pathExchange } from "./exchange-calls.ts";
import { BindingId, BindingListQuery } from "./parameters.ts";
import { answer, problem } from "./refuse.ts";
import { jsonBody } from "./request-body.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";

const LIST_LIMIT_DEFAULT = 100;
const BindingParam = ExchangeParam.extend({ id: BindingId });

export function addBindingRoutes(app: EdgeApp): void {
  addBind(app);
  addBindings(app);
  addUnbind(app);
  addExplain(app);
}

function addBind(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/exchanges/{exchange}/bindings",
    tags: ["Exchanges"],
    summary: "Bind a queue or an exchange",
    description:
      "An equal binding is found, not made twice. Grant: manage on the destination's name; and on the exchange's name, or subscribe for every topic that the binding takes.",
    middleware: [namesExchange(), jsonBody()],
    request: {
      params: ExchangeParam,
      body: { required: true, content: { "application/json": { schema: BindRequest } } },
    },
    responses: {
      ...answers(201, "It is new, and every later publish sees it.", BindingDetails),
      200: { description: "It was there." },
    },
  });
  app.openapi(route, async (context) => {
    const binding = present(context.req.valid("json"));
    const lacking = await lacksBinding(context, binding);
    if (lacking !== null) return problem(context, lacking);
    const bound = await callExchange(context, {
      method: "bind",
      repeatable: true,
      run: (exchange) => exchange.bind(binding),
    });
    if (!bound.ok) return problem(context, bound);
    return answer(context, ok(bound.value.binding), bound.value.created ? 201 : 200);
  });
}

/** Only a token that may subscribe to part of the exchange needs to know how the exchange reads the key. */
async function lacksBinding(context: EdgeContext, binding: Binding): Promise<Refusal | null> {
  const claims = context.get("claims");
  const name = pathExchange(context);
  const lacksFor = (kind: "direct" | "fanout" | "topic"): Refusal | null =>
    lacksBindGrant(claims, { name, kind }, binding, context.env.now());
  const lacking = lacksFor("fanout");
  if (lacking === null || (lacksFor("topic") !== null && lacksFor("direct") !== null)) return lacking;
  const info = await callExchange(context, {
    method: "inspect",
    repeatable: true,
    run: (exchange) => exchange.inspect(),
  });
  if (!info.ok) return info;
  return lacksBindGrant(claims, { name, kind: info.value.config.kind }, binding, context.env.now());
}

function addBindings(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/exchanges/{exchange}/bindings",
    tags: ["Exchanges"],
    summary: "List bindings",
    description:
      "In the order of their ids. `after` goes on from a page's own `after`. Grant: manage on the exchange's name.",
    middleware: [needsExchange("manage")],
    request: { params: ExchangeParam, query: BindingListQuery },
    responses: answers(200, "A page.", BindingPage),
  });
  app.openapi(route, async (context) => {
    const { after = 0, limit = LIST_LIMIT_DEFAULT } = context.req.valid("query");
    const page = await callExchange(context, {
      method: "bindings",
      repeatable: true,
      run: (exchange) => exchange.bindings({ after, limit }),
    });
    return answer(context, page);
  });
}

function addUnbind(app: EdgeApp): void {
  const route = createRoute({
    method: "delete",
    path: "/v1/exchanges/{exchange}/bindings/{id}",
    tags: ["Exchanges"],
    summary: "Remove a binding",
    description: "What the destination has already stays there. Grant: manage on the exchange's name.",
    middleware: [needsExchange("manage")],
    request: { params: BindingParam },
    responses: answers(200, "The binding that was removed.", BindingDetails),
  });
  app.openapi(route, async (context) => {
    const { id } = context.req.valid("param");
    const removed = await callExchange(context, {
      method: "unbind",
      repeatable: false,
      run: (exchange) => exchange.unbind(id),
    });
    return answer(context, removed);
  });
}

function addExplain(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/exchanges/{exchange}/explain",
    tags: ["Exchanges"],
    summary: "Explain where a message would go",
    description:
      "Nothing is published. Whoever has no grant to manage the exchange is told of bindings to what it manages, and of destinations over which it has some grant. Grant: publish, subscribe or manage on the exchange's name, or publish for the topic.",
    middleware: [namesExchange(), jsonBody()],
    request: {
      params: ExchangeParam,
      body: { content: { "application/json": { schema: ExplainRequest } } },
    },
    responses: answers(200, "The bindings, those that match first, and the destinations.", Explained),
  });
  app.openapi(route, async (context) => {
    const command = present(context.req.valid("json"));
    const lacking = lacksExplain(context, command.routingKey);
    if (lacking !== null) return problem(context, lacking);
    const explained = await callExchange(context, {
      method: "explain",
      repeatable: true,
      run: (exchange) => exchange.explain(command),
    });
    if (!explained.ok) return problem(context, explained);
    const { grants } = context.get("claims");
    const told = explainedTo(grants, pathExchange(context), explained.value, context.env.now());
    return answer(context, ok(told));
  });
}

function lacksExplain(context: EdgeContext, routingKey: string): Refusal | null {
  const { grants } = context.get("claims");
  const exchange = pathExchange(context);
  const nowMs = context.env.now();
  const verbs = ["publish", "subscribe", "manage"] as const;
  if (allowsName(grants, verbs, exchange, nowMs)) return null;
  if (allowsTopic(grants, "publish", exchange, routingKey, nowMs)) return null;
  return lacks(context, verbs, exchange);
}
