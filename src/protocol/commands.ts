// The broker's commands and their answers, as every door (HTTP, WebSocket, a gateway) speaks them to a queue.
import type { BatchSource, Headers } from "./batch.ts";
import type { ErrorCode } from "./errors.ts";
import type { QueueConfig } from "./queue-config.ts";

/** `[first, count]`: a run of consecutive sequences. */
export type SequenceRun = readonly [first: number, count: number];

/** Makes a publish repeatable: the same producer never gets the same sequence accepted twice. */
export interface ProducerStamp {
  readonly id: string;
  /** Sequence of the batch's first message; a producer counts its messages from 1 without gaps. */
  readonly sequence: number;
  /**
   * Set where the batch is one partition's part of what was published: the number of messages in all of it. A partition
   * sees gaps in a producer's numbering, and takes them for granted.
   */
  readonly span?: number;
}

/** What a publish is charged to, at the object that it is for. */
export interface RateCharge {
  /** The token and the grant that it publishes under. */
  readonly bucket: string;
  readonly ratePerSecond: number;
}

/** Who publishes, as its token says: dedup ids and producers are its own (PROTOCOL §7.11, §7.12). */
export interface Publisher {
  readonly subject: string;
  /** Its cancel keys are, too (PROTOCOL §7.9). */
  readonly hasOwnKeys?: boolean;
}

export interface PublishCommand {
  /** A batch (PROTOCOL §2). All of it is accepted or none; duplicates are left out and answered. */
  readonly batch: Uint8Array;
  readonly producer?: ProducerStamp;
  /** Refused with `no_responders` when nobody consumes the queue: what a request wants to know at once. */
  readonly needsConsumer?: boolean;
  /**
   * Who encoded the batch. `broker` only from the edge, for a message whose body it has put into the bucket; absent
   * is `client`, and then a batch with fields of the broker is refused.
   */
  readonly source?: BatchSource;
  /** Partitions that the caller knows of; absent: one. See QueueApi. */
  readonly known?: number;
  /**
   * What each message counts for against the queue's bodyBytesMax, where that is more than its body: a gateway whose
   * limit is on body and attributes together says so.
   */
  readonly bodyBytes?: number;
  /** Absent: as fast as it goes. */
  readonly rate?: RateCharge;
  /** Absent: what it names is everyone's. */
  readonly publisher?: Publisher;
  /** An exchange has taken the batch: its cancel keys were looked at there. */
  readonly isRouted?: boolean;
}

export interface PublishConfirm {
  /** With a sequence it makes the message's id: `messageId(origin, sequence)`. */
  readonly origin: number;
  /** The messages' sequences in the order of the batch. A duplicate has the sequence of the first one. */
  readonly sequences: readonly SequenceRun[];
  /** Indexes, within the batch, of messages that were duplicates. */
  readonly duplicates: readonly number[];
  /**
   * Messages, as runs of indexes, that their partition refused while others took theirs; their sequences are 0. Only where
   * the queue has several partitions.
   */
  readonly refused?: readonly PublishRefusal[];
}

export interface PublishRefusal {
  readonly messages: readonly SequenceRun[];
  readonly code: ErrorCode;
  readonly detail: string;
}

export interface ReceiveCommand {
  readonly consumer: string;
  readonly max: number;
  readonly leaseMs?: number;
  /** Whose token it comes with: who may settle what it leases. Set by the broker. */
  readonly subject?: string;
  /** Repeating a receive with the same attempt id returns the same deliveries while they are untouched. */
  readonly attemptId?: string;
  /** Nothing new: only what a receive with this attempt id was given before. */
  readonly isRepeatOnly?: boolean;
}

/** Messages of one lease that lie side by side: one batch in the payload, and what is not in its bytes. */
export interface DeliveryRun {
  /** Leases granted so far, this one included. */
  readonly attempt: number;
  readonly failures: number;
  /** When the message was first sent to anyone. */
  readonly firstSentMs: number;
  /** Size of this run's batch in the payload. */
  readonly bytes: number;
}

export interface Delivery {
  /** 0 when nothing was ready. */
  readonly lease: number;
  /** Proves the right to settle to others than the subject it was leased to. Absent: it was leased before there were keys. */
  readonly key?: string;
  /** When nothing was ready: how long the queue would have a receiver wait that names no time; absent for none. */
  readonly waitMs?: number;
  readonly untilMs: number;
  readonly runs: readonly DeliveryRun[];
  /** The runs' batches, one after the other. */
  readonly payload: Uint8Array;
}

