/** What may be asked of a subscription, and what it tells. */
import type { GapReason } from "../protocol/exchange-commands.ts";
import type { SlowPolicy } from "../protocol/session-frames.ts";
import type { ExchangeEvent, Position } from "./event.ts";
import type { Known } from "./known-options.ts";

/** Called for one event after the other, in the order of the exchange; a promise is waited for. */
export type EventHandler = (event: ExchangeEvent) => unknown;

/** Events that match were lost, between the last one and the next. */
export interface Gap {
  /**
   * no_history  the exchange keeps none (or kept none at the time)
   * expired     the subscriber was away for too long, or too much happened since
   * new_epoch   the exchange began anew: it was deleted and made again, or restarted with its history in memory
   * too_much    more was missed than the broker sends in one go
   * slow        the subscriber did not keep up
   */
  readonly reason: GapReason;
  /** The last position that was seen, `<epoch>:<offset>`; null when there was none. */
  readonly after: string | null;
  /** With `slow`: how many events were left out. */
  readonly events?: number;
}

/** Nothing was lost, though the subscription was interrupted: what was missed follows. */
export interface Recovered {
  readonly after: string;
  /** `since`: it was asked for. Else what interrupted it. */
  readonly cause: "since" | "connection" | "broker" | "slow";
}

/**
 * subscribing  the broker has not answered yet
 * live         events come
 * interrupted  the connection or the broker's part was lost, and is being made anew
 * closed       for good
 */
export type SubscriptionState = "subscribing" | "live" | "interrupted" | "closed";

export interface SubscribeOptions {
  /** A position, as an event had it: what came after it is sent first. `onRecovered` or `onGap` says if all of it. */
  readonly since?: string;
  /** The last so many events that match are sent first, as far as the exchange keeps them; up to 10,000. Not with `since`. */
  readonly last?: number;
  /** The last event of each topic that matches is sent first. It may come again as one that was recovered. */
  readonly lastValues?: boolean;
  /**
   * What the broker leaves out when events are not read fast enough. drop (default): events, and says so. conflate: all
   * but the last of each topic. disconnect: the session is cut, and comes back with a replay or a gap.
   */
  readonly onSlow?: SlowPolicy;
  /** What was dropped for slowness is asked for again when it was all read. Default true; not with `conflate`. */
  readonly recoverSlow?: boolean;
  /** The name that presence shows. Default: the token's subject. */
  readonly member?: string;
  /** How events travel. `json` is for looking at the wire. Default `binary`. */
  readonly format?: "json" | "binary";
  /** Iterator only: events held here before they count as unread. Default 1,000. */
  readonly bufferEvents?: number;
  /** Told in its place between two events, as `onRecovered` is. After each interruption exactly one of them is told. */
  readonly onGap?: (gap: Gap) => void;
  readonly onRecovered?: (recovered: Recovered) => void;
  readonly onState?: (state: SubscriptionState) => void;
  /** What a handler threw, with its event (the next event follows all the same), or what ended the subscription. */
  readonly onError?: (error: Error, event?: ExchangeEvent) => void;
}

export const SUBSCRIBE_OPTIONS: Known<SubscribeOptions> = {
  since: true,
  last: true,
  lastValues: true,
  onSlow: true,
  recoverSlow: true,
  member: true,
  format: true,
  bufferEvents: true,
  onGap: true,
  onRecovered: true,
  onState: true,
  onError: true,
};

/** What is in line for a handler: an event, or what happened between two events. */
export type FeedItem =
  { readonly event: ExchangeEvent } | { readonly gap: Gap } | { readonly recovered: Recovered };

export function isAfter(event: Position, seen: Position | null): boolean {
  return seen === null || event.epoch !== seen.epoch || event.offset > seen.offset;
}
