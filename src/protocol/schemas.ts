/**
 * What a JSON request, a header, a query or a WebSocket frame may say, as zod schemas with the limits in them. The
 * HTTP reference is generated from the same schemas. The only file of this folder with a dependency: the client
 * never imports it.
 *
 * Objects are strict: an unknown field is refused by its name, because a misspelt `delayMS` that is silently
 * ignored loses what the sender meant.
 */
import { z } from "zod";
import type { Settlement } from "./commands.ts";
import type { ClientFrame } from "./frames.ts";
import { LIMITS } from "./limits.ts";
import { RECEIPT_PATTERN, type MessageJson } from "./message-json.ts";
import { NAME_PATTERN } from "./names.ts";
import { ok, type Result } from "./result.ts";
import { plainFrame } from "./plain-frames.ts";
import { refusalOf } from "./schema-refusals.ts";

const encoder = new TextEncoder();

/** Text whose size in UTF-8 is what the batch format limits. */
export function text(bytesMax: number): z.ZodType<string, string> {
  return z
    .string()
    .max(bytesMax)
    .refine((value) => value.isWellFormed(), { message: "must be well-formed Unicode" })
    .refine((value) => value.length * 3 <= bytesMax || encoder.encode(value).length <= bytesMax, {
      message: `must be at most ${bytesMax} bytes of UTF-8`,
    });
}

export const shortText = text(LIMITS.textBytesMax);
/** An empty key would be no key at all to some readers and a key to others, so none is sent. */
export const key = shortText.refine((value) => value !== "", { message: "must not be empty" });

export const Name = z
  .string()
  .regex(
    NAME_PATTERN,
    `must be 1 to ${LIMITS.nameBytesMax} letters, digits, ".", "_" or "-", the first not "."`,
  );

export function whole(min: number, max: number): z.ZodNumber {
  return z.int().min(min).max(max);
}

export const sequence = whole(1, Number.MAX_SAFE_INTEGER);
export const leaseMs = whole(LIMITS.leaseMsMin, LIMITS.leaseMsMax);
/** Over the pull interface a lease may be none at all: the message counts as tried, and is back at once. */
export const pullLeaseMs = whole(0, LIMITS.leaseMsMax).refine((ms) => ms === 0 || ms >= LIMITS.leaseMsMin, {
  message: `must be 0, or at least ${LIMITS.leaseMsMin}`,
});
export const delayMs = whole(0, LIMITS.delayMsMax);
const SequenceRun = z.tuple([sequence, whole(1, LIMITS.leasedMax)]);

/** Headers by their names. Zod's own record drops the name `__proto__` without a word; here it is refused. */
export function headersOf<V extends z.ZodType>(
  name: z.ZodType<string, string>,
  value: V,
): z.ZodType<Record<string, z.output<V>>> {
  return z.preprocess(
    (input, context) => {
      if (typeof input === "object" && input !== null && Object.hasOwn(input, "__proto__")) {
        context.addIssue({
          code: "custom",
          path: ["__proto__"],
          message: "can't be the name of a header in JSON",
        });
      }
      return input;
    },
    z.record(name, value),
  );
}

const HeaderValue = z.union(
  [z.string(), z.number(), z.boolean(), z.strictObject({ base64: z.string() }).readonly()],
  {
    error: 'must be a text, a number, true, false or {"base64": "…"}',
  },
);

export const messageShape = {
  routingKey: shortText.optional(),
  orderingKey: key.optional(),
  priority: whole(0, LIMITS.priorityMax).optional(),
  delayMs: delayMs.optional(),
  ttlMs: whole(0, LIMITS.delayMsMax).optional(),
  dedupId: key.optional(),
  cancelKey: key.optional(),
  correlationId: key.optional(),
  replyTo: key.optional(),
  contentType: key.optional(),
} as const;

export const MessageFields = z.strictObject({
  ...messageShape,
  headers: headersOf(shortText, HeaderValue)
    .refine((headers) => Object.keys(headers).length <= LIMITS.headersMax, {
      message: `must be at most ${LIMITS.headersMax} headers`,
    })
    .optional(),
  body: z.string().optional(),
  json: z.unknown().optional(),
  bodyBase64: z.string().optional(),
});

