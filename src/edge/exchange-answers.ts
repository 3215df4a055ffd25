// What the edge answers about exchanges and hubs, as schemas; see answers.ts.
import { z } from "@hono/zod-openapi";
import type {
  BindingView,
  ExchangeInfo,
  ExplainAnswer,
  HubInfo,
  PresenceAnswer,
  RouteConfirm,
} from "../protocol/exchange-commands.ts";
import { BindRequest, DestinationSchema, ExchangeChanges } from "../protocol/exchange-schemas.ts";
import { count, timeMs, type Fits } from "./answers.ts";

const Config = ExchangeChanges.required().meta({ id: "ExchangeConfig" });
const Target = DestinationSchema.meta({ id: "Destination" });

const indexes = z
  .array(z.tuple([z.int(), z.int()]))
  .meta({ description: "Indexes within the batch, as runs: the first, and how many follow on." });

export const ExchangeDetails = z
  .object({
    exchange: z.string(),
    namespace: z.string(),
    config: Config,
    createdMs: timeMs,
    bindings: count,
    hubs: count.meta({ description: "Hubs that have subscribers of this exchange." }),
    epoch: z.string().meta({ description: "Which numbering the offsets belong to." }),
    offset: count.meta({ description: "The last event's; 0 before the first." }),
    earliestOffset: z
      .int()
      .nullable()
      .meta({ description: "The history's first; null when nothing is kept." }),
    historyEvents: count,
    historyBytes: count,
    lastValues: count,
    delayed: count,
    moving: count.meta({ description: "Messages on their way to a queue." }),
    published: count.meta({ description: "Since the exchange's object started." }),
    unroutable: count.meta({ description: "Since the exchange's object started." }),
  })
  .meta({ id: "ExchangeInfo" });

export const BindingDetails = BindRequest.required()
  .extend({ id: z.int(), destination: Target })
  .meta({ id: "Binding" });

export const BindingPage = z.object({ bindings: z.array(BindingDetails), after: z.int().optional() });

export const Explained = z
  .object({
    bindings: z.array(z.object({ binding: BindingDetails, matches: z.boolean(), why: z.string() })),
    bindingsTotal: count,
    destinations: z.array(Target),
    alternate: z
      .string()
      .optional()
      .meta({ description: "Set when no binding matches and there is an alternate exchange." }),
  })
  .meta({ id: "Explained" });

export const Routed = z
  .object({
    matched: z
      .array(z.int())
      .meta({ description: "For each message: how many queues hold it. One on a delay counts 0." }),
    delayed: indexes,
    failed: z.array(
      z.object({ destination: Target, code: z.string(), detail: z.string(), messages: indexes }),
    ),
    returned: indexes,
    position: z.string().meta({ description: "Where the exchange's events stand: `<epoch>:<offset>`." }),
  })
  .meta({ id: "Routed" });

export const Presence = z
  .object({
    exchange: z.string(),
    subscriptions: count,
    members: count,
    list: z.array(z.object({ member: z.string(), pattern: z.string(), count })),
  })
  .meta({ id: "Presence" });

export const HubDetails = z
  .object({
    hub: z.string(),
    sessions: count,
    subscriptions: count,
    exchanges: count,
    lateReplies: count,
    orphanedReplies: count,
    eventsSent: count,
    eventsDropped: count,
  })
  .meta({ id: "HubInfo" });

// Where the protocol's types and these schemas drift apart, these lines fail to compile.
export type ExchangeAnswersFit = [
  Fits<Omit<z.output<typeof ExchangeDetails>, "config">, Omit<ExchangeInfo, "config">>,
  Fits<keyof z.output<typeof BindingDetails>, keyof BindingView>,
  Fits<keyof z.output<typeof Explained>, keyof ExplainAnswer>,
  Fits<keyof z.output<typeof Routed>, keyof RouteConfirm>,
  Fits<keyof z.output<typeof Presence>, keyof PresenceAnswer>,
  Fits<z.output<typeof HubDetails>, HubInfo>,
];
