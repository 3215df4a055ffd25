// Single messages that wait: look at them, find one, take it back, put another in its place.
import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import type { MessageHandle, MessageView, PeekPage } from "../protocol/commands.ts";
import { viewToJson, type MessageJson, type ViewJson } from "../protocol/message-json.ts";
import { isOwnKey } from "../protocol/own-keys.ts";
import { ok, type Result } from "../protocol/result.ts";
import { Message, present } from "../protocol/schemas.ts";
import { answers, Page, Published, View } from "./answers.ts";
import { lacks, needs } from "./auth.ts";
import { inlineBodies } from "./bodies.ts";
import { CancelKeyQuery, MessageId, PeekQuery } from "./parameters.ts";
import { answerPublish, encodeOne, lacksQueueRate, queuePublisher } from "./publish.ts";
import { callQueue, pathQueue, QueueParam } from "./queue-calls.ts";
import { answer, problem } from "./refuse.ts";
import { jsonBody } from "./request-body.ts";
import { lacksReplyTargets } from "./reply-targets.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";

const PEEK_LIMIT_DEFAULT = 20;
const MessageParam = QueueParam.extend({ id: MessageId });
const Cancelled = z.object({ id: z.string() });

export function addMessageRoutes(app: EdgeApp): void {
  addPeek(app);
  addCancelByKey(app);
  addFind(app);
  addCancel(app);
  addReplace(app);
  addReplaceByKey(app);
}

function addPeek(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/queues/{queue}/messages",
    tags: ["Messages"],
    summary: "Look at what is there",
    description:
      "A page of the messages in one state; nothing changes by looking. `state=dead` also shows this queue's dead letters in its dead-letter queue, where such a page may be shorter than its limit. `cursor` goes on from a page's own `cursor`. Grant: consume or manage.",
    middleware: [needs("consume", "manage")],
    request: { params: QueueParam, query: PeekQuery },
    responses: answers(200, "A page.", Page),
  });
  app.openapi(route, async (context) => {
    const { state, limit = PEEK_LIMIT_DEFAULT, cursor } = context.req.valid("query");
    if (state === "dead") {
      const page = await peekDead(context, limit, cursor ?? "");
      return page.ok ? answerPage(context, page.value.messages, page.value.cursor) : problem(context, page);
    }
    const page = await peek(context, pathQueue(context), state, limit, cursor);
    if (!page.ok) return problem(context, page);
    return answerPage(context, page.value.messages.map(viewToJson), page.value.cursor);
  });
}

async function answerPage(
  context: EdgeContext,
  messages: readonly ViewJson[],
  cursor: string | undefined,
): Promise<Response> {
  const inlined = await inlineBodies(context, messages);
  return answer(context, ok({ messages: inlined, ...(cursor !== undefined && { cursor }) }));
}

function peek(
  context: EdgeContext,
  queue: string,
  state: MessageView["state"],
  limit: number,
  cursor: string | undefined,
): Promise<Result<PeekPage>> {
  const command = { state, limit, ...(cursor !== undefined && { cursor }) };
  return callQueue(context, {
    method: "peek",
    repeatable: true,
    queue,
    run: (stub) => stub.peek(command),
  });
}

/** Cursors of `state=dead` say where they go on: in the queue itself, or in its dead-letter queue. */
const ELSEWHERE = "dlq:";

interface DeadPage {
  readonly messages: ViewJson[];
  readonly cursor?: string;
}

/** First the dead that stayed in the queue; from their end on, those that went to its dead-letter queue. */
async function peekDead(context: EdgeContext, limit: number, cursor: string): Promise<Result<DeadPage>> {
  const queue = pathQueue(context);
  if (!cursor.startsWith(ELSEWHERE)) {
    const own = await peek(context, queue, "dead", limit, cursor === "" ? undefined : cursor);
    if (!own.ok) return own;
    const messages = own.value.messages.map(viewToJson);
    if (own.value.cursor !== undefined) return ok({ messages, cursor: own.value.cursor });
    if (messages.length > 0) return ok({ messages, ...((await targetOf(context)) && { cursor: ELSEWHERE }) });
  }
  const target = await targetOf(context);
  if (target === null) return ok({ messages: [] });
  const rest = cursor.slice(ELSEWHERE.length);
  const page = await peek(context, target, "ready", limit, rest === "" ? undefined : rest);
  if (!page.ok) return page.code === "queue_not_found" ? ok({ messages: [] }) : page;
  const messages = page.value.messages
    .filter((view) => view.death?.queue === queue)
    .map((view): ViewJson => ({ ...viewToJson(view), queue: target }));
  return ok({
    messages,
    ...(page.value.cursor !== undefined && { cursor: `${ELSEWHERE}${page.value.cursor}` }),
  });
}

async function targetOf(context: EdgeContext): Promise<string | null> {
  const info = await callQueue(context, {
    method: "inspect",
    repeatable: true,
    run: (queue) => queue.inspect(),
  });
  if (!info.ok) return null;
  const { deadLetter } = info.value.config;
  return deadLetter !== null && "queue" in deadLetter ? deadLetter.queue : null;
}

