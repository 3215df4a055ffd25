// What exchanges and hubs are asked and what they answer, at every door alike.
import type { BatchSource, HeaderValue } from "./batch.ts";
import type { Publisher, RateCharge, SequenceRun } from "./commands.ts";
import type { ErrorCode } from "./errors.ts";
import type { ExchangeConfig } from "./exchange-config.ts";

/** Where a binding leads. Queues and exchanges are named apart: the same name may stand for one of each. */
export type Destination = { readonly queue: string } | { readonly exchange: string };

/** Which headers a message must have. A header given as null must be there with any value. */
export interface HeadersFilter {
  readonly match: "all" | "any";
  readonly headers: Readonly<Record<string, string | number | boolean | null>>;
}

export interface Binding {
  readonly destination: Destination;
  /** Read as the exchange's kind says; "" where it is not read. */
  readonly key: string;
  /** Must hold too, whatever the kind. Required for kind headers. Null: none. */
  readonly headers: HeadersFilter | null;
}

export interface BindingView extends Binding {
  readonly id: number;
}

export interface RoutePublishCommand {
  readonly batch: Uint8Array;
  readonly source?: BatchSource;
  /** Tell which messages no queue took (`returned`). */
  readonly mandatory?: boolean;
  /** How many of its messages are charged to what. */
  readonly charges?: readonly (RateCharge & { readonly messages: number })[];
  /** As in PublishCommand. */
  readonly publisher?: Publisher;
}

/** A queue that did not take its share, and why. The others have theirs. */
export interface RouteFailure {
  readonly destination: Destination;
  readonly code: ErrorCode;
  readonly detail: string;
  /** Indexes within the batch, as runs. */
  readonly messages: readonly SequenceRun[];
}

export interface RouteConfirm {
  /** For each message of the batch: how many queues hold it now. Messages on a delay count 0. */
  readonly matched: readonly number[];
  /** Messages on a delay: held by the exchange, routed when they are due. Indexes, as runs. */
  readonly delayed: readonly SequenceRun[];
  readonly failed: readonly RouteFailure[];
  /** With `mandatory`: messages for which no binding leads to a queue. Indexes, as runs. */
  readonly returned: readonly SequenceRun[];
  /** Where the exchange's events stand after this publish: `<epoch>:<offset>`. */
  readonly position: string;
}

/** What one exchange makes of a batch, before any queue is called. Internal between exchanges. */
export interface RouteStep {
  readonly queues: readonly { readonly queue: string; readonly messages: readonly SequenceRun[] }[];
  readonly exchanges: readonly { readonly exchange: string; readonly messages: readonly SequenceRun[] }[];
}

export interface ExplainCommand {
  readonly routingKey: string;
  readonly headers?: Readonly<Record<string, HeaderValue>>;
  readonly orderingKey?: string;
  readonly correlationId?: string;
}

export interface ExplainAnswer {
  /** Every binding looked at, those that match first; at most LIMITS.explainMax. */
  readonly bindings: readonly {
    readonly binding: BindingView;
    readonly matches: boolean;
    readonly why: string;
  }[];
  /** Bindings in all. */
  readonly bindingsTotal: number;
  /** Where a message like this goes from this exchange, each destination once. */
  readonly destinations: readonly Destination[];
  /** Set when no binding matches and there is an alternate exchange. */
  readonly alternate?: string;
}

export interface ExchangeInfo {
  readonly exchange: string;
  readonly namespace: string;
  readonly config: ExchangeConfig;
  readonly createdMs: number;
  readonly bindings: number;
  /** Hubs that have subscribers of this exchange. */
  readonly hubs: number;
  readonly epoch: string;
  /** The last event's offset; 0 before the first. */
  readonly offset: number;
  /** The history's first offset; null when nothing is kept. */
  readonly earliestOffset: number | null;
  readonly historyEvents: number;
  readonly historyBytes: number;
  readonly lastValues: number;
  /** Messages on a delay, and messages on their way to a queue (dead letters, and delayed ones that are due). */
  readonly delayed: number;
  readonly moving: number;
  /** Since the exchange's object started. */
  readonly published: number;
  readonly unroutable: number;
}

// Subscribing

