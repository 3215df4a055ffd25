/**
 * What peers that never read cost in memory: sockets whose connection is open and of which nothing is read, against what the
 * broker takes. Their leases run out once a second, so each is offered the whole queue again and again.
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { startCountedBroker, type CountedBroker } from "./counted-broker.ts";
import { plotDeaf } from "./curves.ts";
import { readOptions } from "./options.ts";
import { printTable, writeResults } from "./report.ts";
import { ask, batchOf, Wire } from "./wire.ts";

const MIB = 1024 ** 2;
const BODY_BYTES = 250_000;
const MESSAGES = 80;
const SOCKETS = [0, 1, 5, 20, 50, 100];
const SOCKETS_QUICK = [0, 1, 20];
const PART_MS = 20_000;
const PART_MS_QUICK = 8_000;

export interface DeafPoint {
  readonly sockets: number;
  /** The most that the broker took beyond what it took without them. */
  readonly bytes: number;
  /** What leases of these sockets were granted for in the meantime, as far as the broker counts them. */
  readonly offeredBytes: number;
}

const CONSUMERS = "consumers of a queue";
const REPLAYS = "sessions that ask for replays";
const { isQuick, wants } = readOptions({
  what: "memory of peers that do not read",
  parts: [CONSUMERS, REPLAYS],
  quick: "fewer sockets, for a shorter time",
});

/** It is open, and nothing is read from it after the first frame. */
async function deafSocket(url: string, path: string, frames: readonly object[]): Promise<WebSocket> {
  const socket = new WebSocket(url.replace(/^http/, "ws") + path);
  socket.on("error", () => undefined);
  await once(socket, "open");
  socket.pause();
  for (const frame of frames) socket.send(JSON.stringify(frame));
  return socket;
}

async function withDeaf(
  sockets: number,
  prepare: (broker: CountedBroker) => Promise<void>,
  open: (broker: CountedBroker) => Promise<WebSocket>,
  offered: (broker: CountedBroker) => Promise<number>,
): Promise<DeafPoint> {
  console.error(`deaf sockets: ${sockets}`);
  const broker = await startCountedBroker();
  const held: WebSocket[] = [];
  try {
    await prepare(broker);
    const emptyBytes = broker.residentBytes();
    for (let i = 0; i < sockets; i++) held.push(await open(broker));
    let most = 0;
    const end = performance.now() + (isQuick ? PART_MS_QUICK : PART_MS);
    while (performance.now() < end) {
      await sleep(250);
      most = Math.max(most, broker.residentBytes() - emptyBytes);
    }
    return { sockets, bytes: most, offeredBytes: await offered(broker) };
  } finally {
    for (const socket of held) socket.terminate();
    await broker.stop();
  }
}

async function fillQueue({ url }: CountedBroker): Promise<void> {
  const retry = { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 };
  await ask(url, "PUT", "/v1/queues/deaf", { maxFailures: null, retry });
  const wire = await Wire.open(url, "deaf");
  for (let ref = 1; ref <= MESSAGES; ref++) {
    wire.send({ type: "publish", ref }, batchOf([{ body: new Uint8Array(BODY_BYTES) }]));
    await wire.next("confirm");
  }
  wire.close();
}

async function fillExchange({ url }: CountedBroker): Promise<void> {
  await ask(url, "PUT", "/v1/exchanges/deaf", { history: { eventsMax: 1_000, ageMs: null } });
  const wire = await Wire.open(url);
  for (let ref = 1; ref <= MESSAGES / 4; ref++) {
    const batch = batchOf([{ routingKey: "a", body: new Uint8Array(BODY_BYTES) }]);
    wire.send({ type: "publish", ref, exchange: "deaf" }, batch);
    await wire.next("routed");
  }
  wire.close();
}

const consume = { type: "consume", credit: 4_096, leaseMs: 1_000, format: "binary" };
/** As many subscriptions as a session has, each with all that is kept. */
const subscribes = Array.from({ length: 50 }, (_, i) => ({
  type: "subscribe",
  exchange: "deaf",
  pattern: i === 0 ? "#" : `${"*.".repeat(i % 5)}#`,
  last: 1_000,
  format: "binary",
}));

interface QueueTotals {
  readonly totals: { readonly delivered: number };
}

async function deliveredBytes({ url }: CountedBroker): Promise<number> {
  const { totals } = await ask<QueueTotals>(url, "GET", "/v1/queues/deaf");
  return totals.delivered * BODY_BYTES;
}

async function measure(part: string): Promise<DeafPoint[]> {
  const points: DeafPoint[] = [];
  for (const sockets of isQuick ? SOCKETS_QUICK : SOCKETS) {
    points.push(
      part === CONSUMERS
        ? await withDeaf(
            sockets,
            fillQueue,
            ({ url }) => deafSocket(url, "/v1/queues/deaf/socket", [consume]),
            deliveredBytes,
          )
        : await withDeaf(
            sockets,
            fillExchange,
            ({ url }) => deafSocket(url, "/v1/socket", subscribes),
            async () => sockets * subscribes.length * (MESSAGES / 4) * BODY_BYTES,
          ),
    );
  }
  console.log(`\n${part}, of which nothing is read`);
  printTable(
    ["sockets", "memory more, MiB", "offered, MiB"],
    points.map(({ sockets, bytes, offeredBytes }) => [
      String(sockets),
      (bytes / MIB).toFixed(0),
      (offeredBytes / MIB).toFixed(0),
    ]),
  );
  return points;
}

const results: Record<string, DeafPoint[]> = {};
for (const part of [CONSUMERS, REPLAYS]) if (wants(part)) results[part] = await measure(part);
if (!isQuick) plotDeaf(results);
writeResults("deaf", results);
