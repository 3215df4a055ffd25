/**
 * Queues that wake, in the broker itself: objects that were left alone for longer than the runtime keeps them, asked over
 * HTTP. Rows are as billed.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { BODY, declareQueue, publish } from "./cost-queue-flows.ts";
import { startCountedBroker, type CountedBroker } from "./counted-broker.ts";
import { countsBetween } from "./counters.ts";
import { spread } from "./contest.ts";
import { short } from "./plot.ts";
import { printTable } from "./report.ts";
import { ask, Wire } from "./wire.ts";

const BATCH = 1_000;
/** An idle object is dropped from memory after ten seconds. */
const FORGOTTEN_MS = 13_000;
const WAKES = 3;

export interface WakePoint {
  readonly backlog: number;
  readonly publishRows: number;
  readonly publishCpuMicros: number;
  /** From the request to its answer, through the Worker, less that of a request to an object that is awake. */
  readonly wakeMs: number;
  readonly wakeRowsRead: number;
}

export async function scaleWake(sizes: readonly number[]): Promise<WakePoint[]> {
  const broker = await startCountedBroker();
  try {
    const filled: Filled[] = [];
    for (const size of sizes) filled.push(await fill(broker, size));
    const points = await wakeAll(broker, filled);
    console.log("\nWaking a queue in the broker: batches of 1,000 published, then left alone and asked");
    printTable(
      ["waiting", "publish rows", "publish CPU µs", "wake ms", "wake rows read"],
      points.map((point) => [
        short(point.backlog),
        point.publishRows.toPrecision(2),
        point.publishCpuMicros.toFixed(1),
        point.wakeMs.toFixed(1),
        String(point.wakeRowsRead),
      ]),
    );
    return points;
  } finally {
    await broker.stop();
  }
}

interface Filled {
  readonly queue: string;
  readonly size: number;
  readonly rows: number;
  readonly cpuMicros: number;
}

async function fill(broker: CountedBroker, size: number): Promise<Filled> {
  console.error(`wake: filling a queue with ${size.toLocaleString("en")}`);
  const queue = await declareQueue(broker.url);
  const wire = await Wire.open(broker.url, queue);
  const records = Array.from({ length: BATCH }, () => ({ body: BODY }));
  const before = await broker.counters();
  const cpuBeforeMs = broker.cpuMs();
  for (let i = 0; i < size; i += BATCH) await publish(wire, records);
  const { rowsWritten } = countsBetween(before, await broker.counters());
  const cpuMicros = (broker.cpuMs() - cpuBeforeMs) * 1_000;
  wire.close();
  const messages = Math.max(1, size);
  return { queue, size, rows: size === 0 ? 0 : rowsWritten / messages, cpuMicros: cpuMicros / messages };
}

async function wakeAll(broker: CountedBroker, filled: readonly Filled[]): Promise<WakePoint[]> {
  const times = filled.map((): number[] => []);
  const rows = filled.map(() => 0);
  for (let round = 0; round < WAKES; round++) {
    console.error(`wake: waiting until objects are forgotten, ${round + 1} of ${WAKES}`);
    await sleep(FORGOTTEN_MS);
    for (const [i, one] of filled.entries()) {
      const before = await broker.counters();
      const asleepMs = await timeToAnswer(broker.url, one);
      const used = countsBetween(before, await broker.counters());
      if (used.wakes !== 1) throw new Error(`${used.wakes} objects woke for one request`);
      rows[i] = used.rowsRead;
      times[i]!.push(asleepMs - (await timeToAnswer(broker.url, one)));
    }
  }
  return filled.map(({ size, rows: publishRows, cpuMicros }, i) => ({
    backlog: size,
    publishRows,
    publishCpuMicros: cpuMicros,
    wakeMs: spread(times[i]!).median,
    wakeRowsRead: rows[i]!,
  }));
}

async function timeToAnswer(url: string, { queue, size }: Filled): Promise<number> {
  const started = performance.now();
  const { counts } = await ask<{ counts: { ready: number } }>(url, "GET", `/v1/queues/${queue}`);
  const ms = performance.now() - started;
  if (counts.ready !== size) throw new Error(`${counts.ready} messages are ready, not ${size}`);
  return ms;
}
