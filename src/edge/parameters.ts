// What the edge reads that is not JSON, as schemas: queries, paths, headers, and a token's payload.
import { z } from "zod";
import { ReplayFields } from "../protocol/exchange-schemas.ts";
import { LIMITS } from "../protocol/limits.ts";
import {
  key,
  messageShape,
  Name,
  shortText,
  text,
  tokenId,
  whole,
  type Present,
} from "../protocol/schemas.ts";
import { parsePattern } from "../routing/topic.ts";

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

/** Of messages to an exchange. It takes no producer's stamp, which is read here to be refused by its name. */
export const RouteHeaders = z.looseObject({
  ...PublishHeaders.shape,
  "Millrace-Mandatory": Flag.optional(),
});

export const RouteBatchHeaders = z.looseObject({
  ...ProducerHeaders.shape,
  "Millrace-Mandatory": Flag.optional(),
});

export const ReplyHeaders = z.looseObject({
  "Millrace-Reply-To": key,
  "Millrace-Correlation-Id": key,
  "Millrace-Error": text(LIMITS.errorBytesMax).optional(),
  "Content-Type": messageShape.contentType,
});

export const CallQuery = z.strictObject({ timeoutMs: wholeText(1, LIMITS.callTimeoutMsMax).optional() });

export const RemoveExchangeQuery = z.strictObject({ ifUnused: Flag.optional() });

export const BindingListQuery = z.strictObject({
  limit: wholeText(1, LIMITS.explainMax).optional(),
  after: wholeText(0, Number.MAX_SAFE_INTEGER).optional(),
});
export const BindingId = wholeText(1, Number.MAX_SAFE_INTEGER);

const Pattern = shortText.refine((pattern) => parsePattern("pattern", pattern).ok, {
  message: `must have at most ${LIMITS.manyWordWildcardsMax} words "#"`,
});

export const PresenceQuery = z.strictObject({ pattern: Pattern.default("#") });

export const EventsQuery = z
  .strictObject({
    pattern: Pattern,
    since: ReplayFields.since,
    last: wholeText(1, LIMITS.replayEventsMax).optional(),
    lastValues: Flag.optional(),
  })
  .refine((query) => query.since === undefined || query.last === undefined, {
    path: ["last"],
    message: "does not go with since",
  });

/** What an EventSource sends when it connects again. */
export const EventsHeaders = z.looseObject({ "Last-Event-ID": ReplayFields.since });

export const HubName = z
  .string()
  .refine((hub) => /^(?:0|[1-9]\d?)$/.test(hub) && Number(hub) < LIMITS.hubsMax, {
    message: `must be 0 to ${LIMITS.hubsMax - 1}`,
  });

export const RemoveQuery = z.strictObject({ ifEmpty: Flag.optional(), ifUnused: Flag.optional() });

export const ListQuery = z.strictObject({
  prefix: z.string().max(LIMITS.nameBytesMax).optional(),
  limit: wholeText(1, 1_000).optional(),
  after: z.string().max(LIMITS.nameBytesMax).optional(),
});

export const QueueListQuery = ListQuery.extend({ deadLetter: Name.optional() });

const MessageState = z.enum(["ready", "leased", "delayed", "parked", "dead"]);

export const PeekQuery = z.strictObject({
  state: MessageState.default("ready"),
  limit: wholeText(1, LIMITS.peekMax).optional(),
  cursor: z.string().max(LIMITS.textBytesMax).optional(),
});

export const CancelKeyQuery = z.strictObject({ cancelKey: key });
export const MessageId = key;

export const TaskId = wholeText(1, Number.MAX_SAFE_INTEGER);

/** Seconds since 1970, as in RFC 7519. */
const numericDate = z.number().positive().max(8_640_000_000_000);

const RATE_PER_SECOND_MAX = 1_000_000;

/** Strict, though the payload is not: a restriction that is misspelt must not be passed over. */
const Grant = z
  .strictObject({
    verb: z.enum(["publish", "consume", "subscribe", "manage"]),
    /** Topics may have any characters, so patterns may too. */
    pattern: key.refine((pattern) => parsePattern("pattern", pattern).ok, {
      message: `must have at most ${LIMITS.manyWordWildcardsMax} words "#"`,
    }),
    exchange: Name.optional(),
    ratePerSecond: z.number().positive().max(RATE_PER_SECOND_MAX).optional(),
    exp: numericDate.optional(),
    own: z.boolean().optional(),
    consumersMax: whole(1, LIMITS.consumersMax).optional(),
  })
  .refine(({ verb, consumersMax }) => consumersMax === undefined || verb === "consume", {
    path: ["consumersMax"],
    message: "goes with consume only",
  })
  .refine(({ verb, own }) => own === undefined || verb === "publish", {
    path: ["own"],
    message: "goes with publish only",
  });

/** A grant as a token has it. */
export type TokenGrant = Present<z.output<typeof Grant>>;

/** A token's payload. Not strict: issuers add claims of their own. */
export const TokenClaims = z.object({
  ns: Name,
  sub: text(LIMITS.textBytesMax),
  jti: tokenId.optional(),
  exp: numericDate,
  nbf: z.number().optional(),
  iat: z.number().optional(),
  grants: z.array(Grant).max(256),
  /** What the token is for, when it is not for bearers. Other words are an issuer's own, and none of ours. */
  use: z.unknown().optional(),
});
export type TokenPayload = z.output<typeof TokenClaims>;

/** The `use` of a token that is the id of an access key. */
export const ACCESS_KEY_USE = "sigv4";
