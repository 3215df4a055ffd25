/**
 * Amazon SQS, as its own clients speak it: the JSON protocol and the older Query protocol, on the deployment's root and
 * on the queues' URLs. A request becomes commands to the broker; no rule of a queue is here.
 */
import type { Gateway, GatewayHost } from "../../protocol/gateway.ts";
import type { Refusal } from "../../protocol/result.ts";
import type { Claims } from "../../protocol/rpc.ts";
import { deadLetterActions } from "./actions/dead-letters.ts";
import { permissionActions } from "./actions/permissions.ts";
import { queueActions } from "./actions/queues.ts";
import { receiveActions } from "./actions/receive.ts";
import { sendActions } from "./actions/send.ts";
import { settleActions } from "./actions/settle.ts";
import { authenticate, refuseUnasked } from "./authentication.ts";
import type { Action, Actions, Caller } from "./caller.ts";
import { answered, sqsRefusal, type Answer, type SqsRefusal } from "./errors.ts";
import type { AttributeValue } from "./message-attributes.ts";
import { sqsRefusalOf } from "./refusals.ts";
import type { ActionName, Call } from "./shapes.ts";
import { wireOf, type Wire } from "./wire.ts";

const ACTIONS: Actions = {
  ...queueActions,
  ...permissionActions,
  ...sendActions,
  ...receiveActions,
  ...settleActions,
  ...deadLetterActions,
};

/** The root, and queues' URLs. */
const PATH = /^\/(?:\d+\/[^/]+)?$/;
const QUEUE_PATH = /^\/\d+\/[^/]+$/;

/** A batch of 1 MiB whose every byte is written as three, and what stands around it. */
const BODY_BYTES_MAX = 4 * 1024 ** 2;

/** A request and what its answer takes. */
interface Exchange {
  readonly request: Request;
  readonly host: GatewayHost;
  readonly wire: Wire;
  readonly requestId: string;
}

/** As on SQS: after a purge, and after a queue was deleted. */
const REST_MS = 60_000;

export interface SqsOptions {
  /** Purges as often as one likes, and the names of deleted queues free at once. */
  readonly isAtOnce?: boolean;
}

export class SqsGateway implements Gateway {
  private readonly restMs: number;

  constructor({ isAtOnce = false }: SqsOptions = {}) {
    this.restMs = isAtOnce ? 0 : REST_MS;
  }

  takes(request: Request): boolean {
    return isBareAddress(request) || (PATH.test(new URL(request.url).pathname) && wireOf(request) !== null);
  }

  async answer(request: Request, host: GatewayHost): Promise<Response> {
    if (isBareAddress(request)) return unknownOperation();
    const exchange = { request, host, wire: wireOf(request)!, requestId: crypto.randomUUID() };
    const response = await this.respond(exchange);
    // SDKs set their clocks by it.
    response.headers.set("Date", new Date(host.now()).toUTCString());
    return response;
  }

  private async respond(exchange: Exchange): Promise<Response> {
    try {
      const read = await this.read(exchange);
      if (!read.ok) return exchange.wire.refuse(read, exchange.requestId);
      const { call, caller } = read.value;
      const answer = call.action === "ReceiveMessage" ? hold : perform;
      return await answer(call, caller, exchange);
    } catch (error) {
      return failed(error, exchange);
    }
  }

  /** Who calls comes first: what a request says is told to nobody who may not say it. */
  private async read({
    request,
    host,
    wire,
  }: Exchange): Promise<Answer<{ readonly call: Call; readonly caller: Caller }>> {
    const body = await host.readBody(BODY_BYTES_MAX);
    if (!body.ok) return refusedBody(body);
    const identity = await authenticate(request, body.value, host);
    if (!identity.ok) return identity;
    const call = wire.decode(request, body.value);
    if (!call.ok) return call;
    const unasked = refuseUnasked(request, call.value.action, host);
    if (unasked !== null) return unasked;
    const { claims, region } = identity.value;
    return answered({
      call: call.value,
      caller: { ...callerOf(request, host, claims, region), restMs: this.restMs },
    });
  }
}

/** A GET of a queue's URL that asks nothing, as from a browser's address line. */
function isBareAddress(request: Request): boolean {
  return (
    request.method === "GET" && QUEUE_PATH.test(new URL(request.url).pathname) && wireOf(request) === null
  );
}

/** The same for every queue, there or not, and whatever `Accept` says. */
function unknownOperation(): Response {
  return new Response("<UnknownOperationException/>\n", {
    status: 404,
    headers: { "content-type": "text/xml" },
  });
}

function refusedBody(refusal: Refusal): SqsRefusal {
  return refusal.code === "batch_too_large"
    ? sqsRefusal("RequestEntityTooLarge", `The request is over ${BODY_BYTES_MAX} bytes.`)
    : sqsRefusalOf(refusal);
}

function callerOf(
  request: Request,
  host: GatewayHost,
  claims: Claims,
  region: string,
): Omit<Caller, "restMs"> {
  return {
    broker: host.broker(claims),
    codec: host.codec,
    origin: new URL(request.url).origin,
    region,
    trace: traceOf(request),
    signal: request.signal,
  };
}

function traceOf(request: Request): AttributeValue | undefined {
  const trace = request.headers.get("X-Amzn-Trace-Id");
  return trace === null ? undefined : { DataType: "String", StringValue: trace };
}

async function perform(
  { action, input }: Call,
  caller: Caller,
  { wire, requestId }: Exchange,
): Promise<Response> {
  const output = await (ACTIONS[action] as Action<ActionName>)(input, caller);
  return output.ok ? wire.answer(action, output.value, requestId) : wire.refuse(output, requestId);
}

/** One who waits and has gone waits no longer. */
function hold(call: Call, caller: Caller, exchange: Exchange): Promise<Response> {
  const gone = new AbortController();
  const signal = AbortSignal.any([caller.signal, gone.signal]);
  const answer = perform(call, { ...caller, signal }, exchange);
  return exchange.host.hold(
    answer.catch((error: unknown) => failed(error, exchange)),
    {
      nothing: () => exchange.wire.answer("ReceiveMessage", {}, exchange.requestId),
      onGone: () => gone.abort(),
    },
  );
}

function failed(error: unknown, { host, wire, requestId }: Exchange): Response {
  host.log("error", "sqs_failed", {
    requestId,
    error: error instanceof Error ? (error.stack ?? "") : String(error),
  });
  const message = "We encountered an internal error. Please try again.";
  return wire.refuse(sqsRefusal("InternalFailure", message), requestId);
}
