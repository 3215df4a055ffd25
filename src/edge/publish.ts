// Publishing: one raw body with its metadata in headers, or a batch as JSON or in the broker's own format.
import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import { messageId, type BatchSource, type MessageRecord, UNSTAMPED } from "../protocol/batch.ts";
import type { ProducerStamp, PublishCommand, PublishConfirm, Publisher } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import {
  encodeBodyReference,
  recordFromJson,
  recordsFromJson,
  type MessageJson,
} from "../protocol/message-json.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import { present, PublishRequest, type Present } from "../protocol/schemas.ts";
import { publisherOf } from "../routing/grants.ts";
import { answers, Published } from "./answers.ts";
import { needs } from "./auth.ts";
import { bodyTooLarge, discardBody, storeBody } from "./bodies.ts";
import { ProducerHeaders, PublishHeaders } from "./parameters.ts";
import { BATCH_TYPE, bytesSchema, readBatch, recordFields } from "./publish-input.ts";
import { callQueue, pathQueue, QueueParam } from "./queue-calls.ts";
import { queueRate } from "../routing/grants.ts";
import { lacksRate } from "./rates.ts";
import { answer, problem } from "./refuse.ts";
import { isMediaType, jsonBody, readBounded } from "./request-body.ts";
import { lacksReplyTargets } from "./reply-targets.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";

export function addPublishRoutes(app: EdgeApp): void {
  addPublishOne(app);
  addPublishBatch(app);
}

function addPublishOne(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/queues/{queue}/messages",
    tags: ["Publishing"],
    summary: "Publish a message",
    description:
      "The request's body is the message's, its Content-Type too. `Millrace-Header-<name>` sets a header of the message (text; the name comes in lower case). The answer means: stored. Grant: publish.",
    middleware: [needs("publish")],
    request: {
      params: QueueParam,
      headers: PublishHeaders,
      body: { content: { "*/*": { schema: bytesSchema } } },
    },
    responses: answers(201, "Stored.", Published),
  });
  app.openapi(route, async (context) => {
    const headers = present(context.req.valid("header"));
    const stamp = producerStamp(headers);
    if (!stamp.ok) return problem(context, stamp);
    const metadata = recordFields(headers, context.req.raw.headers);
    const size = Number(context.req.header("Content-Length") ?? 0);
    if (size > LIMITS.bodyBytesMax && context.env.bodies !== null) {
      return publishReferenced(context, metadata, stamp.value);
    }
    const body = await readBounded(context.req.raw, LIMITS.bodyBytesMax, () =>
      bodyTooLarge(LIMITS.bodyBytesMax),
    );
    if (!body.ok) return problem(context, body);
    const limited = lacksQueueRate(context, 1);
    if (limited !== null) return problem(context, limited);
    return answerPublish(
      context,
      await publish(context, [{ ...metadata, body: body.value }], stamp.value, "client"),
    );
  });
}

/** Stores the body first: a message must never refer to a body that is not there. */
async function publishReferenced(
  context: EdgeContext,
  metadata: Omit<MessageRecord, "body">,
  stamp: ProducerStamp | undefined,
): Promise<Response> {
  const limited = lacksQueueRate(context, 1);
  if (limited !== null) return problem(context, limited);
  const store = context.env.bodies!;
  const stored = await storeBody(context, store, pathQueue(context));
  if (!stored.ok) return problem(context, stored);
  const record: MessageRecord = { ...metadata, bodyReference: true, body: encodeBodyReference(stored.value) };
  const confirm = await publish(context, [record], stamp, "broker");
  // A lost answer may hide a stored message, whose body must stay; a duplicate refers to the first one's body.
  const isUnused = confirm.ok
    ? confirm.value.duplicates.length > 0
    : confirm.code !== "unavailable" && confirm.code !== "internal";
  if (isUnused) await discardBody(context, store, stored.value.key);
  return answerPublish(context, confirm);
}

function addPublishBatch(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/queues/{queue}/batches",
    tags: ["Publishing"],
    summary: "Publish a batch",
    description: `All of it is stored, or none. As JSON, or as \`${BATCH_TYPE}\` with the producer in headers. Grant: publish.`,
    middleware: [needs("publish"), jsonBody(BATCH_TYPE)],
    request: {
      params: QueueParam,
      headers: ProducerHeaders,
      body: {
        content: {
          "application/json": { schema: PublishRequest },
          [BATCH_TYPE]: { schema: bytesSchema },
        },
      },
    },
    responses: answers(201, "Stored.", Published),
  });
  app.openapi(route, async (context) => {
    if (isMediaType(context.req.raw, BATCH_TYPE)) {
      return publishBinary(context, producerStamp(present(context.req.valid("header"))));
    }
    // The type is of both content types; the validator has run for this one.
    return publishJson(context, context.req.valid("json") as PublishBody);
  });
}

