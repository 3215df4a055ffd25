// Publishing to an exchange. What the token may publish depends on each message's routing key, its topic.
import { UNSTAMPED } from "../protocol/batch.ts";
import { createRoute, type RouteConfig } from "@hono/zod-openapi";
import { z } from "zod";
import type { MessageRecord, RecordTable } from "../protocol/batch.ts";
import type { RouteConfirm } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { recordsFromJson } from "../protocol/message-json.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import { messages, present, type Present } from "../protocol/schemas.ts";
import { readText } from "../protocol/utf8.ts";
import { lacksTopicGrant, publisherOf, rateCharges, type Use } from "../routing/grants.ts";
import { answers } from "./answers.ts";
import { namesExchange } from "./auth.ts";
import { Routed } from "./exchange-answers.ts";
import { callExchange, ExchangeParam, pathExchange } from "./exchange-calls.ts";
import { RouteBatchHeaders, RouteHeaders } from "./parameters.ts";
import { BATCH_TYPE, bytesSchema, readBatch, recordFields } from "./publish-input.ts";
import { lacksRate } from "./rates.ts";
import { answer, problem } from "./refuse.ts";
import { isMediaType, jsonBody, readBounded } from "./request-body.ts";
import { lacksReplyTargets } from "./reply-targets.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";

const RouteRequest = z.strictObject({ messages, mandatory: z.boolean().optional() });

export function addRoutePublishRoutes(app: EdgeApp): void {
  addRouteOne(app);
  addRouteBatch(app);
}

const GRANT = "Grant: publish for the topic of each message, which is its routing key.";
const ROUTED: RouteConfig["responses"] = {
  ...answers(201, "Every queue that a binding leads to has its share.", Routed),
  207: {
    description: "Some queues refused their share, as `failed` tells; the others have theirs.",
    content: { "application/json": { schema: Routed } },
  },
};

function addRouteOne(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/exchanges/{exchange}/messages",
    tags: ["Exchanges"],
    summary: "Publish a message to an exchange",
    description: `The request's body is the message's, with the headers of a publish to a queue but for the producer's. \`Millrace-Mandatory: true\` asks whether no binding leads to a queue. ${GRANT}`,
    middleware: [namesExchange()],
    request: {
      params: ExchangeParam,
      headers: RouteHeaders,
      body: { content: { "*/*": { schema: bytesSchema } } },
    },
    responses: ROUTED,
  });
  app.openapi(route, async (context) => {
    const headers = present(context.req.valid("header"));
    const stamped = refuseStamp(headers);
    if (stamped !== null) return problem(context, stamped);
    const fields = recordFields(headers, context.req.raw.headers);
    const uses = usesOf(context, [fields.routingKey], () => "Millrace-Routing-Key");
    if (!uses.ok) return problem(context, uses);
    const body = await readBounded(context.req.raw, LIMITS.bodyBytesMax, bodyTooLarge);
    if (!body.ok) return problem(context, body);
    const mandatory = headers["Millrace-Mandatory"];
    return publishRecords(context, [{ ...fields, body: body.value }], uses.value, mandatory);
  });
}

/** A body in the bucket belongs to the one message that refers to it, and an exchange may make many of one. */
function bodyTooLarge(): Refusal {
  return refuse(
    "body_too_large",
    `body: is over ${LIMITS.bodyBytesMax} bytes, and only queues take larger ones`,
    { bytesMax: LIMITS.bodyBytesMax },
  );
}

function addRouteBatch(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/exchanges/{exchange}/batches",
    tags: ["Exchanges"],
    summary: "Publish a batch to an exchange",
    description: `As JSON, or as \`${BATCH_TYPE}\` with \`Millrace-Mandatory\` as a header. Each queue takes all of its share or none of it. ${GRANT}`,
    middleware: [namesExchange(), jsonBody(BATCH_TYPE)],
    request: {
      params: ExchangeParam,
      headers: RouteBatchHeaders,
      body: {
        content: {
          "application/json": { schema: RouteRequest },
          [BATCH_TYPE]: { schema: bytesSchema },
        },
      },
    },
    responses: ROUTED,
  });
  app.openapi(route, async (context) => {
    const headers = present(context.req.valid("header"));
    const stamped = refuseStamp(headers);
    if (stamped !== null) return problem(context, stamped);
    const mandatory = headers["Millrace-Mandatory"];
    if (isMediaType(context.req.raw, BATCH_TYPE)) return publishBinary(context, mandatory);
    // The type is of both content types; the validator has run for this one.
    const request = context.req.valid("json") as Present<z.output<typeof RouteRequest>>;
    const records = recordsFromJson(request.messages);
    if (!records.ok) return problem(context, records);
    const topics = records.value.map((record) => record.routingKey);
    const uses = usesOf(context, topics, messageAt);
    if (!uses.ok) return problem(context, uses);
    return publishRecords(context, records.value, uses.value, request.mandatory ?? mandatory);
  });
}

