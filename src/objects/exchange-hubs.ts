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
  /** Ends a hub's lease; resolves when that is stored. */
  detach(hub: string): Promise<void>;
  waitUntil(work: Promise<unknown>): void;
}

export class ExchangeHubs {
  private readonly ports: ExchangeHubsPorts;
  /** Counts a hub's attachments: a push that began before the last one says nothing about it. */
  private readonly attachments = new Map<string, number>();

  constructor(ports: ExchangeHubsPorts) {
    this.ports = ports;
  }

  noteAttach(hub: string): void {
    this.attachments.set(hub, (this.attachments.get(hub) ?? 0) + 1);
  }

  /** Resolves when each hub has the events, or its lease has ended. */
  async push(exchange: Exchange, turns: readonly Turn[]): Promise<void> {
    const pushes = turns.map(({ first, batch }) => ({
      exchange: this.ports.exchange,
      epoch: exchange.epoch,
      first,
      batch,
    }));
    await Promise.all(exchange.hubs().flatMap((hub) => pushes.map((push) => this.pushTo(hub, push))));
    const last = turns.at(-1)!;
    exchange.markPushed(last.first + last.count - 1);
  }

  /** After a wake: stored events that a hub may not have go first. It knows those that it has seen. */
  resume(exchange: Exchange): void {
    const hubs = exchange.hubs();
    if (hubs.length === 0) return;
    const missed = exchange.unpushed();
    const work =
      missed === null
        ? hubs.map((hub) => this.drop(hub))
        : hubs.flatMap((hub) => missed.map((push) => this.pushTo(hub, push)));
    this.ports.waitUntil(Promise.all(work));
  }

  private async pushTo(hub: string, push: HubPush): Promise<void> {
    const attachment = this.attachments.get(hub);
    const isWanted = await this.ports.fanOut.toHub(hub, push);
    if (isWanted === true) return;
    if (isWanted === null) await this.drop(hub);
    else if (this.attachments.get(hub) === attachment) await this.ports.detach(hub);
  }

  private async drop(hub: string): Promise<void> {
    await this.ports.detach(hub);
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
