// Sending dead messages back to work.
import { createRoute } from "@hono/zod-openapi";
import { present, RedriveRequest } from "../protocol/schemas.ts";
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
