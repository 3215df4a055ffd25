/**
 * A queue in plain Node: the real core on the real stores over an in-memory SQLite, with a clock that is a number.
 * Each call is one transaction, as in the object's shell; `evict` throws the core away and opens it from storage.
 */
import type { BatchCodec, MessageRecord } from "../../src/protocol/batch.ts";
import type { Delivery, PublishConfirm, Settlement, SettlementResult } from "../../src/protocol/commands.ts";
import { deliveryToJson, type DeliveredJson } from "../../src/protocol/message-json.ts";
import { QUEUE_DEFAULTS, type QueueConfig } from "../../src/protocol/queue-config.ts";
import type { Result } from "../../src/protocol/result.ts";
import { WasmBatchCodec } from "../../src/protocol/wasm-batch-codec.ts";
import type { Consumer, Dispatched } from "../../src/queue/consumers.ts";
import { Queue } from "../../src/queue/queue.ts";
import { migrate } from "../../src/storage/migrations.ts";
import { QUEUE_MIGRATIONS, SELDOM_USED_TABLES } from "../../src/storage/queue-schema.ts";
import { SqlQueueStores } from "../../src/storage/queue-stores.ts";
import { Sql } from "../../src/storage/sql.ts";
import { NodeSql } from "./node-sql.ts";
import { loadWasmModule } from "./wasm-module.ts";

const encoder = new TextEncoder();
let shared: BatchCodec | undefined;

export function wasmCodec(): BatchCodec {
  return (shared ??= new WasmBatchCodec(loadWasmModule()));
}

export interface HarnessOptions {
  readonly config?: Partial<QueueConfig>;
  readonly random?: () => number;
  readonly startMs?: number;
  readonly name?: string;
}

export class QueueHarness {
  readonly codec = wasmCodec();
  readonly sql = new NodeSql();
  /** Counts the rows that the stores read and write. */
  readonly counted = new Sql(this.sql.storage, SELDOM_USED_TABLES);
  readonly stores = new SqlQueueStores(this.counted);
  nowMs: number;
  private queue: Queue | null = null;
  private readonly random: () => number;
  private readonly consumers = new Map<number, Consumer>();
  private lastConsumer = 0;

  constructor(options: HarnessOptions = {}) {
    this.nowMs = options.startMs ?? 1_000_000;
    this.random = options.random ?? (() => 0.5);
    migrate(this.sql.storage, QUEUE_MIGRATIONS);
    this.stores.writeQueue({
      queue: options.name ?? "q",
      namespace: "test",
      origin: 4_242,
      createdMs: this.nowMs,
      paused: false,
      allottedBytes: Number.MAX_SAFE_INTEGER,
      config: { ...QUEUE_DEFAULTS, ...options.config },
    });
  }

  /** One transition and its commit, all or nothing. */
  run<T>(work: (queue: Queue, nowMs: number) => T): T {
    try {
      return this.sql.transaction(() => {
        const queue = this.open();
        const value = work(queue, this.nowMs);
        queue.commit(this.nowMs);
        return value;
      });
    } catch (error) {
      this.queue = null;
      throw error;
    }
  }

  private open(): Queue {
    if (this.queue) return this.queue;
    const queue = Queue.open(this.stores, this.codec, this.random);
    if (!queue) throw new Error("the queue is not stored");
    this.queue = queue;
    for (const consumer of this.consumers.values()) queue.attach(consumer);
    queue.releaseOrphans(new Set(this.consumers.keys()), this.nowMs);
    return queue;
  }

  /** Drops everything in memory. Sockets hibernate, unless they are to be lost too. */
  evict(options: { sockets: "hibernate" | "close" } = { sockets: "hibernate" }): void {
    if (options.sockets === "close") this.consumers.clear();
    this.queue = null;
  }

  /** Moves the clock and does what the alarm would. */
  advance(ms: number): void {
    this.nowMs += ms;
    this.run((queue, nowMs) => queue.tick(nowMs));
  }

  batch(...records: (string | (Partial<MessageRecord> & { text?: string }))[]): Uint8Array {
    const whole = records.map((record): MessageRecord => {
      if (typeof record === "string") return { body: encoder.encode(record) };
      const { text, ...fields } = record;
      return { body: encoder.encode(text ?? ""), ...fields };
    });
    const encoded = this.codec.encode(whole, { origin: 0, firstSequence: 0, timeMs: 0 }, "client");
    if (!encoded.ok) throw new Error(encoded.detail);
    return encoded.value;
  }

  publish(...records: (string | (Partial<MessageRecord> & { text?: string }))[]): Result<PublishConfirm> {
    const batch = this.batch(...records);
    return this.run((queue, nowMs) => queue.publish([{ batch }], nowMs)[0]!);
  }

  receive(max = 1, options: { leaseMs?: number; consumer?: string; attemptId?: string } = {}): Delivery {
    const answer = this.run((queue, nowMs) => queue.receive({ consumer: "c", max, ...options }, nowMs));
    if (!answer.ok) throw new Error(`${answer.code}: ${answer.detail}`);
    return answer.value;
  }

  /** Receives and decodes. */
  take(max = 1, options: { leaseMs?: number; consumer?: string } = {}): DeliveredJson[] {
    return deliveryToJson(this.receive(max, options), this.codec);
  }

  settle(...settlements: Settlement[]): SettlementResult[] {
    return this.run((queue, nowMs) => queue.settle(settlements, nowMs));
  }

  attach(options: Partial<Omit<Consumer, "id">> = {}): number {
    const id = ++this.lastConsumer;
    const consumer: Consumer = {
      id,
      subject: "",
      name: `consumer-${id}`,
      credit: 20,
      leaseMs: null,
      priority: 0,
      isExclusive: false,
      isOnce: false,
      isDraining: false,
      attemptId: null,
      ...options,
    };
    const answer = this.run((queue) => queue.attach(consumer));
    if (!answer.ok) throw new Error(`${answer.code}: ${answer.detail}`);
    this.consumers.set(id, consumer);
    return id;
  }

  detach(id: number, how: "released" | "lost" = "lost"): void {
    this.run((queue, nowMs) => queue.detach(id, how, nowMs));
    this.consumers.delete(id);
  }

  dispatch(): Dispatched[] {
    const sent = this.run((queue, nowMs) => queue.dispatch(nowMs));
    for (const { consumer } of sent) if (consumer.isOnce) this.consumers.delete(consumer.id);
    return sent;
  }

  info(): ReturnType<Queue["inspect"]> {
    return this.run((queue, nowMs) => queue.inspect(nowMs));
  }

  /** Rows of a table, but for those of segments that are gone, which wait to be written over. */
  rowsIn(table: string): number {
    const rows = this.counted.value(`SELECT count(*) AS value FROM ${table}`) ?? 0;
    return table === "segment" ? rows - this.stores.segments.vacant.size : rows;
  }

  wakeMs(): number | null {
    return this.run((queue, nowMs) => queue.nextWakeMs(nowMs));
  }
}

/** The lease in a receipt of a delivered message. */
export function leaseOf(message: DeliveredJson): number {
  return Number.parseInt(message.receipt.split("-")[0]!, 36);
}
