// What may be said of a queue as a whole, and asked of it by who manages it; see schemas.ts.
import { z } from "zod";
import type { RedriveCommand } from "./commands.ts";
import { LIMITS } from "./limits.ts";
import { QUEUE_DEFAULTS, type QueueChanges as QueueConfigChanges, type QueueConfig } from "./queue-config.ts";
import {
  delayMs,
  headersOf,
  key,
  Name,
  pullLeaseMs,
  sequence,
  shortText,
  text,
  whole,
  type Fits,
  type Present,
} from "./schemas.ts";

const RetryPolicy = z.strictObject({
  kind: z.enum(["fixed", "linear", "exponential"]).default(QUEUE_DEFAULTS.retry.kind),
  baseMs: whole(0, LIMITS.delayMsMax).default(QUEUE_DEFAULTS.retry.baseMs),
  maxMs: whole(0, LIMITS.delayMsMax).default(QUEUE_DEFAULTS.retry.maxMs),
  jitter: z.number().min(0).max(1).default(QUEUE_DEFAULTS.retry.jitter),
});

const label = text(LIMITS.labelBytesMax);
const labelName = shortText.refine((name) => name !== "", { message: "must not be empty" });

/** What is left out has its default; `retry` and `deadLetter` are one value each. */
export const QueueSettings = z.strictObject({
  leaseMs: pullLeaseMs.optional(),
  maxFailures: whole(0, 1_000).nullable().optional(),
  lastAttemptAlone: z.boolean().optional(),
  retry: RetryPolicy.optional(),
  nackDelayMs: delayMs.optional(),
  deadLetter: z
    .union(
      [
        z.strictObject({ queue: Name, routingKey: shortText.optional() }),
        z.strictObject({ exchange: Name, routingKey: shortText.optional() }),
      ],
      { error: "must name a queue or an exchange, and may name a routingKey" },
    )
    .nullable()
    .optional(),
  deadLetterFrom: z.array(Name).max(LIMITS.deadLetterFromMax).nullable().optional(),
  onExpiry: z.enum(["deadLetter", "drop"]).optional(),
  delayMs: delayMs.optional(),
  receiveWaitMs: whole(0, LIMITS.waitMsMax).optional(),
  ackDelayMs: whole(0, LIMITS.ackDelayMsMax).optional(),
  ttlMs: whole(0, LIMITS.delayMsMax).nullable().optional(),
  maxMessages: whole(1, Number.MAX_SAFE_INTEGER).nullable().optional(),
  maxBytes: whole(1, LIMITS.queueBytesMax).nullable().optional(),
  overflow: z.enum(["reject", "dropOldest"]).optional(),
  fifo: z.boolean().optional(),
  maxPerKey: whole(1, LIMITS.creditMax).optional(),
  oneDeliveryPerKey: z.boolean().optional(),
  onKeyFailure: z.enum(["park", "skip", "drain"]).optional(),
  lateChanges: z.enum(["fenced", "follow"]).optional(),
  fairLanes: whole(0, LIMITS.fairLanesMax).optional(),
  dedupWindowMs: whole(0, LIMITS.dedupWindowMsMax).optional(),
  dedupByContent: z.boolean().optional(),
  dedupScope: z.enum(["queue", "key"]).optional(),
  dedupAcrossSubjects: z.boolean().optional(),
  required: z
    .array(z.enum(["orderingKey", "dedupId"]))
    .max(2)
    .optional(),
  singleActiveConsumer: z.boolean().optional(),
  bodyBytesMax: whole(1, LIMITS.bodyBytesMax).optional(),
  partitions: whole(1, LIMITS.partitionsMax).optional(),
  labels: headersOf(labelName, label).optional(),
});

/** What is left out keeps its value; a label of null is taken away. */
export const QueueChanges = QueueSettings.extend({
  labels: headersOf(labelName, label.nullable()).optional(),
});

export const PurgeRequest = z.strictObject({
  upToSequence: sequence.optional(),
  leased: z.boolean().optional(),
  dedup: z.boolean().optional(),
});

export const ResumeKeyRequest = z.strictObject({ key, action: z.enum(["retry", "skip", "drain"]) });

const DeathReason = z.enum(["failed", "expired", "overflow", "rejected"]);

const RedriveFilter = z.strictObject({
  ids: z.array(key).min(1).max(1_000).optional(),
  reason: DeathReason.optional(),
  queue: Name.optional(),
  routingKey: shortText.optional(),
  orderingKey: key.optional(),
  headers: headersOf(shortText, z.string()).optional(),
  diedBeforeMs: whole(0, Number.MAX_SAFE_INTEGER).optional(),
  diedAfterMs: whole(0, Number.MAX_SAFE_INTEGER).optional(),
  errorIncludes: text(LIMITS.errorBytesMax).optional(),
});

export const RedriveRequest = z.strictObject({
  filter: RedriveFilter.default({}),
  to: Name.optional(),
  dryRun: z.boolean().default(false),
  all: z.boolean().optional(),
  alone: z.boolean().optional(),
  limit: whole(1, Number.MAX_SAFE_INTEGER).optional(),
  ratePerSecond: z.number().positive().max(1_000_000).optional(),
});

/** See SchemasFit. */
export type QueueSchemasFit = [
  Fits<RedriveCommand, Present<z.output<typeof RedriveRequest>>>,
  Fits<Partial<QueueConfig>, Present<z.output<typeof QueueSettings>>>,
  Fits<QueueConfigChanges, Present<z.output<typeof QueueChanges>>>,
];
