/**
 * One queue, or one partition of it: what it offers its callers. The shell wires the core to time, storage, sockets and
 * the alarm, and decides nothing about messages.
 */
import type { Env } from "../env.ts";
import type {
  Delivery,
  MessageHandle,
  MessageView,
  PeekCommand,
  PeekPage,
  PublishConfirm,
  Publisher,
  PurgeOptions,
  QueueInfo,
  ReceiveCommand,
  RedriveCommand,
  RedriveStatus,
  Settlement,
  SettlementResult,
} from "../protocol/commands.ts";
import type { QueueChanges, QueueConfig } from "../protocol/queue-config.ts";
import type { MovedCommand, MovesTaken } from "../protocol/move-target.ts";
import { referencedBytesIn } from "../protocol/referenced-bytes.ts";
import { ok, type Result } from "../protocol/result.ts";
import {
  CLAIMS_HEADER,
  PARTITIONS_HEADER,
  type HeldRemote,
  type PartitionApi,
  type DeclareOptions,
  type PartitionSetup,
  type QueueLayout,
  type RemoteConsumer,
  type SocketClaims,
} from "../protocol/rpc.ts";
import { refusePurge, type QueueRemoval } from "../queue/deletion-rules.ts";
import { Queue } from "../queue/queue.ts";
import { partitionOf } from "./peers.ts";
import { DeadLetterNote } from "./dead-letter-note.ts";
import { QueueLifecycle } from "./queue-lifecycle.ts";
import { QueuePartitions } from "./queue-partitions.ts";
import { CLOSE, closeSocket } from "./queue-socket.ts";
import { QueueTurns } from "./queue-turns.ts";
import { storageFull } from "./storage-full.ts";

