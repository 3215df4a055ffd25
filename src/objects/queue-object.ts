/**
 * One queue. The shell wires the core to time, storage, sockets and the alarm, and decides nothing about messages.
 *
 * Every call becomes a job of the turn's one transaction; after it, deliveries go out and the alarm is set to the
 * earliest due time. When a transition throws, the transaction is rolled back and the core is opened again from
 * storage by the next call.
 */
import { DurableObject } from "cloudflare:workers";
import kernels from "../../wasm/build/millrace.wasm";
import type { Env } from "../env.ts";
import type {
  Delivery,
  MessageHandle,
  MessageView,
  PeekCommand,
  PeekPage,
  PublishCommand,
  PublishConfirm,
  QueueInfo,
  ReceiveCommand,
  RedriveCommand,
  RedriveStatus,
  Settlement,
  SettlementResult,
} from "../protocol/commands.ts";
import type { QueueConfig } from "../protocol/queue-config.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import { CLAIMS_HEADER, type QueueApi, type RemoteConsumer, type SocketClaims } from "../protocol/rpc.ts";
import { WasmBatchCodec } from "../protocol/wasm-batch-codec.ts";
import type { Dispatched } from "../queue/consumers.ts";
import type { QueueRemoval } from "../queue/deletion-rules.ts";
import { Queue } from "../queue/queue.ts";
import { migrate } from "../storage/migrations.ts";
import { QUEUE_MIGRATIONS } from "../storage/queue-schema.ts";
import { SqlQueueStores } from "../storage/queue-stores.ts";
import { Sql } from "../storage/sql.ts";
import { Alarm } from "./alarm.ts";
import { allotmentFor } from "./allotment.ts";
import { ConsumerIds } from "./consumer-ids.ts";
import { GroupCommit } from "./group-commit.ts";
import { Outbound } from "./outbound.ts";
import { hubOf } from "./peers.ts";
import { QueueCatalogue } from "./queue-catalogue.ts";
import { QueueLifecycle } from "./queue-lifecycle.ts";
import { CLOSE, closeSocket } from "./queue-socket.ts";
import { QueueSockets } from "./queue-sockets.ts";
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

