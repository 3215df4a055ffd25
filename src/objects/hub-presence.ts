/**
 * Who subscribes: this hub's own count, what it tells the exchange, and what watchers here are told. Changes are gathered
 * for a moment, so that a crowd that comes or goes is one word and not one for each.
 */
import type { Env } from "../env.ts";
import { PresenceBoard } from "../hub/presence-board.ts";
import { refuseSize, withoutWatch, withWatch, type Subscription, type Watch } from "../hub/session.ts";
import type { PresenceAnswer, PresenceDelta } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import type { SessionClientFrame, UnwatchReason } from "../protocol/session-frames.ts";
import { narrowPresence, presenceScope, withinScope } from "../routing/presence-scope.ts";
import { overlaps, parsePattern } from "../routing/topic.ts";
import type { ExchangeLinks } from "./exchange-links.ts";
import type { LiveSession } from "./live-session.ts";
import { exchangeOf } from "./peers.ts";

type PresenceFrame = Extract<SessionClientFrame, { type: "presence" }>;

export interface HubPresencePorts {
  readonly env: Env;
  readonly namespace: string;
  readonly hub: string;
  readonly links: ExchangeLinks;
  sessions(): Iterable<LiveSession>;
  waitUntil(work: Promise<unknown>): void;
}

export class HubPresence {
  private readonly ports: HubPresencePorts;
  private readonly board = new PresenceBoard();
  private isGathering = false;

  constructor(ports: HubPresencePorts) {
    this.ports = ports;
  }

  /** `isChange` false: taken up after a wake, which is news to nobody. */
  count({ exchange, member, pattern }: Subscription, by: 1 | -1, isChange = true): void {
    this.board.count(exchange, member, pattern, by);
    if (!isChange) this.board.forgetChanges(exchange);
    else this.gather();
  }

  private gather(): void {
    if (this.isGathering) return;
    this.isGathering = true;
    this.ports.waitUntil(this.tellSoon());
  }

  private async tellSoon(): Promise<void> {
    await scheduler.wait(LIMITS.presenceGatherMs);
    this.isGathering = false;
    await Promise.all(this.board.changedExchanges().map((exchange) => this.report(exchange)));
  }

  private async report(exchange: string): Promise<void> {
    const { env, namespace, hub, links } = this.ports;
    const changes = this.board.takeChanges(exchange);
    if (links.get(exchange)?.presence === false || changes.length === 0) return;
    try {
      await exchangeOf(env, namespace, exchange).reportPresence({ hub, changes });
    } catch (error) {
      console.warn("presence was not told", { exchange, hub, error: String(error) });
    }
  }

  answer(exchange: string, pattern: string): PresenceAnswer {
    return this.board.answer(exchange, pattern);
  }

  async ask(live: LiveSession, frame: PresenceFrame): Promise<Refusal | null> {
    const { exchange, pattern, watch = false, ref = null } = frame;
    const parsed = parsePattern("pattern", pattern);
    if (!parsed.ok) return parsed;
    const scope = presenceScope(live.session.claims.grants, exchange, pattern, Date.now());
    if (scope.kind === "none") {
      return refuse("forbidden", `token: has no grant to subscribe to "${pattern}" in "${exchange}"`);
    }
    if (watch) {
      const watching = withWatch(live.session, { exchange, pattern });
      const refused = refuseSize(watching);
      if (refused) return refused;
      // Changes that come before the answer count already.
      live.save(watching);
      const link = await this.ports.links.ensure(exchange);
      if (!link.ok) {
        this.forget(live, exchange, pattern);
        return link;
      }
    }
    const { env, namespace } = this.ports;
    const answer = await exchangeOf(env, namespace, exchange).presence(pattern);
    if (!answer.ok) {
      if (watch) this.forget(live, exchange, pattern);
      return answer;
    }
    live.send({ type: "presence", ref, pattern, ...narrowPresence(scope, answer.value) });
    return null;
  }

  unwatch(live: LiveSession, exchange: string, pattern: string, ref: number | null): Refusal | null {
    this.end(live, { exchange, pattern }, "asked", ref);
    return null;
  }

  private end(
    live: LiveSession,
    { exchange, pattern }: Watch,
    reason: UnwatchReason,
    ref: number | null = null,
  ): void {
    this.forget(live, exchange, pattern);
    live.send({ type: "unwatched", ref, exchange, pattern, reason });
  }

  /** Nobody subscribes there any more. */
  exchangeDeleted(exchange: string): void {
    for (const live of this.ports.sessions()) {
      for (const watch of live.session.watches) {
        if (watch.exchange === exchange) this.end(live, watch, "exchange_deleted");
      }
    }
  }

  private forget(live: LiveSession, exchange: string, pattern: string): void {
    live.save(withoutWatch(live.session, exchange, pattern));
    if (!this.isWatched(exchange)) this.ports.waitUntil(this.ports.links.release(exchange));
  }

  /** Grants may end before their token: a watch that none allows any more ends too. */
  judge(live: LiveSession, nowMs: number): void {
    const { watches, claims } = live.session;
    for (const watch of watches) {
      if (presenceScope(claims.grants, watch.exchange, watch.pattern, nowMs).kind !== "none") continue;
      this.end(live, watch, "grant_ended");
    }
  }

  watched(): string[] {
    return [...this.ports.sessions()].flatMap(({ session }) =>
      session.watches.map(({ exchange }) => exchange),
    );
  }

  isWatched(exchange: string): boolean {
    for (const { session } of this.ports.sessions()) {
      if (session.watches.some((watch) => watch.exchange === exchange)) return true;
    }
    return false;
  }

  /** To those who watch. Whether anyone does. */
  tell(exchange: string, delta: PresenceDelta): boolean {
    let isWatched = false;
    for (const live of this.ports.sessions()) {
      for (const watch of live.session.watches) {
        if (watch.exchange !== exchange) continue;
        isWatched = true;
        const scope = presenceScope(live.session.claims.grants, exchange, watch.pattern, Date.now());
        const changes = withinScope(scope, delta.changes).filter(({ pattern }) =>
          overlaps(pattern, watch.pattern),
        );
        if (changes.length === 0) continue;
        live.send({ type: "presence_changed", exchange, pattern: watch.pattern, hub: delta.hub, changes });
      }
    }
    return isWatched;
  }
}
