// Request and reply over plain HTTP: a call waits here, in the Worker, for the reply that a hub's session gets.
import { UNSTAMPED } from "../protocol/batch.ts";
import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import type { Headers as MessageHeaders, MessageRecord } from "../protocol/batch.ts";
import { encodeBinaryFrame } from "../protocol/frames.ts";
import { LIMITS } from "../protocol/limits.ts";
import { recordFromJson } from "../protocol/message-json.ts";
import { readRecord } from "../protocol/record.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import { present, type Present } from "../protocol/schemas.ts";
import type { SessionClientFrame } from "../protocol/session-frames.ts";
import { PROBLEMS } from "./answers.ts";
import { needs } from "./auth.ts";
import { bodyTooLarge } from "./bodies.ts";
import { HubSession, refusalOfFrame, sessionLost, type ReceivedFrame } from "./hub-session.ts";
import { openSession } from "./hubs.ts";
import { CallQuery, PublishHeaders } from "./parameters.ts";
import { lacksQueueRate } from "./publish.ts";
import { bytesSchema, HEADER_PREFIX, recordFields } from "./publish-input.ts";
import { pathQueue, QueueParam } from "./queue-calls.ts";
import { problem } from "./refuse.ts";
import { readBounded } from "./request-body.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";

const CALL_REF = 1;

export function addRpcRoutes(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/rpc/{queue}",
    tags: ["Requests and replies"],
    summary: "Call whoever consumes a queue",
    description:
      "The request's body is the request, with the headers of a publish; the answer is the reply: its body, its Content-Type, and its headers as `Millrace-Header-<name>`, where HTTP can carry them. A request that nobody took within `timeoutMs` is dropped from the queue. Grant: publish.",
    middleware: [needs("publish")],
    request: {
      params: QueueParam,
      query: CallQuery,
      headers: PublishHeaders,
      body: { content: { "*/*": { schema: bytesSchema } } },
    },
    responses: {
      200: { description: "The reply.", content: { "*/*": { schema: bytesSchema } } },
      ...PROBLEMS,
    },
  });
  app.openapi(route, async (context): Promise<Response> => {
    const headings = present(context.req.valid("header"));
    const misfit = refuseMisfit(headings);
    if (misfit !== null) return problem(context, misfit);
    const body = await readBounded(context.req.raw, LIMITS.bodyBytesMax, () =>
      bodyTooLarge(LIMITS.bodyBytesMax),
    );
    if (!body.ok) return problem(context, body);
    const record = { ...recordFields(headings, context.req.raw.headers), body: body.value };
    const batch = context.env.codec.encode([record], UNSTAMPED, "client");
    if (!batch.ok) return problem(context, batch);
    const limited = lacksQueueRate(context, 1);
    if (limited !== null) return problem(context, limited);
    const { timeoutMs = LIMITS.callTimeoutMsDefault } = context.req.valid("query");
    const reply = await callOver(context, batch.value, timeoutMs);
    return reply.ok ? answerReply(reply.value) : problem(context, reply);
  });
}

/** What a call decides itself, or what would keep its reply from it. */
const MISFITS = [
  "Millrace-Reply-To",
  "Millrace-Correlation-Id",
  "Millrace-Ttl-Ms",
  "Millrace-Delay-Ms",
  "Millrace-Dedup-Id",
  "Millrace-Producer",
  "Millrace-Sequence",
] as const;

function refuseMisfit(headings: Present<z.output<typeof PublishHeaders>>): Refusal | null {
  const misfit = MISFITS.find((name) => headings[name] !== undefined);
  return misfit === undefined ? null : refuse("bad_request", `${misfit}: does not go with a call`);
}

/** Opens a session for this one call. */
async function callOver(
  context: EdgeContext,
  batch: Uint8Array,
  timeoutMs: number,
): Promise<Result<MessageRecord>> {
  const deadlineMs = context.env.now() + timeoutMs;
  const opened = await openSession(context);
  if (!opened.ok) return opened;
  const session = new HubSession(opened.value, context.req.raw.signal);
  try {
    const queue = pathQueue(context);
    const head: SessionClientFrame = { type: "call", ref: CALL_REF, queue, timeoutMs };
    session.sendBinary(encodeBinaryFrame(head, batch));
    return await replyTo(session, context, deadlineMs);
  } finally {
    session.close();
  }
}

async function replyTo(
  session: HubSession,
  context: EdgeContext,
  deadlineMs: number,
): Promise<Result<MessageRecord>> {
  for (;;) {
    const next = await session.next(Math.max(0, deadlineMs - context.env.now()));
    if (next === null) return sessionLost("call");
    if (next === "silence") return refuse("call_timeout", "call: no reply came in time");
    if (next.frame.type === "error") return refusalOfFrame(next.frame);
    if (next.frame.type === "reply") return outcomeOf(next, context);
  }
}

function outcomeOf({ frame, payload }: ReceivedFrame, context: EdgeContext): Result<MessageRecord> {
  if (frame.type !== "reply") return refuse("internal", "call: was answered by something else");
  if (frame.error !== undefined) return refuse("responder_failed", `responder: ${frame.error}`);
  if (payload.length === 0) {
    const {
      offset: _offset,
      timeMs: _time,
      death: _death,
      ...message
    } = frame.messages?.[0] ?? { offset: 0 };
    return recordFromJson(message);
  }
  const table = context.env.codec.scan(payload, "broker");
  return table.ok ? ok(readRecord(payload, table.value.offset(0))) : table;
}

/** The reply is a stranger's: a browser that shows it must not run it as a page of this origin. */
function answerReply({ body, contentType, headers = {} }: MessageRecord): Response {
  const answer = new Headers({
    "Cache-Control": "no-store",
    "Content-Security-Policy": "sandbox",
    "X-Content-Type-Options": "nosniff",
  });
  setWhereItFits(answer, "Content-Type", contentType ?? "application/octet-stream");
  for (const [name, value] of textsOf(headers)) setWhereItFits(answer, `${HEADER_PREFIX}${name}`, value);
  return new Response(body, { headers: answer });
}

function textsOf(headers: MessageHeaders): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]) =>
    value instanceof Uint8Array ? [] : [[name, String(value)]],
  );
}

/** A message's header may have a name or a value that HTTP knows none of. */
const HTTP_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
const HTTP_VALUE = /^[\u0020-\u007e\u00a0-\u00ff]*$/;

function setWhereItFits(headers: Headers, name: string, value: string): void {
  if (HTTP_NAME.test(name) && HTTP_VALUE.test(value)) headers.set(name, value);
}