export type Verdict = "ack" | "nack" | "reject" | "extend";

/**
 * ack     done; the message is gone.
 * nack    given back, not failed: it returns to its place after `delayMs` (default: the queue's nackDelayMs).
 * reject  failed: counts as a failure and waits the retry policy's time (or `delayMs`); dead when failures run out,
 *         at once with `dead: true`.
 * extend  the lease runs `leaseMs` (default: the queue's) from now.
 */
export interface Settlement {
  readonly lease: number;
  /** The lease's key, from a receipt. Not needed by the subject that the messages were leased to. */
  readonly key?: string;
  /** Of the queue that the lease is of: a later queue of the same name has another. Absent: not looked at. */
  readonly origin?: number;
  /** Whose token it comes with. Set by the broker, never by a client. */
  readonly subject?: string;
  /** The messages, as runs of sequences; absent: all that are still open under this lease. */
  readonly sequences?: readonly SequenceRun[];
  readonly verdict: Verdict;
  readonly delayMs?: number;
  readonly leaseMs?: number;
  readonly dead?: boolean;
  /**
   * With ack and extend: counts as well when this delivery has ended without an ack, as long as nobody was given the
   * message since. For consumers that are late. A message that its key holds back can't be extended late. With extend and
   * reject, in a queue whose `lateChanges` says so: acts on the delivery that holds the message now.
   */
  readonly late?: boolean;
  /** The consumer's words on what went wrong; cut at 1,024 bytes. */
  readonly error?: string;
}

export interface SettlementResult {
  /** Messages settled, those settled before in the same way included. */
  readonly settled: number;
  /** With extend: when the lease now ends. */
  readonly untilMs?: number;
  /** With extend: it ends earlier than was asked for, because no lease runs longer than leaseMsMax in all. */
  readonly isCut?: true;
  /** Messages that were not, and why: `lease_lost` or `already_settled`. */
  readonly refused: readonly {
    readonly sequences: SequenceRun;
    readonly code: ErrorCode;
    readonly detail: string;
  }[];
}

export type DeathReason = "failed" | "expired" | "overflow" | "rejected";

export interface AttemptLogEntry {
  readonly attempt: number;
  readonly consumer: string;
  readonly atMs: number;
  readonly outcome: "nack" | "reject" | "lease_expired" | "consumer_lost" | "released";
  readonly error?: string;
}

/** What a dead message carries. */
export interface DeathRecord {
  readonly reason: DeathReason;
  readonly queue: string;
  readonly routingKey?: string;
  readonly atMs: number;
  readonly publishedMs: number;
  readonly attempts: number;
  readonly failures: number;
  readonly log: readonly AttemptLogEntry[];
  /** Queues it died in before this one, oldest first, and how often it was redriven. */
  readonly hops: number;
  readonly redrives: number;
  /** Delay and time to live are taken off a dead message, so that it does not expire again; this is what they were. */
  readonly ttlMs?: number;
  /** When it was brought back: until it dies again it is no dead message, whatever the rest tells. */
  readonly redrivenMs?: number;
  /** Said when a message died with another: the rest of a drained key. */
  readonly note?: string;
}

export type MessageState = "ready" | "leased" | "delayed" | "parked" | "dead";

/** A message as a person sees it. `body` when it is UTF-8 text, else `bodyBase64`; never both. */
export interface MessageView {
  readonly id: string;
  readonly sequence: number;
  readonly state: MessageState;
  readonly timeMs: number;
  readonly priority: number;
  readonly attempts: number;
  readonly failures: number;
  /** When a delayed message becomes ready. */
  readonly dueMs?: number;
  readonly expiresMs?: number;
  /** Who holds a leased message, and until when. */
  readonly consumer?: string;
  readonly leaseUntilMs?: number;
  readonly routingKey?: string;
  readonly orderingKey?: string;
  readonly dedupId?: string;
  readonly cancelKey?: string;
  readonly correlationId?: string;
  readonly replyTo?: string;
  readonly contentType?: string;
  readonly headers?: Headers;
  readonly log?: readonly AttemptLogEntry[];
  readonly death?: DeathRecord;
  readonly bodyBytes: number;
  readonly bodyReference?: true;
  readonly body: Uint8Array;
}

export interface PeekCommand {
  readonly state: MessageState;
  readonly limit: number;
  /** Where the last page ended. */
  readonly cursor?: string;
}

export interface PeekPage {
  readonly messages: readonly MessageView[];
  readonly cursor?: string;
}

