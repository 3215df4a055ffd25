/**
 * What the queue's core needs of storage. Stores hold no rules: each method reads or writes rows. All calls of one
 * transition run inside one transaction that the shell opens, so that it happened or did not.
 */
import type { AttemptLogEntry, DeathReason, RedriveCommand } from "../protocol/commands.ts";
import type { QueueConfig } from "../protocol/queue-config.ts";

export interface StoredQueue {
  readonly queue: string;
  readonly namespace: string;
  /** Random, made with the queue: tells its numbering from that of an earlier queue of the same name. */
  readonly origin: number;
  readonly createdMs: number;
  readonly paused: boolean;
  /** Bytes the namespace lets this queue hold. */
  readonly allottedBytes: number;
  readonly config: QueueConfig;
  /** The last purge that was to be followed by a rest. */
  readonly purgedMs?: number;
  /** When the configuration was last changed; absent: never. */
  readonly changedMs?: number;
  /** The dead-letter queue that the catalogue knows of; null or absent: none; empty: that is not certain. */
  readonly notedDeadLetter?: string | null;
  /** Absent: the queue has one partition and never had more. */
  readonly partition?: Partition;
}

/** An object's part in a queue of several partitions. */
export interface Partition {
  readonly index: number;
  /** Partitions that there are, as far as this one has learned. */
  readonly count: number;
  /** Partitions that may hold older messages of its keys. It delivers nothing until they have worked them off. */
  readonly waitsFor: readonly number[];
  readonly fences: readonly Fence[];
  /** The head's: how often it changed what all partitions must know. */
  readonly changes: number;
  /** The last of the changes that all know; in another partition, that it was told of itself. */
  readonly told: number;
}

/** When every message below the sequence is gone, these partitions may deliver. */
export interface Fence {
  readonly sequence: number;
  readonly tell: readonly number[];
}

/** A segment without its bytes. */
export interface SegmentHead {
  readonly id: number;
  readonly count: number;
  readonly timeMs: number;
  /** The queue's time to live when the messages were accepted; 0 for none. */
  readonly ttlMs: number;
  /** Every field flag that some record has. */
  readonly flags: number;
  /** Sum of the record sizes. */
  readonly recordBytes: number;
}

export interface SegmentRow extends SegmentHead {
  /** One batch, stamped with origin, first sequence and time. */
  readonly bytes: Uint8Array;
  /** Producer states that this segment's publish brought (JSON), folded into the ledger at the next wake. */
  readonly producers: string | null;
}

/** What a segment's row tells beside its batch. */
export interface SegmentNotes {
  readonly producers: string | null;
  /** The lease under which all of the segment went out in the turn that wrote it (JSON of LeaseInPlace). */
  readonly lease: string | null;
}

export interface Progress {
  readonly settled: Uint8Array;
  readonly settledBytes: number;
}

/**
 * Rows written are what a queue costs. So a row is written at the end of the transition, when it is known whether its
 * segment goes out at once; and the row of a segment that is gone may stay, to be written over by a later one.
 */
export interface SegmentStore {
  /** Found at once by all that read here, and stored by `write`. */
  insert(row: SegmentRow): void;
  /** Puts the lease of so many messages in the segment's row. False: it has more of them, or is stored already. */
  place(id: number, count: number, lease: string): boolean;
  write(): void;
  read(id: number): (SegmentHead & { bytes: Uint8Array }) | null;
  /**
   * The greatest id at or below `id` and at or above `floor`, for who looks for the segment that has a sequence. Null as well
   * where a vacant row lies there: its segment is gone, and those below it end before.
   */
  atOrBelow(id: number, floor: number): number | null;
  /** The least id at or above `id` and below `ceiling`. */
  atOrAbove(id: number, ceiling: number): number | null;
  /** Heads from `id` on, below `ceiling`. */
  heads(id: number, ceiling: number, limit: number): (SegmentHead & SegmentNotes)[];
  /** Those of the ids that are there: one query, however many. */
  alive(ids: readonly number[]): Set<number>;
  remove(id: number): void;
  /** As `remove`, but the row stays. True only for who stores `vacant` in the same transaction: the row still looks alive. */
  vacate(id: number): void;
  readonly vacant: ReadonlySet<number>;
  removeVacant(): void;
  /** After a wake: of these rows, those that have not been written over since. */
  setVacant(ids: readonly number[]): void;
  progress(id: number): Progress | null;
  writeProgress(id: number, progress: Progress): void;
  removeProgress(id: number): void;
}

