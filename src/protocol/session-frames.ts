/**
 * What goes over a session's WebSocket (PROTOCOL §6.9), in the two forms of frames.ts. One session publishes, consumes
 * queues, subscribes, calls and replies. Frames that carry one or more messages have `messages`, or one batch as the
 * payload of a binary frame.
 */
import type { PublishConfirm, Settlement, SettlementResult, SequenceRun } from "./commands.ts";
import type {
  GapReason,
  PresenceAnswer,
  PresenceDelta,
  Recovery,
  ReplayCommand,
  RouteConfirm,
} from "./exchange-commands.ts";
import type { CancelReason, DeliverHead } from "./frames.ts";
import type { MessageJson } from "./message-json.ts";
import type { Refusal } from "./result.ts";

/**
 * What a subscriber loses when it does not keep up.
 *   drop        events are left out, and a `gap` frame says so
 *   conflate    the last event of each topic is kept and sent later; a `gap` frame says what was left out
 *   disconnect  the session is closed with `too_slow`
 */
export type SlowPolicy = "drop" | "conflate" | "disconnect";

export interface SubscribeFrame extends ReplayCommand {
  readonly type: "subscribe";
  readonly ref?: number;
  readonly exchange: string;
  /** How events come. Default: json. */
  readonly format?: "json" | "binary";
  /** Default: drop. */
  readonly onSlow?: SlowPolicy;
  /** The name that presence shows. Default: the token's subject. */
  readonly member?: string;
}

export interface SessionConsumeFrame {
  readonly type: "consume";
  readonly ref?: number;
  readonly queue: string;
  readonly consumer?: string;
  readonly credit?: number;
  readonly leaseMs?: number;
  readonly priority?: number;
  readonly exclusive?: boolean;
  readonly format?: "json" | "binary";
}

export type SessionClientFrame =
  | SubscribeFrame
  | {
      readonly type: "unsubscribe";
      readonly ref?: number;
      readonly exchange: string;
      readonly pattern: string;
    }
  /** So many event frames were read since the session began; asked for after every LIMITS.seenEveryFrames. */
  | { readonly type: "seen"; readonly frames: number }
  /** To one exchange or one queue. */
  | {
      readonly type: "publish";
      readonly ref?: number;
      readonly exchange?: string;
      readonly queue?: string;
      readonly mandatory?: boolean;
      readonly producer?: string;
      readonly sequence?: number;
      readonly messages?: readonly MessageJson[];
    }
  /** A request to whoever consumes the queue; one message. */
  | {
      readonly type: "call";
      readonly ref: number;
      readonly queue: string;
      readonly timeoutMs: number;
      readonly messages?: readonly MessageJson[];
    }
  /** The answer to a request, to where its `replyTo` says; one message. */
  | {
      readonly type: "reply";
      readonly ref?: number;
      readonly to: string;
      readonly correlationId: string;
      readonly error?: string;
      readonly messages?: readonly MessageJson[];
    }
  | SessionConsumeFrame
  | { readonly type: "credit"; readonly queue: string; readonly credit: number }
  | {
      readonly type: "settle";
      readonly ref?: number;
      readonly queue: string;
      readonly settlements: readonly Settlement[];
    }
  /** Stops consuming: what is unsettled goes back to its place. `cancelled` follows. */
  | { readonly type: "cancel"; readonly queue: string }
  /** Who subscribes. With `watch`, changes follow until `unwatch`. */
  | {
      readonly type: "presence";
      readonly ref?: number;
      readonly exchange: string;
      readonly pattern: string;
      readonly watch?: boolean;
    }
  | { readonly type: "unwatch"; readonly ref?: number; readonly exchange: string; readonly pattern: string }
  /** As on a queue's socket. */
  | { readonly type: "reached"; readonly mark: number }
  | { readonly type: "ping"; readonly ref?: number };

