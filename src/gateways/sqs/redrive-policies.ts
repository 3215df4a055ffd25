// Where a queue's dead messages go, and from which queues a dead-letter queue takes them: JSON in SQS, settings here.
import type { QueueChanges, QueueConfig } from "../../protocol/queue-config.ts";
import { answered, type Answer, type SqsRefusal } from "./errors.ts";
import { invalid, invalidBecause } from "./parameters.ts";
import { arnOf, isFifo, queueOfArn } from "./identifiers.ts";
import { LABEL_PREFIX } from "./tags.ts";

const RECEIVES_MAX = 1_000;
const SOURCES_MAX = 10;
const ALLOW_LABEL = `${LABEL_PREFIX}RedriveAllowPolicy`;

/** SQS counts receives, the broker failures: the message that failed as often as it may be received is dead. */
export function tellRedrivePolicy(
  { deadLetter, maxFailures }: QueueConfig,
  region: string,
): string | undefined {
  if (deadLetter === null || !("queue" in deadLetter)) return undefined;
  const maxReceiveCount = maxFailures === null ? RECEIVES_MAX : maxFailures + 1;
  return JSON.stringify({ deadLetterTargetArn: arnOf(region, deadLetter.queue), maxReceiveCount });
}

export function readRedrivePolicy(text: string, queue: string): Answer<QueueChanges> {
  if (text === "") return answered({ deadLetter: null, maxFailures: null });
  const policy = objectOf(text);
  if (policy === null) return unreadable("RedrivePolicy", "Redrive policy is not a valid JSON map.");
  const refuse = (reason: string): SqsRefusal => invalid("RedrivePolicy", text, reason);
  for (const field of ["maxReceiveCount", "deadLetterTargetArn"]) {
    if (policy[field] === undefined) {
      return refuse(`Redrive policy does not contain mandatory attribute: ${field}.`);
    }
  }
  if (Object.keys(policy).length > 2) {
    return refuse("Only following attributes are supported: [maxReceiveCount, deadLetterTargetArn].");
  }
  const { deadLetterTargetArn: arn, maxReceiveCount } = policy;
  const receives = /^\d{1,9}$/.test(String(maxReceiveCount)) ? Number(maxReceiveCount) : 0;
  if (receives < 1 || receives > RECEIVES_MAX) {
    const shown = typeof maxReceiveCount === "string" ? maxReceiveCount : JSON.stringify(maxReceiveCount);
    return refuse(
      `Invalid value for maxReceiveCount: ${shown}, valid values are from 1 to ${RECEIVES_MAX} both inclusive.`,
    );
  }
  const target = typeof arn === "string" ? queueOfArn(arn) : null;
  if (target === null) return refuse("Invalid value for deadLetterTargetArn.");
  if (target === queue) return refuse("A queue can't be its own dead-letter queue.");
  if (isFifo(target) !== isFifo(queue)) {
    return refuse("Dead-letter queue must be same type of queue as the source..");
  }
  return answered({ deadLetter: { queue: target }, maxFailures: receives - 1 });
}

/** The target is asked for when the policy is stored. */
export function refusedTarget(text: string, isMissing: boolean): SqsRefusal {
  const reason = isMissing
    ? "Dead letter target does not exist."
    : "The redrive allow policy of the dead-letter target does not allow this source.";
  return invalid("RedrivePolicy", text, reason);
}

/** As it was set; of a queue whose sources were named otherwise, what comes to the same. */
export function tellAllowPolicy({ labels, deadLetterFrom }: QueueConfig, region: string): string | undefined {
  const set = labels[ALLOW_LABEL];
  if (set !== undefined || deadLetterFrom === null) return set;
  if (deadLetterFrom.length === 0) return JSON.stringify({ redrivePermission: "denyAll" });
  const sourceQueueArns = deadLetterFrom.map((queue) => arnOf(region, queue));
  return JSON.stringify({ redrivePermission: "byQueue", sourceQueueArns });
}

export function readAllowPolicy(text: string): Answer<QueueChanges> {
  if (text === "") return answered({ deadLetterFrom: null, labels: { [ALLOW_LABEL]: null } });
  const policy = objectOf(text);
  const sources = policy === null ? UNREADABLE_ALLOW_POLICY : sourcesOf(policy, text);
  if (!sources.ok) return sources;
  // Told again without the spaces that it came with.
  return answered({ deadLetterFrom: sources.value, labels: { [ALLOW_LABEL]: JSON.stringify(policy) } });
}

const UNREADABLE_ALLOW_POLICY = unreadable(
  "RedriveAllowPolicy",
  "Amazon SQS can't create the redrive allow policy, as it’s in an unsupported format.",
);

function sourcesOf(
  policy: Readonly<Record<string, unknown>>,
  text: string,
): Answer<readonly string[] | null> {
  const { redrivePermission, sourceQueueArns, ...others } = policy;
  const refuse = (reason: string): SqsRefusal =>
    invalid("RedriveAllowPolicy", text, `Amazon SQS can't create the redrive allow policy. ${reason}`);
  if (Object.keys(others).length > 0) return UNREADABLE_ALLOW_POLICY;
  if (redrivePermission === "allowAll" || redrivePermission === "denyAll") {
    if (sourceQueueArns === undefined) return answered(redrivePermission === "allowAll" ? null : []);
    return refuse("To specify one or more source queue ARNs, you must set redrivePermission to byQueue.");
  }
  if (redrivePermission !== "byQueue") return UNREADABLE_ALLOW_POLICY;
  const arns = Array.isArray(sourceQueueArns) ? (sourceQueueArns as unknown[]) : [];
  if (arns.length === 0) {
    return refuse(
      "When you specify the byQueue permission type, you must also specify one or more sourceQueueArns values.",
    );
  }
  if (arns.length > SOURCES_MAX) {
    return refuse(`The maximum number of source queue ARNs you can specify is ${SOURCES_MAX}.`);
  }
  const queues = arns.map((arn) => (typeof arn === "string" ? queueOfArn(arn) : null));
  const named = queues.filter((queue) => queue !== null);
  return named.length === queues.length ? answered(named) : UNREADABLE_ALLOW_POLICY;
}

function objectOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

function unreadable(name: string, reason: string): SqsRefusal {
  return invalidBecause(`Invalid value for the parameter ${name}. Reason: ${reason}`);
}
