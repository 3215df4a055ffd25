// Hosts gateways: other systems' protocols on this deployment's addresses.
import type { AccessKey, Broker, Gateway, GatewayHost, Question } from "../protocol/gateway.ts";
import { parseName } from "../protocol/names.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { Claims, GrantVerb } from "../protocol/rpc.ts";
import { queueRate } from "../routing/grants.ts";
import { lacks } from "./auth.ts";
import { fetchInline } from "./bodies.ts";
import { holdAnswer } from "./held-answer.ts";
import { openClaims } from "./open-mode.ts";
import { callQueue, listQueues } from "./queue-calls.ts";
import { lacksRate } from "./rates.ts";
import { receive } from "./receive.ts";
import { readBounded } from "./request-body.ts";
import { refuseRevoked } from "./revocations.ts";
import type { EdgeContext, EdgeMiddleware } from "./services.ts";

/** Gives what speaks a gateway's protocol to it, and all else to the routes. */
export function hostGateways(gateways: readonly Gateway[]): EdgeMiddleware {
  return async (context, next) => {
    const gateway = gateways.find((one) => one.takes(context.req.raw));
    return gateway === undefined ? next() : gateway.answer(context.req.raw, hostOf(context));
  };
}

function hostOf(context: EdgeContext): GatewayHost {
  const { identity, codec, now, log } = context.env;
  return {
    isOpen: identity.isOpen,
    readBody: (bytesMax) =>
      readBounded(context.req.raw, bytesMax, () =>
        refuse("batch_too_large", `body: is over ${bytesMax} bytes`, { bytesMax }),
      ),
    openClaims: () => openClaims(context.req.raw),
    accessKey: (id) => accessKey(context, id),
    hold: holdAnswer,
    broker: (claims) => brokerOf(context, claims),
    codec,
    now,
    log,
  };
}

async function accessKey(context: EdgeContext, id: string): Promise<Result<AccessKey>> {
  const key = await context.env.identity.verifyAccessKey(id, context.env.now());
  if (!key.ok) return key;
  return (await refuseRevoked(context, key.value.claims)) ?? key;
}

function brokerOf(context: EdgeContext, claims: Claims): Broker {
  context.set("claims", claims);
  return {
    claims,
    lacks: (verbs, queue) => lacks(context, verbs, queue),
    ask: (question) => ask(context, question),
    async publish(queue, commands, repeatable) {
      const refused = refuseCaller(context, queue, ["publish"]);
      if (refused !== null) return refused;
      const limited = lacksRate(context, [{ target: { name: queue }, messages: commands.length }]);
      if (limited !== null) return limited;
      const rate = queueRate(claims, queue, context.env.now());
      const charged = commands.map((command) => ({ ...command, ...rate }));
      return callQueue(context, {
        method: "publish",
        queue,
        repeatable,
        run: async (stub) => ok(await stub.publishAll(charged)),
      });
    },
    async receive(queue, command, waitMs, signal) {
      const refused = refuseCaller(context, queue, ["consume"]);
      return refused ?? receive(context, queue, command, waitMs, signal);
    },
    listQueues: (page) => listQueues(context, page),
    body: (reference, bytesMax) => fetchInline(context, reference, bytesMax),
  };
}

async function ask<T>(context: EdgeContext, question: Question<T>): Promise<Result<T>> {
  const { queue, verbs, method, repeatable } = question;
  const refused = refuseCaller(context, queue, verbs);
  return refused ?? callQueue(context, { method, queue, repeatable, run: (stub) => question.run(stub) });
}

function refuseCaller(context: EdgeContext, queue: string, verbs: readonly GrantVerb[]): Refusal | null {
  const name = parseName("queue", queue);
  return name.ok ? lacks(context, verbs, queue) : name;
}