/** One lease as stored. A row is a slot: it is written over by a later lease, so that ending a lease costs nothing. */
export interface LeaseRow {
  readonly slot: number;
  readonly lease: number;
  readonly consumer: string;
  /** The consumer's socket, or 0 when the lease belongs to no socket. */
  readonly consumerId: number;
  readonly attemptId: string | null;
  readonly grantedMs: number;
  readonly untilMs: number;
  /** JSON of Lease.untils, null when there are none. */
  readonly untils: string | null;
  /** JSON of LeaseRun[] without outcomes. */
  readonly runs: string;
  /** A byte a message (Outcome), null while every message is open or acked. */
  readonly outcomes: Uint8Array | null;
  /** Who may settle: the subject it was granted to, and who knows the key. Null: it was granted before there were keys. */
  readonly subject: string | null;
  readonly key: string | null;
}

export interface LeaseStore {
  /** All slots, and the newest ledger snapshot that any row carries (JSON), or null. */
  readAll(): { leases: LeaseRow[]; snapshot: string | null };
  write(row: LeaseRow, version: number, snapshot: string): void;
  /** Slot 0 has no lease: it carries a snapshot alone. */
  writeSnapshot(version: number, snapshot: string): void;
}

/** Stored: never renumber. */
export const RETURN_STATE = { waiting: 0, ready: 1, leased: 2, parked: 3, dead: 4 } as const;
export type ReturnState = (typeof RETURN_STATE)[keyof typeof RETURN_STATE];

/** A message that left the common path: it was given back or failed at least once, is parked or dead. */
export interface ReturnRow {
  readonly sequence: number;
  readonly segment: number;
  readonly index: number;
  readonly priority: number;
  /** When the message was first due: its place in the queue's order, before the sequence. */
  readonly rankMs: number;
  readonly state: ReturnState;
  /** When a waiting message becomes ready. */
  readonly availableMs: number;
  readonly attempts: number;
  readonly failures: number;
  readonly firstSentMs: number;
  readonly redrives: number;
  /** The ordering key in a FIFO queue, else null. */
  readonly key: string | null;
  readonly log: readonly AttemptLogEntry[];
  /** Why and when it stopped, in state parked or dead; else null. */
  readonly death: StoredDeath | null;
}

/** What a message's attempts came to. */
export type History = Pick<ReturnRow, "attempts" | "failures" | "firstSentMs" | "log">;

export interface StoredDeath {
  readonly reason: DeathReason;
  readonly atMs: number;
  readonly note?: string;
}

export interface ReturnStore {
  get(sequence: number): ReturnRow | null;
  put(row: ReturnRow): void;
  remove(sequence: number): void;
  /** Ready rows of a priority in the queue's order, after one of them. */
  ready(priority: number, after: Pick<ReturnRow, "rankMs" | "sequence"> | null, limit: number): ReturnRow[];
  /** Waiting rows whose time has come. */
  due(nowMs: number, limit: number): ReturnRow[];
  nextAvailableMs(): number | null;
  /** Rows in a state after a sequence, in order of sequence. */
  inState(state: ReturnState, after: number, limit: number): ReturnRow[];
  between(first: number, last: number): ReturnRow[];
  /** Whether there is one below a sequence that is not dead. */
  hasLiveBelow(sequence: number): boolean;
  hasKey(key: string): boolean;
  /** The first, in the queue's order, of a key's rows that are not leased. */
  sequencesOfKey(key: string, limit: number): number[];
  parkedOf(key: string): ReturnRow[];
}

