/**
 * What those cost who are connected and silent, for an hour. Their sockets ping as the SDK does, and the broker is
 * watched from its first alarm on until it has rung a few times more; what happens between two is carried on to an hour.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { declareExchange } from "./cost-exchange-flows.ts";
import { declareQueue } from "./cost-queue-flows.ts";
import { startCountedBroker, type CountedBroker } from "./counted-broker.ts";
import { countsBetween, type Counters } from "./counters.ts";
import { Wire } from "./wire.ts";

const IDLERS = 1_000;
const PERIODS = 3;
const PING_MS = 25_000;
const HEARTBEAT_MS = 25_000;
const LOOK_MS = 1_000;
/** Without an alarm in this time there is none to wait for. */
const SILENT_MS = 200_000;
const HOUR_MS = 3_600_000;

export interface Idle {
  readonly name: string;
  readonly idlers: number;
  /** Between two alarms; null: none rang while it was watched. */
  readonly periodMs: number | null;
  readonly watchedMs: number;
  /** What was counted in that time. */
  readonly counts: Counters;
  /** `counts`, carried on to an hour. */
  readonly hour: Counters;
}

interface Scenario {
  readonly name: string;
  open(url: string): Promise<Wire[]>;
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: "subscribers, of one exchange on one hub",
    async open(url) {
      const exchange = await declareExchange(url);
      return openMany(async () => {
        const wire = await Wire.open(url);
        wire.send({ type: "subscribe", ref: 1, exchange, pattern: "orders.#" });
        await wire.next("subscribed");
        return wire;
      });
    },
  },
  {
    name: "consumers, on sockets of one queue",
    async open(url) {
      const queue = await declareQueue(url);
      return openMany(async () => {
        const wire = await Wire.open(url, queue);
        wire.send({ type: "consume", credit: 20, heartbeatMs: HEARTBEAT_MS });
        await wire.next("consuming");
        return wire;
      });
    },
  },
  {
    name: "consumers of one queue, in sessions on one hub",
    async open(url) {
      const queue = await declareQueue(url);
      return openMany(async () => {
        const wire = await Wire.open(url);
        wire.send({ type: "consume", ref: 1, queue, credit: 20 });
        await wire.next("consuming");
        return wire;
      });
    },
  },
];

/** All of them at a time, each with a broker of its own. */
export async function watchIdle(): Promise<Idle[]> {
  return Promise.all(SCENARIOS.map(watch));
}

async function watch(scenario: Scenario): Promise<Idle> {
  const { name } = scenario;
  const broker = await startCountedBroker();
  try {
    const wires = await scenario.open(broker.url);
    const pinging = setInterval(() => wires.forEach((wire) => wire.ping()), PING_MS);
    try {
      const { periodMs, watchedMs, counts } = await watchAlarms(broker);
      return { name, idlers: wires.length, periodMs, watchedMs, counts, hour: carriedOn(counts, watchedMs) };
    } finally {
      clearInterval(pinging);
      for (const wire of wires) wire.close();
    }
  } finally {
    await broker.stop();
  }
}

async function watchAlarms(broker: CountedBroker): Promise<Pick<Idle, "periodMs" | "watchedMs" | "counts">> {
  const opened = await broker.counters();
  const openedMs = performance.now();
  const first = await nextAlarm(broker, opened.alarms, SILENT_MS);
  if (first === null) {
    const counts = countsBetween(opened, await broker.counters());
    return { periodMs: null, watchedMs: performance.now() - openedMs, counts };
  }
  const sinceMs = performance.now();
  let last = first;
  for (let i = 0; i < PERIODS; i++) last = (await nextAlarm(broker, last.alarms, SILENT_MS)) ?? last;
  const watchedMs = performance.now() - sinceMs;
  const counts = countsBetween(first, last);
  return { periodMs: watchedMs / Math.max(1, counts.alarms), watchedMs, counts };
}

async function nextAlarm(broker: CountedBroker, seen: number, waitMs: number): Promise<Counters | null> {
  const deadlineMs = performance.now() + waitMs;
  for (;;) {
    await sleep(LOOK_MS);
    const counts = await broker.counters();
    if (counts.alarms > seen) {
      // What the alarm set off is over by then.
      await sleep(LOOK_MS);
      return broker.counters();
    }
    if (performance.now() > deadlineMs) return null;
  }
}

async function openMany(open: () => Promise<Wire>): Promise<Wire[]> {
  const wires: Wire[] = [];
  while (wires.length < IDLERS) wires.push(...(await Promise.all(Array.from({ length: 50 }, open))));
  return wires;
}

function carriedOn(counts: Counters, watchedMs: number): Counters {
  const times = HOUR_MS / watchedMs;
  return {
    rowsWritten: counts.rowsWritten * times,
    rowsRead: counts.rowsRead * times,
    alarmsSet: counts.alarmsSet * times,
    calls: counts.calls * times,
    fetches: counts.fetches * times,
    alarms: counts.alarms * times,
    frames: counts.frames * times,
    workerRequests: counts.workerRequests * times,
    wakes: counts.wakes * times,
    activeMs: counts.activeMs * times,
    rowsWrittenBy: {},
  };
}
