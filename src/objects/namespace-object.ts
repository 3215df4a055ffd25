/**
 * The catalogue of one tenant: which queues there are, how many bytes each may store, which tokens are revoked. It is
 * asked when a queue is made or grows past its allotment, never on the way of a message.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { LIMITS } from "../protocol/limits.ts";
import { parseName } from "../protocol/names.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import type { NamespaceApi, NamespaceUsage } from "../protocol/rpc.ts";
import { NamespaceStore } from "../storage/namespace-store.ts";

export class NamespaceObject extends DurableObject<Env> implements NamespaceApi {
  private readonly store: NamespaceStore;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.store = new NamespaceStore(ctx.storage.sql);
  }

  /** Repeatable: a queue that is there already counts once. */
  async registerQueue(queue: string): Promise<Result<{ isNew: boolean }>> {
    const name = parseName("queue", queue);
    if (!name.ok) return name;
    if (this.store.bytesOf(queue) !== null) return ok({ isNew: false });
    const { queues, queuesMax } = this.measure();
    if (queues >= queuesMax) {
      return refuse("quota_exceeded", `namespace: has its ${queuesMax} queues`, { queuesMax });
    }
    this.store.addQueue(queue);
    return ok({ isNew: true });
  }

  /** Repeatable. The queue's bytes are free again. */
  async unregisterQueue(queue: string): Promise<Result<void>> {
    this.store.removeQueue(queue);
    return ok(undefined);
  }

  async hasQueue(queue: string): Promise<Result<boolean>> {
    return ok(this.store.bytesOf(queue) !== null);
  }

  async listQueues(options: {
    prefix: string;
    limit: number;
    after: string;
  }): Promise<Result<{ queues: string[]; after?: string }>> {
    // One more than asked tells whether there is a next page.
    const found = this.store.page(options.prefix, options.after, options.limit + 1);
    const queues = found.slice(0, options.limit);
    const last = queues.at(-1);
    return ok(found.length > options.limit && last !== undefined ? { queues, after: last } : { queues });
  }

  async usage(): Promise<Result<NamespaceUsage>> {
    return ok(this.measure());
  }

  /** A quota below what is used takes nothing away: it only stops growth. */
  async setQuota(quota: { queuesMax?: number; bytesMax?: number }): Promise<Result<NamespaceUsage>> {
    this.store.setQuota(quota.queuesMax ?? null, quota.bytesMax ?? null);
    return ok(this.measure());
  }

  /**
   * The answer is what the queue may hold from now on: all it asked for, or what is left. The sum over all queues
   * never passes the quota, but that an earlier allotment is not taken back when the quota shrinks.
   */
  async allotBytes(queue: string, bytes: number): Promise<Result<{ bytes: number }>> {
    const held = this.store.bytesOf(queue);
    if (held === null) return refuse("queue_not_found", `queue: "${queue}" is not in the catalogue`);
    const { bytesAllotted, bytesMax } = this.measure();
    const free = Math.max(0, bytesMax - bytesAllotted);
    const allotted = Math.max(0, Math.min(bytes, held + free, LIMITS.queueBytesMax));
    // A write costs a row and a commit; asking again for the same is common.
    if (allotted !== held) this.store.setBytes(queue, allotted);
    return ok({ bytes: allotted });
  }

  async revokeToken(jti: string, untilMs: number): Promise<Result<void>> {
    this.store.forgetRevoked(Date.now());
    if (this.store.revokedCount() >= LIMITS.revokedMax) {
      return refuse("quota_exceeded", `namespace: has its ${LIMITS.revokedMax} revoked tokens`);
    }
    this.store.revoke(jti, untilMs);
    return ok(undefined);
  }

  async revokedTokens(): Promise<Result<string[]>> {
    return ok(this.store.revoked(Date.now()));
  }

  private measure(): NamespaceUsage {
    const { queues, bytes } = this.store.totals();
    const { queuesMax, bytesMax } = this.store.quota();
    return {
      queues,
      queuesMax: queuesMax ?? LIMITS.queuesMax,
      bytesAllotted: bytes,
      bytesMax: bytesMax ?? LIMITS.namespaceBytesMax,
    };
  }
}
