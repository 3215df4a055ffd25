// What the edge reads that is not JSON, as schemas: queries, paths, headers, and a token's payload.
import { z } from "zod";
import { LIMITS } from "../protocol/limits.ts";
import { key, messageShape, Name, text, tokenId, whole } from "../protocol/schemas.ts";

/** A whole number that arrives as text, in a query or a header. */
export function wholeText(min: number, max: number): z.ZodType<number, string> {
  return z
    .string()
    .regex(/^-?\d{1,16}$/, "must be a whole number")
    .transform(Number)
    .pipe(whole(min, max));
}

const Flag = z.enum(["true", "false"]).transform((value) => value === "true");

/** The metadata of a message whose body is the request's body. Other headers are none of ours. */
export const ProducerHeaders = z.looseObject({
  "Millrace-Producer": Name.optional(),
  "Millrace-Sequence": wholeText(1, Number.MAX_SAFE_INTEGER).optional(),
});

export const PublishHeaders = z.looseObject({
  ...ProducerHeaders.shape,
  "Millrace-Routing-Key": messageShape.routingKey,
  "Millrace-Ordering-Key": messageShape.orderingKey,
  "Millrace-Priority": wholeText(0, LIMITS.priorityMax).optional(),
  "Millrace-Delay-Ms": wholeText(0, LIMITS.delayMsMax).optional(),
  "Millrace-Ttl-Ms": wholeText(1, LIMITS.delayMsMax).optional(),
  "Millrace-Dedup-Id": messageShape.dedupId,
  "Millrace-Cancel-Key": messageShape.cancelKey,
  "Millrace-Correlation-Id": messageShape.correlationId,
  "Millrace-Reply-To": messageShape.replyTo,
  "Content-Type": messageShape.contentType,
});

export const RemoveQuery = z.strictObject({ ifEmpty: Flag.optional(), ifUnused: Flag.optional() });

export const ListQuery = z.strictObject({
  prefix: z.string().max(LIMITS.nameBytesMax).optional(),
  limit: wholeText(1, 1_000).optional(),
  after: z.string().max(LIMITS.nameBytesMax).optional(),
});

const MessageState = z.enum(["ready", "leased", "delayed", "parked", "dead"]);

export const PeekQuery = z.strictObject({
  state: MessageState.default("ready"),
  limit: wholeText(1, LIMITS.peekMax).optional(),
  cursor: z.string().max(LIMITS.textBytesMax).optional(),
});

export const CancelKeyQuery = z.strictObject({ cancelKey: key });
export const MessageId = key;

export const TaskId = wholeText(1, Number.MAX_SAFE_INTEGER);

/** Patterns of the topic grammar: words between dots, each a name's part, `*` or `#`. */
const GRANT_PATTERN = /^(?:[A-Za-z0-9_-]*|\*|#)(?:\.(?:[A-Za-z0-9_-]*|\*|#))*$/;

const Grant = z.strictObject({
  verb: z.enum(["publish", "consume", "subscribe", "manage"]),
  pattern: z
    .string()
    .min(1)
    .max(LIMITS.nameBytesMax)
    .regex(GRANT_PATTERN, 'must be words between dots, "*" and "#" standing alone'),
});

/** A token's payload. Not strict: issuers add claims of their own. */
export const TokenClaims = z.object({
  ns: Name,
  sub: text(LIMITS.textBytesMax),
  jti: tokenId.optional(),
  /** Seconds since 1970, as in RFC 7519. */
  exp: z.number().positive().max(8_640_000_000_000),
  grants: z.array(Grant).max(256),
});
