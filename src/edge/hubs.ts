// Sessions: which hub takes one, its socket, and a look at a hub.
import { createRoute, z } from "@hono/zod-openapi";
import { SUBPROTOCOL } from "../protocol/frames.ts";
import { parseResumeKey, RESUME_HEADER } from "../protocol/inbox.ts";
import { refuse, type Result } from "../protocol/result.ts";
import { answers, PROBLEMS } from "./answers.ts";
import { isUpgrade, needsNamespace, offeredResumeKey, offersSubprotocol } from "./auth.ts";
import { call } from "./call.ts";
import { HubDetails } from "./exchange-answers.ts";
import { HubName } from "./parameters.ts";
import { answer, problem } from "./refuse.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";
import { passOn, socketOf, socketRequest, type SocketOptions } from "./socket.ts";

export interface SessionOptions {
  readonly offersProtocol?: boolean;
  /** Of a session whose connection broke: its hub is tried first, and is told. */
  readonly resume?: string;
}

/** Opens a session at the first hub that has room. */
export async function openSession(
  context: EdgeContext,
  options: SessionOptions = {},
): Promise<Result<WebSocket>> {
  const { offersProtocol = false, resume } = options;
  const back = resume === undefined ? null : parseResumeKey(resume);
  if (back !== null && resume !== undefined) {
    const opened = await openAt(context, back.hub, { offersProtocol, headers: { [RESUME_HEADER]: resume } });
    if (opened.ok || opened.code !== "hub_full") return opened;
  }
  const { namespace } = context.get("claims");
  for (const hub of context.get("memory").fullHubs.candidates(namespace, context.env.now())) {
    const opened = await openAt(context, hub, { offersProtocol });
    if (opened.ok || opened.code !== "hub_full") return opened;
  }
  return refuse("hub_full", "hub: every hub of the namespace has as many sessions as it takes");
}

async function openAt(context: EdgeContext, hub: string, options: SocketOptions): Promise<Result<WebSocket>> {
  const claims = context.get("claims");
  const opened = await call(context, { method: "session", hub, repeatable: true }, async () =>
    socketOf(await context.env.hub(claims.namespace, hub).fetch(socketRequest(claims, options))),
  );
  if (!opened.ok && opened.code === "hub_full") {
    context.get("memory").fullHubs.note(claims.namespace, hub, context.env.now());
  }
  return opened;
}

export function addHubRoutes(app: EdgeApp): void {
  addSession(app);
  addInspect(app);
}

function addSession(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/socket",
    tags: ["Sessions"],
    summary: "Open a session",
    description: `One WebSocket for exchanges, queues, calls and replies; each frame needs its own grant. A browser offers the subprotocols \`${SUBPROTOCOL}\` and \`bearer.<token>\`; only the first is echoed. A session whose connection broke offers \`resume.<key>\` too, with the key that its \`hello\` told, so that replies on their way reach it.`,
    responses: { 101: { description: "The socket is open." }, ...PROBLEMS },
  });
  app.openapi(route, async (context): Promise<Response> => {
    if (!isUpgrade(context.req.raw)) {
      return problem(context, refuse("upgrade_required", "Upgrade: must be websocket"));
    }
    const resume = offeredResumeKey(context.req.raw);
    const offersProtocol = offersSubprotocol(context.req.raw);
    const opened = await openSession(context, { offersProtocol, ...(resume !== null && { resume }) });
    return opened.ok ? passOn(opened.value, offersProtocol) : problem(context, opened);
  });
}

function addInspect(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/hubs/{hub}",
    tags: ["Sessions"],
    summary: "Look at a hub",
    description: "Hubs are named `0`, `1` and so on, as they fill. Grant: manage `#`.",
    middleware: [needsNamespace()],
    request: { params: z.object({ hub: HubName }) },
    responses: answers(200, "The hub.", HubDetails),
  });
  app.openapi(route, async (context) => {
    const { hub } = context.req.valid("param");
    const { namespace } = context.get("claims");
    return answer(
      context,
      await call(context, { method: "inspect", hub, repeatable: true }, () =>
        context.env.hub(namespace, hub).inspect(),
      ),
    );
  });
}
