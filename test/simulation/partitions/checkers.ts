/**
 * What must hold at every moment of a history of partitioned queues. Each is told what became true, and throws when it
 * can't be squared with what was true before.
 */
import type { QueueConfig } from "../../../src/protocol/queue-config.ts";
import { check } from "../checkers.ts";
import { place, type Copy, type Grant, type Sent, type Truth } from "./truth.ts";

/** Only what was published is stored, and once: again only where partitions were added between two tries. */
export class Once {
  private readonly truth: Truth;

  constructor(truth: Truth) {
    this.truth = truth;
  }

  stored({ id, queue, sequence }: Copy): void {
    const sent = this.truth.sent.get(id);
    check(sent !== undefined, "origin", () => `${id} is stored in ${queue} and was never published`);
    check(
      sent.outcome !== "refused",
      "origin",
      () => `${id} is stored in ${queue}, and its publish was refused`,
    );
    const [before] = this.truth.copiesOf.get(id) ?? [];
    if (before === undefined) return;
    const mayBeTwice = sent.isStamped && this.truth.hasGrownSince(queue, sent.start);
    check(
      mayBeTwice,
      "once",
      () => `${id} is stored in ${queue} as ${before.sequence} and as ${sequence}, and nothing grew`,
    );
  }

  refused({ id, queue }: Sent): void {
    const isStored = this.truth.copiesOf.has(id);
    check(!isStored, "refusals", () => `${id} is stored in ${queue}, and its publisher was refused`);
  }
}

/** A dedup id is taken once in its window, unless partitions were added since. */
export class Dedup {
  private readonly truth: Truth;
  private readonly queues: ReadonlyMap<string, QueueConfig>;
  private readonly last = new Map<string, Copy>();

  constructor(truth: Truth, queues: ReadonlyMap<string, QueueConfig>) {
    this.truth = truth;
    this.queues = queues;
  }

  stored(copy: Copy): void {
    const { key, dedupId } = this.truth.sent.get(copy.id)!;
    if (dedupId === null) return;
    const { fifo, dedupScope, dedupWindowMs } = this.queues.get(copy.queue)!;
    const scope = JSON.stringify([copy.queue, dedupId, fifo || dedupScope === "key" ? key : null]);
    const before = this.last.get(scope);
    this.last.set(scope, copy);
    if (before === undefined || copy.atMs - before.atMs >= dedupWindowMs) return;
    const hasGrown = this.truth.hasGrownSince(copy.queue, before.at);
    check(
      hasGrown,
      "dedup",
      () =>
        `${copy.id} is stored as ${copy.sequence}, ${copy.atMs - before.atMs} ms after ${before.id} with ${scope}`,
    );
  }

  /** What a caller is told of a message's sequence is so. */
  confirmed(sent: Sent, sequence: number): void {
    const copy = this.truth.copies.get(place(sent.queue, sequence));
    if (sequence === 0) return;
    check(copy !== undefined, "confirm", () => `${sent.id} is confirmed as ${sequence}, which is nothing`);
    const other = this.truth.sent.get(copy.id);
    const isOfKey = this.queues.get(sent.queue)!.dedupScope === "queue" || other?.key === sent.key;
    const isSame = copy.id === sent.id || (other?.dedupId === sent.dedupId && isOfKey);
    const isKnown = copy.id === sent.id || sent.dedupId !== null;
    check(isSame && isKnown, "confirm", () => `${sent.id} is confirmed as ${sequence}, which is ${copy.id}`);
  }
}

/** First deliveries of a key, over all partitions, are in the order of the publishes. */
export class KeyOrder {
  private readonly truth: Truth;
  private readonly queues: ReadonlyMap<string, QueueConfig>;
  private readonly seen = new Set<string>();
  /** Of each key: the message given out that was begun last. */
  private readonly latest = new Map<string, Sent>();
  private readonly latestOfBatch = new Map<string, Sent>();

  constructor(truth: Truth, queues: ReadonlyMap<string, QueueConfig>) {
    this.truth = truth;
    this.queues = queues;
  }

