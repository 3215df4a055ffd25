/** Subscribing and unsubscribing: what a session may see, the link to its exchange, and the past it asks for. */
import type { Env } from "../env.ts";
import {
  refuseSize,
  subscriptionOf,
  withoutSubscription,
  withSubscription,
  type Subscription,
} from "../hub/session.ts";
import type { Subscribers } from "../hub/subscribers.ts";
import type { ReplayAnswer, ReplayCommand, ReplayPage, ReplayRest } from "../protocol/exchange-commands.ts";
import { refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { SubscribeFrame, UnsubscribeReason } from "../protocol/session-frames.ts";
import { lacksMember, rightsEndMs, scopeEndMs, subscriptionScope } from "../routing/grants.ts";
import { parsePattern } from "../routing/topic.ts";
import type { ExchangeLinks } from "./exchange-links.ts";
import type { HubEvents } from "./hub-events.ts";
import type { HubPresence } from "./hub-presence.ts";
import { pendingKey, type LiveSession, type PendingReplay, type WaitingPast } from "./live-session.ts";
import { exchangeOf } from "./peers.ts";

export interface HubSubscriptionsPorts {
  readonly env: Env;
  readonly namespace: string;
  readonly subscribers: Subscribers;
  readonly links: ExchangeLinks;
  readonly events: HubEvents;
  readonly presence: HubPresence;
  live(session: number): LiveSession | null;
  waitUntil(work: Promise<unknown>): void;
}

/** A subscription before its exchange has said where it begins. */
type SubscriptionWish = Omit<Subscription, "attachment" | "epoch" | "after">;

/** Of the past, in one go. */
const PAGE_BYTES = 512 * 1024;

/** All of the past, page by page: the first one found no room. */
function wholeOf(
  subscription: Subscription,
  { epoch, offset, snapshot, events, rest }: ReplayAnswer,
): WaitingPast {
  const first = events[0]?.offsets[0]?.[0];
  const last = events.at(-1)?.offsets.at(-1);
  const until = rest?.until ?? (last === undefined ? 0 : last[0] + last[1] - 1);
  const after = first === undefined ? (rest?.after ?? until) : first - 1;
  const whole = { epoch, offset, after, until };
  const hasValues = snapshot.length > 0;
  return { subscription, rest: hasValues ? { ...whole, snapshotAfter: 0 } : whole };
}

export class HubSubscriptions {
  private readonly ports: HubSubscriptionsPorts;
  /** Subscribes that wait for their exchange's answer: their exchange is wanted. */
  private readonly coming = new Map<string, number>();
  /** Sessions that are being told of the past. */
  private readonly telling = new Set<LiveSession>();

  constructor(ports: HubSubscriptionsPorts) {
    this.ports = ports;
  }

  get count(): number {
    return this.ports.subscribers.count;
  }

  isWanted(exchange: string): boolean {
    const { subscribers, presence } = this.ports;
    return subscribers.has(exchange) || presence.isWatched(exchange) || this.coming.has(exchange);
  }

  /** After a wake. */
  takeUp(live: LiveSession): void {
    const { subscriptions, isSlow } = live.session;
    for (const subscription of subscriptions) {
      this.ports.links.takeUp(subscription.exchange, subscription.attachment);
      this.enter(live, subscription, false);
    }
    if (isSlow) live.save({ ...live.session, isSlow: false });
    // What was left out, or not told yet, is not known any more: each must subscribe anew, with the place it knows.
    const broken = isSlow ? subscriptions : subscriptions.filter(({ epoch }) => epoch === "");
    for (const { exchange, pattern } of broken) this.leave(live, exchange, pattern, "interrupted");
  }

  async subscribe(live: LiveSession, frame: SubscribeFrame): Promise<Refusal | null> {
    const { exchange, pattern } = frame;
    const subscription = this.judgeNew(live, frame);
    if ("ok" in subscription) return subscription;
    const pending = this.ports.events.begin(live, exchange, pattern);
    this.coming.set(exchange, (this.coming.get(exchange) ?? 0) + 1);
    try {
      const refused = await this.start(live, frame, subscription, pending);
      if (refused && this.ports.events.isCurrent(live, exchange, pattern, pending))
        this.remove(live, exchange, pattern);
      return refused;
    } finally {
      const waiting = this.coming.get(exchange)! - 1;
      if (waiting > 0) this.coming.set(exchange, waiting);
      else this.coming.delete(exchange);
      if (!this.isWanted(exchange)) this.ports.waitUntil(this.ports.links.release(exchange));
    }
  }

  /** The subscription that a frame asks for, or why it is refused. */
  private judgeNew(live: LiveSession, frame: SubscribeFrame): SubscriptionWish | Refusal {
    const { exchange, pattern, format = "json", onSlow = "drop" } = frame;
    const { claims } = live.session;
    const parsed = parsePattern("pattern", pattern);
    if (!parsed.ok) return parsed;
    const scope = subscriptionScope(claims.grants, exchange, pattern, Date.now());
    if (scope.kind === "none") {
      return refuse("forbidden", `token: has no grant to subscribe to "${pattern}" in "${exchange}"`);
    }
    if (!this.ports.subscribers.hasRoomFor(exchange, pattern)) {
      return refuse("too_many_subscriptions", `hub: has as many patterns of "${exchange}" as it matches`);
    }
    const member = frame.member ?? claims.subject;
    const misnamed = lacksMember(claims, exchange, member, Date.now());
    if (misnamed) return misnamed;
    const made = {
      exchange,
      pattern,
      format,
      onSlow,
      member,
      scope: scope.kind === "all" ? null : scope.patterns,
    };
    return (
      refuseSize(withSubscription(live.session, { ...made, attachment: 0, epoch: "", after: 0 })) ?? made
    );
  }

  private async start(
    live: LiveSession,
    frame: SubscribeFrame,
    wish: SubscriptionWish,
    pending: ReturnType<HubEvents["begin"]>,
  ): Promise<Refusal | null> {
    const { exchange, pattern } = frame;
    const { links, events } = this.ports;
    const link = await links.ensure(exchange);
    if (!link.ok) return link;
    if (!events.isCurrent(live, exchange, pattern, pending)) return null;
    const { attachment, place } = link.value;
    const { epoch, offset } = place;
    const made = { ...wish, attachment };
    // Others of this session may have been taken while this one waited for its exchange.
    const tooMuch = refuseSize(withSubscription(live.session, { ...made, epoch, after: offset }));
    if (tooMuch) return tooMuch;
    this.remove(live, exchange, pattern, pending);
    this.enter(live, { ...made, epoch, after: offset }, true);
    // Should the instance go before the past has been told, the next one finds a subscription without a place.
    live.save(withSubscription(live.session, { ...made, epoch: "", after: 0 }));
    pending.isStarted = true;
    const answer = await this.past(frame, epoch, offset);
    if (!answer.ok) return answer;
    if (!events.isCurrent(live, exchange, pattern, pending)) return null;
    const subscription = { ...made, epoch: answer.value.epoch, after: answer.value.offset };
    this.greet(live, frame, answer.value);
    if (live.hasRoomForPast) {
      events.tellPast(live, subscription, answer.value);
      pending.rest = answer.value.rest === undefined ? null : { subscription, rest: answer.value.rest };
    } else pending.rest = wholeOf(subscription, answer.value);
    if (pending.rest === null) this.goLive(live, subscription, pending);
    else await this.goOn(live);
    return null;
  }

  /** Tells more of the past, as far as the session has room for it: page by page, one subscription after the other. */
  async goOn(live: LiveSession): Promise<void> {
    if (this.telling.has(live)) return;
    this.telling.add(live);
    try {
      while (live.hasRoomForPast) {
        const pending = [...live.pending.values()].find(({ rest }) => rest !== null);
        if (pending === undefined) return;
        await this.tellPage(live, pending, pending.rest!);
      }
    } finally {
      this.telling.delete(live);
    }
  }

  private async tellPage(
    live: LiveSession,
    pending: PendingReplay,
    { subscription, rest }: WaitingPast,
  ): Promise<void> {
    const { exchange, pattern } = subscription;
    const page = await this.page(exchange, pattern, rest);
    if (!this.ports.events.isCurrent(live, exchange, pattern, pending)) return;
    // It is not known what follows: it must ask anew, with the place that it has got to.
    if (page === null || page.isLost === true) return this.leave(live, exchange, pattern, "interrupted");
    // Its grants may have been looked at again meanwhile.
    const scope = subscriptionOf(live.session, exchange, pattern)?.scope ?? null;
    this.ports.events.tellPast(live, { ...subscription, scope }, page);
    pending.rest = page.rest === undefined ? null : { subscription, rest: page.rest };
    if (pending.rest === null) this.goLive(live, subscription, pending);
  }

  private async page(exchange: string, pattern: string, rest: ReplayRest): Promise<ReplayPage | null> {
    try {
      const api = exchangeOf(this.ports.env, this.ports.namespace, exchange);
      const page = await api.replayPage(pattern, rest, PAGE_BYTES);
      return page.ok ? page.value : null;
    } catch (error) {
      console.error("the past was not had", { exchange, error: String(error) });
      return null;
    }
  }

  private async past(frame: SubscribeFrame, epoch: string, offset: number): Promise<Result<ReplayAnswer>> {
    const { exchange, pattern, since, last, lastValues } = frame;
    if (since === undefined && last === undefined && lastValues !== true) {
      return { ok: true, value: { epoch, offset, recovery: "fresh", snapshot: [], events: [] } };
    }
    const command: ReplayCommand = {
      pattern,
      ...(since === undefined ? {} : { since }),
      ...(last === undefined ? {} : { last }),
      ...(lastValues === undefined ? {} : { lastValues }),
    };
    try {
      return await exchangeOf(this.ports.env, this.ports.namespace, exchange).replay(command, PAGE_BYTES);
    } catch (error) {
      console.error("the past was not had", { exchange, error: String(error) });
      return refuse("unavailable", `exchange "${exchange}" could not be reached`);
    }
  }

  private greet(live: LiveSession, frame: SubscribeFrame, answer: ReplayAnswer): void {
    const { exchange, pattern } = frame;
    const { epoch, offset, recovery, reason } = answer;
    live.send({
      type: "subscribed",
      ref: frame.ref ?? null,
      exchange,
      pattern,
      epoch,
      offset,
      recovery,
      ...(reason === undefined ? {} : { reason }),
    });
  }

  private goLive(live: LiveSession, begun: Subscription, pending: PendingReplay): void {
    const { exchange, pattern } = begun;
    const scope = subscriptionOf(live.session, exchange, pattern)?.scope ?? null;
    const subscription = { ...begun, scope };
    this.remove(live, exchange, pattern, pending);
    this.enter(live, subscription, true);
    this.ports.events.finish(live, subscription, pending);
    if (pending.interrupted !== null) this.leave(live, exchange, pattern, pending.interrupted);
  }

  unsubscribe(live: LiveSession, exchange: string, pattern: string, ref: number | null): Refusal | null {
    const isPending = live.pending.delete(pendingKey(exchange, pattern));
    if (!isPending && subscriptionOf(live.session, exchange, pattern) === null) {
      return refuse(
        "not_subscribed",
        `pattern: the session does not subscribe to "${pattern}" in "${exchange}"`,
      );
    }
    this.leave(live, exchange, pattern, "asked", ref);
    return null;
  }

  private leave(
    live: LiveSession,
    exchange: string,
    pattern: string,
    reason: UnsubscribeReason,
    ref: number | null = null,
  ): void {
    this.remove(live, exchange, pattern);
    live.send({ type: "unsubscribed", ref, exchange, pattern, reason });
    if (!this.isWanted(exchange)) this.ports.waitUntil(this.ports.links.release(exchange));
  }

  /** The session is over. */
  drop(live: LiveSession): void {
    live.pending.clear();
    for (const subscription of live.session.subscriptions) {
      this.ports.subscribers.remove(live.id, subscription);
      this.ports.presence.count(subscription, -1);
    }
    const exchanges = new Set(
      [...live.session.subscriptions, ...live.session.watches].map(({ exchange }) => exchange),
    );
    for (const exchange of exchanges) {
      if (!this.isWanted(exchange)) this.ports.waitUntil(this.ports.links.release(exchange));
    }
  }

  /** Its subscribers get nothing more until they have subscribed anew, with the place they know; but those of `except`. */
  interrupt(exchange: string, reason: "exchange_deleted" | "interrupted", except?: number): void {
    if (reason === "exchange_deleted") this.ports.presence.exchangeDeleted(exchange);
    for (const { session, subscription } of this.ports.subscribers.of(exchange)) {
      if (subscription.attachment === except) continue;
      const live = this.ports.live(session);
      if (live === null) continue;
      const pending = live.pending.get(pendingKey(exchange, subscription.pattern));
      if (pending === undefined) this.leave(live, exchange, subscription.pattern, reason);
      else if (pending.isStarted) pending.interrupted = reason;
    }
  }

  /** Grants may end before their token: what a session may see is looked at again. */
  judge(live: LiveSession, nowMs: number): void {
    for (const subscription of live.session.subscriptions) {
      const { exchange, pattern } = subscription;
      const scope = subscriptionScope(live.session.claims.grants, exchange, pattern, nowMs);
      if (scope.kind === "none") {
        this.leave(live, exchange, pattern, "grant_ended");
        continue;
      }
      const patterns = scope.kind === "all" ? null : scope.patterns;
      if (JSON.stringify(patterns) === JSON.stringify(subscription.scope)) continue;
      // What it has lost is still to be told, and its past goes on: only the audience is another.
      const changed = { ...subscription, scope: patterns };
      if (refuseSize(withSubscription(live.session, changed)) !== null) {
        this.leave(live, exchange, pattern, "grant_ended");
        continue;
      }
      this.ports.subscribers.remove(live.id, subscription);
      this.ports.subscribers.add({ session: live.id, subscription: changed });
      live.save(withSubscription(live.session, changed));
    }
  }

  /** When the session's token, or a grant of it that counts here, ends. */
  nextEndMs({ session }: LiveSession): number | null {
    const nowMs = Date.now();
    const ends = [...session.subscriptions, ...session.watches].map(({ exchange }) =>
      scopeEndMs(session.claims.grants, exchange, nowMs),
    );
    const rights = session.queues.map(({ queue }) =>
      rightsEndMs(session.claims.grants, ["consume"], queue, nowMs),
    );
    const times = [session.claims.expiresMs ?? null, ...ends, ...rights].filter((ms) => ms !== null);
    return times.length === 0 ? null : Math.min(...times);
  }

  async renew(): Promise<void> {
    const { links, subscribers, presence } = this.ports;
    const exchanges = new Set([...subscribers.names(), ...presence.watched()]);
    await Promise.all(
      [...exchanges].map(async (exchange) => {
        const renewed = await links.renew(exchange);
        if (!renewed.ok && renewed.code === "exchange_not_found")
          this.interrupt(exchange, "exchange_deleted");
      }),
    );
  }

  private enter(live: LiveSession, subscription: Subscription, isNew: boolean): void {
    this.ports.subscribers.add({ session: live.id, subscription });
    if (isNew) live.save(withSubscription(live.session, subscription));
    this.ports.presence.count(subscription, 1, isNew);
  }

  /** `keep`: the pending past that goes on after this. */
  private remove(
    live: LiveSession,
    exchange: string,
    pattern: string,
    keep?: ReturnType<HubEvents["begin"]>,
  ): void {
    const key = pendingKey(exchange, pattern);
    if (keep === undefined || live.pending.get(key) !== keep) live.pending.delete(key);
    live.flow.forget(exchange, pattern);
    const known = subscriptionOf(live.session, exchange, pattern);
    if (known === null) return;
    this.ports.subscribers.remove(live.id, known);
    this.ports.presence.count(known, -1);
    live.save(withoutSubscription(live.session, exchange, pattern));
  }
}
