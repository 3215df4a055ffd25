// Dead-letter queues: whose they are, and moving what is in them back to work.
import type { RedriveStatus } from "../../../protocol/commands.ts";
import { fromBase64, toBase64 } from "../../../protocol/message-json.ts";
import { readText } from "../../../protocol/utf8.ts";
import type { GrantVerb } from "../../../protocol/rpc.ts";
import type { Actions, Caller } from "../caller.ts";
import { answered, SQS_ERRORS, sqsRefusal, type Answer, type SqsRefusal } from "../errors.ts";
import { arnOf, isFifo, queueOfArn, queueOfUrl } from "../identifiers.ts";
import { listPage } from "../pages.ts";
import { invalidBecause, missing } from "../parameters.ts";
import { sqsRefusalOf } from "../refusals.ts";
import type { OutputOf } from "../shapes.ts";
import { inspect } from "./queues.ts";

type DeadLetterAction =
  "ListDeadLetterSourceQueues" | "StartMessageMoveTask" | "ListMessageMoveTasks" | "CancelMessageMoveTask";

type MoveTask = NonNullable<OutputOf<"ListMessageMoveTasks">["Results"]>[number];

const RATE_MAX = 500;
const TASKS_LISTED_MAX = 10;

export const deadLetterActions: Actions<DeadLetterAction> = {
  async ListDeadLetterSourceQueues({ QueueUrl, MaxResults, NextToken }, caller) {
    const deadLetter = queueOfUrl(QueueUrl);
    const info = await inspect(deadLetter, ["consume", "manage"], caller);
    if (!info.ok) return info;
    const page = await listPage({ prefix: "", max: MaxResults, token: NextToken, deadLetter }, caller);
    if (!page.ok) return page;
    const { urls, ...rest } = page.value;
    return answered({ queueUrls: urls, ...rest });
  },

  async StartMessageMoveTask({ SourceArn, DestinationArn, MaxNumberOfMessagesPerSecond: rate }, caller) {
    if (rate !== undefined && (rate < 1 || rate > RATE_MAX)) {
      return invalidBecause(
        `Value for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: You must enter a number that's between 1 and ${RATE_MAX}.`,
      );
    }
    const source = await queueAt("SourceArn", SourceArn, ["manage"], caller);
    if (!source.ok) return source;
    const to =
      DestinationArn === undefined
        ? null
        : await queueAt("DestinationArn", DestinationArn, ["publish", "manage"], caller);
    if (to?.ok === false) return to;
    const refused = refuseMove(source.value, to?.value) ?? (await refuseSource(source.value, caller));
    if (refused !== null) return refused;
    const task = await start(source.value, to?.value, rate, caller);
    return task.ok ? answered({ TaskHandle: handleOf(task.value, SourceArn) }) : task;
  },

  async ListMessageMoveTasks({ SourceArn, MaxResults: max = 1 }, caller) {
    if (max < 1 || max > TASKS_LISTED_MAX) {
      return invalidBecause(
        `Value for parameter MaxResults is invalid. Reason: You must enter a number that's between 1 and ${TASKS_LISTED_MAX}.`,
      );
    }
    const source = await queueAt("SourceArn", SourceArn, ["manage"], caller);
    if (!source.ok) return source;
    const redrives = await caller.broker.ask({
      queue: source.value,
      verbs: ["manage"],
      method: "redrives",
      repeatable: true,
      run: (stub) => stub.redrives(max),
    });
    if (!redrives.ok) return sqsRefusalOf(redrives);
    const tasks = redrives.value.map((redrive) => taskOf(redrive, SourceArn, caller.region));
    return answered(tasks.length === 0 ? {} : { Results: tasks });
  },

  async CancelMessageMoveTask({ TaskHandle }, caller) {
    if (TaskHandle === "") return missing("TaskHandle");
    const handle = readHandle(TaskHandle);
    if (handle === null) return invalidBecause("Value for parameter TaskHandle is invalid.");
    const source = await queueAt("SourceArn", handle.sourceArn, ["manage"], caller);
    if (!source.ok) return source;
    const question = { queue: source.value, verbs: ["manage"] as const, repeatable: true };
    const { task } = handle;
    const status = await caller.broker.ask({
      ...question,
      method: "redriveStatus",
      run: (stub) => stub.redriveStatus(task),
    });
    if (!status.ok) return taskRefusal(status.code) ?? sqsRefusalOf(status);
    if (status.value.state !== "running") return invalidBecause("Only active tasks can be cancelled.");
    const cancelled = await caller.broker.ask({
      ...question,
      method: "redriveCancel",
      run: (stub) => stub.redriveCancel(task),
    });
    return cancelled.ok
      ? answered({ ApproximateNumberOfMessagesMoved: cancelled.value.moved })
      : sqsRefusalOf(cancelled);
  },
};

