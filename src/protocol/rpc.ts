// What each object offers its callers. The edge sees these interfaces and never the classes behind them.
// Every method answers with a Result: a refusal crosses an object boundary as a value, never as an exception.
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
  RateCharge,
  ReceiveCommand,
  RedriveCommand,
  RedriveStatus,
  Settlement,
  SettlementResult,
} from "./commands.ts";
import type { Destination } from "./exchange-commands.ts";
import type { QueueChanges, QueueConfig } from "./queue-config.ts";
import type { MovedCommand, MovesTaken } from "./move-target.ts";
import type { Result } from "./result.ts";

export interface DeclareOptions {
  /** `deleted_recently` while the name of a deleted queue rests. Default: it is free at once. */
  readonly respectsRest?: boolean;
}

/**
 * `known`: the number of partitions that the caller knows of, default 1. An object that knows of more refuses with
 * `partitions_changed`, and the caller asks the head for the layout (partitions/whole-queue.ts does so for everyone).
 */
export interface QueueApi {
  /** Makes the queue, or finds it with an equal configuration. `queue_exists` when the configurations differ. */
  declare(
    config: QueueConfig,
    options?: DeclareOptions,
  ): Promise<Result<{ created: boolean; info: QueueInfo }>>;
  /** Changes the named fields; what is waiting or leased keeps its times. */
  update(changes: QueueChanges): Promise<Result<QueueInfo>>;
  inspect(known?: number): Promise<Result<QueueInfo>>;
  /** Deletes everything and tells the consumers. `restMs`: for so long the name rests, see DeclareOptions. */
  remove(options: {
    ifEmpty: boolean;
    ifUnused: boolean;
    restMs?: number;
  }): Promise<Result<{ messages: number }>>;

  /** Resolves when the messages are durable: this is the confirm. Safe to repeat only with a producer stamp. */
  publish(command: PublishCommand): Promise<Result<PublishConfirm>>;
  /** Several publishes in one call, each accepted or refused on its own, in their order. */
  publishAll(commands: readonly PublishCommand[]): Promise<Result<PublishConfirm>[]>;
  /** Takes what is ready now; never waits. To wait, open a socket with `once` (frames.ts). */
  receive(command: ReceiveCommand, known?: number): Promise<Result<Delivery>>;
  settle(settlements: readonly Settlement[], known?: number): Promise<Result<SettlementResult[]>>;

  peek(command: PeekCommand, known?: number): Promise<Result<PeekPage>>;
  find(handle: MessageHandle, known?: number): Promise<Result<MessageView>>;
  /** Takes back a message that is ready, delayed, parked or dead. `message_leased` when a consumer has it. */
  cancel(handle: MessageHandle, known?: number): Promise<Result<{ id: string }>>;
  /** Cancels and publishes the batch's one record in one step. */
  replace(
    handle: MessageHandle,
    batch: Uint8Array,
    publisher?: Publisher,
    known?: number,
  ): Promise<Result<PublishConfirm>>;
  /** Removes what is waiting or dead. */
  purge(options: PurgeOptions, known?: number): Promise<Result<{ messages: number }>>;
  pause(paused: boolean): Promise<Result<{ paused: boolean }>>;

  redrive(command: RedriveCommand, known?: number): Promise<Result<RedriveStatus>>;
  redriveStatus(task: number, known?: number): Promise<Result<RedriveStatus>>;
  /** The newest first. */
  redrives(limit: number, known?: number): Promise<Result<RedriveStatus[]>>;
  redriveCancel(task: number, known?: number): Promise<Result<RedriveStatus>>;
  /** Frees a parked key: tries its message again, or treats it as the other two policies would. */
  resumeKey(
    key: string,
    action: "retry" | "skip" | "drain",
    known?: number,
  ): Promise<Result<{ messages: number }>>;

  /**
   * For other queues and exchanges: takes dead or redriven messages, or what was held until it was due. Repeatable:
   * `from` and the numbers are remembered. The moves that are not done must be sent again; of the first of them a part
   * may have been taken.
   */
  acceptMoves(command: MovedCommand, known?: number): Promise<Result<MovesTaken>>;

  // For hubs: consumers whose socket is theirs

