/**
 * How a queue comes to be, changes and ends, in step with the catalogue. Each may be cut short at any call to another
 * object, and is repeated then: a name is listed before the queue is there, and until after it is gone.
 */
import type { QueueCounts, QueueInfo } from "../protocol/commands.ts";
import type { QueueConfig } from "../protocol/queue-config.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import { refuseChanges, refuseRedeclare } from "../queue/config-rules.ts";
import type { Queue } from "../queue/queue.ts";
import type { QueueStores } from "../queue/stores.ts";
import type { QueueCatalogue } from "./queue-catalogue.ts";

export interface RemoveOptions {
  readonly ifEmpty: boolean;
  readonly ifUnused: boolean;
}

/** What the lifecycle needs of the object around it. */
export interface LifecyclePorts {
  readonly catalogue: QueueCatalogue;
  readonly stores: QueueStores;
  open(): Queue | null;
  notFound(): Refusal;
  whenDeclared<T>(run: (queue: Queue, nowMs: number) => Result<T>): Promise<Result<T>>;
  /** Tells the consumers and deletes everything, without waiting: from then on there is no queue, whoever asks. */
  erase(queue: Queue): void;
  /** Deletes what an erased queue has left outside the object; true when nothing is left of it. */
  clean(): Promise<boolean>;
  /** Gives back the storage of an object that has nothing to keep. */
  wipe(): Promise<void>;
}

export class QueueLifecycle {
  private readonly ports: LifecyclePorts;
  /** While the queue is being removed: a declare waits for the end of it. */
  private removal: Promise<unknown> | null = null;

  constructor(ports: LifecyclePorts) {
    this.ports = ports;
  }

  async declare(config: QueueConfig): Promise<Result<{ created: boolean; info: QueueInfo }>> {
    while (this.removal !== null) await this.removal;
    const { catalogue } = this.ports;
    const missing = await catalogue.checkTarget(config);
    if (missing) return missing;
    const found = this.find(config);
    if (found) return found;
    const registered = await catalogue.register();
    if (!registered.ok) return registered;
    // Another declare may have come in between.
    return this.find(config) ?? this.create(config);
  }

  private find(config: QueueConfig): Result<{ created: boolean; info: QueueInfo }> | null {
    const known = this.ports.open();
    if (!known) return null;
    return refuseRedeclare(known.config, config) ?? ok({ created: false, info: known.inspect(Date.now()) });
  }

  private create(config: QueueConfig): Result<{ created: boolean; info: QueueInfo }> {
    const { stores, catalogue } = this.ports;
    const { namespace, queue } = catalogue;
    const origin = crypto.getRandomValues(new Uint32Array(1))[0]! * 256 + 1;
    const createdMs = Date.now();
    stores.writeQueue({ queue, namespace, origin, createdMs, paused: false, allottedBytes: 0, config });
    return ok({ created: true, info: this.ports.open()!.inspect(createdMs) });
  }

  async update(changes: Partial<QueueConfig>): Promise<Result<QueueInfo>> {
    const missing = await this.ports.catalogue.checkTarget(changes);
    if (missing) return missing;
    return this.ports.whenDeclared((queue) => {
      const refused = refuseChanges(queue.config, changes);
      if (refused) return refused;
      queue.store({ config: { ...queue.config, ...changes } });
      return ok(queue.inspect(Date.now()));
    });
  }

  async remove(options: RemoveOptions): Promise<Result<{ messages: number }>> {
    while (this.removal !== null) await this.removal;
    const removal = this.removeNow(options);
    // Whoever waits for its end does not want to know how it ended.
    this.removal = removal.catch(() => undefined);
    try {
      return await removal;
    } finally {
      this.removal = null;
    }
  }

  /** Bindings go first: while one can't be taken away nothing is deleted. */
  private async removeNow(options: RemoveOptions): Promise<Result<{ messages: number }>> {
    const { catalogue } = this.ports;
    // Judged twice: bindings of a queue that stays are not to be touched, and it may change while they are.
    const early = this.judgeRemoval(options);
    if (!early.ok && early.code !== "queue_not_found") return early;
    const unbound = await catalogue.unbind();
    if (!unbound.ok) return unbound;
    const judged = this.judgeRemoval(options);
    if (!judged.ok && judged.code !== "queue_not_found") return judged;
    if (judged.ok) this.ports.erase(this.ports.open()!);
    // Where there was no queue as well: a declare or a removal may have been cut short between the catalogue and here.
    await catalogue.unregister();
    const leftovers = await catalogue.unbind();
    const isClean = await this.ports.clean();
    if (judged.ok && isClean) await this.ports.wipe();
    return leftovers.ok ? judged : leftovers;
  }

  private judgeRemoval({ ifEmpty, ifUnused }: RemoveOptions): Result<{ messages: number }> {
    const queue = this.ports.open();
    if (!queue) return this.ports.notFound();
    const { counts, consumers } = queue.inspect(Date.now());
    const messages = messagesIn(counts);
    if (ifEmpty && messages > 0) return refuse("queue_not_empty", `the queue holds ${messages} messages`);
    if (ifUnused && consumers.length > 0) {
      return refuse("queue_in_use", `the queue has ${consumers.length} consumers`);
    }
    return ok({ messages });
  }
}

function messagesIn({ ready, leased, delayed, parked, dead, deadLettering }: QueueCounts): number {
  return ready + leased + delayed + parked + dead + deadLettering;
}
