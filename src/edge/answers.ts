// What the edge answers, as schemas. They check nothing: the reference is generated from them, and the types of the
// protocol hold them to what the objects say.
import { z, type RouteConfig } from "@hono/zod-openapi";
import type { QueueInfo, RedriveStatus } from "../protocol/commands.ts";
import { ERRORS, type ErrorCode } from "../protocol/errors.ts";
import type { DeliveredJson, ViewJson } from "../protocol/message-json.ts";
import type { NamespaceUsage } from "../protocol/rpc.ts";
import { QueueSettings } from "../protocol/queue-schemas.ts";
import { MessageFields } from "../protocol/schemas.ts";

export const count = z.int().min(0);
export const timeMs = z.int().min(0).meta({ description: "Milliseconds since 1970." });
const run = z.tuple([z.int(), z.int()]).meta({ description: "First sequence, and how many follow on." });

export const Problem = z
  .object({
    type: z.string().meta({ description: "Where the code is explained." }),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    detail: z.string().meta({ description: "For people: names the field at fault." }),
    instance: z.string().meta({ description: "The path that was asked." }),
  })
  .meta({ id: "Problem", description: "RFC 9457. Facts that help to recover are further members." });

const Config = QueueSettings.required().meta({ id: "QueueConfig" });

export const Info = z
  .object({
    queue: z.string(),
    namespace: z.string(),
    config: Config,
    createdMs: timeMs,
    changedMs: timeMs.meta({ description: "When its configuration was last changed." }),
    paused: z.boolean(),
    counts: z.object({
      ready: count,
      leased: count,
      delayed: count,
      parked: count,
      dead: count,
      deadLettering: count,
      bytes: count,
    }),
    totals: z.object({
      published: count,
      duplicates: count,
      delivered: count,
      acked: count,
      failed: count,
      deadLettered: count,
      redriven: count,
      expired: count,
      cancelled: count,
      purged: count,
      dropped: count,
    }),
    oldestReadyMs: count.meta({ description: "Age of the oldest message that is ready, in ms." }),
    lastSequence: count,
    consumers: z.array(
      z.object({
        consumer: z.string(),
        credit: count,
        unsettled: count,
        priority: z.int(),
        exclusive: z.boolean(),
        active: z.boolean(),
      }),
    ),
  })
  .meta({ id: "QueueInfo" });

export const Published = z
  .object({
    ids: z.array(z.string().nullable()).meta({
      description: "In the order of the batch; a duplicate has the first one's, a refused message null.",
    }),
    sequences: z.array(run),
    duplicates: z.array(z.int()).meta({ description: "Indexes of messages that were there already." }),
    refused: z
      .array(z.object({ messages: z.array(run), code: z.string(), detail: z.string() }))
      .optional()
      .meta({
        description: "What some partitions of the queue refused, as runs of indexes; the others have theirs.",
      }),
  })
  .meta({ id: "Published" });

const kept = MessageFields.omit({ json: true, delayMs: true }).shape;
const common = {
  ...kept,
  id: z.string(),
  sequence: z.int(),
  failures: count,
  timeMs,
  death: z.unknown().optional().meta({ description: "Why, where and when it died." }),
  bodyReference: z.string().optional().meta({
    description: "The body lies in a bucket: GET /v1/queues/{queue}/bodies/{reference}.",
  }),
};

export const Delivered = z
  .object({
    ...common,
    receipt: z.string().meta({ description: "Settles this message." }),
    attempt: count,
    firstSentMs: timeMs,
    leaseUntilMs: timeMs,
  })
  .meta({ id: "Delivered" });

export const Received = z
  .object({
    messages: z.array(Delivered),
    problem: z
      .looseObject({ code: z.string(), detail: z.string() })
      .optional()
      .meta({ description: "A refusal during a wait that had lasted over a second." }),
  })
  .meta({ id: "Received" });

export const View = z
  .object({
    ...common,
    state: z.enum(["ready", "leased", "delayed", "parked", "dead"]),
    attempts: count,
    dueMs: timeMs.optional(),
    expiresMs: timeMs.optional(),
    consumer: z.string().optional(),
    leaseUntilMs: timeMs.optional(),
    log: z.array(z.unknown()).optional(),
    bodyBytes: count,
    queue: z.string().optional().meta({ description: "The dead-letter queue in which it lies." }),
  })
  .meta({ id: "MessageView" });

export const Page = z.object({ messages: z.array(View), cursor: z.string().optional() });

const RefusedRun = z.object({ sequences: run, code: z.string(), detail: z.string() });

export const Settled = z
  .object({
    results: z.array(
      z.object({
        ok: z.boolean(),
        settled: count,
        untilMs: timeMs.optional(),
        isCut: z.literal(true).optional(),
        code: z.string().optional(),
        detail: z.string().optional(),
        refused: z.array(RefusedRun).optional(),
      }),
    ),
  })
  .meta({ id: "Settled", description: "One result for each settlement, in its order." });

export const Redrive = z
  .object({
    task: z.int().nullable(),
    state: z.enum(["dry_run", "running", "done", "cancelled", "failed"]),
    failure: z.enum(["queue_not_found"]).optional(),
    scanned: count,
    matched: count,
    moved: count,
    startedMs: timeMs,
    total: count.meta({ description: "Messages that waited or were dead in the queue when it began." }),
    to: z.string().optional(),
    ratePerSecond: z.number().optional(),
  })
  .meta({ id: "RedriveStatus" });

export const Usage = z
  .object({
    queues: count,
    queuesMax: count,
    exchanges: count,
    exchangesMax: count,
    bytesAllotted: count,
    bytesMax: count,
  })
  .meta({ id: "NamespaceUsage" });

export const Affected = z.object({ messages: count.meta({ description: "How many it was." }) });

export const PROBLEMS: RouteConfig["responses"] = {
  default: { description: "A refusal.", content: { "application/problem+json": { schema: Problem } } },
};

/** The one good answer of a route, and problems for everything else. */
export function answers(
  status: 200 | 201 | 204,
  description: string,
  schema?: z.ZodType,
): RouteConfig["responses"] {
  const content = schema === undefined ? {} : { content: { "application/json": { schema } } };
  return { [status]: { description, ...content }, ...PROBLEMS };
}

// Where the protocol's types and these schemas drift apart, these lines fail to compile.
export type Fits<T, U extends T> = U;
export type AnswersFit = [
  Fits<z.output<typeof Redrive>, RedriveStatus>,
  Fits<z.output<typeof Usage>, NamespaceUsage>,
  Fits<Omit<z.input<typeof Info>, "consumers" | "config">, Omit<QueueInfo, "consumers" | "config">>,
  Fits<keyof z.output<typeof Delivered>, keyof DeliveredJson>,
  Fits<keyof z.output<typeof View>, keyof ViewJson>,
];