export const Message = MessageFields.refine((message) => bodyForms(message) <= 1, {
  message: "has more than one of body, json and bodyBase64",
}).meta({
  description: "At most one of body (text), json (any value) and bodyBase64; none is an empty body.",
});

function bodyForms(message: {
  readonly body?: unknown;
  readonly json?: unknown;
  readonly bodyBase64?: unknown;
}): number {
  return [message.body, message.json, message.bodyBase64].filter((form) => form !== undefined).length;
}

export const messages = z.array(Message).min(1).max(LIMITS.recordsMax);

/** A producer stamp is whole or absent. */
export const stamp = { producer: Name.optional(), sequence: sequence.optional() } as const;
export function isWholeStamp(value: {
  readonly producer?: string | undefined;
  readonly sequence?: number | undefined;
}): boolean {
  return (value.producer === undefined) === (value.sequence === undefined);
}
export const STAMP_MESSAGE = { message: "needs producer and sequence together" };

export const PublishRequest = z.strictObject({ messages, ...stamp }).refine(isWholeStamp, STAMP_MESSAGE);

export const ReceiveRequest = z.strictObject({
  max: whole(1, LIMITS.creditMax).default(1),
  waitMs: whole(0, LIMITS.waitMsMax).optional(),
  leaseMs: pullLeaseMs.optional(),
  consumer: Name.optional(),
  attemptId: key.optional(),
});

const Verdict = z.enum(["ack", "nack", "reject", "extend"]);

const verdictShape = {
  verdict: Verdict,
  delayMs: delayMs.optional(),
  leaseMs: leaseMs.optional(),
  dead: z.boolean().optional(),
  late: z.boolean().optional(),
  /** Longer words are cut by the queue, so this only bounds the request. */
  error: text(LIMITS.errorBytesMax * 8).optional(),
} as const;

interface VerdictFields {
  readonly verdict: z.infer<typeof Verdict>;
  readonly delayMs?: number | undefined;
  readonly leaseMs?: number | undefined;
  readonly dead?: boolean | undefined;
  readonly late?: boolean | undefined;
}

/** A field that its verdict does not read is a misunderstanding, so it is refused like an unknown one. */
function fitsVerdict(context: z.core.ParsePayload<VerdictFields>): void {
  const { verdict, delayMs, leaseMs, dead, late } = context.value;
  const misfit =
    delayMs !== undefined && verdict !== "nack" && verdict !== "reject"
      ? "delayMs"
      : leaseMs !== undefined && verdict !== "extend"
        ? "leaseMs"
        : dead !== undefined && verdict !== "reject"
          ? "dead"
          : late !== undefined && verdict === "nack"
            ? "late"
            : null;
  if (misfit === null) return;
  context.issues.push({
    code: "custom",
    path: [misfit],
    message: `does not go with the verdict ${verdict}`,
    input: context.value,
  });
}

const leaseKey = z.string().regex(/^[0-9a-z]{1,32}$/, "is not a lease's key");

export const LeaseSettlement = z
  .strictObject({
    lease: sequence,
    key: leaseKey.optional(),
    sequences: z.array(SequenceRun).min(1).max(LIMITS.settlementsMax).optional(),
    ...verdictShape,
  })
  .check(fitsVerdict);

/** Over HTTP a settlement names a receipt, or a lease as over the socket. */
export const HttpSettlement = z
  .strictObject({
    receipt: z.string().regex(RECEIPT_PATTERN, "is not a receipt").optional(),
    lease: sequence.optional(),
    key: leaseKey.optional(),
    sequences: z.array(SequenceRun).min(1).max(LIMITS.settlementsMax).optional(),
    ...verdictShape,
  })
  .refine((settlement) => (settlement.receipt === undefined) !== (settlement.lease === undefined), {
    message: "needs either receipt or lease",
  })
  .refine((settlement) => settlement.receipt === undefined || settlement.key === undefined, {
    path: ["key"],
    message: "does not go with a receipt, which has it",
  })
  .refine((settlement) => settlement.receipt === undefined || settlement.sequences === undefined, {
    path: ["sequences"],
    message: "does not go with a receipt",
  })
  .check(fitsVerdict);

export const SettleRequest = z.strictObject({
  settlements: z.array(HttpSettlement).min(1).max(LIMITS.settlementsMax),
});

