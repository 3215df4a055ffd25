// Hands a client's WebSocket to the queue's object. The frames pass the edge by: it only says who is speaking.
import { createRoute } from "@hono/zod-openapi";
import { SUBPROTOCOL } from "../protocol/frames.ts";
import { refuse } from "../protocol/result.ts";
import { CLAIMS_HEADER, type SocketClaims } from "../protocol/rpc.ts";
import { PROBLEMS } from "./answers.ts";
import { isUpgrade, needs, offersSubprotocol } from "./auth.ts";
import { call } from "./call.ts";
import { allows } from "./grants.ts";
import { pathQueue, QueueParam } from "./queue-calls.ts";
import { problem, refusalOfResponse } from "./refuse.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";

/** What the queue's object needs of the claims: the rights to this queue, and when they end. */
export function socketClaims(context: EdgeContext): SocketClaims {
  const { subject, grants, expiresMs } = context.get("claims");
  const queue = pathQueue(context);
  return {
    subject,
    publish: allows(grants, ["publish"], queue),
    consume: allows(grants, ["consume"], queue),
    expiresMs: expiresMs ?? null,
  };
}

/** The request that opens a socket at an object. Nothing of a client's own request reaches it, its token least of all. */
export function socketRequest(claims: SocketClaims, offersProtocol: boolean): Request {
  const headers = new Headers({ Upgrade: "websocket", [CLAIMS_HEADER]: JSON.stringify(claims) });
  if (offersProtocol) headers.set("Sec-WebSocket-Protocol", SUBPROTOCOL);
  return new Request("https://queue/socket", { headers });
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
    const opened = await call(
      context,
      { method: "socket", queue: pathQueue(context), repeatable: true },
      async () => {
        const response = await context.env
          .queue(context.get("claims").namespace, pathQueue(context))
          .fetch(socketRequest(socketClaims(context), offersProtocol));
        const { webSocket } = response;
        return webSocket === null || webSocket === undefined
          ? refusalOfResponse(response)
          : { ok: true as const, value: webSocket };
      },
    );
    if (!opened.ok) return problem(context, opened);
    const headers = offersProtocol ? { "Sec-WebSocket-Protocol": SUBPROTOCOL } : undefined;
    return new Response(null, {
      status: 101,
      webSocket: opened.value,
      ...(headers === undefined ? {} : { headers }),
    });
  });
}
