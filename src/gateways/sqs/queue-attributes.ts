/**
 * A queue's attributes in SQS, as settings of the broker's queue and back. What the broker has no use for (policies,
 * encryption keys) is kept with the queue as a label that no tag can be called by, so that it is read as it was set.
 */
import type { QueueInfo } from "../../protocol/commands.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { QUEUE_DEFAULTS, type QueueChanges, type QueueConfig } from "../../protocol/queue-config.ts";
import { answered, sqsRefusal, type Answer, type SqsRefusal } from "./errors.ts";
import { arnOf, isFifo } from "./identifiers.ts";
import { policyOf, withPolicy } from "./permissions.ts";
import {
  readRedrivePolicy,
  readAllowPolicy,
  tellAllowPolicy,
  tellRedrivePolicy,
} from "./redrive-policies.ts";
import { LABEL_PREFIX } from "./tags.ts";

const FIFO_GROUP_MAX = 10;
/** Groups are told apart as well as this, and what comes at one time becomes so many segments at the most. */
const FAIR_LANES = 8;
const DAY_SECONDS = 86_400;

/** What SQS does with every queue: no wait before a retry, no end of them without a redrive policy, four days. */
const STANDARD: QueueConfig = {
  ...QUEUE_DEFAULTS,
  maxFailures: null,
  lastAttemptAlone: false,
  retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 },
  nackDelayMs: 0,
  lateChanges: "follow",
  dedupAcrossSubjects: true,
  fairLanes: FAIR_LANES,
  onExpiry: "drop",
  ttlMs: 4 * DAY_SECONDS * 1_000,
};

/** A receive may take several of a group, and the group waits for all of them. */
const FIFO: QueueConfig = {
  ...STANDARD,
  fairLanes: 0,
  lateChanges: "fenced",
  fifo: true,
  maxPerKey: FIFO_GROUP_MAX,
  oneDeliveryPerKey: true,
  onKeyFailure: "skip",
  required: ["orderingKey", "dedupId"],
  dedupWindowMs: 5 * 60_000,
};

export function defaultConfig(queue: string): QueueConfig {
  return isFifo(queue) ? FIFO : STANDARD;
}

interface Attribute {
  /** Absent: the queue has none. `region` is for ARNs. */
  read(info: QueueInfo, region: string): string | undefined;
  /** What setting it changes. Absent: it can't be set. `before`: absent while the queue is made. */
  write?(text: string, queue: string, before?: QueueInfo): Answer<QueueChanges>;
  /** Of FIFO queues only: what is said of others. */
  readonly onlyFifo?: (name: string) => SqsRefusal;
}

function seconds(ms: number): string {
  return String(Math.floor(ms / 1_000));
}

/** A whole number in a range, as `change` puts it. */
function whole(
  name: string,
  [min, max]: readonly [number, number],
  change: (value: number) => QueueChanges,
): NonNullable<Attribute["write"]> {
  return (text) => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? answered(change(value)) : invalidValue(name);
  };
}

function invalidValue(name: string): SqsRefusal {
  return sqsRefusal("InvalidAttributeValue", `Invalid value for the parameter ${name}.`);
}

function oneOf<T extends string>(
  name: string,
  values: readonly T[],
  change: (value: T) => QueueChanges,
): NonNullable<Attribute["write"]> {
  return (text) => {
    const value = values.find((one) => one === text);
    return value === undefined ? invalidValue(name) : answered(change(value));
  };
}

/** Clients write their languages' booleans, so `True` is one, too. */
function flag(name: string, change: (value: boolean) => QueueChanges): NonNullable<Attribute["write"]> {
  const write = oneOf(name, ["true", "false"], (value) => change(value === "true"));
  return (text, ...rest) => write(text.toLowerCase(), ...rest);
}

/** Kept for whoever asks; the broker does nothing with it. An empty text takes it away. */
function kept(name: string): Pick<Required<Attribute>, "read" | "write"> {
  return {
    read: ({ config }) => config.labels[LABEL_PREFIX + name],
    write: (text) => answered(label(name, text)),
  };
}

