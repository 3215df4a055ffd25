/**
 * The catalogue of one tenant: which queues and exchanges there are and what leads where, how many bytes each queue may
 * store, which tokens are revoked. It is asked when one is made, bound or grows past its allotment, never on the way
 * of a message.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import type { Destination } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { parseName } from "../protocol/names.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import type { DeclareOptions, NamePage, NamespaceApi, NamespaceUsage, QueuePage } from "../protocol/rpc.ts";
import { matches } from "../routing/topic.ts";
import { NamespaceStore } from "../storage/namespace-store.ts";
import { hubOf } from "./peers.ts";

/** Names that are looked at in one go for those that a caller may know. */
const SCAN_ROWS = 1_000;

export class NamespaceObject extends DurableObject<Env> implements NamespaceApi {
  private readonly store: NamespaceStore;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.store = new NamespaceStore(ctx.storage.sql);
  }

  /** Repeatable: a queue that is there already counts once. */
  async registerQueue(
    queue: string,
    { respectsRest = false }: DeclareOptions = {},
  ): Promise<Result<{ isNew: boolean }>> {
    const name = parseName("queue", queue);
    if (!name.ok) return name;
    if (this.store.bytesOf(queue) !== null) return ok({ isNew: false });
    const restMs = respectsRest ? this.store.restsUntilMs(queue) - Date.now() : 0;
    if (restMs > 0) {
      return refuse("deleted_recently", `queue: "${queue}" was deleted; the name is free in ${restMs} ms`, {
        retryAfterMs: restMs,
      });
    }
    const { queues, queuesMax } = this.measure();
    if (queues >= queuesMax) {
      return refuse("quota_exceeded", `namespace: has its ${queuesMax} queues`, { queuesMax });
    }
    this.store.addQueue(queue);
    return ok({ isNew: true });
  }

  /** Repeatable. The queue's bytes are free again. */
  async unregisterQueue(queue: string, restMs = 0): Promise<Result<void>> {
    this.store.removeQueue(queue);
    if (restMs > 0) this.store.rest(queue, Date.now(), restMs);
    return ok(undefined);
  }

  async hasQueue(queue: string): Promise<Result<boolean>> {
    return ok(this.store.bytesOf(queue) !== null);
  }

  async listQueues(wanted: QueuePage): Promise<Result<{ queues: string[]; after?: string }>> {
    const { names, ...rest } = this.page("queue", wanted);
    return ok({ queues: names, ...rest });
  }

  async noteDeadLetter(queue: string, deadLetter: string | null): Promise<Result<void>> {
    this.store.setDeadLetter(queue, deadLetter);
    return ok(undefined);
  }

  /** Repeatable, as for queues. */
  async registerExchange(exchange: string): Promise<Result<{ isNew: boolean }>> {
    const name = parseName("exchange", exchange);
    if (!name.ok) return name;
    if (this.store.hasExchange(exchange)) return ok({ isNew: false });
    const { exchanges, exchangesMax } = this.measure();
    if (exchanges >= exchangesMax) {
      return refuse("quota_exceeded", `namespace: has its ${exchangesMax} exchanges`, { exchangesMax });
    }
    this.store.addExchange(exchange);
    return ok({ isNew: true });
  }

  async unregisterExchange(exchange: string): Promise<Result<void>> {
    this.store.removeExchange(exchange);
    return ok(undefined);
  }

  async hasExchange(exchange: string): Promise<Result<boolean>> {
    return ok(this.store.hasExchange(exchange));
  }

  async listExchanges(wanted: NamePage): Promise<Result<{ exchanges: string[]; after?: string }>> {
    const { names, ...rest } = this.page("exchange", wanted);
    return ok({ exchanges: names, ...rest });
  }

  private page(kind: "queue" | "exchange", wanted: QueuePage): { names: string[]; after?: string } {
    const { prefix, limit, deadLetter, patterns } = wanted;
    const rowsMax = patterns === undefined ? limit + 1 : SCAN_ROWS;
    const names: string[] = [];
    let { after } = wanted;
    // It ends with the last name there is at the latest. One more than asked tells whether there is a next page.
    for (let isLast = false; !isLast && names.length <= limit;) {
      const found =
        deadLetter === undefined
          ? this.store.page(kind, prefix, after, rowsMax)
          : this.store.pageOfSources(deadLetter, prefix, after, rowsMax);
      names.push(...found.filter((name) => patterns?.some((pattern) => matches(pattern, name)) ?? true));
      isLast = found.length < rowsMax;
      after = found.at(-1) ?? after;
    }
    const page = names.slice(0, limit);
    const last = page.at(-1);
    return names.length > limit && last !== undefined ? { names: page, after: last } : { names: page };
  }

  /** What goes off the catalogue asks who leads to it; nothing may come to lead there after that. */
  async noteBinding(exchange: string, destination: Destination): Promise<Result<void>> {
    if (!this.has(destination)) {
      const [kind, name] = Object.entries(destination)[0]!;
      return refuse("destination_missing", `destination: there is no ${kind} "${name}"`);
    }
    this.store.addBinding(exchange, destination);
    return ok(undefined);
  }

  private has(destination: Destination): boolean {
    return "queue" in destination
      ? this.store.bytesOf(destination.queue) !== null
      : this.store.hasExchange(destination.exchange);
  }

  async forgetBinding(exchange: string, destination: Destination): Promise<Result<void>> {
    this.store.removeBinding(exchange, destination);
    return ok(undefined);
  }

  async boundTo(destination: Destination): Promise<Result<string[]>> {
    return ok(this.store.boundTo(destination));
  }

  async usage(): Promise<Result<NamespaceUsage>> {
    return ok(this.measure());
  }

  /** A quota below what is used takes nothing away: it only stops growth. */
  async setQuota(quota: {
    queuesMax?: number;
    exchangesMax?: number;
    bytesMax?: number;
  }): Promise<Result<NamespaceUsage>> {
    const { queuesMax = null, exchangesMax = null, bytesMax = null } = quota;
    this.store.setQuota({ queuesMax, exchangesMax, bytesMax });
    return ok(this.measure());
  }

  /**
   * The answer is what the queue may hold from now on: all it asked for, or what is left. The sum over all queues
   * never passes the quota, but that an earlier allotment is not taken back when the quota shrinks.
   */
  async allotBytes(queue: string, bytes: number, partition = 0): Promise<Result<{ bytes: number }>> {
    if (this.store.bytesOf(queue) === null)
      return refuse("queue_not_found", `queue: "${queue}" is not in the catalogue`);
    const held = this.store.bytesOfPartition(queue, partition);
    const { bytesAllotted, bytesMax } = this.measure();
    const free = Math.max(0, bytesMax - bytesAllotted);
    const allotted = Math.max(0, Math.min(bytes, held + free, LIMITS.queueBytesMax));
    // A write costs a row and a commit; asking again for the same is common.
    if (allotted !== held) this.store.setBytes(queue, partition, allotted);
    return ok({ bytes: allotted });
  }

  async revokeToken(jti: string, untilMs: number): Promise<Result<void>> {
    this.store.forgetRevoked(Date.now());
    if (this.store.revokedCount() >= LIMITS.revokedMax) {
      return refuse("quota_exceeded", `namespace: has its ${LIMITS.revokedMax} revoked tokens`);
    }
    this.store.revoke(jti, untilMs);
    await this.tellHubs(jti);
    return ok(undefined);
  }

  /** A hub that can't be told does not undo the revocation: its sessions are refused wherever else they show up. */
  private async tellHubs(jti: string): Promise<void> {
    this.store.forgetHubs(Date.now());
    const namespace = this.ctx.id.name!;
    const tell = async (hub: string): Promise<void> => {
      try {
        const answer = await hubOf(this.env, namespace, hub).revoke(jti);
        if (!answer.ok) console.error("a hub was not told of a revocation", { namespace, hub, ...answer });
      } catch (error) {
        console.error("a hub was not told of a revocation", { namespace, hub, error: String(error) });
      }
    };
    await Promise.all(this.store.hubs().map(tell));
  }

  /** Refused when there are too many: a hub that is not told of revocations must not open such sessions. */
  async registerHub(hub: string, untilMs: number): Promise<Result<void>> {
    const name = parseName("hub", hub);
    if (!name.ok) return name;
    this.store.forgetHubs(Date.now());
    const hubs = this.store.hubs();
    if (hubs.length >= LIMITS.hubsMax && !hubs.includes(hub)) {
      return refuse("quota_exceeded", `namespace: has its ${LIMITS.hubsMax} hubs`);
    }
    this.store.addHub(hub, untilMs);
    return ok(undefined);
  }

  async revokedTokens(): Promise<Result<string[]>> {
    return ok(this.store.revoked(Date.now()));
  }

  private measure(): NamespaceUsage {
    const { queues, exchanges, bytes } = this.store.totals();
    const { queuesMax, exchangesMax, bytesMax } = this.store.quota();
    return {
      queues,
      queuesMax: queuesMax ?? LIMITS.queuesMax,
      exchanges,
      exchangesMax: exchangesMax ?? LIMITS.exchangesMax,
      bytesAllotted: bytes,
      bytesMax: bytesMax ?? LIMITS.namespaceBytesMax,
    };
  }
}
