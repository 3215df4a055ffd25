// Exchanges and sessions as zod schemas; see schemas.ts.
import { z } from "zod";
import type { Binding, ExplainCommand } from "./exchange-commands.ts";
import { EXCHANGE_DEFAULTS, type ExchangeConfig } from "./exchange-config.ts";
import { LIMITS } from "./limits.ts";
import type { Result } from "./result.ts";
import {
  headersOf,
  key,
  LeaseSettlement,
  leaseMs,
  Message,
  messages,
  Name,
  parseFrame,
  ReachedFrame,
  ref,
  shortText,
  stamp,
  isWholeStamp,
  STAMP_MESSAGE,
  text,
  whole,
  type Fits,
  type Present,
} from "./schemas.ts";
import type { SessionClientFrame } from "./session-frames.ts";

const History = z.strictObject({
  eventsMax: whole(0, LIMITS.historyEventsMax).default(EXCHANGE_DEFAULTS.history.eventsMax),
  ageMs: whole(1, LIMITS.delayMsMax).nullable().default(EXCHANGE_DEFAULTS.history.ageMs),
});

/** What is left out keeps its default (declare) or its value (update); `history` is one value. */
export const ExchangeChanges = z.strictObject({
  kind: z.enum(["direct", "fanout", "topic", "headers", "consistent-hash"]).optional(),
  durable: z.boolean().optional(),
  autoDelete: z.boolean().optional(),
  internal: z.boolean().optional(),
  alternate: Name.nullable().optional(),
  hashOn: z
    .union([z.enum(["routingKey", "orderingKey", "correlationId"]), z.strictObject({ header: key })], {
      error: 'must be routingKey, orderingKey, correlationId or {"header": "…"}',
    })
    .optional(),
  history: History.optional(),
  lastValuesMax: whole(0, LIMITS.lastValuesMax).optional(),
  presence: z.boolean().optional(),
});

export const DestinationSchema = z.union(
  [z.strictObject({ queue: Name }), z.strictObject({ exchange: Name })],
  { error: 'must be {"queue": "…"} or {"exchange": "…"}' },
);

const HeadersFilterSchema = z.strictObject({
  match: z.enum(["all", "any"]).default("all"),
  headers: headersOf(key, z.union([shortText, z.number(), z.boolean(), z.null()]))
    .refine((headers) => Object.keys(headers).length >= 1, { message: "must name a header" })
    .refine((headers) => Object.keys(headers).length <= LIMITS.filterHeadersMax, {
      message: `must be at most ${LIMITS.filterHeadersMax} headers`,
    }),
});

export const BindRequest = z.strictObject({
  destination: DestinationSchema,
  key: shortText.default(""),
  headers: HeadersFilterSchema.nullable().default(null),
});

export const ExplainRequest = z.strictObject({
  routingKey: shortText.default(""),
  headers: headersOf(shortText, z.union([z.string(), z.number(), z.boolean()])).optional(),
  orderingKey: key.optional(),
  correlationId: key.optional(),
});

export const position = z
  .string()
  .regex(/^[0-9a-z]{1,11}:\d{1,16}$/, "must be a position, <epoch>:<offset>, as an event had it");

export const ReplayFields = {
  pattern: shortText,
  since: position.optional(),
  last: whole(1, LIMITS.replayEventsMax).optional(),
  lastValues: z.boolean().optional(),
} as const;

/** One message in `messages`, unless the frame has a payload. */
const oneMessage = z.array(Message).length(1).optional();
const exchange = Name;
const queue = Name;
const Format = z.enum(["json", "binary"]);

const SessionFrame = z.discriminatedUnion("type", [
  z
    .strictObject({
      type: z.literal("subscribe"),
      ref,
      exchange,
      ...ReplayFields,
      format: Format.optional(),
      onSlow: z.enum(["drop", "conflate", "disconnect"]).optional(),
      member: text(LIMITS.nameBytesMax).optional(),
    })
    .refine((frame) => frame.since === undefined || frame.last === undefined, {
      path: ["last"],
      message: "does not go with since",
    }),
  z.strictObject({ type: z.literal("unsubscribe"), ref, exchange, pattern: shortText }),
  z.strictObject({ type: z.literal("seen"), frames: whole(0, Number.MAX_SAFE_INTEGER) }),
  z
    .strictObject({
      type: z.literal("publish"),
      ref,
      exchange: exchange.optional(),
      queue: queue.optional(),
      mandatory: z.boolean().optional(),
      ...stamp,
      messages: messages.optional(),
    })
    .refine((frame) => (frame.exchange === undefined) !== (frame.queue === undefined), {
      message: "needs either exchange or queue",
    })
    .refine((frame) => frame.producer === undefined || frame.queue !== undefined, {
      path: ["producer"],
      message: "does not go with an exchange; give each message a dedupId",
    })
    .refine((frame) => frame.mandatory === undefined || frame.exchange !== undefined, {
      path: ["mandatory"],
      message: "does not go with a queue",
    })
    .refine(isWholeStamp, STAMP_MESSAGE),
  z.strictObject({
    type: z.literal("call"),
    ref: whole(0, Number.MAX_SAFE_INTEGER),
    queue,
    timeoutMs: whole(1, LIMITS.callTimeoutMsMax),
    messages: oneMessage,
  }),
  z.strictObject({
    type: z.literal("reply"),
    ref,
    to: key,
    correlationId: key,
    error: text(LIMITS.errorBytesMax).optional(),
    messages: oneMessage,
  }),
  z.strictObject({
    type: z.literal("consume"),
    ref,
    queue,
    consumer: Name.optional(),
    credit: whole(1, LIMITS.creditMax).optional(),
    leaseMs: leaseMs.optional(),
    priority: whole(-100, 100).optional(),
    exclusive: z.boolean().optional(),
    format: Format.optional(),
  }),
  z.strictObject({ type: z.literal("credit"), queue, credit: whole(0, LIMITS.creditMax) }),
  z.strictObject({
    type: z.literal("settle"),
    ref,
    queue,
    settlements: z.array(LeaseSettlement).min(1).max(LIMITS.settlementsMax),
  }),
  z.strictObject({ type: z.literal("cancel"), queue }),
  z.strictObject({
    type: z.literal("presence"),
    ref,
    exchange,
    pattern: shortText,
    watch: z.boolean().optional(),
  }),
  z.strictObject({ type: z.literal("unwatch"), ref, exchange, pattern: shortText }),
  ReachedFrame,
  z.strictObject({ type: z.literal("ping"), ref }),
]);

/** Checks the head of a session's frame, as parseClientFrame does for a queue's socket. */
export function parseSessionFrame(head: unknown): Result<SessionClientFrame> {
  return parseFrame(SessionFrame, head);
}

export type ExchangeSchemasFit = [
  Fits<Partial<ExchangeConfig>, Present<z.output<typeof ExchangeChanges>>>,
  Fits<Binding, Present<z.output<typeof BindRequest>>>,
  Fits<ExplainCommand, Present<z.output<typeof ExplainRequest>>>,
];
