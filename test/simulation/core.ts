/**
 * One queue of the simulation: the real core on the real stores over an in-memory SQLite. A turn is one transaction,
 * as in the object's shell. Storage can be told to fail in the middle of one.
 */
import type { BatchCodec } from "../../src/protocol/batch.ts";
import type { QueueInfo } from "../../src/protocol/commands.ts";
import type { QueueConfig } from "../../src/protocol/queue-config.ts";
import type { Consumer } from "../../src/queue/consumers.ts";
import { Queue } from "../../src/queue/queue.ts";
import { migrate } from "../../src/storage/migrations.ts";
import { QUEUE_MIGRATIONS, QUEUE_TABLES, SELDOM_USED_TABLES } from "../../src/storage/queue-schema.ts";
import { SqlQueueStores } from "../../src/storage/queue-stores.ts";
import { Sql } from "../../src/storage/sql.ts";
import { NodeSql } from "../support/node-sql.ts";

export class StorageFault extends Error {}

type Table = (typeof QUEUE_TABLES)[number];

export class SimulatedQueue {
  readonly name: string;
  readonly origin: number;
  readonly codec: BatchCodec;
  /** The consumers' sockets that are open: they outlive an eviction. */
  readonly sockets = new Map<number, Consumer>();
  private readonly sql = new NodeSql();
  private readonly stores: SqlQueueStores;
  private readonly random: () => number;
  private queue: Queue | null = null;
  private statementsLeft = Number.POSITIVE_INFINITY;

  constructor(options: {
    name: string;
    origin: number;
    config: QueueConfig;
    codec: BatchCodec;
    random: () => number;
    nowMs: number;
  }) {
    this.name = options.name;
    this.origin = options.origin;
    this.codec = options.codec;
    this.random = options.random;
    const { storage } = this.sql;
    migrate(storage, QUEUE_MIGRATIONS);
    const faulty: Pick<SqlStorage, "exec"> = {
      exec: (query, ...values) => {
        if (this.statementsLeft-- <= 0) throw new StorageFault("the platform failed");
        return storage.exec(query, ...values);
      },
    };
    this.stores = new SqlQueueStores(new Sql(faulty as SqlStorage, SELDOM_USED_TABLES));
    this.stores.writeQueue({
      queue: options.name,
      namespace: "simulation",
      origin: options.origin,
      createdMs: options.nowMs,
      paused: false,
      allottedBytes: Number.MAX_SAFE_INTEGER,
      config: options.config,
    });
  }

  /** One turn and its commit. After a throw nothing of it is stored and the core is opened anew. */
  run<T>(nowMs: number, work: (queue: Queue) => T): T {
    try {
      return this.sql.transaction(() => {
        const queue = this.open(nowMs);
        const value = work(queue);
        queue.commit(nowMs);
        return value;
      });
    } catch (error) {
      this.queue = null;
      throw error;
    }
  }

  /** The turn fails at its n-th statement from here; false when it was over before. */
  runFailing(nowMs: number, statement: number, work: (queue: Queue) => void): boolean {
    this.statementsLeft = statement;
    try {
      this.run(nowMs, (queue) => {
        work(queue);
        queue.commit(nowMs);
        // Whatever the count, the transaction does not go through.
        throw new StorageFault("the platform failed at the end");
      });
    } catch (error) {
      if (!(error instanceof StorageFault)) throw error;
    } finally {
      this.statementsLeft = Number.POSITIVE_INFINITY;
    }
    return true;
  }

  private open(nowMs: number): Queue {
    if (this.queue) return this.queue;
    const queue = Queue.open(this.stores, this.codec, this.random);
    if (!queue) throw new Error("the queue is not stored");
    this.queue = queue;
    for (const socket of this.sockets.values()) queue.attach({ ...socket });
    queue.releaseOrphans(new Set(this.sockets.keys()), nowMs);
    return queue;
  }

  /** Drops everything in memory. */
  evict(): void {
    this.queue = null;
  }

  inspect(nowMs: number): QueueInfo {
    return this.run(nowMs, (queue) => queue.inspect(nowMs));
  }

  rows(table: Table): number {
    const cursor = this.sql.storage.exec<{ rows: number }>(`SELECT count(*) AS rows FROM ${table}`);
    const { rows } = cursor.one();
    // Rows of segments that are gone wait to be written over.
    return table === "segment" ? rows - this.stores.segments.vacant.size : rows;
  }

  /** Outbox rows after a number: what has left this queue and is not yet known to have arrived. */
  outbox(after: number): { number: number; target: string; batch: Uint8Array }[] {
    const query = "SELECT number, target, batch FROM outbox WHERE number > ? ORDER BY number";
    return this.sql.storage
      .exec<{ number: number; target: string; batch: ArrayBuffer }>(query, after)
      .toArray()
      .map(({ number, target, batch }) => ({
        number,
        target,
        batch: Uint8Array.from(new Uint8Array(batch)),
      }));
  }

  /** Of messages that have a row of their own, because they came back. */
  returnedSequences(): number[] {
    const rows = this.sql.storage.exec<{ sequence: number }>("SELECT sequence FROM returned");
    return rows.toArray().map(({ sequence }) => sequence);
  }

  deadSequences(): Set<number> {
    const rows = this.sql.storage.exec<{ sequence: number }>("SELECT sequence FROM returned WHERE state = 4");
    return new Set(rows.toArray().map(({ sequence }) => sequence));
  }

  close(): void {
    this.sql.close();
  }
}