/** Which message: its id or the sender's own key. */
export type MessageHandle =
  | { readonly id: string }
  /** `publisher`: whose key it is, where keys are its own. */
  | { readonly cancelKey: string; readonly publisher?: Publisher };

export interface PurgeOptions {
  /** Default: all published so far. */
  readonly upToSequence?: number;
  /** What consumers hold as well; default false. Their settlements count as made. */
  readonly leased?: boolean;
  /** Dedup ids are forgotten as well; default false. */
  readonly dedup?: boolean;
  /** `purged_recently` for so long after the last purge that named a time. Default: none. */
  readonly restMs?: number;
}

export interface RedriveFilter {
  readonly ids?: readonly string[];
  readonly reason?: DeathReason;
  /** The queue it died in. */
  readonly queue?: string;
  readonly routingKey?: string;
  readonly orderingKey?: string;
  /** Headers that must be there with this text. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Died at or before / at or after. */
  readonly diedBeforeMs?: number;
  readonly diedAfterMs?: number;
  /** Found in the last consumer's error text. */
  readonly errorIncludes?: string;
}

export interface RedriveCommand {
  readonly filter: RedriveFilter;
  /** Absent: each message goes back to the queue it died in. */
  readonly to?: string;
  readonly dryRun: boolean;
  /** Messages that never died as well: all of the queue. Needs `to`, for they come from nowhere. */
  readonly all?: boolean;
  /** Refused with `redrive_running` while another goes on. */
  readonly alone?: boolean;
  readonly limit?: number;
  /** Messages a second; absent: as fast as it goes. */
  readonly ratePerSecond?: number;
  /** The number to give the task; absent: the next. The partitions of a queue share one. */
  readonly task?: number;
}

export interface RedriveStatus {
  /** Null for a dry run. */
  readonly task: number | null;
  readonly state: "dry_run" | "running" | "done" | "cancelled" | "failed";
  /** With failed: why. The messages that it could not bring anywhere are back in the queue. */
  readonly failure?: "queue_not_found";
  /** Messages looked at, that matched, and that moved so far. */
  readonly scanned: number;
  readonly matched: number;
  readonly moved: number;
  /** When it began, and how many messages waited or were dead here then. */
  readonly startedMs: number;
  readonly total: number;
  /** As it was asked for. */
  readonly to?: string;
  readonly ratePerSecond?: number;
}

export interface QueueCounts {
  /** May be delivered now. */
  readonly ready: number;
  readonly leased: number;
  /** Wait for their time: published with a delay, or backing off after an attempt. */
  readonly delayed: number;
  /** Stopped with their key after using up their failures. What stands behind them in the key counts as ready. */
  readonly parked: number;
  /** Dead and kept here, because the queue has no dead-letter target or the hop budget is spent. */
  readonly dead: number;
  /** Dead and on their way to the dead-letter queue. */
  readonly deadLettering: number;
  /** Bytes of everything stored. */
  readonly bytes: number;
}

/** Totals since the queue was made. published = acked + cancelled + purged + dropped + deadLettered + redriven + still there. */
export interface QueueTotals {
  readonly published: number;
  readonly duplicates: number;
  readonly delivered: number;
  readonly acked: number;
  readonly failed: number;
  readonly deadLettered: number;
  /** Redriven out of this queue, from state dead, to another queue. */
  readonly redriven: number;
  readonly expired: number;
  readonly cancelled: number;
  readonly purged: number;
  /** Dropped by a declared policy: expired or overflown with no dead-letter target. */
  readonly dropped: number;
}

export interface ConsumerView {
  readonly consumer: string;
  readonly credit: number;
  readonly unsettled: number;
  readonly priority: number;
  readonly exclusive: boolean;
  /** False: in line behind the single active or an exclusive consumer. */
  readonly active: boolean;
}

export interface QueueInfo {
  readonly queue: string;
  readonly namespace: string;
  readonly config: QueueConfig;
  readonly createdMs: number;
  /** When its configuration was last changed. */
  readonly changedMs: number;
  readonly paused: boolean;
  readonly counts: QueueCounts;
  readonly totals: QueueTotals;
  /** Age of the oldest message that is ready, in ms; 0 when there is none. */
  readonly oldestReadyMs: number;
  readonly lastSequence: number;
  readonly consumers: readonly ConsumerView[];
  /** Of a queue of several partitions. */
  readonly partitions?: readonly PartitionView[];
}

export interface PartitionView {
  readonly partition: number;
  readonly counts: QueueCounts;
  /** Partitions whose older messages it waits for before it delivers (FIFO queues that have grown). */
  readonly waitsFor: readonly number[];
}
