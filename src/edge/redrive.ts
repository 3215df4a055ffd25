// Sending dead messages back to work.
import { createRoute, z } from "@hono/zod-openapi";
import { RedriveRequest } from "../protocol/queue-schemas.ts";
import { ok } from "../protocol/result.ts";
import { present } from "../protocol/schemas.ts";
import { answers, Redrive } from "./answers.ts";
import { lacks, needs } from "./auth.ts";
import { TaskId } from "./parameters.ts";
import { callQueue, QueueParam } from "./queue-calls.ts";
import { answer, problem } from "./refuse.ts";
import { jsonBody } from "./request-body.ts";
import type { EdgeApp } from "./services.ts";

const TaskParam = QueueParam.extend({ task: TaskId });

export function addRedriveRoutes(app: EdgeApp): void {
  addStart(app);
  addList(app);
  addStatus(app);
  addCancel(app);
}

function addStart(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/queues/{queue}/redrive",
    tags: ["Dead letters"],
    summary: "Redrive dead messages",
    description:
      "Moves the dead messages that match, to `to` or to the queue each died in. `dryRun` only counts. Grant: manage; for `to`, publish or manage.",
    middleware: [needs("manage"), jsonBody()],
    request: { params: QueueParam, body: { content: { "application/json": { schema: RedriveRequest } } } },
    responses: answers(200, "The task, or the count of a dry run.", Redrive),
  });
  app.openapi(route, async (context) => {
    const command = present(context.req.valid("json"));
    const lacking = command.to === undefined ? null : lacks(context, ["publish", "manage"], command.to);
    if (lacking !== null) return problem(context, lacking);
    const status = await callQueue(context, {
      method: "redrive",
      repeatable: command.dryRun,
      run: (queue) => queue.redrive(command),
    });
    return answer(context, status);
  });
}

/** How many are listed. */
const LISTED_MAX = 100;

function addList(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/queues/{queue}/redrive",
    tags: ["Dead letters"],
    summary: "List redrives",
    description: `The last ${LISTED_MAX} of the queue, the newest first. Grant: manage.`,
    middleware: [needs("manage")],
    request: { params: QueueParam },
    responses: answers(200, "The tasks.", z.object({ redrives: z.array(Redrive) })),
  });
  app.openapi(route, async (context) => {
    const redrives = await callQueue(context, {
      method: "redrives",
      repeatable: true,
      run: (queue) => queue.redrives(LISTED_MAX),
    });
    return redrives.ok ? answer(context, ok({ redrives: redrives.value })) : problem(context, redrives);
  });
}

function addStatus(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/queues/{queue}/redrive/{task}",
    tags: ["Dead letters"],
    summary: "How far a redrive is",
    description: "Grant: manage.",
    middleware: [needs("manage")],
    request: { params: TaskParam },
    responses: answers(200, "The task.", Redrive),
  });
  app.openapi(route, async (context) => {
    const { task } = context.req.valid("param");
    const status = await callQueue(context, {
      method: "redriveStatus",
      repeatable: true,
      run: (queue) => queue.redriveStatus(task),
    });
    return answer(context, status);
  });
}

function addCancel(app: EdgeApp): void {
  const route = createRoute({
    method: "delete",
    path: "/v1/queues/{queue}/redrive/{task}",
    tags: ["Dead letters"],
    summary: "Stop a redrive",
    description: "What has moved stays moved. Grant: manage.",
    middleware: [needs("manage")],
    request: { params: TaskParam },
    responses: answers(200, "The task as it ended.", Redrive),
  });
  app.openapi(route, async (context) => {
    const { task } = context.req.valid("param");
    const status = await callQueue(context, {
      method: "redriveCancel",
      repeatable: true,
      run: (queue) => queue.redriveCancel(task),
    });
    return answer(context, status);
  });
}
