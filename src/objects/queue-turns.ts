/**
 * What every call to a queue's object becomes: a job of the turn's one transaction; after it, deliveries go out and the
 * alarm is set to the earliest due time. When a transition throws, the transaction is rolled back and the core is opened
 * again from storage by the next call.
 */
import { DurableObject } from "cloudflare:workers";
import kernels from "../../wasm/build/millrace.wasm";
import type { Env } from "../env.ts";
import type { PublishCommand, PublishConfirm } from "../protocol/commands.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import { type PartitionSetup } from "../protocol/rpc.ts";
import { referencedBytesIn } from "../protocol/referenced-bytes.ts";
import { WasmBatchCodec } from "../protocol/wasm-batch-codec.ts";
import type { Dispatched } from "../queue/consumers.ts";
import { Queue } from "../queue/queue.ts";
import { QUEUE_MIGRATIONS, SELDOM_USED_TABLES } from "../storage/queue-schema.ts";
import { SqlQueueStores } from "../storage/queue-stores.ts";
import { Sql } from "../storage/sql.ts";
import { platformRandom } from "./chance.ts";
import { Alarm } from "./alarm.ts";
import { allotmentFor } from "./allotment.ts";
import { ConsumerIds } from "./consumer-ids.ts";
import { GroupCommit } from "./group-commit.ts";
import { Outbound } from "./outbound.ts";
import { hubOf } from "./peers.ts";
import { QueueCatalogue } from "./queue-catalogue.ts";
import { QueueSockets } from "./queue-sockets.ts";
import { RateLimits } from "./rate-limits.ts";
import { isStorageFull, storageFull } from "./storage-full.ts";
import { RemoteConsumers } from "./remote-consumers.ts";
import { SocketTokens } from "./socket-tokens.ts";

/** Stateless, so all objects of the isolate share it. */
const codec = new WasmBatchCodec(kernels);

class Gathered {
  readonly commands: PublishCommand[] = [];
  /** Of all that the turn may store. */
  bytes = 0;
  results: Result<PublishConfirm>[] | null = null;
}