  /**
   * Deliveries go to the hub (HubApi.deliver) while the lease runs; the first may come before this call's answer.
   * Attaching again with the same ids sets everything anew; `not_consuming` when it is gone.
   * A consumer has an id at each partition.
   */
  attachRemote(
    consumer: RemoteConsumer,
    known?: number,
  ): Promise<Result<{ ids: readonly number[]; active: boolean; leaseMs: number }>>;
  /**
   * A hub renews its lease here, which is that of all its consumers, and tells which they are: what it holds no more is
   * lost. The ids that it has here no more; `partitions`: where there are more than a consumer has ids, it is to be
   * attached again.
   */
  renewRemotes(
    hub: string,
    held: readonly HeldRemote[],
    known?: number,
  ): Promise<Result<{ gone: readonly number[]; partitions: number }>>;
  changeRemote(ids: readonly number[], change: { credit: number }, known?: number): Promise<Result<void>>;
  /** released: asked to, what it held goes back to its place. lost: counts as a socket that broke. */
  detachRemote(ids: readonly number[], how: "released" | "lost", known?: number): Promise<Result<void>>;

  /**
   * Opens a consumer's socket. Claims come in the header `Millrace-Claims`, and what the caller knows in
   * `Millrace-Partitions`; only the edge may set them.
   */
  fetch(request: Request): Promise<Response>;
}

/** How many partitions a queue has, and what decides which of them gets a message. */
export interface QueueLayout {
  readonly partitions: number;
  readonly fifo: boolean;
}

/** What the head tells the other partitions. */
export interface PartitionSetup {
  readonly origin: number;
  readonly createdMs: number;
  readonly config: QueueConfig;
  readonly paused: boolean;
  readonly partitions: number;
  /** How often what all partitions must know had changed. */
  readonly change: number;
  /** For one that is made now. */
  readonly waitsFor: readonly number[];
}

/** What an object offers beside: to callers the layout, to the others of its queue the rest. */
export interface PartitionApi extends QueueApi {
  /** Of the head: a layout that all partitions know. */
  layout(): Promise<Result<QueueLayout>>;
  /** Makes the partition, or tells it what has changed. */
  join(setup: PartitionSetup): Promise<Result<void>>;
  /** Deletes it. The messages that went with it. */
  leave(options: { ifEmpty: boolean; ifUnused: boolean }): Promise<Result<{ messages: number }>>;
  /** The caller has worked off what this partition may have had to wait for. */
  endWait(partition: number): Promise<Result<void>>;
}

/** The header by which a caller says how many partitions it knows of. */
export const PARTITIONS_HEADER = "Millrace-Partitions";

/** A consumer that speaks through a hub. */
export interface RemoteConsumer {
  /** Absent: a new one. */
  readonly ids?: readonly number[];
  readonly hub: string;
  /** The session on that hub, and whose token it has. */
  readonly session: number;
  readonly subject: string;
  readonly name: string;
  readonly credit: number;
  readonly leaseMs?: number;
  readonly priority?: number;
  readonly exclusive?: boolean;
  /** How many consumers its subject may have there, where its token says so. */
  readonly consumersMax?: number;
}

/** A consumer as its hub knows it. */
export interface HeldRemote {
  readonly session: number;
  readonly ids: readonly number[];
}

export interface RemoteDelivery {
  /** The remote consumer's id, and its session on the hub. */
  readonly id: number;
  readonly session: number;
  /** Absent when only `ended` is told. */
  readonly delivery?: Delivery;
  /** The consumer is one no more. */
  readonly ended?: "queue_deleted" | "lease_lost";
  /** The queue has more partitions now: the hub attaches it there, too. */
  readonly isSpread?: boolean;
}

export interface NamespaceUsage {
  readonly queues: number;
  readonly queuesMax: number;
  readonly exchanges: number;
  readonly exchangesMax: number;
  readonly bytesAllotted: number;
  readonly bytesMax: number;
}

/** Which part of a namespace's names a list has: in their order, the first `limit` after `after`. */
export interface NamePage {
  readonly prefix: string;
  readonly limit: number;
  readonly after: string;
  /** Only names that one of these matches: what is not the caller's is not told, by the end of a page either. Absent: all. */
  readonly patterns?: readonly string[];
}

export interface QueuePage extends NamePage {
  /** Only those whose dead messages go to this queue. */
  readonly deadLetter?: string;
}