export class QueueObject extends QueueTurns implements PartitionApi {
  private readonly lifecycle: QueueLifecycle;
  private readonly partitions: QueuePartitions;
  private readonly note: DeadLetterNote;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { namespace, queue, partition } = this.catalogue;
    this.partitions = new QueuePartitions({
      queue,
      partition,
      part: (one) => partitionOf(env, namespace, queue, one),
      open: () => this.open(),
      inTurn: (run) => this.group.add(() => this.withQueue(run)),
      learn: (setup) => this.learn(setup),
      isLeaving: () => this.lifecycle.isLeaving,
    });
    this.note = new DeadLetterNote({
      open: () => this.open(),
      note: (deadLetter) => this.catalogue.noteDeadLetter(deadLetter),
      inTurn: (run) => this.group.add(() => this.withQueue(run)),
    });
    this.lifecycle = new QueueLifecycle({
      partitions: this.partitions,
      note: this.note,
      catalogue: this.catalogue,
      stores: this.stores,
      open: () => this.open(),
      notFound: () => this.notFound(),
      whenDeclared: (run) => this.whenDeclared(run),
      erase: (queue) => this.erase(queue),
      clean: () => this.clean(),
      wipe: () => this.wipe(),
    });
  }

  protected nextTellMs(queue: Queue, nowMs: number): number | null {
    const times = [this.partitions.nextWakeMs(queue, nowMs), this.note.nextWakeMs(queue, nowMs)];
    return times.reduce((a, b) => (a === null || b === null ? (a ?? b) : Math.min(a, b)));
  }

  // The queue as a whole

  async declare(
    config: QueueConfig,
    options: DeclareOptions = {},
  ): Promise<Result<{ created: boolean; info: QueueInfo }>> {
    return this.lifecycle.declare(config, options);
  }

  async update(changes: QueueChanges): Promise<Result<QueueInfo>> {
    return this.lifecycle.update(changes);
  }

  async inspect(known = 1): Promise<Result<QueueInfo>> {
    return this.look((queue, nowMs) => ok(queue.inspect(nowMs)), known);
  }

  async remove(options: QueueRemoval): Promise<Result<{ messages: number }>> {
    return this.lifecycle.remove(options);
  }

  async layout(): Promise<Result<QueueLayout>> {
    return this.look(({ partition, config }) => ok({ partitions: partition.count, fifo: config.fifo }));
  }

  // As one partition of several

  async join(setup: PartitionSetup): Promise<Result<void>> {
    if (!this.lifecycle.join(setup)) await this.learn(setup);
    return ok(undefined);
  }

  async leave(options: QueueRemoval): Promise<Result<{ messages: number }>> {
    return this.lifecycle.leave(options);
  }

  async endWait(partition: number): Promise<Result<void>> {
    return this.whenDeclared((queue) => ok(queue.endWait(partition)));
  }

  // Messages

  async receive(command: ReceiveCommand, known = 1): Promise<Result<Delivery>> {
    return this.whenDeclared((queue, nowMs) => queue.receive(command, nowMs), known);
  }

  async settle(settlements: readonly Settlement[], known = 1): Promise<Result<SettlementResult[]>> {
    return this.whenDeclared((queue, nowMs) => ok(queue.settle(settlements, nowMs)), known);
  }

  async peek(command: PeekCommand, known = 1): Promise<Result<PeekPage>> {
    return this.look((queue, nowMs) => queue.peek(command, nowMs), known);
  }

  async find(handle: MessageHandle, known = 1): Promise<Result<MessageView>> {
    return this.look((queue, nowMs) => queue.find(handle, nowMs), known);
  }

  async cancel(handle: MessageHandle, known = 1): Promise<Result<{ id: string }>> {
    return this.whenDeclared((queue) => queue.cancel(handle), known);
  }

  async replace(
    handle: MessageHandle,
    batch: Uint8Array,
    publisher?: Publisher,
    known = 1,
  ): Promise<Result<PublishConfirm>> {
    this.gathered.bytes += batch.byteLength;
    return this.whenDeclared(
      (queue, nowMs) => (this.isFull ? storageFull() : queue.replace(handle, batch, nowMs, publisher)),
      known,
    );
  }

  async purge(options: PurgeOptions, known = 1): Promise<Result<{ messages: number }>> {
    return this.whenDeclared(
      (queue, nowMs) => refusePurge(queue, options, nowMs) ?? ok(queue.purge(options)),
      known,
    );
  }

  async pause(paused: boolean): Promise<Result<{ paused: boolean }>> {
    return this.lifecycle.pause(paused);
  }

  async redrive(command: RedriveCommand, known = 1): Promise<Result<RedriveStatus>> {
    const missing = await this.catalogue.checkQueue("to", command.to);
    if (missing) return missing;
    return this.whenDeclared((queue, nowMs) => queue.redrive(command, nowMs), known);
  }

  async redriveStatus(task: number, known = 1): Promise<Result<RedriveStatus>> {
    return this.look((queue) => queue.redriveStatus(task), known);
  }

  async redrives(limit: number, known = 1): Promise<Result<RedriveStatus[]>> {
    return this.look((queue) => ok(queue.redrives(limit)), known);
  }

  async redriveCancel(task: number, known = 1): Promise<Result<RedriveStatus>> {
    return this.whenDeclared((queue) => queue.redriveCancel(task), known);
  }

  async resumeKey(
    key: string,
    action: "retry" | "skip" | "drain",
    known = 1,
  ): Promise<Result<{ messages: number }>> {
    return this.whenDeclared((queue, nowMs) => queue.resumeKey(key, action, nowMs), known);
  }

  async acceptMoves({ from, moves }: MovedCommand, known = 1): Promise<Result<MovesTaken>> {
    for (const { batch } of moves) this.gathered.bytes += batch.byteLength + referencedBytesIn(batch);
    return this.whenDeclared(
      (queue, nowMs) => (this.isFull ? storageFull() : queue.acceptMoves(from, moves, nowMs)),
      known,
    );
  }

  // Consumers on hubs

  async attachRemote(
    consumer: RemoteConsumer,
    known = 1,
  ): Promise<Result<{ ids: readonly number[]; active: boolean; leaseMs: number }>> {
    const attach = (queue: Queue, nowMs: number) => queue.attachRemote(consumer, this.ids.next(nowMs), nowMs);
    return this.whenDeclared(attach, known);
  }

  async renewRemotes(
    hub: string,
    held: readonly HeldRemote[],
    known = 1,
  ): Promise<Result<{ gone: readonly number[]; partitions: number }>> {
    const renew = (queue: Queue, nowMs: number) =>
      ok({ gone: queue.renewRemotes(hub, held, nowMs), partitions: known });
    return this.whenDeclared(renew, known);
  }

  async changeRemote(
    [id = 0]: readonly number[],
    change: { credit: number },
    known = 1,
  ): Promise<Result<void>> {
    return this.whenDeclared((queue) => queue.changeRemote(id, change.credit), known);
  }

  async detachRemote(ids: readonly number[], how: "released" | "lost", known = 1): Promise<Result<void>> {
    return this.whenDeclared((queue, nowMs) => {
      for (const id of ids) queue.detachRemote(id, how, nowMs);
      return ok(undefined);
    }, known);
  }

  // Sockets

  override async fetch(request: Request): Promise<Response> {
    if (!this.open()) return Response.json(this.notFound(), { status: 404 });
    const claims = JSON.parse(request.headers.get(CLAIMS_HEADER) ?? "null") as SocketClaims | null;
    if (claims === null) return new Response("no claims", { status: 401 });
    const known = Number(request.headers.get(PARTITIONS_HEADER) ?? "1");
    const refused = this.open()!.refuseLayout(known);
    if (refused) return Response.json(refused, { status: 503 });
    return this.sockets.accept(claims, known);
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
      await this.partitions.work(Date.now());
      if (this.note.nextWakeMs(queue, 0) !== null) await this.note.work(Date.now());
    }
    await this.outbound.collectGarbage();
  }
}