function addCancelByKey(app: EdgeApp): void {
  const route = createRoute({
    method: "delete",
    path: "/v1/queues/{queue}/messages",
    tags: ["Messages"],
    summary: "Take a message back by its cancel key",
    description:
      "A message that a consumer has is not taken from it. Where the publish grant says `own`, only what the same subject published is found. Grant: publish or manage.",
    middleware: [needs("publish", "manage")],
    request: { params: QueueParam, query: CancelKeyQuery },
    responses: answers(200, "It will not be delivered.", Cancelled),
  });
  app.openapi(route, (context) => {
    const handle = handleOf(context, context.req.valid("query").cancelKey);
    return handle.ok ? cancel(context, handle.value) : problem(context, handle);
  });
}

/** Which message is meant: a publisher names only keys that it may have given. */
function handleOf(context: EdgeContext, cancelKey: string): Result<MessageHandle> {
  const publisher = queuePublisher(context);
  if (publisher.hasOwnKeys === true) return ok({ cancelKey, publisher });
  if (!isOwnKey(cancelKey)) return ok({ cancelKey });
  return lacks(context, ["manage"], pathQueue(context)) ?? ok({ cancelKey });
}

async function cancel(context: EdgeContext, handle: MessageHandle): Promise<Response> {
  return answer(
    context,
    await callQueue(context, { method: "cancel", repeatable: false, run: (queue) => queue.cancel(handle) }),
  );
}

function addFind(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/queues/{queue}/messages/{id}",
    tags: ["Messages"],
    summary: "Find a message",
    description: "In whatever state it is, as long as it is not settled. Grant: consume or manage.",
    middleware: [needs("consume", "manage")],
    request: { params: MessageParam },
    responses: answers(200, "The message.", View),
  });
  app.openapi(route, async (context) => {
    const { id } = context.req.valid("param");
    const view = await callQueue(context, {
      method: "find",
      repeatable: true,
      run: (queue) => queue.find({ id }),
    });
    if (!view.ok) return problem(context, view);
    const [message] = await inlineBodies(context, [viewToJson(view.value)]);
    return answer(context, ok(message));
  });
}

function addCancel(app: EdgeApp): void {
  const route = createRoute({
    method: "delete",
    path: "/v1/queues/{queue}/messages/{id}",
    tags: ["Messages"],
    summary: "Take a message back",
    description:
      "A message that a consumer has is not taken from it. Whoever published it takes it back by its cancel key. Grant: manage.",
    middleware: [needs("manage")],
    request: { params: MessageParam },
    responses: answers(200, "It will not be delivered.", Cancelled),
  });
  app.openapi(route, (context) => cancel(context, { id: context.req.valid("param").id }));
}

function addReplace(app: EdgeApp): void {
  const route = createRoute({
    method: "put",
    path: "/v1/queues/{queue}/messages/{id}",
    tags: ["Messages"],
    summary: "Replace a message",
    description:
      "Takes the message back and publishes another, in one step; the new one has its own id. Whoever published it does so by its cancel key. Grant: manage.",
    middleware: [needs("manage"), jsonBody()],
    request: {
      params: MessageParam,
      body: { required: true, content: { "application/json": { schema: Message } } },
    },
    responses: answers(200, "The new message.", Published),
  });
  app.openapi(route, (context) =>
    replace(context, { id: context.req.valid("param").id }, present(context.req.valid("json"))),
  );
}

function addReplaceByKey(app: EdgeApp): void {
  const route = createRoute({
    method: "put",
    path: "/v1/queues/{queue}/messages",
    tags: ["Messages"],
    summary: "Replace a message by its cancel key",
    description:
      "As by id. Publishing with the cancel key of a waiting message replaces it too; this refuses where there is none. Grant: publish or manage.",
    middleware: [needs("publish", "manage"), jsonBody()],
    request: {
      params: QueueParam,
      query: CancelKeyQuery,
      body: { required: true, content: { "application/json": { schema: Message } } },
    },
    responses: answers(200, "The new message.", Published),
  });
  app.openapi(route, (context) => {
    const handle = handleOf(context, context.req.valid("query").cancelKey);
    if (!handle.ok) return problem(context, handle);
    return replace(context, handle.value, present(context.req.valid("json")));
  });
}

async function replace(context: EdgeContext, handle: MessageHandle, message: MessageJson): Promise<Response> {
  const batch = encodeOne(context, message);
  if (!batch.ok) return problem(context, batch);
  const lacking = lacksReplyTargets(context, batch.value);
  if (lacking !== null) return problem(context, lacking);
  const limited = lacksQueueRate(context, 1);
  if (limited !== null) return problem(context, limited);
  const confirm = await callQueue(context, {
    method: "replace",
    repeatable: false,
    run: (queue) => queue.replace(handle, batch.value, queuePublisher(context)),
  });
  return answerPublish(context, confirm, 200);
}