  granted({ id, queue, hasDied }: Grant): void {
    const sent = this.truth.sent.get(id);
    if (sent === undefined || this.seen.has(id) || queue !== sent.queue) return;
    this.seen.add(id);
    const { key, batch, index } = sent;
    if (key === null || hasDied || sent.isDelayed || !this.queues.get(queue)!.fifo) return;
    const latest = this.latest.get(key);
    check(
      latest === undefined || latest.start < sent.confirmed,
      "key order",
      () => `${id} of ${key} was confirmed before ${latest!.id} was published, and goes out after it`,
    );
    const ofBatch = this.latestOfBatch.get(`${batch} ${key}`);
    check(
      ofBatch === undefined || ofBatch.index < index,
      "key order",
      () => `${id} of ${key} goes out after ${ofBatch!.id}, which stood behind it in its batch`,
    );
    if (latest === undefined || latest.start < sent.start) this.latest.set(key, sent);
    this.latestOfBatch.set(`${batch} ${key}`, sent);
  }
}

/** Of one key no more are out at a time than the queue allows, over all partitions. */
export class PerKey {
  private readonly truth: Truth;
  private readonly queues: ReadonlyMap<string, QueueConfig>;
  private readonly out = new Map<string, ReadonlySet<number>>();

  constructor(truth: Truth, queues: ReadonlyMap<string, QueueConfig>) {
    this.truth = truth;
    this.queues = queues;
  }

  /** What is leased in one partition after a turn of it. */
  leased(queue: string, partition: number, sequences: ReadonlySet<number>): void {
    this.out.set(place(queue, partition), sequences);
    const { fifo, maxPerKey } = this.queues.get(queue)!;
    if (!fifo) return;
    const byKey = new Map<string, string[]>();
    for (const [where, own] of this.out) {
      if (!where.startsWith(`${queue} `)) continue;
      for (const sequence of own) {
        const id = this.truth.granted.get(place(queue, sequence));
        const key = id === undefined ? null : this.truth.sent.get(id)!.key;
        if (key !== null) byKey.set(key, [...(byKey.get(key) ?? []), `${id} (${sequence})`]);
      }
    }
    for (const [key, ids] of byKey) {
      check(ids.length <= maxPerKey, "per key", () => `${ids.join(" and ")} of ${key} are out at a time`);
    }
  }
}

interface Open {
  readonly id: string;
  readonly key: string;
  readonly partition: number;
  readonly sequence: number;
  readonly lease: number;
  /** Its place among all that ever went out. */
  readonly order: number;
}

/**
 * Where a delivery may have several of a key: nothing of the key goes out behind a message that is out under another
 * delivery, wherever it lies. One that came back may go before those that still are.
 */
export class OneDelivery {
  private readonly truth: Truth;
  private readonly queues: ReadonlyMap<string, QueueConfig>;
  private readonly orders = new Map<string, number>();
  private readonly out = new Map<string, readonly Open[]>();

  constructor(truth: Truth, queues: ReadonlyMap<string, QueueConfig>) {
    this.truth = truth;
    this.queues = queues;
  }

  granted({ queue, sequence }: Grant): void {
    this.orders.set(place(queue, sequence), this.truth.tick());
  }

  /** What is leased in one partition after a turn of it, and under which lease. */
  leased(queue: string, partition: number, leases: ReadonlyMap<number, number>): void {
    const { fifo, oneDeliveryPerKey } = this.queues.get(queue)!;
    if (!fifo || !oneDeliveryPerKey) return;
    const open = [...leases].flatMap(([sequence, lease]): Open[] => {
      const where = place(queue, sequence);
      const id = this.truth.granted.get(where);
      const key = id === undefined ? null : this.truth.sent.get(id)!.key;
      if (id === undefined || key === null) return [];
      return [{ id, key, partition, sequence, lease, order: this.orders.get(where)! }];
    });
    this.out.set(place(queue, partition), open);
    const all = [...this.out].flatMap(([where, own]) => (where.startsWith(`${queue} `) ? own : []));
    for (const later of all) {
      for (const earlier of all) {
        if (earlier.key !== later.key || earlier.lease === later.lease || earlier.order > later.order)
          continue;
        const isBefore = earlier.partition === later.partition && later.sequence < earlier.sequence;
        check(
          isBefore,
          "one delivery",
          () => `${later.id} of ${later.key} goes out while ${earlier.id} before it is out`,
        );
      }
    }
  }
}

/** What was acked is not given out again. */
export class Finality {
  private readonly truth: Truth;

  constructor(truth: Truth) {
    this.truth = truth;
  }

  granted({ id, queue, sequence }: Grant): void {
    check(this.truth.sent.has(id), "origin", () => `${id} goes out of ${queue} and was never published`);
    const isAcked = this.truth.acked.has(place(queue, sequence));
    check(!isAcked, "finality", () => `${id} (${sequence}) was acked and goes out of ${queue} again`);
  }
}