/** An exchange leads to many queues, and a producer's numbers run in one. */
function refuseStamp(headers: Present<z.output<typeof RouteBatchHeaders>>): Refusal | null {
  const stamp = (["Millrace-Producer", "Millrace-Sequence"] as const).find(
    (name) => headers[name] !== undefined,
  );
  if (stamp === undefined) return null;
  return refuse("bad_request", `${stamp}: does not go with an exchange; give each message a dedupId`);
}

async function publishBinary(context: EdgeContext, mandatory: boolean | undefined): Promise<Response> {
  const batch = await readBatch(context.req.raw);
  if (!batch.ok) return problem(context, batch);
  const table = context.env.codec.scan(batch.value, "client");
  if (!table.ok) return problem(context, table);
  const uses = usesOf(context, topicsOf(batch.value, table.value), messageAt);
  return uses.ok ? publish(context, batch.value, uses.value, mandatory) : problem(context, uses);
}

function topicsOf(batch: Uint8Array, table: RecordTable): string[] {
  return Array.from({ length: table.count }, (_, index) =>
    readText(batch, table.routingKeyOffset(index), table.routingKeySize(index)),
  );
}

function messageAt(index: number): string {
  return `messages[${index}].routingKey`;
}

/**
 * What is published under which topic; or why the token may not, or not now. `fieldAt` is what a refusal calls the topic's
 * field. A message without a routing key has the empty topic.
 */
function usesOf(
  context: EdgeContext,
  topics: readonly (string | undefined)[],
  fieldAt: (index: number) => string,
): Result<readonly Use[]> {
  const exchange = pathExchange(context);
  const nowMs = context.env.now();
  const uses = new Map<string, Use>();
  for (const [index, topic = ""] of topics.entries()) {
    const use = uses.get(topic);
    if (use === undefined) {
      const lacking = lacksTopicGrant(context.get("claims"), "publish", exchange, topic, nowMs);
      if (lacking !== null) return { ...lacking, detail: `${fieldAt(index)}: ${lacking.detail}` };
    }
    uses.set(topic, { target: { exchange, topic }, messages: (use?.messages ?? 0) + 1 });
  }
  const all = [...uses.values()];
  return lacksRate(context, all) ?? ok(all);
}

async function publishRecords(
  context: EdgeContext,
  records: readonly MessageRecord[],
  uses: readonly Use[],
  mandatory: boolean | undefined,
): Promise<Response> {
  const batch = context.env.codec.encode(records, UNSTAMPED, "client");
  return batch.ok ? publish(context, batch.value, uses, mandatory) : problem(context, batch);
}

async function publish(
  context: EdgeContext,
  batch: Uint8Array,
  uses: readonly Use[],
  mandatory: boolean | undefined,
): Promise<Response> {
  const lacking = lacksReplyTargets(context, batch);
  if (lacking !== null) return problem(context, lacking);
  const claims = context.get("claims");
  const nowMs = context.env.now();
  const charges = rateCharges(claims, uses, nowMs);
  const targets = uses.map(({ target }) => target);
  const publisher = publisherOf(claims, targets, nowMs);
  const confirm: Result<RouteConfirm> = await callExchange(context, {
    method: "publish",
    // Subscribers would see every event twice.
    repeatable: false,
    run: (exchange) =>
      exchange.publish({
        batch,
        publisher,
        ...(mandatory && { mandatory }),
        ...(charges.length > 0 && { charges }),
      }),
  });
  if (!confirm.ok) return problem(context, confirm);
  return answer(context, ok(confirm.value), confirm.value.failed.length === 0 ? 201 : 207);
}