export const EmptyRequest = z.strictObject({});

export const QuotaRequest = z.strictObject({
  queuesMax: whole(0, LIMITS.queuesMax).optional(),
  exchangesMax: whole(0, LIMITS.exchangesMax).optional(),
  bytesMax: whole(0, LIMITS.namespaceBytesMax).optional(),
});

export const tokenId = text(LIMITS.textBytesMax).refine((value) => value !== "", {
  message: "must not be empty",
});

export const RevokeRequest = z.strictObject({
  jti: tokenId,
  untilMs: whole(0, Number.MAX_SAFE_INTEGER).optional(),
});

export const ref = whole(0, Number.MAX_SAFE_INTEGER).optional();

const ConsumeFrame = z.strictObject({
  type: z.literal("consume"),
  consumer: Name.optional(),
  credit: whole(1, LIMITS.creditMax).optional(),
  leaseMs: pullLeaseMs.optional(),
  priority: whole(-100, 100).optional(),
  exclusive: z.boolean().optional(),
  format: z.enum(["json", "binary"]).optional(),
  heartbeatMs: whole(1_000, 600_000).optional(),
  once: z.boolean().optional(),
  attemptId: key.optional(),
});

export const ReachedFrame = z.strictObject({ type: z.literal("reached"), mark: sequence });

const Frame = z.discriminatedUnion("type", [
  ConsumeFrame,
  z.strictObject({ type: z.literal("credit"), credit: whole(0, LIMITS.creditMax) }),
  z.strictObject({
    type: z.literal("settle"),
    ref,
    settlements: z.array(LeaseSettlement).min(1).max(LIMITS.settlementsMax),
  }),
  z
    .strictObject({ type: z.literal("publish"), ref, ...stamp, messages: messages.optional() })
    .refine(isWholeStamp, STAMP_MESSAGE),
  z.strictObject({ type: z.literal("drain") }),
  z.strictObject({ type: z.literal("cancel") }),
  ReachedFrame,
  z.strictObject({ type: z.literal("ping"), ref }),
]);

/**
 * Checks a frame's head. A fault in its fields, an unknown `type` included, is `bad_request` and leaves the socket open:
 * the frame is whole, and so is the next. A head that is no object is `bad_frame`.
 */
export function parseClientFrame(head: unknown): Result<ClientFrame> {
  const plain = plainFrame(head);
  return plain === null ? parseFrame(Frame, head) : ok(plain);
}

/** As parseClientFrame, by the schemas alone. */
export function parseBySchema(head: unknown): Result<ClientFrame> {
  return parseFrame(Frame, head);
}

export function parseFrame<S extends z.ZodType>(schema: S, head: unknown): Result<Present<z.output<S>>> {
  const parsed = schema.safeParse(head);
  if (parsed.success) return ok(present(parsed.data));
  const refusal = refusalOf(parsed.error, head, "frame");
  const { path, code } = parsed.error.issues[0]!;
  const isNoObject = path.length === 0 && code === "invalid_type";
  return isNoObject ? { ...refusal, code: "bad_frame" } : refusal;
}

/** What zod calls `field?: T | undefined` is, for a value that was JSON, a field that is there or is not. */
export type Present<T> = unknown extends T
  ? T
  : T extends object
    ? { [K in keyof T]: Present<Exclude<T[K], undefined>> }
    : T;

/** For what zod has checked already. */
export function present<T>(value: T): Present<T> {
  return value as Present<T>;
}

/**
 * Checks a value. What fails is ONE refusal `bad_request` that names the first field at fault by its path, or
 * `where` when the whole value is wrong.
 */
export function check<S extends z.ZodType>(
  schema: S,
  value: unknown,
  where: string,
): Result<Present<z.output<S>>> {
  const parsed = schema.safeParse(value);
  return parsed.success ? ok(present(parsed.data)) : refusalOf(parsed.error, value, where);
}

// The schemas say what the types of this folder say; where the two drift apart, these lines fail to compile.
export type Fits<T, U extends T> = U;
export type SchemasFit = [
  Fits<MessageJson, Present<z.output<typeof Message>>>,
  Fits<Settlement, Present<z.output<typeof LeaseSettlement>>>,
];