/** An event as JSON: a message with its place. `routingKey` is its topic. */
export interface EventJson extends Omit<MessageJson, "json"> {
  readonly offset: number;
  readonly timeMs: number;
  /** Only of a message that was in a queue before: a dead letter. */
  readonly id?: string;
  readonly death?: unknown;
}

export type UnwatchReason = "asked" | "exchange_deleted" | "grant_ended";

export type UnsubscribeReason = "asked" | "exchange_deleted" | "interrupted" | "grant_ended";

export type SessionServerFrame =
  /**
   * `inbox` is where replies to this session's calls arrive. `resume` opens the session again after a lost connection; it
   * is told to nobody else.
   */
  | { readonly type: "hello"; readonly hub: string; readonly inbox: string; readonly resume: string }
  | {
      readonly type: "subscribed";
      readonly ref: number | null;
      readonly exchange: string;
      readonly pattern: string;
      readonly epoch: string;
      /** Live events begin after this one. */
      readonly offset: number;
      readonly recovery: Recovery;
      readonly reason?: GapReason;
    }
  /**
   * Events, in the order of their offsets. Text form: `events`. Binary form: `offsets`, and one batch as the payload.
   * An event may come twice; its offset tells.
   */
  | {
      readonly type: "events";
      readonly exchange: string;
      readonly pattern: string;
      readonly epoch: string;
      /** snapshot: last values. recovered: missed while away. */
      readonly from?: "snapshot" | "recovered";
      readonly timeMs?: number;
      readonly offsets?: readonly SequenceRun[];
      readonly events?: readonly EventJson[];
    }
  /** Events are left out from now on, until the client says `seen`. `frames`: event frames of this connection so far. */
  | { readonly type: "slow"; readonly frames: number }
  /** Events were left out. `offset` is the last of them, `events` how many matched. */
  | {
      readonly type: "gap";
      readonly exchange: string;
      readonly pattern: string;
      readonly epoch: string;
      readonly offset: number;
      readonly reason: GapReason;
      readonly events: number;
    }
  | {
      readonly type: "unsubscribed";
      readonly ref: number | null;
      readonly exchange: string;
      readonly pattern: string;
      readonly reason: UnsubscribeReason;
    }
  | ({ readonly type: "confirm"; readonly ref: number | null; readonly queue: string } & PublishConfirm)
  | ({ readonly type: "routed"; readonly ref: number | null; readonly exchange: string } & RouteConfirm)
  /** The answer to a call: `messages` or a payload; with `error`, the responder failed. */
  | {
      readonly type: "reply";
      readonly ref: number;
      readonly error?: string;
      readonly messages?: readonly EventJson[];
    }
  | { readonly type: "replied"; readonly ref: number | null }
  | {
      readonly type: "consuming";
      readonly ref: number | null;
      readonly queue: string;
      readonly consumer: string;
      readonly credit: number;
    }
  | ({ readonly type: "deliver"; readonly queue: string } & DeliverHead)
  | {
      readonly type: "settled";
      readonly ref: number | null;
      readonly queue: string;
      readonly results: readonly SettlementResult[];
    }
  | {
      readonly type: "cancelled";
      readonly queue: string;
      readonly consumer: string;
      readonly reason: CancelReason;
    }
  | ({ readonly type: "presence"; readonly ref: number | null; readonly pattern: string } & PresenceAnswer)
  | ({
      readonly type: "presence_changed";
      readonly exchange: string;
      readonly pattern: string;
    } & PresenceDelta)
  | {
      readonly type: "unwatched";
      readonly ref: number | null;
      readonly exchange: string;
      readonly pattern: string;
      readonly reason: UnwatchReason;
    }
  /** As on a queue's socket. */
  | { readonly type: "mark"; readonly mark: number }
  | { readonly type: "pong"; readonly ref: number | null }
  | ({ readonly type: "error"; readonly ref: number | null } & Omit<Refusal, "ok">);