export interface NamespaceApi {
  /** Puts a queue into the catalogue. `quota_exceeded` when the namespace has its number. */
  registerQueue(queue: string, options?: DeclareOptions): Promise<Result<{ isNew: boolean }>>;
  /** `restMs`: for so long the name rests. */
  unregisterQueue(queue: string, restMs?: number): Promise<Result<void>>;
  hasQueue(queue: string): Promise<Result<boolean>>;
  listQueues(page: QueuePage): Promise<Result<{ queues: string[]; after?: string }>>;
  /** Where a queue's dead messages go; null: to no queue. Repeatable. */
  noteDeadLetter(queue: string, deadLetter: string | null): Promise<Result<void>>;
  /** As for queues. */
  registerExchange(exchange: string): Promise<Result<{ isNew: boolean }>>;
  unregisterExchange(exchange: string): Promise<Result<void>>;
  hasExchange(exchange: string): Promise<Result<boolean>>;
  listExchanges(page: NamePage): Promise<Result<{ exchanges: string[]; after?: string }>>;
  /**
   * Notes that an exchange leads to a destination, so that a destination that goes can tell. Repeatable.
   * `destination_missing` when it is not in the catalogue.
   */
  noteBinding(exchange: string, destination: Destination): Promise<Result<void>>;
  forgetBinding(exchange: string, destination: Destination): Promise<Result<void>>;
  /** The exchanges that lead to a destination. */
  boundTo(destination: Destination): Promise<Result<string[]>>;
  /** A hub has sessions of tokens that can be revoked; it is told of revocations until `untilMs`. */
  registerHub(hub: string, untilMs: number): Promise<Result<void>>;
  usage(): Promise<Result<NamespaceUsage>>;
  setQuota(quota: {
    queuesMax?: number;
    exchangesMax?: number;
    bytesMax?: number;
  }): Promise<Result<NamespaceUsage>>;
  /** A queue asks to hold up to `bytes` in all, and is told how many it may. Lower numbers give back. */
  allotBytes(queue: string, bytes: number, partition?: number): Promise<Result<{ bytes: number }>>;
  /** Tokens are revoked by their id (`jti`) until they would have run out anyway. */
  revokeToken(jti: string, untilMs: number): Promise<Result<void>>;
  revokedTokens(): Promise<Result<string[]>>;
}

/** What the edge knows of a caller, once the token is verified. */
export interface Claims {
  readonly namespace: string;
  readonly subject: string;
  readonly jti?: string;
  readonly expiresMs?: number;
  readonly grants: readonly Grant[];
}

export type GrantVerb = "publish" | "consume" | "subscribe" | "manage";

export interface Grant {
  readonly verb: GrantVerb;
  /**
   * A pattern of the topic grammar (PROTOCOL §7.16). Without `exchange` it is matched against the names of queues and
   * exchanges, and against topics in every exchange; with it, against topics in that exchange only.
   */
  readonly pattern: string;
  readonly exchange?: string;
  /** Messages a second under this grant, at each queue and exchange. Absent: no limit. */
  readonly ratePerSecond?: number;
  /** Of a consume grant: how many consumers of its subject a queue may have. Absent: LIMITS.consumersOfOneMax. */
  readonly consumersMax?: number;
  /** When this grant ends before its token, in ms since 1970. */
  readonly expiresMs?: number;
  /** Of a publish grant: the cancel keys under it are the subject's own. */
  readonly own?: boolean;
}

/** The header by which the edge hands a socket's rights to an object. A client's own is overwritten. */
export const CLAIMS_HEADER = "Millrace-Claims";

/** What a queue's object needs of the claims: it is kept in the socket's attachment. */
export interface SocketClaims extends Publisher {
  /** Of a token that can be revoked. */
  readonly jti?: string;
  readonly publish: boolean;
  /** What its publishes are charged to; absent: no limit. */
  readonly publishRate?: RateCharge;
  readonly consume: boolean;
  /** How many consumers the subject may have on the queue, where the token says so. */
  readonly consumersMax?: number;
  /** Patterns of the queues that its messages may name in replyTo; absent: any. */
  readonly replyTo?: readonly string[];
  readonly expiresMs: number | null;
}
