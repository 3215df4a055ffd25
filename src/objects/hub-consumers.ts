// Sessions that consume queues. The consumer is the queue's; the hub carries its deliveries and its words.
import type { Env } from "../env.ts";
import { refuseSize, withoutQueue, withQueue, type ConsumedQueue } from "../hub/session.ts";
import type { BatchCodec } from "../protocol/batch.ts";
import type { Settlement } from "../protocol/commands.ts";
import { encodeBinaryFrame } from "../protocol/frames.ts";
import { LIMITS } from "../protocol/limits.ts";
import { deliveryToJson } from "../protocol/message-json.ts";
import { refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { HeldRemote, QueueApi, RemoteConsumer, RemoteDelivery } from "../protocol/rpc.ts";
import type { SessionConsumeFrame } from "../protocol/session-frames.ts";
import { allowsName, consumersMaxOf, lacksGrant } from "../routing/grants.ts";
import type { LiveSession } from "./live-session.ts";
import { queueOf } from "./peers.ts";

export interface HubConsumersPorts {
  readonly env: Env;
  readonly namespace: string;
  readonly hub: string;
  readonly codec: BatchCodec;
  live(session: number): LiveSession | null;
}

/** A consumer as it was when its lease was renewed. */
interface Held extends Pick<ConsumedQueue, "queue" | "ids"> {
  readonly live: LiveSession;
}

export class HubConsumers {
  private readonly ports: HubConsumersPorts;
  /** Deliveries may overtake the answer that tells a new consumer's id: they wait here for it. */
  private early: RemoteDelivery[] = [];
  private attaching = 0;
  /** Detached here, and their queue has not said so yet. */
  private readonly leaving = new Set<HeldRemote & { readonly queue: string }>();
  /** By session and queue: the end of what is under way. */
  private readonly tails = new Map<string, Promise<unknown>>();

  constructor(ports: HubConsumersPorts) {
    this.ports = ports;
  }

  private queue(name: string): QueueApi {
    return queueOf(this.ports.env, this.ports.namespace, name);
  }

  /**
   * What a session says of one queue is done one after the other: two that consume it at once would not know of each
   * other, and be two consumers.
   */
  inOrder<T>(live: LiveSession, queue: string, run: () => Promise<T>): Promise<T> {
    const key = `${live.id} ${queue}`;
    const done = (this.tails.get(key) ?? Promise.resolve()).then(run);
    const tail = done
      .catch(() => undefined)
      .then(() => {
        if (this.tails.get(key) === tail) this.tails.delete(key);
      });
    this.tails.set(key, tail);
    return done;
  }

  /** Consuming again sets everything anew but the name. */
  async consume(live: LiveSession, frame: SessionConsumeFrame): Promise<Refusal | null> {
    const { queue, ref = null } = frame;
    const lacking = lacksGrant(live.session.claims, ["consume"], queue, Date.now());
    if (lacking) return lacking;
    const before = queueOfSession(live, queue);
    const { subject } = live.session.claims;
    const consumer: ConsumedQueue = {
      queue,
      ids: before?.ids ?? [],
      name: frame.consumer ?? before?.name ?? `${nameOf(subject)}.${live.id.toString(36)}`,
      credit: frame.credit ?? LIMITS.creditDefault,
      leaseMs: frame.leaseMs ?? null,
      priority: frame.priority ?? 0,
      isExclusive: frame.exclusive ?? false,
      format: frame.format ?? "json",
    };
    const refused = refuseSize(withQueue(live.session, consumer));
    if (refused) return refused;
    this.attaching++;
    try {
      const attached = await this.queue(queue).attachRemote(this.remote(live, consumer));
      if (!attached.ok) return attached;
      const { ids } = attached.value;
      if (this.ports.live(live.id) !== live) {
        // The session ended meanwhile, and took along only what it knew of.
        await this.detach(live.id, { queue, ids }, "lost");
        return null;
      }
      // Others of this session may have been taken while this one waited for its queue.
      const tooMuch = refuseSize(withQueue(live.session, { ...consumer, ids }));
      if (tooMuch) {
        await this.detach(live.id, { queue, ids }, "released");
        return tooMuch;
      }
      live.save(withQueue(live.session, { ...consumer, ids }));
      live.send({ type: "consuming", ref, queue, consumer: consumer.name, credit: consumer.credit });
      this.giveEarly(queue, live.id, ids);
    } finally {
      this.attaching--;
      if (this.attaching === 0) this.early = [];
    }
    return null;
  }

  private giveEarly(queue: string, session: number, ids: readonly number[]): void {
    const early = this.early.filter((one) => one.session === session && ids.includes(one.id));
    this.early = this.early.filter((one) => !early.includes(one));
    for (const delivery of early) this.give(queue, delivery);
  }

  private remote(
    live: LiveSession,
    { queue, ids, name, credit, leaseMs, priority, isExclusive }: ConsumedQueue,
  ): RemoteConsumer {
    return {
      ...(ids.length === 0 ? {} : { ids }),
      hub: this.ports.hub,
      session: live.id,
      subject: live.session.claims.subject,
      ...consumersMaxOf(live.session.claims, queue, Date.now()),
      name,
      credit,
      ...(leaseMs === null ? {} : { leaseMs }),
      priority,
      exclusive: isExclusive,
    };
  }

  async credit(live: LiveSession, queue: string, credit: number): Promise<Refusal | null> {
    const consumer = queueOfSession(live, queue);
    if (consumer === null) return notConsuming(queue);
    const changed = await this.queue(queue).changeRemote(consumer.ids, { credit });
    if (!changed.ok) return changed;
    live.save(withQueue(live.session, { ...consumer, credit }));
    return null;
  }

  async settle(
    live: LiveSession,
    queue: string,
    settlements: readonly Settlement[],
    ref: number | null,
  ): Promise<Refusal | null> {
    const lacking = lacksGrant(live.session.claims, ["consume"], queue, Date.now());
    if (lacking) return lacking;
    const { subject } = live.session.claims;
    const asked = settlements.map((settlement) => ({ ...settlement, subject }));
    const results = await this.queue(queue).settle(asked);
    if (!results.ok) return results;
    live.send({ type: "settled", ref, queue, results: results.value });
    return null;
  }

  async cancel(live: LiveSession, queue: string): Promise<Refusal | null> {
    const consumer = queueOfSession(live, queue);
    if (consumer === null) return notConsuming(queue);
    live.save(withoutQueue(live.session, queue));
    const detached = await this.detach(live.id, consumer, "released");
    if (!detached.ok && detached.code !== "not_consuming") return detached;
    live.send({ type: "cancelled", queue, consumer: consumer.name, reason: "asked" });
    return null;
  }

  /** Grants may end before their token: what is consumed without one goes back, as when the token ends. */
  async judge(live: LiveSession, nowMs: number): Promise<void> {
    const { queues, claims } = live.session;
    const ended = queues.filter(({ queue }) => !allowsName(claims.grants, ["consume"], queue, nowMs));
    for (const { queue, name } of ended) {
      live.save(withoutQueue(live.session, queue));
      live.send({ type: "cancelled", queue, consumer: name, reason: "token_expired" });
    }
    await Promise.allSettled(ended.map((consumer) => this.detach(live.id, consumer, "released")));
  }

  /** The session is over. */
  async drop(live: LiveSession, how: "released" | "lost"): Promise<void> {
    await Promise.allSettled(live.session.queues.map((consumer) => this.detach(live.id, consumer, how)));
  }

  /** From a queue. The ids whose session is not here. */
  deliver(queue: string, deliveries: readonly RemoteDelivery[]): number[] {
    return deliveries.filter((delivery) => !this.give(queue, delivery)).map(({ id }) => id);
  }

  private give(queue: string, delivery: RemoteDelivery): boolean {
    const live = this.ports.live(delivery.session);
    if (live === null) return false;
    const consumer = queueOfSession(live, queue);
    if (consumer?.ids.includes(delivery.id) === true) {
      this.send(live, consumer, delivery);
      return true;
    }
    if (this.attaching === 0) return false;
    this.early.push(delivery);
    return true;
  }

  private send(live: LiveSession, consumer: ConsumedQueue, told: RemoteDelivery): void {
    const { delivery, ended, isSpread = false } = told;
    const { queue, name, format } = consumer;
    if (isSpread) void this.attachAgain([{ live, queue }]);
    if (delivery !== undefined) {
      const { lease, key, untilMs, runs, payload } = delivery;
      const head = { type: "deliver", queue, lease, ...(key && { key }), untilMs } as const;
      if (format === "binary") live.sendDelivery(encodeBinaryFrame({ ...head, runs }, payload));
      else
        live.sendDelivery(JSON.stringify({ ...head, messages: deliveryToJson(delivery, this.ports.codec) }));
    }
    if (ended === undefined) return;
    live.save(withoutQueue(live.session, queue));
    // What one partition has lost is to be lost by the others.
    if (consumer.ids.length > 1) void this.detachAll(live.id, consumer);
    live.send({
      type: "cancelled",
      queue,
      consumer: name,
      reason: ended === "queue_deleted" ? ended : "heartbeat_lost",
    });
  }

  private async detachAll(session: number, consumer: ConsumedQueue): Promise<void> {
    await Promise.allSettled([this.detach(session, consumer, "released")]);
  }

  /** Renews this hub's lease at every queue that is consumed here. What a queue has lost meanwhile is told so. */
  async renew(sessions: Iterable<LiveSession>): Promise<void> {
    const all = [...sessions].flatMap((live) =>
      live.session.queues.map(({ queue, ids }) => ({ live, queue, ids })),
    );
    const byQueue = Map.groupBy(all, ({ queue }) => queue);
    await Promise.allSettled([...byQueue].map(([queue, held]) => this.renewAt(queue, held)));
  }

  private async renewAt(queue: string, consumers: readonly Held[]): Promise<void> {
    const held = consumers.map(({ live, ids }) => ({ session: live.id, ids }));
    const renewed = await this.queue(queue).renewRemotes(this.ports.hub, [
      ...held,
      ...this.leavingFrom(queue),
    ]);
    if (!renewed.ok) {
      if (renewed.code === "queue_not_found") this.endAll(consumers, "queue_deleted");
      return;
    }
    const gone = new Set(renewed.value.gone);
    this.endAll(
      consumers.filter(({ ids }) => ids.some((id) => gone.has(id))),
      "lease_lost",
    );
    const { partitions } = renewed.value;
    await this.attachAgain(consumers.filter(({ ids }) => ids.length < partitions));
  }

  /** Those that are what they were: it may have been consumed anew meanwhile. */
  private endAll(consumers: readonly Held[], ended: "queue_deleted" | "lease_lost"): void {
    for (const { live, queue, ids } of consumers) {
      const consumer = queueOfSession(live, queue);
      if (consumer === null || consumer.ids[0] !== ids[0]) continue;
      this.send(live, consumer, { id: ids[0]!, session: live.id, ended });
    }
  }

  /** Tells a queue to forget a consumer. Until it has answered the consumer is one of this hub's, and no lost one. */
  private async detach(
    session: number,
    { queue, ids }: Pick<ConsumedQueue, "queue" | "ids">,
    how: "released" | "lost",
  ): Promise<Result<void>> {
    const leaving = { queue, session, ids };
    this.leaving.add(leaving);
    try {
      return await this.queue(queue).detachRemote(ids, how);
    } finally {
      this.leaving.delete(leaving);
    }
  }

  private leavingFrom(queue: string): HeldRemote[] {
    return [...this.leaving].filter((one) => one.queue === queue);
  }

  /** A queue that has more partitions now attaches the consumer there, too. */
  private async attachAgain(consumers: readonly Pick<Held, "live" | "queue">[]): Promise<void> {
    this.attaching++;
    const attached = consumers.map(({ live, queue }) =>
      // Each partition tells of more: one call after the other finds out which of them are new.
      this.inOrder(live, queue, async () => {
        const consumer = queueOfSession(live, queue);
        if (consumer !== null) await this.renewOne(live, consumer);
      }),
    );
    await Promise.allSettled(attached);
    if (--this.attaching === 0) this.early = [];
  }

  private async renewOne(live: LiveSession, consumer: ConsumedQueue): Promise<void> {
    const renewed = await this.queue(consumer.queue).attachRemote(this.remote(live, consumer));
    const known = queueOfSession(live, consumer.queue);
    const isSame = known?.ids[0] === consumer.ids[0];
    if (renewed.ok) {
      const { ids } = renewed.value;
      const added = ids.slice(consumer.ids.length);
      if (added.length === 0) return;
      const refused = known === null || !isSame || refuseSize(withQueue(live.session, { ...known, ids }));
      if (refused === null) {
        live.save(withQueue(live.session, { ...known!, ids }));
        return this.giveEarly(consumer.queue, live.id, added);
      }
      // It has stopped meanwhile, or its session has no room for it.
      await this.detach(live.id, { queue: consumer.queue, ids }, "released");
    }
    const isGone = renewed.ok || renewed.code === "not_consuming" || renewed.code === "queue_not_found";
    if (!isGone || !isSame) return;
    const ended = !renewed.ok && renewed.code === "queue_not_found" ? "queue_deleted" : "lease_lost";
    this.send(live, consumer, { id: consumer.ids[0]!, session: live.id, ended });
  }
}

function queueOfSession(live: LiveSession, queue: string): ConsumedQueue | null {
  return live.session.queues.find((one) => one.queue === queue) ?? null;
}

function notConsuming(queue: string): Refusal {
  return refuse("not_consuming", `queue: the session does not consume "${queue}"`);
}

/** A subject may be any text; a consumer's name may not. */
function nameOf(subject: string): string {
  return (
    subject
      .replace(/[^A-Za-z0-9._-]+/g, "-")
      .replace(/^[^A-Za-z0-9]+/, "")
      .slice(0, 64) || "session"
  );
}
