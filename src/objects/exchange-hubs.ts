/**
 * The hubs of one exchange. A push that fails ends the hub's lease before the publish is confirmed, so that its
 * subscribers get nothing more until they have subscribed anew and been told what they missed.
 */
import type { Env } from "../env.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Turn } from "../exchange/history.ts";
import type { HubPush, PresenceAnswer, PresenceDelta } from "../protocol/exchange-commands.ts";
import type { FanOut } from "./exchange-fan-out.ts";
import { hubOf } from "./peers.ts";

export interface ExchangeHubsPorts {
  readonly env: Env;
  readonly namespace: string;
  readonly exchange: string;
  readonly fanOut: FanOut;
  /** Ends a hub's attachment; resolves when that is stored. False: it is over, or there is a later one. */
  detach(hub: string, attachment: number): Promise<boolean>;
  waitUntil(work: Promise<unknown>): void;
}

export class ExchangeHubs {
  private readonly ports: ExchangeHubsPorts;
  /** Counts how often a hub attached or renewed: whether it wants a push from before says nothing about later ones. */
  private readonly renewals = new Map<string, number>();

  constructor(ports: ExchangeHubsPorts) {
    this.ports = ports;
  }

  noteAttach(hub: string): void {
    this.renewals.set(hub, (this.renewals.get(hub) ?? 0) + 1);
  }

  /** Resolves when each hub has the events, or its lease has ended. */
  async push(exchange: Exchange, turns: readonly Turn[]): Promise<void> {
    const pushes = turns.map(({ first, batch }) => ({
      exchange: this.ports.exchange,
      epoch: exchange.epoch,
      first,
      batch,
    }));
    await this.pushAll(exchange, pushes);
    const last = turns.at(-1)!;
    exchange.markPushed(last.first + last.count - 1);
  }

  /** After a wake: stored events that a hub may not have go first. It knows those that it has seen. */
  resume(exchange: Exchange): void {
    const hubs = exchange.attachments();
    if (hubs.length === 0) return;
    const missed = exchange.unpushed();
    const work =
      missed === null
        ? Promise.all(hubs.map(({ hub, attachment }) => this.drop(hub, attachment)))
        : this.pushAll(exchange, missed);
    this.ports.waitUntil(work);
  }

  private async pushAll(exchange: Exchange, pushes: readonly Omit<HubPush, "attachment">[]): Promise<void> {
    await Promise.all(
      exchange
        .attachments()
        .flatMap(({ hub, attachment }) => pushes.map((push) => this.pushTo(hub, { ...push, attachment }))),
    );
  }

  private async pushTo(hub: string, push: HubPush): Promise<void> {
    const { attachment } = push;
    const renewals = this.renewals.get(hub);
    const isWanted = await this.ports.fanOut.toHub(hub, push);
    if (isWanted === true) return;
    if (isWanted === null) await this.drop(hub, attachment);
    else if (this.renewals.get(hub) === renewals) await this.ports.detach(hub, attachment);
  }

  private async drop(hub: string, attachment: number): Promise<void> {
    if (!(await this.ports.detach(hub, attachment))) return;
    const { env, namespace, exchange } = this.ports;
    // It may hear of it; if not, it learns it when it renews its lease.
    this.ports.waitUntil(
      hubOf(env, namespace, hub)
        .interrupt(exchange, "interrupted")
        .catch(() => undefined),
    );
  }

  tellDeleted(hubs: readonly string[]): void {
    const { env, namespace, exchange } = this.ports;
    for (const hub of hubs) {
      this.ports.waitUntil(
        hubOf(env, namespace, hub)
          .interrupt(exchange, "exchange_deleted")
          .catch(() => undefined),
      );
    }
  }

  /** A hub that can't answer is left out. */
  async askPresence(hubs: readonly string[], pattern: string): Promise<PresenceAnswer[]> {
    const { env, namespace, exchange } = this.ports;
    const answers = await Promise.allSettled(
      hubs.map((hub) => hubOf(env, namespace, hub).presence(exchange, pattern)),
    );
    return answers.flatMap((answer) =>
      answer.status === "fulfilled" && answer.value.ok ? [answer.value.value] : [],
    );
  }

  async tellPresence(hubs: readonly string[], delta: PresenceDelta): Promise<void> {
    const { env, namespace, exchange } = this.ports;
    await Promise.allSettled(hubs.map((hub) => hubOf(env, namespace, hub).presenceChanged(exchange, delta)));
  }
}
