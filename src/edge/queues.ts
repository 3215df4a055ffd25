// Queues as things: declare, look at, change, delete, list; and what is done to one as a whole.
import { createRoute, z } from "@hono/zod-openapi";
import { QUEUE_DEFAULTS, type DeadLetterTarget } from "../protocol/queue-config.ts";
import { PurgeRequest, QueueChanges, QueueSettings, ResumeKeyRequest } from "../protocol/queue-schemas.ts";
import { ok, type Refusal } from "../protocol/result.ts";
import { EmptyRequest, present } from "../protocol/schemas.ts";
import { Affected, answers, Info } from "./answers.ts";
import { lacks, needs } from "./auth.ts";
import { QueueListQuery, RemoveQuery } from "./parameters.ts";
import { callQueue, listQueues, QueueParam } from "./queue-calls.ts";
import { answer, problem } from "./refuse.ts";
import { jsonBody } from "./request-body.ts";
import type { EdgeApp, EdgeContext } from "./services.ts";

const LIST_LIMIT_DEFAULT = 100;

export function addQueueRoutes(app: EdgeApp): void {
  addDeclare(app);
  addUpdate(app);
  addInspectAndRemove(app);
  addList(app);
  addPurge(app);
  addPause(app);
  addResumeKey(app);
}

/** Naming a dead-letter target sends messages there, so it takes the right to do that. */
function lacksTarget(context: EdgeContext, target: DeadLetterTarget | null | undefined): Refusal | null {
  if (target === null || target === undefined) return null;
  const name = "queue" in target ? target.queue : target.exchange;
  return lacks(context, ["publish", "manage"], name);
}

const settingsBody = { content: { "application/json": { schema: QueueSettings } } };
const changesBody = { content: { "application/json": { schema: QueueChanges } } };

function addDeclare(app: EdgeApp): void {
  const route = createRoute({
    method: "put",
    path: "/v1/queues/{queue}",
    tags: ["Queues"],
    summary: "Declare a queue",
    description:
      "Makes the queue, or finds it with an equal configuration. What is left out is the default. Grant: manage.",
    middleware: [needs("manage"), jsonBody()],
    request: { params: QueueParam, body: settingsBody },
    responses: {
      ...answers(201, "It is new.", Info),
      200: { description: "It was there, with this configuration." },
    },
  });
  app.openapi(route, async (context) => {
    const config = { ...QUEUE_DEFAULTS, ...present(context.req.valid("json")) };
    const lacking = lacksTarget(context, config.deadLetter);
    if (lacking !== null) return problem(context, lacking);
    const declared = await callQueue(context, {
      method: "declare",
      repeatable: true,
      run: (queue) => queue.declare(config),
    });
    if (!declared.ok) return problem(context, declared);
    return answer(context, ok(declared.value.info), declared.value.created ? 201 : 200);
  });
}

function addUpdate(app: EdgeApp): void {
  const route = createRoute({
    method: "patch",
    path: "/v1/queues/{queue}",
    tags: ["Queues"],
    summary: "Change a queue",
    description:
      "Changes the named fields; what waits or is leased keeps its times. `retry` and `deadLetter` are replaced whole. Grant: manage.",
    middleware: [needs("manage"), jsonBody()],
    request: { params: QueueParam, body: changesBody },
    responses: answers(200, "As it is now.", Info),
  });
  app.openapi(route, async (context) => {
    const changes = present(context.req.valid("json"));
    const lacking = lacksTarget(context, changes.deadLetter);
    if (lacking !== null) return problem(context, lacking);
    return answer(
      context,
      await callQueue(context, { method: "update", repeatable: true, run: (queue) => queue.update(changes) }),
    );
  });
}

