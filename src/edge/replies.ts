// Answering a request over plain HTTP. Whoever may consume the queue of a call, and was given it, may answer it.
import { UNSTAMPED } from "../protocol/batch.ts";
import { createRoute } from "@hono/zod-openapi";
import type { z } from "zod";
import type { MessageRecord } from "../protocol/batch.ts";
import { isInbox, parseInbox, REPLY_ERROR_HEADER } from "../protocol/inbox.ts";
import { LIMITS } from "../protocol/limits.ts";
import { parseName } from "../protocol/names.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { present, type Present } from "../protocol/schemas.ts";
import { lacksAnswer } from "../routing/grants.ts";
import { PROBLEMS } from "./answers.ts";
import { lacks } from "./auth.ts";
import { bodyTooLarge } from "./bodies.ts";
import { call } from "./call.ts";
import { ReplyHeaders } from "./parameters.ts";
import { queuePublisher } from "./publish.ts";
import { bytesSchema, messageHeaders } from "./publish-input.ts";
import { callQueue } from "./queue-calls.ts";
import { queueRate } from "../routing/grants.ts";
import { lacksRate } from "./rates.ts";
import { problem } from "./refuse.ts";
import { readBounded } from "./request-body.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";

type Headings = Present<z.output<typeof ReplyHeaders>>;

export function addReplyRoutes(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/replies",
    tags: ["Requests and replies"],
    summary: "Reply to a request",
    description:
      "The request's body is the reply, its Content-Type and `Millrace-Header-<name>` too. `Millrace-Reply-To` and `Millrace-Correlation-Id` are as the request had them; `Millrace-Error` says that the responder failed. Grant: consume on the call's queue for an inbox; publish for a queue.",
    request: { headers: ReplyHeaders, body: { content: { "*/*": { schema: bytesSchema } } } },
    responses: { 204: { description: "The requester has it, or the queue." }, ...PROBLEMS },
  });
  app.openapi(route, async (context): Promise<Response> => {
    const headings = present(context.req.valid("header"));
    const body = await readBounded(context.req.raw, LIMITS.bodyBytesMax, () =>
      bodyTooLarge(LIMITS.bodyBytesMax),
    );
    if (!body.ok) return problem(context, body);
    const replied = isInbox(headings["Millrace-Reply-To"])
      ? await replyToInbox(context, headings, body.value)
      : await replyToQueue(context, headings, body.value);
    return replied.ok ? new Response(null, { status: 204 }) : problem(context, replied);
  });
}

async function replyToInbox(
  context: EdgeContext,
  headings: Headings,
  body: Uint8Array,
): Promise<Result<void>> {
  const to = headings["Millrace-Reply-To"];
  const error = headings["Millrace-Error"];
  const inbox = parseInbox(to);
  if (inbox === null)
    return refuse("bad_request", "Millrace-Reply-To: is neither an inbox nor a queue's name");
  const correlationId = headings["Millrace-Correlation-Id"];
  const lacking = lacksAnswer(context.get("claims"), correlationId, context.env.now());
  if (lacking !== null) return lacking;
  const stamp = { ...UNSTAMPED, timeMs: context.env.now() };
  const batch = context.env.codec.encode([recordOf(context, headings, body)], stamp, "client");
  if (!batch.ok) return batch;
  const { namespace } = context.get("claims");
  // Twice the same reply is one to the caller, who waits for no second.
  return call(context, { method: "reply", hub: inbox.hub, repeatable: true }, () =>
    context.env.hub(namespace, inbox.hub).reply({
      to,
      correlationId,
      batch: batch.value,
      ...(error !== undefined && { error }),
    }),
  );
}

/** The durable variant: the reply is a message like any other. */
async function replyToQueue(
  context: EdgeContext,
  headings: Headings,
  body: Uint8Array,
): Promise<Result<void>> {
  const queue = parseName("Millrace-Reply-To", headings["Millrace-Reply-To"]);
  if (!queue.ok) return queue;
  const lacking = lacks(context, ["publish"], queue.value);
  if (lacking !== null) return lacking;
  const limited = lacksRate(context, [{ target: { name: queue.value }, messages: 1 }]);
  if (limited !== null) return limited;
  const record = recordOf(context, headings, body);
  const error = headings["Millrace-Error"];
  const headers = { ...record.headers, ...(error !== undefined && { [REPLY_ERROR_HEADER]: error }) };
  const batch = context.env.codec.encode([{ ...record, headers }], UNSTAMPED, "client");
  if (!batch.ok) return batch;
  const confirm = await callQueue(context, {
    method: "publish",
    queue: queue.value,
    repeatable: false,
    run: (stub) =>
      stub.publish({
        batch: batch.value,
        publisher: queuePublisher(context, queue.value),
        ...queueRate(context.get("claims"), queue.value, context.env.now()),
      }),
  });
  return confirm.ok ? ok(undefined) : confirm;
}

function recordOf(context: EdgeContext, headings: Headings, body: Uint8Array): MessageRecord {
  const headers = messageHeaders(context.req.raw.headers);
  const contentType = headings["Content-Type"];
  return {
    correlationId: headings["Millrace-Correlation-Id"],
    ...(contentType !== undefined && { contentType }),
    ...(Object.keys(headers).length > 0 && { headers }),
    body,
  };
}
