/**
 * How a queue comes to be, changes and ends, in step with the catalogue. Each may be cut short at any call to another
 * object, and is repeated then: a name is listed before the queue is there, and until after it is gone.
 */
import type { QueueInfo } from "../protocol/commands.ts";
import type { QueueConfig } from "../protocol/queue-config.ts";
import { ok, type Refusal, type Result } from "../protocol/result.ts";
import { refuseChanges, refuseRedeclare } from "../queue/config-rules.ts";
import { judgeRemoval, type QueueRemoval } from "../queue/deletion-rules.ts";
import type { Queue } from "../queue/queue.ts";
import type { QueueStores } from "../queue/stores.ts";
import type { QueueCatalogue } from "./queue-catalogue.ts";
import { Removal } from "./removal.ts";

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
  private readonly removal: Removal<QueueRemoval, { messages: number }>;

  constructor(ports: LifecyclePorts) {
    this.ports = ports;
    const { catalogue } = ports;
    this.removal = new Removal({
      judge: (options) => {
        const queue = ports.open();
        return queue ? judgeRemoval(queue.inspect(Date.now()), options) : ports.notFound();
      },
      notFound: "queue_not_found",
      unbind: () => catalogue.unbind(),
      erase: () => ports.erase(ports.open()!),
      unregister: () => catalogue.unregister(),
      clean: async (isErased) => {
        const isClean = await ports.clean();
        if (isErased && isClean) await ports.wipe();
      },
    });
  }

  async declare(config: QueueConfig): Promise<Result<{ created: boolean; info: QueueInfo }>> {
    await this.removal.over();
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

  remove(options: QueueRemoval): Promise<Result<{ messages: number }>> {
    return this.removal.run(options);
  }
}