/** A segment of a delayed lane that still has messages nobody took. */
export interface DelayedRow {
  readonly segment: number;
  readonly dueMs: number;
  readonly lastDueMs: number;
  readonly nextIndex: number;
  readonly remaining: number;
}

export interface TimerStore {
  putDelayed(row: DelayedRow): void;
  delayed(segment: number): DelayedRow | null;
  removeDelayed(segment: number): void;
  /** The rows of a lane whose next message is due, the first due first. */
  dueDelayed(lane: number, nowMs: number, limit: number): DelayedRow[];
  /** The earliest published segment of a lane that still has messages nobody took. */
  oldestDelayed(lane: number): number | null;
  nextDelayedAfter(nowMs: number): number | null;
  /** Whether a message below a sequence is still to be taken. */
  hasDelayedBelow(sequence: number): boolean;
  /** Messages in rows not yet due at all, and the rows that are due in part. */
  sumDelayed(nowMs: number): { count: number; partly: DelayedRow[] };
  putExpiry(segment: number, atMs: number): void;
  removeExpiry(segment: number): void;
  expired(nowMs: number, limit: number): number[];
  nextExpiryMs(): number | null;
}

/** Messages of a busy key that the cursor has passed. */
export interface LineRow {
  readonly key: string;
  /** Lane and sequence of the first of them, as a segment's id. */
  readonly id: number;
  /** Runs of sequences, or as earlier versions wrote it: a bit for each message of the segment of that id. */
  readonly positions: Uint8Array;
  readonly isBitmap: boolean;
}

export interface KeyStore {
  /** Written over when the key has a row of this id. */
  putLine(row: Omit<LineRow, "isBitmap">): void;
  removeLine(key: string, id: number): void;
  firstLine(key: string): LineRow | null;
  /** A key's last row from `floor` up to and with `id`. */
  lineAtOrBefore(key: string, id: number, floor: number): LineRow | null;
  /** A key's rows from an id on, below the ceiling. */
  linesBetween(key: string, id: number, ceiling: number): LineRow[];
  /** Rows that begin before a sequence. */
  linesBelow(sequence: number, limit: number): LineRow[];
  /** The next key, after `key`, that has a row. */
  nextLineKey(after: string | null): string | null;
  /** Messages of the key up to (not including) the sequence die when they are reached. */
  putDrain(key: string, beforeSequence: number): void;
  drain(key: string): number | null;
  removeDrain(key: string): void;
}

/** Messages whose ids, brought from elsewhere, are numbered one after the other there and here. */
export interface IdRun {
  readonly origin: number;
  /** Of the numbers there. */
  readonly first: number;
  readonly segment: number;
  /** The first one's sequence here. */
  readonly sequence: number;
  readonly count: number;
}

export interface IdentityStore {
  /** Under either name, whichever is remembered longer. */
  dedup(id: string, other?: string): { sequence: number; untilMs: number } | null;
  putDedup(id: string, sequence: number, untilMs: number): void;
  removeDedupBefore(nowMs: number, limit: number): number;
  nextDedupMs(): number | null;
  /** Forgets all dedup ids. */
  removeDedups(): void;
  putIdRun(run: IdRun): void;
  removeIdRun(run: IdRun): void;
  /** The run that begins at a number or next below it; of several that begin there, that of the greatest segment. */
  idRunAtOrBelow(origin: number, number: number): IdRun | null;
  /** All that have a number, the last that came first. */
  idRunsWith(origin: number, number: number): IdRun[];
  /** The message that has a cancel key; or an id brought from elsewhere, where an earlier version wrote it. */
  handle(kind: "id" | "cancelKey", value: string): { sequence: number; segment: number } | null;
  putHandle(kind: "id" | "cancelKey", value: string, sequence: number, segment: number): void;
  removeHandle(kind: "id" | "cancelKey", value: string, sequence: number): void;
  producer(id: string): string | null;
  putProducer(id: string, state: string, touchedMs: number): void;
  removeProducersBefore(touchedMs: number): void;
  /** The last move taken from another queue; `taken` counts its messages where only a part is, else null. */
  inbound(from: string): { number: number; taken: number | null };
  putInbound(from: string, number: number, taken: number | null): void;
}

