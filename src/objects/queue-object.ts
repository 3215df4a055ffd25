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
import { splitObjectName } from "../protocol/names.ts";
import type { QueueConfig } from "../protocol/queue-config.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import { CLAIMS_HEADER, type NamespaceApi, type QueueApi, type SocketClaims } from "../protocol/rpc.ts";
import { WasmBatchCodec } from "../protocol/wasm-batch-codec.ts";
import type { Dispatched } from "../queue/consumers.ts";
import { refuseChanges, refuseRedeclare, refuseTarget } from "../queue/config-rules.ts";
import { Queue } from "../queue/queue.ts";
import { migrate } from "../storage/migrations.ts";
import { QUEUE_MIGRATIONS } from "../storage/queue-schema.ts";
import { SqlQueueStores } from "../storage/queue-stores.ts";
import { Sql } from "../storage/sql.ts";
import { allotmentFor } from "./allotment.ts";
import { GroupCommit } from "./group-commit.ts";
import { Outbound } from "./outbound.ts";
import { QueueSockets } from "./queue-sockets.ts";

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
  private readonly stores: SqlQueueStores;
  private readonly sockets: QueueSockets;
  private readonly group: GroupCommit;
  private readonly outbound: Outbound;
  private gathered = new Gathered();
  /** Null until the first call after a wake, and after a transition that threw. */
  private queue: Queue | null = null;
  /** What the alarm is set to, as far as this instance knows; undefined: not looked up yet. */
  private alarmMs: number | null | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage.sql, QUEUE_MIGRATIONS);
    this.sql = new Sql(ctx.storage.sql);
    this.stores = new SqlQueueStores(this.sql);
    this.group = new GroupCommit((run) => this.flush(run));
    this.sockets = new QueueSockets(ctx, codec, this);
    this.outbound = new Outbound({
      env,
      work: this.stores.work,
      open: () => this.open(),
      inTurn: (run) => this.group.add(run),
    });
  }

  // Declaring

  async declare(config: QueueConfig): Promise<Result<{ created: boolean; info: QueueInfo }>> {
    const missing = await this.checkTarget(config);
    if (missing) return missing;
    const known = this.open();
    if (known) {
      return refuseRedeclare(known.config, config) ?? ok({ created: false, info: known.inspect(Date.now()) });
    }
    const registered = await this.catalogue().registerQueue(splitObjectName(this.name).name);
    if (!registered.ok) return registered;
    return this.create(config);
  }

  private create(config: QueueConfig): Result<{ created: boolean; info: QueueInfo }> {
    const known = this.open();
    // Another declare may have come in between.
    if (known)
      return refuseRedeclare(known.config, config) ?? ok({ created: false, info: known.inspect(Date.now()) });
    const { namespace, name: queue } = splitObjectName(this.name);
    const origin = crypto.getRandomValues(new Uint32Array(1))[0]! * 256 + 1;
    const createdMs = Date.now();
    this.stores.writeQueue({ queue, namespace, origin, createdMs, paused: false, allottedBytes: 0, config });
    return ok({ created: true, info: this.open()!.inspect(createdMs) });
  }

  async update(changes: Partial<QueueConfig>): Promise<Result<QueueInfo>> {
    const missing = await this.checkTarget(changes);
    if (missing) return missing;
    return this.whenDeclared((queue) => {
      const refused = refuseChanges(queue.config, changes);
      if (refused) return refused;
      queue.store({ config: { ...queue.config, ...changes } });
      return ok(queue.inspect(Date.now()));
    });
  }

  private async checkTarget(config: Partial<QueueConfig>): Promise<Refusal | null> {
    const target = config.deadLetter?.queue;
    if (target === undefined) return null;
    const refused = refuseTarget(splitObjectName(this.name).name, target);
    if (refused) return refused;
    const found = await this.catalogue().hasQueue(target);
    if (!found.ok) return found;
    return found.value ? null : refuse("dead_letter_missing", `deadLetter.queue: "${target}" does not exist`);
  }

  async inspect(): Promise<Result<QueueInfo>> {
    return this.look((queue, nowMs) => ok(queue.inspect(nowMs)));
  }

  async remove(options: { ifEmpty: boolean; ifUnused: boolean }): Promise<Result<{ messages: number }>> {
    const queue = this.open();
    if (!queue) {
      // A declare may have been cut short between the catalogue and here.
      await this.unlist();
      return this.notFound();
    }
    const { counts, consumers } = queue.inspect(Date.now());
    const messages =
      counts.ready + counts.leased + counts.delayed + counts.parked + counts.dead + counts.deadLettering;
    if (options.ifEmpty && messages > 0)
      return refuse("queue_not_empty", `the queue holds ${messages} messages`);
    if (options.ifUnused && consumers.length > 0) {
      return refuse("queue_in_use", `the queue has ${consumers.length} consumers`);
    }
    // All of this before the first await: from here on there is no queue, whoever asks.
    this.sockets.cancelAll("queue_deleted");
    this.transition((nowMs) => {
      queue.releaseAll(nowMs);
      queue.purge(undefined);
      queue.commit(nowMs);
      this.stores.clear();
      this.queue = null;
    });
    await this.unlist();
    await this.outbound.collectGarbage();
    // Unless it was declared again meanwhile. Other events wait while the storage is wiped.
    if (this.stores.readQueue() === null && this.stores.work.garbage(1).length === 0) {
      this.alarmMs = undefined;
      await this.ctx.storage.deleteAlarm();
      await this.ctx.storage.deleteAll();
      migrate(this.ctx.storage.sql, QUEUE_MIGRATIONS);
    }
    return ok({ messages });
  }

  private catalogue(): NamespaceApi {
    return this.env.NAMESPACES.getByName(splitObjectName(this.name).namespace);
  }

  /** Takes the queue off the catalogue; a declare that came in between puts it back. */
  private async unlist(): Promise<void> {
    const { name: queue } = splitObjectName(this.name);
    await this.catalogue().unregisterQueue(queue);
    if (this.stores.readQueue() !== null) await this.catalogue().registerQueue(queue);
  }

  // Messages

  async publish(command: PublishCommand): Promise<Result<PublishConfirm>> {
    if (!this.open()) return this.notFound();
    const { gathered } = this;
    const at = gathered.commands.push(command) - 1;
    gathered.bytes += command.batch.byteLength;
    return this.group.add(() => {
      const queue = this.open();
      if (!queue) return this.notFound();
      gathered.results ??= queue.publish(gathered.commands, Date.now());
      return gathered.results[at]!;
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
    const { to } = command;
    if (to !== undefined && to !== splitObjectName(this.name).name) {
      const found = await this.catalogue().hasQueue(to);
      if (!found.ok) return found;
      if (!found.value) return refuse("queue_not_found", `to: there is no queue "${to}"`);
    }
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
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    await this.sockets.onClose(socket, 1006);
  }

  // Time

  /** Repeatable: alarms come at least once. */
  override async alarm(): Promise<void> {
    this.alarmMs = null;
    if (this.open()) {
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
    const { name: queue } = splitObjectName(this.name);
    return refuse("queue_not_found", `queue: there is no queue "${queue}"`);
  }

  /** The queue in memory; opened from storage after a wake, when sockets that are gone lose their leases. */
  open(): Queue | null {
    if (this.queue) return this.queue;
    const queue = Queue.open(this.stores, codec, Math.random);
    if (!queue) return null;
    this.queue = queue;
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
    if (this.queue) this.sockets.afterTurn(this.queue, dispatched);
    this.keepAlarm();
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
      const answer = await this.catalogue().allotBytes(splitObjectName(this.name).name, wanted);
      if (answer.ok) this.transition(() => this.open()?.store({ allottedBytes: answer.value.bytes }));
    } catch (error) {
      console.error("no allotment", { queue: this.name, error: String(error) });
    }
  }

  /** The alarm is never later than the earliest due time; it is only moved forward, because moving it costs a row. */
  private keepAlarm(): void {
    if (!this.queue) return;
    const nowMs = Date.now();
    const times = [this.queue.nextWakeMs(nowMs), this.sockets.nextDeadlineMs(this.queue)].filter(
      (ms) => ms !== null,
    );
    const wakeMs = times.length === 0 ? null : Math.min(...times);
    if (wakeMs === null || (this.alarmMs !== null && this.alarmMs !== undefined && this.alarmMs <= wakeMs))
      return;
    this.alarmMs = Math.max(wakeMs, nowMs);
    void this.ctx.storage.setAlarm(this.alarmMs);
  }
}