export abstract class QueueTurns extends DurableObject<Env> {
  protected readonly alarmClock: Alarm;
  protected readonly stores: SqlQueueStores;
  protected readonly catalogue: QueueCatalogue;
  protected readonly ids = new ConsumerIds();
  protected readonly sockets: QueueSockets;
  protected readonly remotes: RemoteConsumers;
  protected readonly group: GroupCommit;
  protected readonly outbound: Outbound;
  /** Of all that the turn may store. */
  protected gathered = new Gathered();
  private readonly sql: Sql;
  private readonly rates: RateLimits;
  /** The turn that runs is one again that could not be stored. */
  protected isFull = false;
  /** Null until the first call after a wake, and after a transition that threw. */
  private queue: Queue | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.sql = new Sql(ctx.storage.sql, SELDOM_USED_TABLES, QUEUE_MIGRATIONS);
    this.stores = new SqlQueueStores(this.sql);
    this.rates = new RateLimits(ctx.storage);
    this.group = new GroupCommit((run) => this.flush(run));
    this.catalogue = new QueueCatalogue(env, this.name);
    const { namespace, queue } = this.catalogue;
    this.alarmClock = new Alarm(ctx.storage);
    const tokens = new SocketTokens(() => this.catalogue.revokedTokens(), Date.now());
    this.sockets = new QueueSockets(ctx, { codec, turn: this, ids: this.ids, tokens });
    this.remotes = new RemoteConsumers({
      queue,
      hub: (hub) => hubOf(env, namespace, hub),
      lose: (ids) => this.loseRemotes(ids),
    });
    this.outbound = new Outbound({
      env,
      namespace,
      garbage: this.stores.work,
      open: () => this.open(),
      inTurn: (run) => this.group.add(run),
    });
  }

  /** When the alarm must ring for what other objects are to be told. */
  protected abstract nextTellMs(queue: Queue, nowMs: number): number | null;

  get name(): string {
    const { name } = this.ctx.id;
    if (name === undefined) throw new Error("a queue's object is addressed by name only");
    return name;
  }

  /** Rows read and written by this instance so far, as they are billed. For measuring. */
  rows(): { read: number; written: number } {
    return { read: this.sql.rowsRead, written: this.sql.rowsWritten };
  }

  /** Where the head is there a partition is only missing for now: its callers ask the head, which knows. */
  notFound(): Refusal {
    const { partition } = this.catalogue;
    if (partition > 0) return refuse("partitions_changed", `partition ${partition} is not there`);
    return refuse("queue_not_found", `queue: there is no queue "${this.catalogue.queue}"`);
  }

  /** The queue in memory; opened from storage after a wake, when sockets that are gone lose their leases. */
  open(): Queue | null {
    if (this.queue) return this.queue;
    const queue = Queue.open(this.stores, codec, platformRandom);
    if (!queue) return null;
    this.queue = queue;
    for (const { id } of queue.allRemotes()) this.ids.note(id);
    this.transition((nowMs) => queue.releaseOrphans(this.sockets.reattach(queue), nowMs));
    return queue;
  }

  /** Runs a change as a part of the turn's transaction. `known`: as in QueueApi; absent for what concerns this object. */
  whenDeclared<T>(
    run: (queue: Queue, nowMs: number) => Result<T>,
    known = Number.POSITIVE_INFINITY,
  ): Promise<Result<T>> {
    return this.group.add(() => this.look(run, known));
  }

  /** As whenDeclared, but it may wait so long for other changes. */
  later<T>(run: (queue: Queue, nowMs: number) => Result<T>, waitMs: number): Promise<Result<T>> {
    return this.group.addLater(() => this.look(run), waitMs);
  }

  protected look<T>(
    run: (queue: Queue, nowMs: number) => Result<T>,
    known = Number.POSITIVE_INFINITY,
  ): Result<T> {
    const queue = this.open();
    if (!queue) return this.notFound();
    return queue.refuseLayout(known) ?? run(queue, Date.now());
  }

  private async flush(run: () => void): Promise<void> {
    const { gathered } = this;
    this.gathered = new Gathered();
    if (gathered.bytes > 0) await this.makeAllotment(gathered.bytes);
    const dispatched = this.turn(run, gathered);
    if (!this.queue) return;
    this.sockets.afterTurn(this.queue, dispatched);
    this.remotes.afterTurn(this.queue, dispatched);
    const nowMs = Date.now();
    const { queue } = this;
    this.alarmClock.keep(
      [queue.nextWakeMs(nowMs), this.sockets.nextDeadlineMs(queue), this.nextTellMs(queue, nowMs)],
      nowMs,
    );
  }

  /** Where the storage is full, the turn goes on without what would make it grow. */
  private turn(run: () => void, gathered: Gathered): Dispatched[] {
    let dispatched: Dispatched[] = [];
    const work = (nowMs: number): void => {
      run();
      const queue = this.open();
      if (!queue) return;
      this.sockets.dropDead(queue, nowMs);
      dispatched = queue.dispatch(nowMs);
    };
    try {
      this.transition(work);
    } catch (error) {
      if (gathered.bytes === 0 || !isStorageFull(error)) throw error;
      console.error("the storage is full", { queue: this.name });
      gathered.results = gathered.commands.map(() => storageFull());
      this.isFull = true;
      try {
        this.transition(work);
      } finally {
        this.isFull = false;
      }
    }
    return dispatched;
  }

  /** All of it is stored or nothing. After a throw the core in memory can't be trusted and is dropped. */
  private transition(run: (nowMs: number) => void): void {
    try {
      this.ctx.storage.transactionSync(() => {
        const nowMs = Date.now();
        run(nowMs);
        this.queue?.commit(nowMs);
      });
    } catch (error) {
      this.queue = null;
      throw error;
    }
  }

  /**
   * Asks the namespace for room when the turn may go past what it granted. Whatever comes of it, the turn goes on:
   * what does not fit is refused then, and settlements need no room.
   */
  private async makeAllotment(bytes: number): Promise<void> {
    const queue = this.open();
    const wanted = queue && allotmentFor(queue.bytes + bytes, queue.stored.allottedBytes);
    if (!queue || wanted === null) return;
    try {
      const answer = await this.catalogue.allotBytes(wanted);
      if (answer.ok) this.transition(() => this.open()?.store({ allottedBytes: answer.value.bytes }));
    } catch (error) {
      console.error("no allotment", { queue: this.name, error: String(error) });
    }
  }

  // Changes of more than one part

  async publish(command: PublishCommand): Promise<Result<PublishConfirm>> {
    const [answer] = await this.publishAll([command]);
    return answer!;
  }

  async publishAll(commands: readonly PublishCommand[]): Promise<Result<PublishConfirm>[]> {
    const queue = this.open();
    if (!queue) return commands.map(() => this.notFound());
    // Who knows too few partitions comes again, and is charged then.
    const isStale = ({ known = 1 }: PublishCommand): boolean => queue.refuseLayout(known) !== null;
    if (commands.some(isStale)) return this.gather(commands);
    return this.rates.guard(commands, Date.now(), (allowed) => this.gather(allowed));
  }

  private gather(commands: readonly PublishCommand[]): Promise<Result<PublishConfirm>[]> {
    const refuseAll = (): Refusal[] => commands.map(() => this.notFound());
    const { gathered } = this;
    const from = gathered.commands.length;
    for (const command of commands) {
      gathered.commands.push(command);
      gathered.bytes += command.batch.byteLength;
      if (command.source === "broker") gathered.bytes += referencedBytesIn(command.batch);
    }
    return this.group.addBeside(() => {
      const queue = this.open();
      if (!queue) return refuseAll();
      gathered.results ??= queue.publish(gathered.commands, Date.now());
      return gathered.results.slice(from, from + commands.length);
    });
  }

  protected async learn(setup: PartitionSetup): Promise<void> {
    await this.group.add(() =>
      this.withQueue((queue) => {
        const before = queue.partition.count;
        queue.learn(setup);
        if (queue.partition.count === before) return;
        this.sockets.tellSpread(queue, Date.now());
        this.remotes.tellSpread(queue.allRemotes());
      }),
    );
  }

  protected withQueue(run: (queue: Queue) => void): void {
    const queue = this.open();
    if (queue) run(queue);
  }

  protected erase(queue: Queue): void {
    this.sockets.cancelAll("queue_deleted");
    this.remotes.tellEnded(queue.allRemotes(), "queue_deleted");
    this.transition((nowMs) => {
      queue.releaseAll(nowMs);
      queue.purge({});
      queue.commit(nowMs);
      this.stores.clear();
      this.queue = null;
    });
  }

  protected async clean(): Promise<boolean> {
    await this.outbound.collectGarbage();
    return this.stores.work.garbage(1).length === 0;
  }

  /** Other events wait while the storage is wiped. */
  protected async wipe(): Promise<void> {
    await this.alarmClock.delete();
    await this.ctx.storage.deleteAll();
    this.sql.forget();
  }

  private async loseRemotes(ids: readonly number[]): Promise<void> {
    await this.whenDeclared((queue, nowMs) => {
      for (const id of ids) queue.detachRemote(id, "lost", nowMs);
      return ok(undefined);
    });
  }
}
