// Hands a client's WebSocket to an object. The frames pass the edge by: it only says who is speaking.
import { createRoute } from "@hono/zod-openapi";
import {
  allowsName,
  consumersMaxOf,
  publisherOf,
  queueRate,
  replyPatterns,
  rightsEndMs,
} from "../routing/grants.ts";
import { SUBPROTOCOL } from "../protocol/frames.ts";
import type { SessionClaims } from "../protocol/exchange-rpc.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { CLAIMS_HEADER, type SocketClaims } from "../protocol/rpc.ts";
import { PROBLEMS } from "./answers.ts";
import { isUpgrade, needs, offersSubprotocol } from "./auth.ts";
import { call } from "./call.ts";
import { pathQueue, QueueParam } from "./queue-calls.ts";
import { problem, refusalOfResponse } from "./refuse.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";

/** What the queue's object needs of the claims: the rights to this queue, and when the first of them ends. */
export function socketClaims(context: EdgeContext, queue: string): SocketClaims {
  const { subject, jti, grants, expiresMs } = context.get("claims");
  const nowMs = context.env.now();
  const endMs = rightsEndMs(grants, ["publish", "consume"], queue, nowMs);
  const publish = allowsName(grants, ["publish"], queue, nowMs);
  const { rate } = queueRate(context.get("claims"), queue, nowMs);
  const { hasOwnKeys } = publisherOf({ subject, grants }, [{ name: queue }], nowMs);
  const ends = [expiresMs, endMs].filter((end) => typeof end === "number");
  const untilMs = ends.length === 0 ? null : Math.min(...ends);
  const replyTo = publish ? replyPatterns(context.get("claims"), untilMs, nowMs) : null;
  return {
    subject,
    ...(jti === undefined ? {} : { jti }),
    publish,
    ...(hasOwnKeys === true && { hasOwnKeys }),
    ...(rate && { publishRate: rate }),
    consume: allowsName(grants, ["consume"], queue, nowMs),
    ...consumersMaxOf(context.get("claims"), queue, nowMs),
    ...(replyTo && { replyTo }),
    expiresMs: untilMs,
  };
}

export interface SocketOptions {
  /** The client offered the protocol's own subprotocol, so the object echoes it. */
  readonly offersProtocol?: boolean;
  /** Headers of ours for the object. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The request that opens a socket at an object. Nothing of a client's own request reaches it, its token least of all. */
export function socketRequest(claims: SocketClaims | SessionClaims, options: SocketOptions = {}): Request {
  const headers = new Headers({
    ...options.headers,
    Upgrade: "websocket",
    [CLAIMS_HEADER]: asciiJson(claims),
  });
  if (options.offersProtocol) headers.set("Sec-WebSocket-Protocol", SUBPROTOCOL);
  return new Request("https://object/socket", { headers });
}

/** JSON that a header can carry: a subject may be any text. */
function asciiJson(value: object): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The socket that an object opened, or why it did not. */
export async function socketOf(response: Response): Promise<Result<WebSocket>> {
  const { webSocket } = response;
  return webSocket === null || webSocket === undefined ? refusalOfResponse(response) : ok(webSocket);
}

/** Gives the socket of an object to the client. */
export function passOn(socket: WebSocket, offersProtocol: boolean): Response {
  return new Response(null, {
    status: 101,
    webSocket: socket,
    ...(offersProtocol ? { headers: { "Sec-WebSocket-Protocol": SUBPROTOCOL } } : {}),
  });
}

export function addSocketRoute(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/queues/{queue}/socket",
    tags: ["Consuming"],
    summary: "Open a WebSocket",
    description: `Publishes and consumes over one socket. A browser offers the subprotocols \`${SUBPROTOCOL}\` and \`bearer.<token>\`; only the first is echoed. Grant: publish or consume.`,
    middleware: [needs("publish", "consume")],
    request: { params: QueueParam },
    responses: { 101: { description: "The socket is open." }, ...PROBLEMS },
  });
  app.openapi(route, async (context): Promise<Response> => {
    if (!isUpgrade(context.req.raw)) {
      return problem(context, refuse("upgrade_required", "Upgrade: must be websocket"));
    }
    const offersProtocol = offersSubprotocol(context.req.raw);
    const queue = pathQueue(context);
    const opened = await call(context, { method: "socket", queue, repeatable: true }, async () =>
      socketOf(
        await context.env
          .queue(context.get("claims").namespace, queue)
          .fetch(socketRequest(socketClaims(context, queue), { offersProtocol })),
      ),
    );
    return opened.ok ? passOn(opened.value, offersProtocol) : problem(context, opened);
  });
}