function label(name: string, text: string): QueueChanges {
  return { labels: { [LABEL_PREFIX + name]: text === "" ? null : text } };
}

export const ATTRIBUTES: Readonly<Record<string, Attribute>> = {
  QueueArn: { read: ({ queue }, region) => arnOf(region, queue) },
  ApproximateNumberOfMessages: { read: ({ counts }) => String(counts.ready) },
  ApproximateNumberOfMessagesNotVisible: {
    // What is on its way to another queue can't be received here, and has not arrived there.
    read: ({ counts }) => String(counts.leased + counts.deadLettering),
  },
  ApproximateNumberOfMessagesDelayed: { read: ({ counts }) => String(counts.delayed) },
  CreatedTimestamp: { read: ({ createdMs }) => seconds(createdMs) },
  LastModifiedTimestamp: { read: ({ changedMs }) => seconds(changedMs) },
  VisibilityTimeout: {
    read: ({ config }) => seconds(config.leaseMs),
    write: whole("VisibilityTimeout", [0, 43_200], (value) => ({ leaseMs: value * 1_000 })),
  },
  MaximumMessageSize: {
    read: ({ config }) => String(config.bodyBytesMax),
    write: whole("MaximumMessageSize", [1_024, LIMITS.bodyBytesMax], (bodyBytesMax) => ({ bodyBytesMax })),
  },
  MessageRetentionPeriod: {
    // A queue of the broker's own may keep its messages for ever.
    read: ({ config }) => seconds(config.ttlMs ?? 14 * DAY_SECONDS * 1_000),
    write: whole("MessageRetentionPeriod", [60, 14 * DAY_SECONDS], (value) => ({ ttlMs: value * 1_000 })),
  },
  DelaySeconds: {
    read: ({ config }) => seconds(config.delayMs),
    write: whole("DelaySeconds", [0, 900], (value) => ({ delayMs: value * 1_000 })),
  },
  ReceiveMessageWaitTimeSeconds: {
    read: ({ config }) => seconds(config.receiveWaitMs),
    write: whole("ReceiveMessageWaitTimeSeconds", [0, 20], (value) => ({ receiveWaitMs: value * 1_000 })),
  },
  Policy: {
    read: ({ config, queue }, region) => policyOf(config.labels, arnOf(region, queue)),
    write: (text, _queue, before) => withPolicy(text, before?.config.labels ?? {}),
  },
  RedrivePolicy: {
    read: ({ config }, region) => tellRedrivePolicy(config, region),
    write: readRedrivePolicy,
  },
  RedriveAllowPolicy: {
    read: ({ config }, region) => tellAllowPolicy(config, region),
    write: (text) => readAllowPolicy(text),
  },
  KmsMasterKeyId: {
    ...kept("KmsMasterKeyId"),
    // One of the two ways of encryption ends the other. Taking the key away brings the other one not back.
    write: (text) =>
      answered({
        labels: { ...label("KmsMasterKeyId", text).labels, ...label("SqsManagedSseEnabled", "false").labels },
      }),
  },
  KmsDataKeyReusePeriodSeconds: {
    read: ({ config }) =>
      config.labels[`${LABEL_PREFIX}KmsMasterKeyId`] === undefined
        ? undefined
        : (config.labels[`${LABEL_PREFIX}KmsDataKeyReusePeriodSeconds`] ?? "300"),
    write: whole("KmsDataKeyReusePeriodSeconds", [60, 86_400], (value) =>
      label("KmsDataKeyReusePeriodSeconds", String(value)),
    ),
  },
  SqsManagedSseEnabled: {
    read: ({ config }) => config.labels[`${LABEL_PREFIX}SqsManagedSseEnabled`] ?? "true",
    write: flag("SqsManagedSseEnabled", (value) => label("SqsManagedSseEnabled", String(value))),
  },
  FifoQueue: {
    read: ({ config }) => (config.fifo ? "true" : undefined),
    // The name says it, too, and has been looked at.
    write: (text) =>
      text.toLowerCase() === "true"
        ? answered({})
        : sqsRefusal(
            "InvalidAttributeValue",
            "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
          ),
    onlyFifo: unknownAttribute,
  },
  ContentBasedDeduplication: {
    read: ({ config }) => (config.fifo ? String(config.dedupByContent) : undefined),
    write: flag("ContentBasedDeduplication", (dedupByContent) => ({ dedupByContent })),
    onlyFifo: unknownAttribute,
  },
  DeduplicationScope: {
    read: ({ config }) =>
      config.fifo ? (config.dedupScope === "key" ? "messageGroup" : "queue") : undefined,
    write: oneOf("DeduplicationScope", ["queue", "messageGroup"], (value) => ({
      dedupScope: value === "queue" ? "queue" : "key",
    })),
    onlyFifo: notFifo,
  },
  FifoThroughputLimit: {
    read: ({ config }) =>
      config.fifo ? (config.labels[`${LABEL_PREFIX}FifoThroughputLimit`] ?? "perQueue") : undefined,
    write: oneOf("FifoThroughputLimit", ["perQueue", "perMessageGroupId"], (value) =>
      label("FifoThroughputLimit", value),
    ),
    onlyFifo: notFifo,
  },
};

