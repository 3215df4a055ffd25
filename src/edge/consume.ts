// Receiving and settling over HTTP.
import { createRoute } from "@hono/zod-openapi";
import type { Delivery } from "../protocol/commands.ts";
import { encodeBinaryFrame } from "../protocol/frames.ts";
import { deliveryToJson } from "../protocol/message-json.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { present, ReceiveRequest, SettleRequest } from "../protocol/schemas.ts";
import { answers, Received, Settled } from "./answers.ts";
import { needs } from "./auth.ts";
import { inlineBodies } from "./bodies.ts";
import { holdAnswer } from "./held-answer.ts";
import { callQueue, pathQueue, QueueParam } from "./queue-calls.ts";
import { receive } from "./receive.ts";
import { answer, problem } from "./refuse.ts";
import { jsonBody } from "./request-body.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";
import { groupSettlements, outcomes } from "./settlements.ts";

export const DELIVERY_TYPE = "application/vnd.millrace.delivery";

export function addConsumeRoutes(app: EdgeApp): void {
  addReceive(app);
  addSettle(app);
}

function addReceive(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/queues/{queue}/receive",
    tags: ["Consuming"],
    summary: "Receive messages",
    description: `Leases what is ready. With \`waitMs\` the answer waits until something is, or the time is over. \`Accept: ${DELIVERY_TYPE}\` asks for the delivery in the broker's own format. Grant: consume.`,
    middleware: [needs("consume"), jsonBody()],
    request: { params: QueueParam, body: { content: { "application/json": { schema: ReceiveRequest } } } },
    responses: answers(200, "What was ready; it may be nothing.", Received),
  });
  app.openapi(route, async (context) => {
    const request = present(context.req.valid("json"));
    const { waitMs, ...command } = request;
    const gone = new AbortController();
    const signal = AbortSignal.any([context.req.raw.signal, gone.signal]);
    const delivery = receive(context, pathQueue(context), command, waitMs, signal);
    // Nothing may stand in front of a frame: there the platform alone tells that a client has gone.
    if (context.req.header("Accept")?.includes(DELIVERY_TYPE)) return binaryAnswer(context, await delivery);
    return holdAnswer(
      delivery.then((result) => jsonAnswer(context, result)),
      { nothing: () => context.json({ messages: [] }), late: withProblem, onGone: () => gone.abort() },
    );
  });
}

async function jsonAnswer(context: EdgeContext, delivery: Result<Delivery>): Promise<Response> {
  if (!delivery.ok) return problem(context, delivery);
  const messages = deliveryToJson(delivery.value, context.env.codec);
  return answer(context, ok({ messages: await inlineBodies(context, messages) }));
}

/** An answer that was begun as a success carries the refusal. */
async function withProblem(refusal: Response): Promise<string> {
  return JSON.stringify({ messages: [], problem: await refusal.json() });
}

function binaryAnswer(context: EdgeContext, delivery: Result<Delivery>): Response {
  if (!delivery.ok) return problem(context, delivery);
  const { lease, key, untilMs, runs, payload } = delivery.value;
  const frame = encodeBinaryFrame({ type: "deliver", lease, key, untilMs, runs }, payload);
  return new Response(frame, { headers: { "Content-Type": DELIVERY_TYPE } });
}

function addSettle(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/queues/{queue}/settle",
    tags: ["Consuming"],
    summary: "Settle deliveries",
    description:
      "Each settlement names a `receipt`, or a `lease` with `sequences` (default: all that are open under it). Settling twice the same way is harmless. One settlement that is refused whole is answered with its problem; of several, each has its result. Grant: consume.",
    middleware: [needs("consume"), jsonBody()],
    request: {
      params: QueueParam,
      body: { required: true, content: { "application/json": { schema: SettleRequest } } },
    },
    responses: answers(200, "What became of each.", Settled),
  });
  app.openapi(route, async (context) => {
    const { settlements } = present(context.req.valid("json"));
    const groups = groupSettlements(settlements, context.get("claims").subject);
    if (!groups.ok) return problem(context, groups);
    const settled = await callQueue(context, {
      method: "settle",
      repeatable: true,
      run: (queue) => queue.settle(groups.value.map((group) => group.settlement)),
    });
    if (!settled.ok) return problem(context, settled);
    const results = outcomes(groups.value, settled.value, settlements.length);
    const [only] = results;
    if (results.length === 1 && only !== undefined && !only.ok && only.settled === 0) {
      return problem(context, refuse(only.code, only.detail, { queue: pathQueue(context) }));
    }
    return answer(context, ok({ results }));
  });
}
