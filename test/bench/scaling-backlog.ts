/**
 * How a queue bears its backlog: the real core on the real stores, over Node's SQLite in a file that is synced with each
 * commit. Ten million messages lie in it sooner than they would go over a socket. A step is one transaction, as in the
 * object's shell.
 */
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { QUEUE_DEFAULTS } from "../../src/protocol/queue-config.ts";
import { WasmBatchCodec } from "../../src/protocol/wasm-batch-codec.ts";
import { Queue } from "../../src/queue/queue.ts";
import { migrate } from "../../src/storage/migrations.ts";
import { QUEUE_MIGRATIONS } from "../../src/storage/queue-schema.ts";
import { SqlQueueStores } from "../../src/storage/queue-stores.ts";
import { Sql } from "../../src/storage/sql.ts";
import { NodeSql } from "../support/node-sql.ts";
import { loadWasmModule } from "../support/wasm-module.ts";
import { spread } from "./contest.ts";
import { cpuMicrosOf } from "./cpu-time.ts";
import { short } from "./plot.ts";
import { freshFolder } from "./processes.ts";
import { printTable } from "./report.ts";
import { batchOf } from "./wire.ts";

const BATCH = 1_000;
const PROBES = 40;
const WAKES = 25;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

export interface BacklogPoint {
  readonly backlog: number;
  /** Of CPU; by the clock the disk's sync is added, once for each transaction. */
  readonly publishMicros: number;
  readonly publishRows: number;
  readonly publishClockMicros: number;
  readonly lifeMicros: number;
  readonly lifeClockMicros: number;
  readonly lifeRows: number;
  /** Opened anew and asked for its counts: after a delivery, and when all since the last one was published. */
  readonly wakeMicros: number;
  readonly wakeUnreadMicros: number;
  /** Of the heap, with the queue in memory, above that of an empty one. */
  readonly memoryBytes: number;
}

class Backlog {
  private readonly sql = new NodeSql(join(freshFolder("backlog"), "queue.sqlite"));
  readonly counted = new Sql(this.sql.storage);
  private readonly stores = new SqlQueueStores(this.counted);
  private readonly codec = new WasmBatchCodec(loadWasmModule());
  private readonly batch = batchOf(
    Array.from({ length: BATCH }, () => ({ body: new Uint8Array(100).fill(120) })),
  );
  private queue: Queue | null = null;
  waiting = 0;

  constructor() {
    migrate(this.sql.storage, QUEUE_MIGRATIONS);
    this.stores.writeQueue({
      queue: "q",
      namespace: "bench",
      origin: 4_242,
      createdMs: 0,
      paused: false,
      allottedBytes: Number.MAX_SAFE_INTEGER,
      config: QUEUE_DEFAULTS,
    });
  }

  private step<T>(work: (queue: Queue, nowMs: number) => T): T {
    return this.sql.transaction(() => {
      const queue = this.open();
      const nowMs = Date.now();
      const value = work(queue, nowMs);
      queue.commit(nowMs);
      return value;
    });
  }

  private open(): Queue {
    const queue = (this.queue ??= Queue.open(this.stores, this.codec, Math.random));
    if (queue === null) throw new Error("the queue is not stored");
    return queue;
  }

  publish(): void {
    const [confirm] = this.step((queue, nowMs) => queue.publish([{ batch: this.batch }], nowMs));
    if (!confirm?.ok) throw new Error(confirm?.detail);
    this.waiting += BATCH;
  }

  receiveAndAck(): void {
    const answer = this.step((queue, nowMs) => queue.receive({ consumer: "c", max: BATCH }, nowMs));
    if (!answer.ok) throw new Error(answer.detail);
    const { lease } = answer.value;
    const [result] = this.step((queue, nowMs) => queue.settle([{ lease, verdict: "ack" }], nowMs));
    if (result?.settled !== BATCH) throw new Error(`settled ${result?.settled} of ${BATCH}`);
    this.waiting -= BATCH;
  }

  /** Throws away what is in memory, and asks. */
  wake(): void {
    this.queue = null;
    const { ready } = this.step((queue, nowMs) => queue.inspect(nowMs)).counts;
    if (ready !== this.waiting) throw new Error(`${ready} messages are ready, not ${this.waiting}`);
  }

  close(): void {
    this.sql.close();
  }
}

export function scaleBacklog(sizes: readonly number[]): BacklogPoint[] {
  const backlog = new Backlog();
  const emptyBytes = heapBytes(backlog);
  try {
    const points = sizes.map((size) => {
      console.error(`backlog: ${size.toLocaleString("en")}`);
      while (backlog.waiting < size) backlog.publish();
      return measure(backlog, emptyBytes);
    });
    printBacklog(points);
    return points;
  } finally {
    backlog.close();
  }
}

function measure(backlog: Backlog, emptyBytes: number): BacklogPoint {
  // The first after a wake finds no statement prepared and nothing compiled.
  backlog.wake();
  const { waiting } = backlog;
  const wakeUnreadMicros = wakeMicros(backlog);
  const published = probe(backlog, () => backlog.publish());
  const lived = probe(backlog, () => backlog.receiveAndAck());
  return {
    backlog: waiting,
    publishMicros: published.micros,
    publishRows: published.rows,
    publishClockMicros: published.clockMicros,
    lifeMicros: lived.micros,
    lifeClockMicros: lived.clockMicros,
    lifeRows: lived.rows,
    wakeMicros: wakeMicros(backlog),
    wakeUnreadMicros,
    memoryBytes: Math.max(0, heapBytes(backlog) - emptyBytes),
  };
}

/** Per message. */
function probe(backlog: Backlog, work: () => void): { micros: number; clockMicros: number; rows: number } {
  const rows = backlog.counted.rowsWritten;
  const clock: number[] = [];
  const micros = cpuMicrosOf(() => {
    for (let i = 0; i < PROBES; i++) {
      const started = performance.now();
      work();
      clock.push((performance.now() - started) * 1_000);
    }
  });
  return {
    micros: micros / PROBES / BATCH,
    clockMicros: spread(clock).median / BATCH,
    rows: (backlog.counted.rowsWritten - rows) / (PROBES * BATCH),
  };
}

function wakeMicros(backlog: Backlog): number {
  return spread(Array.from({ length: WAKES }, () => cpuMicrosOf(() => backlog.wake()))).median;
}

/** Just woken and asked, as an object is that sleeps most of the time. */
function heapBytes(backlog: Backlog): number {
  backlog.wake();
  const sizes = Array.from({ length: 3 }, () => {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  });
  // Buffers are let go of a while after they were collected.
  return Math.min(...sizes);
}

function printBacklog(points: readonly BacklogPoint[]): void {
  console.log(
    `\nBacklog of 100-byte messages, batches of ${BATCH}; core and stores in Node, SQLite in a file`,
  );
  const head = [
    "waiting",
    "publish: rows",
    "CPU µs",
    "clock µs",
    "receive, ack: rows",
    "CPU µs",
    "clock µs",
    "wake: CPU µs",
    "if only published to",
    "memory kB",
  ];
  const rows = points.map((point) => [
    short(point.backlog),
    point.publishRows.toPrecision(2),
    point.publishMicros.toFixed(2),
    point.publishClockMicros.toFixed(2),
    point.lifeRows.toPrecision(2),
    point.lifeMicros.toFixed(2),
    point.lifeClockMicros.toFixed(2),
    point.wakeMicros.toFixed(0),
    point.wakeUnreadMicros.toFixed(0),
    (point.memoryBytes / 1_000).toFixed(0),
  ]);
  printTable(head, rows);
}
