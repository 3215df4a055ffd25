/**
 * What a message costs: `npm run bench:cost`, with `--quick` fewer rounds and no idle hour. Every flow runs over HTTP or
 * WebSockets against the broker on workerd, with its storage on disk; its answers are verified, and what it is billed
 * for is counted in the broker (counting/worker.ts). Counts are those of production; CPU and active time are local.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { calls, fanOut, throughExchange } from "./cost-exchange-flows.ts";
import { watchIdle, type Idle } from "./cost-idle.ts";
import { BODY, deadLettered, delayed, overHttp, overSockets, type Flow } from "./cost-queue-flows.ts";
import { startCountedBroker, type CountedBroker } from "./counted-broker.ts";
import { countsBetween, objectRequests, type Counters } from "./counters.ts";
import { readOptions, type BenchOptions } from "./options.ts";
import { billPerMillion, PEERS, type Bill } from "./prices.ts";
import { printTable, writeResults } from "./report.ts";

const IDLE_MS = 3_000;

const keyed = (index: number): { body: Uint8Array; orderingKey: string } => ({
  body: BODY,
  orderingKey: `key-${index % 1_000}`,
});

const flowsOf = (rounds: BenchOptions["rounds"]): readonly Flow[] => [
  overSockets({ name: "socket, singly", size: 1, rounds: rounds(500) }),
  overSockets({ name: "socket, by tens", size: 10, rounds: rounds(300) }),
  overSockets({ name: "socket, by hundreds", size: 100, rounds: rounds(300) }),
  overSockets({ name: "socket, by thousands", size: 1_000, rounds: rounds(60) }),
  overHttp("HTTP, singly", 1, rounds(300)),
  overHttp("HTTP, by tens", 10, rounds(200)),
  throughExchange("exchange to 1 queue, singly", 1, 1, rounds(300)),
  throughExchange("exchange to 1 queue, by hundreds", 1, 100, rounds(200)),
  throughExchange("exchange to 3 queues, singly", 3, 1, rounds(200)),
  throughExchange("exchange to 3 queues, by hundreds", 3, 100, rounds(150)),
  overSockets({
    name: "4 partitions, by hundreds",
    size: 100,
    rounds: rounds(200),
    config: { partitions: 4 },
  }),
  overSockets({
    name: "4 partitions, keyed, by hundreds",
    size: 100,
    rounds: rounds(200),
    config: { partitions: 4, fifo: true },
    record: keyed,
  }),
  deadLettered("dead-lettered, singly", 1, rounds(100)),
  deadLettered("dead-lettered, by hundreds", 100, rounds(60)),
  delayed("delayed, singly", 1, rounds(200)),
  delayed("delayed, by hundreds", 100, rounds(60)),
  calls("call and reply, singly", 1, rounds(200)),
  calls("call and reply, 20 at a time", 20, rounds(50)),
  fanOut("fan-out to 100, singly", { subscribers: 100, hears: true, size: 1, rounds: rounds(200) }),
  fanOut("fan-out to 100, by hundreds", { subscribers: 100, hears: true, size: 100, rounds: rounds(50) }),
  fanOut("fan-out to 1,000, singly", { subscribers: 1_000, hears: true, size: 1, rounds: rounds(60) }),
  fanOut("fan-out to 1,000, by hundreds", { subscribers: 1_000, hears: true, size: 100, rounds: rounds(20) }),
  fanOut("1,000 subscribers of other topics, singly", {
    subscribers: 1_000,
    hears: false,
    size: 1,
    rounds: rounds(300),
  }),
  fanOut("1,000 subscribers of other topics, by hundreds", {
    subscribers: 1_000,
    hears: false,
    size: 100,
    rounds: rounds(100),
  }),
];

const options = readOptions({
  what: "what a message costs: rows, requests, CPU and list price",
  parts: flowsOf((count) => count).map(({ name }) => name),
  quick: "no idle hour",
});
const { isQuick } = options;
const FLOWS = flowsOf(options.rounds);
const flows = FLOWS.filter(({ name }) => options.wants(name));

interface FlowCost {
  readonly name: string;
  readonly unit: string;
  readonly units: number;
  readonly counts: Counters;
  readonly cpuMs: number;
  readonly bill: Bill;
}

/** Each flow has a broker of its own, so that none inherits the alarms of another. */
async function costOf(flow: Flow): Promise<FlowCost> {
  const broker = await startCountedBroker();
  try {
    const run = await flow.prepare(broker.url);
    const idleShare = await idleCpu(broker);
    const before = await broker.counters();
    const cpuBeforeMs = broker.cpuMs();
    const startedMs = performance.now();
    const units = await run();
    const wallMs = performance.now() - startedMs;
    const cpuMs = Math.max(0, broker.cpuMs() - cpuBeforeMs - idleShare * wallMs);
    const counts = countsBetween(before, await broker.counters());
    return {
      name: flow.name,
      unit: flow.unit,
      units,
      counts,
      cpuMs,
      bill: billPerMillion(counts, cpuMs, units),
    };
  } finally {
    await broker.stop();
  }
}