function notFifo(name: string): SqsRefusal {
  return sqsRefusal(
    "InvalidAttributeName",
    `You can specify the ${name} only when FifoQueue is set to true.`,
  );
}

function refuseTogether(attributes: Readonly<Record<string, string>>): SqsRefusal | null {
  const { KmsMasterKeyId: key = "", SqsManagedSseEnabled: managed = "" } = attributes;
  if (key !== "" && managed.toLowerCase() === "true") {
    return sqsRefusal(
      "InvalidAttributeName",
      "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.",
    );
  }
  return null;
}

/** The limit by group takes duplicates that are known by group, whichever of the two was said first. */
function refuseLimit(attributes: Readonly<Record<string, string>>, before?: QueueInfo): SqsRefusal | null {
  const now = (name: string): string | undefined => before && ATTRIBUTES[name]?.read(before, "");
  const limit = attributes["FifoThroughputLimit"] ?? now("FifoThroughputLimit");
  const scope = attributes["DeduplicationScope"] ?? now("DeduplicationScope");
  if (limit !== "perMessageGroupId" || scope === "messageGroup") return null;
  return sqsRefusal(
    "InvalidAttributeValue",
    "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup",
  );
}

export function unknownAttribute(name: string): SqsRefusal {
  return sqsRefusal("InvalidAttributeName", `Unknown Attribute ${name}.`);
}

/** The named ones that the queue has; `All` is all of them. */
export function readAttributes(
  info: QueueInfo,
  names: readonly string[],
  region: string,
): Answer<Record<string, string>> {
  const wanted = names.includes("All") ? Object.keys(ATTRIBUTES) : names;
  const found: [string, string][] = [];
  for (const name of wanted) {
    const attribute = Object.hasOwn(ATTRIBUTES, name) ? ATTRIBUTES[name] : undefined;
    if (attribute === undefined) return unknownAttribute(name);
    const value = attribute.read(info, region);
    if (value !== undefined) found.push([name, value]);
  }
  return answered(Object.fromEntries(found));
}

/** What setting these changes. `before`: absent while the queue is made. */
export function writeAttributes(
  attributes: Readonly<Record<string, string>>,
  queue: string,
  before?: QueueInfo,
): Answer<QueueChanges> {
  const clash = refuseTogether(attributes);
  if (clash !== null) return clash;
  let all: QueueChanges = {};
  for (const [name, text] of Object.entries(attributes)) {
    const attribute = Object.hasOwn(ATTRIBUTES, name) ? ATTRIBUTES[name] : undefined;
    if (attribute?.write === undefined) return unknownAttribute(name);
    if (attribute.onlyFifo && !isFifo(queue)) return attribute.onlyFifo(name);
    const changes = attribute.write(text, queue, before);
    if (!changes.ok) return changes;
    all = { ...all, ...changes.value, labels: { ...all.labels, ...changes.value.labels } };
  }
  return refuseLimit(attributes, before) ?? answered(all);
}