type PublishBody = Present<z.output<typeof PublishRequest>>;

async function publishBinary(
  context: EdgeContext,
  stamp: Result<ProducerStamp | undefined>,
): Promise<Response> {
  if (!stamp.ok) return problem(context, stamp);
  const batch = await readBatch(context.req.raw);
  if (!batch.ok) return problem(context, batch);
  // The queue checks it too; but a queue has one thread, and the edge as many as it has callers.
  const scanned = context.env.codec.scan(batch.value, "client");
  if (!scanned.ok) return problem(context, scanned);
  const limited = lacksQueueRate(context, scanned.value.count);
  if (limited !== null) return problem(context, limited);
  return answerPublish(
    context,
    await send(
      context,
      { batch: batch.value, ...(stamp.value && { producer: stamp.value }) },
      stamp.value !== undefined,
    ),
  );
}

async function publishJson(
  context: EdgeContext,
  { messages, producer, sequence }: PublishBody,
): Promise<Response> {
  const records = recordsFromJson(messages);
  if (!records.ok) return problem(context, records);
  const limited = lacksQueueRate(context, records.value.length);
  if (limited !== null) return problem(context, limited);
  const stamp = producer === undefined || sequence === undefined ? undefined : { id: producer, sequence };
  return answerPublish(context, await publish(context, records.value, stamp, "client"));
}

function publish(
  context: EdgeContext,
  records: readonly MessageRecord[],
  stamp: ProducerStamp | undefined,
  source: BatchSource,
): Promise<Result<PublishConfirm>> {
  const batch = context.env.codec.encode(records, UNSTAMPED, source);
  if (!batch.ok) return Promise.resolve(batch);
  const repeatable = stamp !== undefined || records.every((record) => record.dedupId !== undefined);
  return send(context, { batch: batch.value, source, ...(stamp && { producer: stamp }) }, repeatable);
}

function send(
  context: EdgeContext,
  command: PublishCommand,
  repeatable: boolean,
): Promise<Result<PublishConfirm>> {
  const lacking = lacksReplyTargets(context, command.batch);
  if (lacking !== null) return Promise.resolve(lacking);
  const rate = queueRate(context.get("claims"), pathQueue(context), context.env.now());
  const whole = { ...command, ...rate, publisher: queuePublisher(context) };
  return callQueue(context, { method: "publish", repeatable, run: (queue) => queue.publish(whole) });
}

/** The caller, as a publisher to the path's queue or another one. */
export function queuePublisher(context: EdgeContext, name = pathQueue(context)): Publisher {
  return publisherOf(context.get("claims"), [{ name }], context.env.now());
}

/** Charges messages to the path's queue. */
export function lacksQueueRate(context: EdgeContext, messages: number): Refusal | null {
  return lacksRate(context, [{ target: { name: pathQueue(context) }, messages }]);
}

/** One record as a batch, for commands that take one. */
export function encodeOne(context: EdgeContext, message: MessageJson): Result<Uint8Array> {
  const record = recordFromJson(message);
  return record.ok ? context.env.codec.encode([record.value], UNSTAMPED, "client") : record;
}

export function answerPublish(
  context: EdgeContext,
  confirm: Result<PublishConfirm>,
  status: 200 | 201 = 201,
): Response {
  if (!confirm.ok) return problem(context, confirm);
  const { origin, sequences, duplicates, refused } = confirm.value;
  const ids = sequences.flatMap(([first, count]) =>
    Array.from({ length: count }, (_, index) => (first === 0 ? null : messageId(origin, first + index))),
  );
  if (refused === undefined) return answer(context, ok({ ids, sequences, duplicates }), status);
  return answer(context, ok({ ids, sequences, duplicates, refused }), 207);
}

function producerStamp(
  headers: Present<z.output<typeof ProducerHeaders>>,
): Result<ProducerStamp | undefined> {
  const id = headers["Millrace-Producer"];
  const sequence = headers["Millrace-Sequence"];
  if (id === undefined && sequence === undefined) return ok(undefined);
  if (id === undefined)
    return refuse("bad_request", "Millrace-Producer: is missing beside Millrace-Sequence");
  if (sequence === undefined)
    return refuse("bad_request", "Millrace-Sequence: is missing beside Millrace-Producer");
  return ok({ id, sequence });
}