function addInspectAndRemove(app: EdgeApp): void {
  const inspect = createRoute({
    method: "get",
    path: "/v1/queues/{queue}",
    tags: ["Queues"],
    summary: "Look at a queue",
    description: "Configuration, counts, totals and consumers. Grant: consume or manage.",
    middleware: [needs("consume", "manage")],
    request: { params: QueueParam },
    responses: answers(200, "The queue.", Info),
  });
  app.openapi(inspect, async (context) =>
    answer(
      context,
      await callQueue(context, { method: "inspect", repeatable: true, run: (queue) => queue.inspect() }),
    ),
  );
  const remove = createRoute({
    method: "delete",
    path: "/v1/queues/{queue}",
    tags: ["Queues"],
    summary: "Delete a queue",
    description: "Deletes the queue with everything in it and tells its consumers. Grant: manage.",
    middleware: [needs("manage")],
    request: { params: QueueParam, query: RemoveQuery },
    responses: answers(200, "How many messages went with it.", Affected),
  });
  app.openapi(remove, async (context) => {
    const { ifEmpty = false, ifUnused = false } = context.req.valid("query");
    const removed = await callQueue(context, {
      method: "remove",
      repeatable: false,
      run: (queue) => queue.remove({ ifEmpty, ifUnused }),
    });
    return answer(context, removed);
  });
}

function addList(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/queues",
    tags: ["Queues"],
    summary: "List queues",
    description:
      "In the order of their names; only those the token has some grant for. `after` goes on from a page's own `after`. `deadLetter` names a queue: only those whose dead messages go there.",
    request: { query: QueueListQuery },
    responses: answers(
      200,
      "A page.",
      z.object({ queues: z.array(z.string()), after: z.string().optional() }),
    ),
  });
  app.openapi(route, async (context) => {
    const { prefix = "", limit = LIST_LIMIT_DEFAULT, after = "", deadLetter } = context.req.valid("query");
    const filter = deadLetter === undefined ? {} : { deadLetter };
    const page = await listQueues(context, { prefix, limit, after, ...filter });
    return answer(context, page);
  });
}

function addPurge(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/queues/{queue}/purge",
    tags: ["Queues"],
    summary: "Remove what waits",
    description:
      "Removes what is waiting or dead, up to and including a sequence (default: all published so far). What is leased stays, unless `leased` is true. Grant: manage.",
    middleware: [needs("manage"), jsonBody()],
    request: { params: QueueParam, body: { content: { "application/json": { schema: PurgeRequest } } } },
    responses: answers(200, "How many messages were removed.", Affected),
  });
  app.openapi(route, async (context) => {
    const options = present(context.req.valid("json"));
    return answer(
      context,
      await callQueue(context, { method: "purge", repeatable: false, run: (queue) => queue.purge(options) }),
    );
  });
}

function addPause(app: EdgeApp): void {
  for (const action of ["pause", "resume"] as const) {
    const route = createRoute({
      method: "post",
      path: `/v1/queues/{queue}/${action}`,
      tags: ["Queues"],
      summary: action === "pause" ? "Stop deliveries" : "Let deliveries go on",
      description: "Publishing and settling go on in a paused queue. Grant: manage.",
      middleware: [needs("manage"), jsonBody()],
      request: { params: QueueParam, body: { content: { "application/json": { schema: EmptyRequest } } } },
      responses: answers(200, "As it is now.", z.object({ paused: z.boolean() })),
    });
    app.openapi(route, async (context) =>
      answer(
        context,
        await callQueue(context, {
          method: action,
          repeatable: true,
          run: (queue) => queue.pause(action === "pause"),
        }),
      ),
    );
  }
}

function addResumeKey(app: EdgeApp): void {
  const route = createRoute({
    method: "post",
    path: "/v1/queues/{queue}/keys/resume",
    tags: ["Queues"],
    summary: "Free a parked key",
    description:
      "`retry` tries the key's failed message again, `skip` lets it die and goes on, `drain` lets all of the key die. Grant: manage.",
    middleware: [needs("manage"), jsonBody()],
    request: {
      params: QueueParam,
      body: { required: true, content: { "application/json": { schema: ResumeKeyRequest } } },
    },
    responses: answers(200, "How many messages it concerns.", Affected),
  });
  app.openapi(route, async (context) => {
    const { key, action } = context.req.valid("json");
    return answer(
      context,
      await callQueue(context, {
        method: "resumeKey",
        repeatable: false,
        run: (queue) => queue.resumeKey(key, action),
      }),
    );
  });
}