/** What a subscriber wants of the past. At most one of `since` and `last`. */
export interface ReplayCommand {
  readonly pattern: string;
  /** The position that the subscriber has seen: `<epoch>:<offset>`. */
  readonly since?: string;
  /** The last so many events that match. */
  readonly last?: number;
  /** The last event of each topic that matches, before anything else. */
  readonly lastValues?: boolean;
}

/**
 * fresh     nothing was asked of the past, or all that was asked is there (`last`, `lastValues`)
 * complete  every event since `since` that matches follows
 * gap       some are lost; what is still there follows
 */
export type Recovery = "fresh" | "complete" | "gap";

/** Events as they lie in a batch: record k of `batch` has the offset that `offsets` tells. */
export interface EventBatch {
  readonly batch: Uint8Array;
  readonly offsets: readonly SequenceRun[];
}

export interface ReplayAnswer {
  readonly epoch: string;
  /** Live events begin after this one. */
  readonly offset: number;
  readonly recovery: Recovery;
  /** With a gap: why. */
  readonly reason?: GapReason;
  /** Last values, then missed events; each batch at most LIMITS.batchBytesMax. */
  readonly snapshot: readonly EventBatch[];
  readonly events: readonly EventBatch[];
  /** Where a page was asked for: what it has no room for. */
  readonly rest?: ReplayRest;
}

/** What of the past is still to be told, by offsets. */
export interface ReplayRest {
  readonly epoch: string;
  /** Where the exchange stood when the past was asked for: what is later comes live. */
  readonly offset: number;
  /** Last values behind this one; absent: they have been told. */
  readonly snapshotAfter?: number;
  /** Events behind `after`, up to `until`. */
  readonly after: number;
  readonly until: number;
}

/** The next page of it. */
export interface ReplayPage extends Pick<ReplayAnswer, "snapshot" | "events"> {
  readonly rest?: ReplayRest;
  /** Some of what was to come is gone: nothing is told after that. */
  readonly isLost?: boolean;
}

/**
 * no_history  the exchange keeps none, or kept none at the time
 * expired     it was too long ago, or too much happened since
 * new_epoch   the exchange began anew: it was deleted and made again, or restarted with its history in memory
 * too_much    more was missed than is sent in one go (LIMITS.replayEventsMax, LIMITS.replayBytesMax)
 * slow        the subscriber did not keep up
 */
export type GapReason = "no_history" | "expired" | "new_epoch" | "too_much" | "slow";

/** What an exchange sends to a hub: the events of one or more turns, in order. */
export interface HubPush {
  readonly exchange: string;
  /** The hub's, when these events became known. */
  readonly attachment: number;
  readonly epoch: string;
  /** Offset of the batch's first record; the others follow one by one. */
  readonly first: number;
  readonly batch: Uint8Array;
}

export interface PresenceMember {
  /** The token's subject, or the name that the subscriber gave. */
  readonly member: string;
  readonly pattern: string;
  /** Subscriptions of this member with this pattern. */
  readonly count: number;
}

export interface PresenceAnswer {
  readonly exchange: string;
  /** Subscriptions in all, and members in all; the list may be cut at LIMITS.presenceMembersMax. */
  readonly subscriptions: number;
  readonly members: number;
  readonly list: readonly PresenceMember[];
}

/** What changed on one hub since its last word. `count` is what it is now; 0: gone. */
export interface PresenceDelta {
  readonly hub: string;
  readonly changes: readonly PresenceMember[];
}

// Request and reply

/** A requester's address, `~<hub>.<session>.<tag>`: where replies go, and no key to anything. Never a queue's name. */
export interface InboxAddress {
  readonly hub: string;
  readonly session: number;
  readonly tag: string;
}

export interface ReplyCommand {
  /** An inbox's address, or a queue's name (the durable variant). */
  readonly to: string;
  /** As the request had it. */
  readonly correlationId: string;
  /** A batch of one message. */
  readonly batch: Uint8Array;
  /** Set: the responder failed, and these are its words. */
  readonly error?: string;
}

export interface HubInfo {
  readonly hub: string;
  readonly sessions: number;
  readonly subscriptions: number;
  readonly exchanges: number;
  /** Since the hub's object started: replies that came after their deadline, and whose requester was gone. */
  readonly lateReplies: number;
  readonly orphanedReplies: number;
  readonly eventsSent: number;
  readonly eventsDropped: number;
}