/** A batch on its way to another queue. */
export interface OutboxRow {
  readonly number: number;
  readonly target: string;
  readonly count: number;
  readonly batch: Uint8Array;
  readonly notBeforeMs: number;
  readonly tries: number;
}

export interface TaskRow {
  readonly task: number;
  readonly command: RedriveCommand;
  readonly state: "running" | "done" | "cancelled" | "failed";
  /** With failed: why. */
  readonly failure?: "queue_not_found";
  /** Where the scan goes on: a segment id and an index. */
  readonly segment: number;
  readonly index: number;
  readonly endSequence: number;
  readonly scanned: number;
  readonly matched: number;
  readonly moved: number;
  readonly nextMs: number;
  readonly startedMs: number;
  /** Messages that were there when it began. */
  readonly total: number;
}

/** Each target's rows go in order: a later one waits for an earlier one that could not be delivered. */
export interface OutboxStore {
  putOutbox(row: OutboxRow): void;
  /** Targets whose first row may go, the one with the oldest row first. */
  dueTargets(nowMs: number, limit: number): string[];
  /** A target's first rows, as many as so many bytes hold; one at least. */
  firstOutbox(target: string, limit: number, bytesMax: number): OutboxRow[];
  nextOutboxMs(): number | null;
  outboxCount(): number;
  delayOutbox(number: number, notBeforeMs: number, tries: number): void;
  hasOutbox(number: number): boolean;
  /** Whether it was there. */
  removeOutbox(number: number): boolean;
  /** Removes a target's rows up to a number. */
  removeOutboxTo(target: string, number: number): void;
}

export interface WorkStore extends OutboxStore {
  putTask(row: TaskRow): void;
  task(task: number): TaskRow | null;
  runningTasks(): TaskRow[];
  /** The newest first. */
  lastTasks(limit: number): TaskRow[];
  /** References of bodies in a bucket whose messages are gone. */
  putGarbage(reference: string): void;
  garbage(limit: number): string[];
  removeGarbage(reference: string): void;
}

/** A consumer whose socket is on a hub. */
export interface RemoteRow {
  readonly id: number;
  readonly hub: string;
  /** The session on that hub. */
  readonly session: number;
  /** Whose token the session has; null: it was attached before that was kept. */
  readonly subject: string | null;
  readonly name: string;
  readonly credit: number;
  readonly leaseMs: number | null;
  readonly priority: number;
  readonly isExclusive: boolean;
  /** When it is gone unless its hub renews, or the row of another consumer of the hub lasts longer. */
  readonly untilMs: number;
}

export interface RemoteStore {
  /** In the order of their ids. */
  all(): RemoteRow[];
  put(row: RemoteRow): void;
  remove(id: number): void;
}

export interface QueueStores {
  readonly segments: SegmentStore;
  readonly leases: LeaseStore;
  readonly returns: ReturnStore;
  readonly timers: TimerStore;
  readonly keys: KeyStore;
  readonly identities: IdentityStore;
  readonly work: WorkStore;
  readonly remotes: RemoteStore;
  /** What is remembered of the rows is forgotten: the transaction that they were last written in may not have come true. */
  forget(): void;
  readQueue(): StoredQueue | null;
  writeQueue(queue: StoredQueue): void;
  /** Forgets everything but the garbage. */
  clear(): void;
}
