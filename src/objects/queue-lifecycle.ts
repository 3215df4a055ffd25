/**
 * How a queue comes to be, changes and ends, in step with the catalogue. Each may be cut short at any call to another
 * object, and is repeated then: a name is listed before the queue is there, and until after it is gone.
 */
import type { QueueInfo } from "../protocol/commands.ts";
import { withChanges, type QueueChanges, type QueueConfig } from "../protocol/queue-config.ts";
import { ok, type Refusal, type Result } from "../protocol/result.ts";
import type { DeclareOptions, PartitionSetup } from "../protocol/rpc.ts";
import { refuseChanges, refuseConfig, refuseRedeclare } from "../queue/config-rules.ts";
import { WHOLE } from "../queue/partition.ts";
import { judgeRemoval, type QueueRemoval } from "../queue/deletion-rules.ts";
import type { Queue } from "../queue/queue.ts";
import type { QueueStores } from "../queue/stores.ts";
import type { QueueCatalogue } from "./queue-catalogue.ts";
import type { DeadLetterNote } from "./dead-letter-note.ts";
import type { QueuePartitions } from "./queue-partitions.ts";
import { Removal } from "./removal.ts";

/** What the lifecycle needs of the object around it. */
export interface LifecyclePorts {
  readonly partitions: QueuePartitions;
  readonly catalogue: QueueCatalogue;
  readonly note: DeadLetterNote;
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
    const { catalogue, partitions } = ports;
    this.removal = new Removal({
      judge: (options) => {
        const queue = ports.open();
        return queue ? judgeRemoval(queue.inspect(Date.now()), options) : ports.notFound();
      },
      notFound: "queue_not_found",
      unbind: () => catalogue.unbind(),
      elsewhere: {
        judge: (options) => partitions.judgeAll(options),
        remove: (options) => partitions.leaveAll(options),
        sum: (here, there) => ({ messages: here.messages + there.messages }),
      },
      erase: () => ports.erase(ports.open()!),
      unregister: (removed) => catalogue.unregister(removed?.restMs ?? 0),
      clean: async (isErased) => {
        const isClean = await ports.clean();
        if (isErased && isClean) await ports.wipe();
      },
    });
  }

  /** Where the queue is being deleted. */
  get isLeaving(): boolean {
    return this.removal.isRunning;
  }

  async declare(
    config: QueueConfig,
    options: DeclareOptions,
  ): Promise<Result<{ created: boolean; info: QueueInfo }>> {
    await this.removal.over();
    const { catalogue } = this.ports;
    const misfit = refuseConfig(config);
    if (misfit) return misfit;
    const missing = await catalogue.checkTarget(config);
    if (missing) return missing;
    const found = this.find(config);
    if (found) return (await this.tell()) ?? found;
    const registered = await catalogue.register(options);
    if (!registered.ok) return registered;
    // Another declare may have come in between.
    const declared = this.find(config) ?? this.create(config);
    // A turn sets the alarm: should this be cut short now, what is to be told is told all the same.
    await this.ports.whenDeclared(() => ok(undefined));
    return (await this.tell()) ?? declared;
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
    const { partitions } = config;
    stores.writeQueue({
      queue,
      namespace,
      origin,
      createdMs,
      paused: false,
      allottedBytes: 0,
      config,
      ...(partitions === 1 ? {} : { partition: { ...WHOLE, count: partitions, changes: 1 } }),
    });
    return ok({ created: true, info: this.ports.open()!.inspect(createdMs) });
  }

  /** What others must know of what is stored. */
  private async tell(): Promise<Refusal | null> {
    return (await this.ports.partitions.spread()) ?? (await this.ports.note.tell());
  }

  async update(changes: QueueChanges): Promise<Result<QueueInfo>> {
    const missing = await this.ports.catalogue.checkTarget(changes);
    if (missing) return missing;
    const updated = await this.ports.whenDeclared((queue, nowMs) => {
      const refused = refuseChanges(queue.config, changes);
      if (refused) return refused;
      queue.store({
        config: withChanges(queue.config, changes),
        changedMs: nowMs,
        ...this.ports.note.whileTold(queue),
      });
      return ok(queue.inspect(nowMs));
    });
    return updated.ok ? ((await this.tell()) ?? updated) : updated;
  }

  async pause(paused: boolean): Promise<Result<{ paused: boolean }>> {
    const answer = await this.ports.whenDeclared((queue) => {
      if (queue.stored.paused !== paused) queue.store({ paused });
      return ok({ paused });
    });
    return answer.ok ? ((await this.ports.partitions.spread()) ?? answer) : answer;
  }

  /** Makes a partition. False: it is there already, and has to learn. */
  join(setup: PartitionSetup): boolean {
    const known = this.ports.open();
    if (known?.stored.origin === setup.origin) return false;
    // Word of an earlier queue of the name may come late; and what such a queue left behind is in the way.
    if (known !== null && known.stored.createdMs > setup.createdMs) return true;
    if (known) this.ports.erase(known);
    const { namespace, queue, partition: index } = this.ports.catalogue;
    const { origin, createdMs, config, paused, partitions, change, waitsFor } = setup;
    const partition = { ...WHOLE, index, count: partitions, told: change, waitsFor };
    this.ports.stores.writeQueue({
      queue,
      namespace,
      origin,
      createdMs,
      paused,
      allottedBytes: 0,
      config,
      partition,
    });
    return true;
  }

  /** Deletes a partition. */
  async leave(options: QueueRemoval): Promise<Result<{ messages: number }>> {
    const queue = this.ports.open();
    const judged = queue ? judgeRemoval(queue.inspect(Date.now()), options) : ok({ messages: 0 });
    if (!judged.ok) return judged;
    if (queue) this.ports.erase(queue);
    if (await this.ports.clean()) await this.ports.wipe();
    return judged;
  }

  remove(options: QueueRemoval): Promise<Result<{ messages: number }>> {
    return this.removal.run(options);
  }
}
