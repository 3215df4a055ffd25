/**
 * What an exchange's core needs of storage. Stores hold no rules: each method reads or writes rows. All calls of one
 * transition run inside one transaction that the shell opens.
 */
import type { BindingView } from "../protocol/exchange-commands.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import type { OutboxStore } from "../queue/stores.ts";

export interface StoredExchange {
  readonly exchange: string;
  readonly namespace: string;
  /** Random, made with the exchange: tells its moves from those of an earlier exchange of the same name. */
  readonly origin: number;
  readonly createdMs: number;
  /** Numbering of events that are stored; drawn anew whenever it has to begin again. */
  readonly epoch: number;
  /** Whether it ever had a binding or a subscriber: only then does autoDelete look at it. */
  readonly wasUsed: boolean;
  readonly config: ExchangeConfig;
}

export interface BindingStore {
  all(): BindingView[];
  put(binding: BindingView): void;
  remove(id: number): void;
}

/** One turn's events. */
export interface HistoryHead {
  /** Offset of the first event. */
  readonly first: number;
  readonly count: number;
  readonly timeMs: number;
  readonly batchBytes: number;
  /** Bytes of this row and of all before it, those deleted too: the difference of two rows is what lies between. */
  readonly bytesSoFar: number;
  /** The offset up to which every hub had been served when this row was written. */
  readonly pushed: number;
}

export interface HistoryRow extends HistoryHead {
  /** One batch, stamped with epoch, first offset and time. */
  readonly bytes: Uint8Array;
}

export interface HistoryStore {
  insert(row: HistoryRow): void;
  firstHeads(limit: number): HistoryHead[];
  /** The first row that was written after a time. */
  firstAfter(timeMs: number): HistoryHead | null;
  last(): HistoryHead | null;
  /** The row that holds an offset, or the first one after it. */
  atOrAfter(offset: number): HistoryRow | null;
  /** The last row that begins before an offset. */
  before(offset: number): HistoryRow | null;
  /** Removes the rows that begin before an offset. */
  removeBefore(first: number): void;
  clear(): void;
}

export interface LastValueRow {
  readonly topic: string;
  readonly offset: number;
  readonly timeMs: number;
  /** A batch of the one event. */
  readonly bytes: Uint8Array;
}

export interface LastValueStore {
  /** Whether the topic is new. */
  put(row: LastValueRow): boolean;
  /** Whether it was there. */
  remove(topic: string): boolean;
  count(): number;
  /** In the order of their topics, after one of them (null: from the first; the empty topic is one, too). */
  page(after: string | null, limit: number): LastValueRow[];
  /** Removes so many of those whose topic has been silent longest. */
  removeOldest(count: number): void;
  clear(): void;
}

export interface HubLease {
  readonly hub: string;
  /** Rises with each attachment of any hub: tells one from those before it. */
  readonly attachment: number;
  readonly untilMs: number;
}

export interface HubStore {
  all(): HubLease[];
  put(lease: HubLease): void;
  remove(hub: string): void;
}

export interface DelayedBatch {
  readonly dueMs: number;
  /** Tells batches apart that are due at the same time, in the order in which they came. */
  readonly number: number;
  readonly count: number;
  /** Dead letters that no binding matched: held until one does. Others are dropped then, as any publish is. */
  readonly mustRoute: boolean;
  readonly batch: Uint8Array;
}

/** A row without its batch. */
export type DelayedHead = Pick<DelayedBatch, "count" | "mustRoute"> & { readonly bytes: number };

export interface DelayedStore {
  put(row: DelayedBatch): void;
  has(row: Pick<DelayedBatch, "dueMs" | "number">): boolean;
  /** What is due, in the order of due time and number. */
  dueHeads(nowMs: number, limit: number): DelayedHead[];
  firstDue(nowMs: number, limit: number): DelayedBatch[];
  nextDueMs(): number | null;
  remove(row: DelayedBatch): void;
  totals(): { count: number; bytes: number };
  /** Dead letters that lead nowhere yet. */
  strandedCount(): number;
}

/** Numbers that rise and are never given twice. */
export interface CounterStore {
  read(name: "binding" | "move" | "delayed"): number;
  write(name: "binding" | "move" | "delayed", value: number): void;
}

export interface InboundStore {
  inbound(from: string): { number: number; taken: number | null };
  putInbound(from: string, number: number, taken: number | null): void;
}

export interface ExchangeStores {
  readExchange(): StoredExchange | null;
  writeExchange(exchange: StoredExchange): void;
  clear(): void;
  readonly bindings: BindingStore;
  readonly history: HistoryStore;
  readonly lastValues: LastValueStore;
  readonly hubs: HubStore;
  readonly delayed: DelayedStore;
  readonly counters: CounterStore;
  readonly inbound: InboundStore;
  readonly outbox: OutboxStore;
}