export class QueueObject extends DurableObject<Env> implements QueueApi {
  private readonly sql: Sql;
  private readonly alarmClock: Alarm;
  private readonly lifecycle: QueueLifecycle;
  private readonly stores: SqlQueueStores;
  private readonly catalogue: QueueCatalogue;
  private readonly ids = new ConsumerIds();
  private readonly sockets: QueueSockets;
  private readonly remotes: RemoteConsumers;
  private readonly group: GroupCommit;
  private readonly outbound: Outbound;
  private gathered = new Gathered();
  /** Null until the first call after a wake, and after a transition that threw. */
  private queue: Queue | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage.sql, QUEUE_MIGRATIONS);
    this.sql = new Sql(ctx.storage.sql);
    this.stores = new SqlQueueStores(this.sql);
    this.group = new GroupCommit((run) => this.flush(run));
    this.catalogue = new QueueCatalogue(env, this.name);
    const { namespace, queue } = this.catalogue;
    this.alarmClock = new Alarm(ctx.storage);
    this.lifecycle = new QueueLifecycle({
      catalogue: this.catalogue,
      stores: this.stores,
      open: () => this.open(),
      notFound: () => this.notFound(),
      whenDeclared: (run) => this.whenDeclared(run),
      erase: (queue) => this.erase(queue),
      clean: () => this.clean(),
      wipe: () => this.wipe(),
    });
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

  // The queue as a whole

  async declare(config: QueueConfig): Promise<Result<{ created: boolean; info: QueueInfo }>> {
    return this.lifecycle.declare(config);
  }

  async update(changes: Partial<QueueConfig>): Promise<Result<QueueInfo>> {
    return this.lifecycle.update(changes);
  }

  async inspect(): Promise<Result<QueueInfo>> {
    return this.look((queue, nowMs) => ok(queue.inspect(nowMs)));
  }

  async remove(options: QueueRemoval): Promise<Result<{ messages: number }>> {
    return this.lifecycle.remove(options);
  }

  private erase(queue: Queue): void {
    this.sockets.cancelAll("queue_deleted");
    this.remotes.tellEnded(queue.allRemotes(), "queue_deleted");
    this.transition((nowMs) => {
      queue.releaseAll(nowMs);
      queue.purge(undefined);
      queue.commit(nowMs);
      this.stores.clear();
      this.queue = null;
    });
  }

  private async clean(): Promise<boolean> {
    await this.outbound.collectGarbage();
    return this.stores.work.garbage(1).length === 0;
  }

  /** Other events wait while the storage is wiped. */
  private async wipe(): Promise<void> {
    await this.alarmClock.delete();
    await this.ctx.storage.deleteAll();
    migrate(this.ctx.storage.sql, QUEUE_MIGRATIONS);
  }

  // Messages

  async publish(command: PublishCommand): Promise<Result<PublishConfirm>> {
    const [answer] = await this.publishAll([command]);
    return answer!;
  }

  async publishAll(commands: readonly PublishCommand[]): Promise<Result<PublishConfirm>[]> {
    const refuseAll = (): Refusal[] => commands.map(() => this.notFound());
    if (!this.open()) return refuseAll();
    const { gathered } = this;
    const from = gathered.commands.length;
    for (const command of commands) {
      gathered.commands.push(command);
      gathered.bytes += command.batch.byteLength;
    }
    return this.group.add(() => {
      const queue = this.open();
      if (!queue) return refuseAll();
      gathered.results ??= queue.publish(gathered.commands, Date.now());
      return gathered.results.slice(from, from + commands.length);
    });
  }

  async receive(command: ReceiveCommand): Promise<Result<Delivery>> {
    return this.whenDeclared((queue, nowMs) => queue.receive(command, nowMs));
  }

  async settle(settlements: readonly Settlement[]): Promise<Result<SettlementResult[]>> {
    return this.whenDeclared((queue, nowMs) => ok(queue.settle(settlements, nowMs)));
  }

  async peek(command: PeekCommand): Promise<Result<PeekPage>> {
    return this.look((queue, nowMs) => queue.peek(command, nowMs));
  }

  async find(handle: MessageHandle): Promise<Result<MessageView>> {
    return this.look((queue, nowMs) => queue.find(handle, nowMs));
  }

  async cancel(handle: MessageHandle): Promise<Result<{ id: string }>> {
    return this.whenDeclared((queue) => queue.cancel(handle));
  }

  async replace(handle: MessageHandle, batch: Uint8Array): Promise<Result<PublishConfirm>> {
    this.gathered.bytes += batch.byteLength;
    return this.whenDeclared((queue, nowMs) => queue.replace(handle, batch, nowMs));
  }

  async purge(options: { upToSequence?: number }): Promise<Result<{ messages: number }>> {
    return this.whenDeclared((queue) => ok(queue.purge(options.upToSequence)));
  }

  async pause(paused: boolean): Promise<Result<{ paused: boolean }>> {
    return this.whenDeclared((queue) => {
      if (queue.stored.paused !== paused) queue.store({ paused });
      return ok({ paused });
    });
  }

  async redrive(command: RedriveCommand): Promise<Result<RedriveStatus>> {
    const missing = await this.catalogue.checkQueue("to", command.to);
    if (missing) return missing;
    return this.whenDeclared((queue, nowMs) => queue.redrive(command, nowMs));
  }

  async redriveStatus(task: number): Promise<Result<RedriveStatus>> {
    return this.look((queue) => queue.redriveStatus(task));
  }

  async redriveCancel(task: number): Promise<Result<RedriveStatus>> {
    return this.whenDeclared((queue) => queue.redriveCancel(task));
  }

  async resumeKey(key: string, action: "retry" | "skip" | "drain"): Promise<Result<{ messages: number }>> {
    return this.whenDeclared((queue, nowMs) => queue.resumeKey(key, action, nowMs));
  }

  async acceptMoved(command: {
    from: string;
    number: number;
    batch: Uint8Array;
  }): Promise<Result<{ accepted: number; isDone: boolean }>> {
    this.gathered.bytes += command.batch.byteLength;
    return this.whenDeclared((queue, nowMs) =>
      queue.acceptMoved(command.from, command.number, command.batch, nowMs),
    );
  }

  // Consumers on hubs

  async attachRemote(
    consumer: RemoteConsumer,
  ): Promise<Result<{ id: number; active: boolean; leaseMs: number }>> {
    return this.whenDeclared((queue, nowMs) => queue.attachRemote(consumer, this.ids.next(nowMs), nowMs));
  }

  async changeRemote(id: number, change: { credit: number }): Promise<Result<void>> {
    return this.whenDeclared((queue) => queue.changeRemote(id, change.credit));
  }

  async detachRemote(id: number, how: "released" | "lost"): Promise<Result<void>> {
    return this.whenDeclared((queue, nowMs) => ok(queue.detachRemote(id, how, nowMs)));
  }

  private async loseRemotes(ids: readonly number[]): Promise<void> {
    await this.whenDeclared((queue, nowMs) => {
      for (const id of ids) queue.detachRemote(id, "lost", nowMs);
      return ok(undefined);
    });
  }

  // Sockets

  override async fetch(request: Request): Promise<Response> {
    if (!this.open()) return Response.json(this.notFound(), { status: 404 });
    const claims = JSON.parse(request.headers.get(CLAIMS_HEADER) ?? "null") as SocketClaims | null;
    if (claims === null) return new Response("no claims", { status: 401 });
    return this.sockets.accept(claims);
  }

  override async webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): Promise<void> {
    await this.sockets.onMessage(socket, data);
  }

  override async webSocketClose(socket: WebSocket, code: number): Promise<void> {
    await this.sockets.onClose(socket, code);
    closeSocket(socket, CLOSE.normal, "");
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    await this.sockets.onClose(socket, 1006);
  }

  // Time

  /** Repeatable: alarms come at least once. */
  override async alarm(): Promise<void> {
    this.alarmClock.rang();
    const queue = this.open();
    if (queue) {
      await this.sockets.learnRevoked(queue);
      await this.group.add(() => this.open()?.tick(Date.now()));
      await this.outbound.carryMoves();
    }
    await this.outbound.collectGarbage();
  }

  // One turn

  get name(): string {
    const { name } = this.ctx.id;
    if (name === undefined) throw new Error("a queue's object is addressed by name only");
    return name;
  }

  /** Rows read and written by this instance so far, as they are billed. For measuring. */
  rows(): { read: number; written: number } {
    return { read: this.sql.rowsRead, written: this.sql.rowsWritten };
  }

  notFound(): Refusal {
    return refuse("queue_not_found", `queue: there is no queue "${this.catalogue.queue}"`);
  }

  /** The queue in memory; opened from storage after a wake, when sockets that are gone lose their leases. */
  open(): Queue | null {
    if (this.queue) return this.queue;
    const queue = Queue.open(this.stores, codec, Math.random);
    if (!queue) return null;
    this.queue = queue;
    for (const { id } of queue.allRemotes()) this.ids.note(id);
    this.transition((nowMs) => queue.releaseOrphans(this.sockets.reattach(queue), nowMs));
    return queue;
  }

  /** Runs a change as a part of the turn's transaction. */
  whenDeclared<T>(run: (queue: Queue, nowMs: number) => Result<T>): Promise<Result<T>> {
    return this.group.add(() => {
      const queue = this.open();
      return queue ? run(queue, Date.now()) : this.notFound();
    });
  }

  private look<T>(run: (queue: Queue, nowMs: number) => Result<T>): Result<T> {
    const queue = this.open();
    return queue ? run(queue, Date.now()) : this.notFound();
  }

  private async flush(run: () => void): Promise<void> {
    const { gathered } = this;
    this.gathered = new Gathered();
    if (gathered.bytes > 0) await this.makeAllotment(gathered.bytes);
    let dispatched: Dispatched[] = [];
    this.transition((nowMs) => {
      run();
      const queue = this.open();
      if (!queue) return;
      this.sockets.dropDead(queue, nowMs);
      dispatched = queue.dispatch(nowMs);
    });
    if (!this.queue) return;
    this.sockets.afterTurn(this.queue, dispatched);
    this.remotes.afterTurn(this.queue, dispatched);
    const nowMs = Date.now();
    this.alarmClock.keep([this.queue.nextWakeMs(nowMs), this.sockets.nextDeadlineMs(this.queue)], nowMs);
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
}