function taskRefusal(code: string): SqsRefusal | null {
  return code === "task_not_found" ? sqsRefusal("ResourceNotFoundException", "Task does not exist.") : null;
}

/** The queue that an ARN names, which must be there. */
async function queueAt(
  name: string,
  arn: string,
  verbs: readonly GrantVerb[],
  caller: Caller,
): Promise<Answer<string>> {
  if (arn === "") return missing(name);
  if (!/^arn:[^:]+:[^:]+:[^:]*:[^:]*:.+$/.test(arn)) {
    return invalidBecause(
      `You must use this format to specify the ${name}: arn:<partition>:<service>:<region>:<account-id>:<resource-id>`,
    );
  }
  const queue = queueOfArn(arn);
  const info = queue === null ? null : await inspect(queue, verbs, caller);
  if (queue !== null && info?.ok) return answered(queue);
  if (info?.ok === false && info.error !== "QueueDoesNotExist") return info;
  return sqsRefusal(
    "ResourceNotFoundException",
    `The resource that you specified for the ${name} parameter doesn't exist.`,
  );
}

function refuseMove(source: string, to: string | undefined): SqsRefusal | null {
  if (to === undefined) return null;
  if (to === source) return invalidBecause("Source queue arn and destination queue arn cannot be the same.");
  return isFifo(to) === isFifo(source)
    ? null
    : invalidBecause("The source queue and destination queue must be of the same queue type.");
}

/** Only what some queue's dead messages go to can be moved from. */
async function refuseSource(source: string, caller: Caller): Promise<SqsRefusal | null> {
  const sources = await listPage({ prefix: "", max: 1, token: undefined, deadLetter: source }, caller);
  if (!sources.ok) return sources;
  return sources.value.urls.length > 0
    ? null
    : invalidBecause("Source queue must be configured as a Dead Letter Queue.");
}

async function start(
  source: string,
  to: string | undefined,
  rate: number | undefined,
  { broker }: Caller,
): Promise<Answer<RedriveStatus>> {
  const lacking = to === undefined ? null : broker.lacks(["publish", "manage"], to);
  if (lacking !== null) return sqsRefusalOf(lacking);
  const command = {
    filter: {},
    dryRun: false,
    alone: true,
    // Without a destination only what tells where it died can go back.
    ...(to === undefined ? {} : { to, all: true }),
    ...(rate === undefined ? {} : { ratePerSecond: rate }),
  };
  const started = await broker.ask({
    queue: source,
    verbs: ["manage"],
    method: "redrive",
    repeatable: false,
    run: (stub) => stub.redrive(command),
  });
  if (started.ok) return answered(started.value);
  return started.code === "redrive_running"
    ? invalidBecause(
        "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
      )
    : sqsRefusalOf(started);
}

const STATUS = {
  running: "RUNNING",
  done: "COMPLETED",
  cancelled: "CANCELLED",
  failed: "FAILED",
  dry_run: "COMPLETED",
} as const;

function taskOf(redrive: RedriveStatus, sourceArn: string, region: string): MoveTask {
  const { state, failure, moved, total, startedMs, to, ratePerSecond } = redrive;
  return {
    ...(state === "running" ? { TaskHandle: handleOf(redrive, sourceArn) } : {}),
    Status: STATUS[state],
    ...(failure === undefined ? {} : { FailureReason: SQS_ERRORS.QueueDoesNotExist.code }),
    SourceArn: sourceArn,
    ...(to === undefined ? {} : { DestinationArn: arnOf(region, to) }),
    ...(ratePerSecond === undefined ? {} : { MaxNumberOfMessagesPerSecond: ratePerSecond }),
    ApproximateNumberOfMessagesMoved: moved,
    ApproximateNumberOfMessagesToMove: total,
    StartedTimestamp: startedMs,
  };
}

function handleOf({ task }: Pick<RedriveStatus, "task">, sourceArn: string): string {
  return toBase64(new TextEncoder().encode(JSON.stringify({ taskId: String(task), sourceArn })));
}

function readHandle(handle: string): { task: number; sourceArn: string } | null {
  const bytes = fromBase64(handle);
  if (bytes === null) return null;
  try {
    const value: unknown = JSON.parse(readText(bytes, 0, bytes.length));
    if (typeof value !== "object" || value === null) return null;
    if (!("taskId" in value) || !("sourceArn" in value)) return null;
    const { taskId, sourceArn } = value;
    if (typeof taskId !== "string" || typeof sourceArn !== "string") return null;
    // Another form of id is that of a task that was never here.
    return { task: /^\d{1,15}$/.test(taskId) ? Number(taskId) : 0, sourceArn };
  } catch {
    return null;
  }
}
