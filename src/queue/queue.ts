/**
 * The queue: every transition of it, each of which ran or did not. Time and chance are arguments, storage is a
 * port, and nothing here waits.
 *
 *   publish ──► DELAYED ──due──► READY ──lease──► LEASED ──ack──► gone
 *                  ▲               ▲                 │
 *                  └── back-off ───┴──── nack, ──────┤
 *                                      failure       └──► PARKED (its key waits) or DEAD: dead-letter queue, or here
 *
 * The shell opens a transaction, calls one or more transitions, then `commit`, and closes the transaction. If
 * anything throws, the transaction is rolled back and this object is thrown away and opened again from storage.
 */
import type { BatchCodec } from "../protocol/batch.ts";
import type {
  Delivery,
  MessageHandle,
  MessageView,
  PeekCommand,
  PeekPage,
  PublishCommand,
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
import { LIMITS } from "../protocol/limits.ts";
import type { QueueConfig } from "../protocol/queue-config.ts";
import { moveSender, type Move, type MoveBatch, type MovesTaken } from "../protocol/move-target.ts";
import { ok, type Refusal, type Result } from "../protocol/result.ts";
import type { HeldRemote, PartitionSetup, RemoteConsumer } from "../protocol/rpc.ts";
import { acceptAll, replaceWaiting } from "./accept.ts";
import { find, peek } from "./browse.ts";
import { nextWakeMs, tick } from "./clock-work.ts";
import { commit } from "./commit.ts";
import { Consumers, type Consumer, type Dispatched } from "./consumers.ts";
import { openContext, type QueueContext } from "./context.ts";
import { takeBack } from "./failed-moves.ts";
import { inspect } from "./inspect.ts";
import { resumeKey } from "./parked.ts";
import { acceptMoves } from "./moved.ts";
import { dueTargets, movesTo, postpone } from "./outgoing.ts";
import {
  endFence,
  endWait,
  learn,
  noteTold,
  partitionOf,
  refuseLayout,
  withChange,
  workedOff,
} from "./partition.ts";
import { purge } from "./purge.ts";
import { receive } from "./receive.ts";
import { Remotes, type AttachedRemote } from "./remotes.ts";
import { redirectDead } from "./redirect.ts";
import { cancelRedrive, lastRedrives, redriveStatus, startRedrive } from "./redrive.ts";
import { holdersOf, releaseConsumer, releaseLeases, type Departure } from "./release.ts";
import { cancelWaiting } from "./remove.ts";
import { ackWaitMs } from "./ack-delay.ts";
import { settleAll } from "./settle.ts";
import type { Fence, OutboxRow, Partition, QueueStores, RemoteRow, StoredQueue } from "./stores.ts";

/** What a queue keeps in memory, for those who check that it is bounded by what is in flight. */
export interface QueueMemory {
  readonly activeLeases: number;
  readonly endedLeases: number;
  readonly holders: number;
  readonly keysInFlight: number;
  readonly freeKeys: number;
  readonly segments: number;
  readonly producers: number;
}

export class Queue {
  private readonly context: QueueContext;
  private readonly consumers = new Consumers();
  private readonly remotes: Remotes;

  private constructor(context: QueueContext) {
    this.context = context;
    this.remotes = new Remotes(context, this.consumers);
  }

  /** The stored queue, or null when none was declared. Cost does not depend on how much is waiting. */
  static open(stores: QueueStores, codec: BatchCodec, random: () => number): Queue | null {
    const context = openContext(stores, codec, random);
    return context && new Queue(context);
  }

  get config(): QueueConfig {
    return this.context.stored.config;
  }

  get stored(): StoredQueue {
    return this.context.stored;
  }

  /** The queue's own time, which never runs backwards while it is in memory. */
  get clockMs(): number {
    return this.context.ledger.now.clockMs;
  }

  /** The last tick reached a bound before all that is due was done. */
  get hasMoreWork(): boolean {
    return this.context.hasMoreWork;
  }

  /** Bytes held, for the namespace's quota. */
  get bytes(): number {
    return this.context.ledger.now.bytes;
  }

  /** What all partitions must know is counted, so that the head goes on telling them until they do. */
  store(changes: Partial<StoredQueue>): void {
    const isForAll = changes.config !== undefined || changes.paused !== undefined;
    const stored = { ...this.context.stored, ...changes };
    this.context.stored = isForAll ? withChange(stored) : stored;
    this.context.stores.writeQueue(this.context.stored);
    if (changes.config?.fifo) this.context.keys.searchAgain(this.context);
  }

  // Partitions

  /** Why a caller that knows of so many partitions is refused; null when it may go on. */
  refuseLayout(known: number): Refusal | null {
    return refuseLayout(this.context, known);
  }

  get partition(): Partition {
    return partitionOf(this.context);
  }

  /** Takes over what the head says. */
  learn(setup: PartitionSetup): void {
    learn(this.context, setup);
  }

  endWait(partition: number): void {
    endWait(this.context, partition);
  }

  /** A fence below which nothing is left, and whose partitions are still to be told. */
  workedOff(): Fence | null {
    return workedOff(this.context);
  }

  /** All partitions know of the head's changes up to this one. */
  noteTold(changes: number): void {
    noteTold(this.context, changes);
  }

  endFence(fence: Fence): void {
    endFence(this.context, fence);
  }

  // Publishing

  /** Answers each command in order. Messages are durable when the transaction is. */
  publish(commands: readonly PublishCommand[], nowMs: number): Result<PublishConfirm>[] {
    const refusals = commands.map(({ known = 1 }) => this.refuseLayout(known));
    const taken = commands.filter((_, i) => refusals[i] === null);
    const options = { isMoved: false, hasConsumer: this.consumers.hasTaker };
    const answers = acceptAll(this.context, taken, nowMs, options).values();
    return refusals.map((refusal) => refusal ?? answers.next().value!);
  }

  /** Takes what comes through another's outbox. The same move again is answered and not taken twice. */
  acceptMoves(from: string, moves: readonly MoveBatch[], nowMs: number): Result<MovesTaken> {
    return acceptMoves(this.context, from, moves, nowMs);
  }

  replace(handle: MessageHandle, batch: Uint8Array, nowMs: number, by?: Publisher): Result<PublishConfirm> {
    return replaceWaiting(this.context, handle, { batch, ...(by && { publisher: by }) }, nowMs);
  }

  cancel(handle: MessageHandle): Result<{ id: string }> {
    return cancelWaiting(this.context, handle);
  }

  // Consuming

  receive(command: ReceiveCommand, nowMs: number): Result<Delivery> {
    return receive(this.context, this.consumers, command, nowMs);
  }

  settle(settlements: readonly Settlement[], nowMs: number): SettlementResult[] {
    this.consumers.noteRead(this.context, settlements);
    return settleAll(this.context, settlements, nowMs);
  }

  /** How long these may wait for other acks. */
  ackWaitMs(consumerId: number, settlements: readonly Settlement[]): number {
    return ackWaitMs(this.context, this.consumers.get(consumerId), settlements);
  }

  attach(consumer: Consumer, ofOneMax?: number): Result<void> {
    return this.consumers.attach(consumer, ofOneMax);
  }

  consumer(id: number): Consumer | null {
    return this.consumers.get(id);
  }

  /** Whether a consumer may get something: not before it is known that its token holds, and no more than it has room for. */
  judge(id: number, isJudged: boolean, roomBytes: number): void {
    const consumer = this.consumers.get(id);
    if (consumer !== null) Object.assign(consumer, { isUnjudged: !isJudged, roomBytes });
  }

  isActive(consumer: Consumer): boolean {
    return this.consumers.isActive(this.context, consumer);
  }

  unsettledOf(consumerId: number): number {
    return this.context.leases.openBy(consumerId);
  }

  /** A consumer is gone: what it held goes back to its place. */
  detach(consumerId: number, how: Departure, nowMs: number): void {
    this.consumers.detach(consumerId);
    releaseConsumer(this.context, consumerId, how, nowMs);
  }

  /** Gives back what was leased to sockets that did not outlive a restart. */
  releaseOrphans(liveConsumers: ReadonlySet<number>, nowMs: number): void {
    for (const id of holdersOf(this.context))
      if (id !== 0 && !liveConsumers.has(id) && this.remotes.get(id) === null)
        releaseConsumer(this.context, id, "restarted", nowMs);
  }

  releaseLeases(leases: readonly number[], nowMs: number): void {
    releaseLeases(this.context, leases, nowMs);
  }

  /** A drained consumer holds nothing: there is nothing to give back and nothing to store. */
  detachDrained(consumerId: number): void {
    this.consumers.detach(consumerId);
  }

  /** Gives back everything that is out, whoever has it. */
  releaseAll(nowMs: number): void {
    for (const id of holdersOf(this.context)) releaseConsumer(this.context, id, "released", nowMs);
  }

  dispatch(nowMs: number): Dispatched[] {
    const clockMs = this.context.ledger.tickClock(nowMs);
    this.remotes.dropLapsed(clockMs);
    return this.consumers.dispatch(this.context, clockMs);
  }

  get waitsForJudgement(): boolean {
    return this.consumers.passedOver;
  }

  // Consumers whose socket is on a hub

  /** `newId` is given to a new one; it must never have been a consumer's before. */
  attachRemote(wanted: RemoteConsumer, newId: number, nowMs: number): Result<AttachedRemote> {
    const attached = this.remotes.attach(wanted, newId, this.context.ledger.tickClock(nowMs));
    if (!attached.ok) return attached;
    const { id } = attached.value;
    return ok({ ids: [id], active: this.isActive(this.consumers.get(id)!), leaseMs: LIMITS.hubLeaseMs });
  }

  /** The ids of those that the hub has here no more. */
  renewRemotes(hub: string, held: readonly HeldRemote[], nowMs: number): number[] {
    return this.remotes.renew(hub, held, this.context.ledger.tickClock(nowMs));
  }

  changeRemote(id: number, credit: number): Result<void> {
    return this.remotes.changeCredit(id, credit);
  }

  detachRemote(id: number, how: "released" | "lost", nowMs: number): void {
    this.remotes.detach(id, how, nowMs);
  }

  remote(id: number): RemoteRow | null {
    return this.remotes.get(id);
  }

  allRemotes(): RemoteRow[] {
    return this.remotes.all();
  }

  /** Whose lease has run out since this was last asked. */
  takeLapsedRemotes(): RemoteRow[] {
    return this.remotes.takeLapsed();
  }

  // Looking and managing

  inspect(nowMs: number): QueueInfo {
    // By the queue's own time, as everything that delivers.
    const clockMs = Math.max(nowMs, this.clockMs);
    return inspect(this.context, this.consumers.views(this.context), clockMs);
  }

  peek(command: PeekCommand, nowMs: number): Result<PeekPage> {
    return peek(this.context, command, this.context.ledger.tickClock(nowMs));
  }

  find(handle: MessageHandle, nowMs: number): Result<MessageView> {
    return find(this.context, handle, this.context.ledger.tickClock(nowMs));
  }

  purge(options: PurgeOptions): { messages: number } {
    return purge(this.context, options);
  }

  redrive(command: RedriveCommand, nowMs: number): Result<RedriveStatus> {
    return startRedrive(this.context, command, this.context.ledger.tickClock(nowMs));
  }

  redriveStatus(task: number): Result<RedriveStatus> {
    return redriveStatus(this.context, task);
  }

  redrives(limit: number): RedriveStatus[] {
    return lastRedrives(this.context, limit);
  }

  redriveCancel(task: number): Result<RedriveStatus> {
    return cancelRedrive(this.context, task);
  }

  resumeKey(key: string, action: "retry" | "skip" | "drain", nowMs: number): Result<{ messages: number }> {
    return resumeKey(this.context, key, action, nowMs);
  }

  memory(): QueueMemory {
    const { leases, keys, segments, ledger } = this.context;
    return {
      activeLeases: leases.active.size,
      endedLeases: leases.sizes.ended,
      holders: leases.sizes.holders,
      keysInFlight: keys.sizes.inFlight,
      freeKeys: keys.sizes.free,
      segments: segments.size,
      producers: ledger.producersKnown,
    };
  }

  // Time

  tick(nowMs: number): void {
    this.context.hasMoreWork = false;
    this.remotes.dropLapsed(this.context.ledger.tickClock(nowMs));
    tick(this.context, nowMs);
  }

  nextWakeMs(nowMs: number): number | null {
    const times = [nextWakeMs(this.context, nowMs), this.remotes.nextUntilMs()].filter((ms) => ms !== null);
    return times.length === 0 ? null : Math.min(...times);
  }

  // What the shell carries elsewhere

  /** How its targets know this queue. */
  get sender(): string {
    const { index } = partitionOf(this.context);
    const { queue, origin } = this.stored;
    return moveSender({ queue }, index === 0 ? origin : `${origin}/${index}`);
  }

  dueTargets(nowMs: number): string[] {
    return dueTargets(this.context.stores.work, nowMs);
  }

  movesTo(target: string, nowMs: number): OutboxRow[] {
    return movesTo(this.context.stores.work, target, nowMs);
  }

  /** The target has this move and all before it. */
  moved({ target, number }: Move): void {
    this.context.stores.work.removeOutboxTo(target, number);
  }

  /** Whether it was led elsewhere or taken back, because its target has gone. */
  moveFailed(row: Move, nowMs: number, isTargetGone = false): boolean {
    if (isTargetGone && (redirectDead(this.context, row) || takeBack(this.context, row, nowMs))) return true;
    postpone(this.context.stores.work, row, nowMs);
    return false;
  }

  /** Writes what the transitions since the last commit changed. Must be called before the transaction closes. */
  commit(nowMs: number): void {
    commit(this.context, nowMs);
  }
}
