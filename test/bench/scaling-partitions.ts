/**
 * A queue of several partitions. One thread runs all objects here, so it can't get faster; what is measured is what the
 * partitions add to a message's cost. What N objects on machines of their own would reach is simulated from it, in
 * simulated-partitions.ts.
 */
import { BODY, overSockets, type Flow } from "./cost-queue-flows.ts";
import { startCountedBroker } from "./counted-broker.ts";
import { countsBetween, type Counters } from "./counters.ts";
import { printTable } from "./report.ts";
import type { Service } from "./simulated-partitions.ts";

const BATCH = 100;
const KEYS = 1_000;
/** In one turn, as near as a client can make it. */
const FRAMES = 32;

export interface PartitionPoint {
  readonly partitions: number;
  readonly isKeyed: boolean;
  readonly rowsPerMessage: number;
  /** Calls of methods, frames included: an object is woken for each. */
  readonly eventsPerMessage: number;
  readonly cpuMicros: number;
}

export async function scalePartitions(counts: readonly number[], rounds: number): Promise<PartitionPoint[]> {
  const points: PartitionPoint[] = [];
  for (const isKeyed of [false, true]) {
    for (const partitions of counts) {
      console.error(`partitions: ${partitions}${isKeyed ? ", keyed" : ""}`);
      const {
        units,
        counts: used,
        cpuMs,
      } = await run(
        overSockets({
          name: "",
          size: BATCH,
          rounds,
          config: { partitions, fifo: isKeyed },
          record: (index) => (isKeyed ? { body: BODY, orderingKey: `key-${index % KEYS}` } : { body: BODY }),
        }),
      );
      points.push({
        partitions,
        isKeyed,
        rowsPerMessage: used.rowsWritten / units,
        eventsPerMessage: (used.calls + used.frames + used.fetches + used.alarms) / units,
        cpuMicros: (cpuMs * 1_000) / units,
      });
    }
  }
  printPartitions(points);
  return points;
}

/** Of a queue's object, from CPU time: what a turn takes, each frame that it gathers, and each message in them. */
export async function measureService(rounds: number): Promise<Service> {
  console.error("partitions: what a turn takes");
  const micros = async (size: number, frames: number): Promise<number> => {
    const { units, cpuMs } = await run(overSockets({ name: "", size, rounds, frames }));
    return (cpuMs * 1_000 * size * frames) / units;
  };
  const one = await micros(10, 1);
  const each = Math.max(0, ((await micros(1_000, 1)) - one) / 990);
  const frame = Math.max(0, ((await micros(10, FRAMES)) - one) / (FRAMES - 1) - 10 * each);
  return { turn: Math.max(0, one - frame - 10 * each), frame, each };
}

async function run(flow: Flow): Promise<{ units: number; counts: Counters; cpuMs: number }> {
  const broker = await startCountedBroker();
  try {
    const go = await flow.prepare(broker.url);
    const before = await broker.counters();
    const cpuBeforeMs = broker.cpuMs();
    const units = await go();
    const cpuMs = broker.cpuMs() - cpuBeforeMs;
    return { units, counts: countsBetween(before, await broker.counters()), cpuMs };
  } finally {
    await broker.stop();
  }
}

function printPartitions(points: readonly PartitionPoint[]): void {
  console.log(`\nPartitions of a queue, batches of ${BATCH}, all on one thread: what they add to a message`);
  printTable(
    ["partitions", "", "rows written", "object events", "CPU µs"],
    points.map((point) => [
      String(point.partitions),
      point.isKeyed ? "keyed" : "no keys",
      point.rowsPerMessage.toPrecision(2),
      point.eventsPerMessage.toPrecision(2),
      point.cpuMicros.toFixed(0),
    ]),
  );
}