/** CPU time that the process takes for each ms while nothing is asked of it. */
async function idleCpu(broker: CountedBroker): Promise<number> {
  const beforeMs = broker.cpuMs();
  await sleep(isQuick ? 200 : IDLE_MS / 3);
  return (broker.cpuMs() - beforeMs) / (isQuick ? 200 : IDLE_MS / 3);
}

function perUnit(value: number, units: number): string {
  const one = value / units;
  if (one === 0) return "0";
  return one >= 0.1 ? one.toFixed(2) : one.toPrecision(2);
}

function dollars(value: number): string {
  if (value === 0) return "0";
  return value >= 0.1 ? value.toFixed(2) : Number(value.toPrecision(2)).toString();
}

function printFlows(costs: readonly FlowCost[]): void {
  const head = [
    "",
    "of",
    "rows written",
    "rows read",
    "object requests",
    "frames in",
    "Worker requests",
    "CPU µs",
    "active µs",
    "$ rows",
    "$ requests",
    "$ compute",
    "$ per million",
    "Queues costs",
  ];
  const rows = costs.map(({ name, unit, units, counts, cpuMs, bill }) => [
    name,
    unit,
    perUnit(counts.rowsWritten, units),
    perUnit(counts.rowsRead, units),
    perUnit(objectRequests({ ...counts, frames: 0 }), units),
    perUnit(counts.frames, units),
    perUnit(counts.workerRequests, units),
    ((cpuMs * 1_000) / units).toFixed(cpuMs * 1_000 > 10 * units ? 0 : 1),
    ((counts.activeMs * 1_000) / units).toFixed(counts.activeMs * 1_000 > 10 * units ? 0 : 1),
    dollars(bill.rows),
    dollars(bill.requests),
    dollars(bill.compute),
    dollars(bill.total),
    unit === "message" ? `${(PEERS["Cloudflare Queues"] / bill.total).toFixed(1)} ×` : "",
  ]);
  printTable(head, rows);
}

function printIdle(idle: readonly Idle[]): void {
  const head = [
    "an hour of",
    "alarm every",
    "rows written",
    "rows read",
    "object requests",
    "frames in",
    "$ a month",
  ];
  const rows = idle.map(({ name, idlers, periodMs, hour }) => [
    `${idlers.toLocaleString("en")} ${name}`,
    periodMs === null ? "never" : `${Math.round(periodMs / 1_000)} s`,
    hour.rowsWritten.toFixed(0),
    hour.rowsRead.toFixed(0),
    objectRequests(hour).toFixed(0),
    hour.frames.toFixed(0),
    ((billPerMillion(hour, 0, 1).total / 1_000_000) * 730).toFixed(4),
  ]);
  printTable(head, rows);
}

/** Of DESIGN: rows and dollars of a full life, by hundreds and singly. */
function printTargets(costs: readonly FlowCost[]): void {
  const of = (name: string): FlowCost => costs.find((cost) => cost.name === name)!;
  const hundreds = of("socket, by hundreds");
  const singly = of("socket, singly");
  const targets = [
    ["rows written, by hundreds", hundreds.counts.rowsWritten / hundreds.units, 0.05],
    ["rows written, singly", singly.counts.rowsWritten / singly.units, 2],
    ["$ per million, by hundreds", hundreds.bill.total, 0.06],
  ] as const;
  const peers = Object.entries(PEERS).map(([name, dollarsEach]) => `${name} $${dollarsEach}`);
  console.log(`\nBeside, per million messages: ${peers.join(", ")}`);
  console.log("\nTargets");
  printTable(
    ["", "measured", "at most", ""],
    targets.map(([name, measured, most]) => [
      name,
      measured.toPrecision(3),
      String(most),
      measured <= most ? "met" : "missed",
    ]),
  );
}

const isWhole = flows.length === FLOWS.length;
const idleWatch = isQuick || !isWhole ? null : watchIdle();
const costs: FlowCost[] = [];
for (const [i, flow] of flows.entries()) {
  console.error(`${i + 1} of ${flows.length}: ${flow.name}`);
  costs.push(await costOf(flow));
}
console.log("\nWhat one costs: from publish to ack, verified; in dollars per million of list price");
printFlows(costs);
if (idleWatch !== null) {
  console.error("watching those who are idle");
  const idle = await idleWatch;
  console.log("\nConnected and silent, from alarms seen and carried on to an hour");
  printIdle(idle);
  writeResults("cost", { flows: costs, idle, peers: PEERS });
} else {
  writeResults("cost", { flows: costs, peers: PEERS });
}
if (isWhole) printTargets(costs);
