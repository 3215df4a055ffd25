/**
 * Durable messages from end to end: published and confirmed, leased, delivered, acked. Producer and consumer run at
 * the same time, through the client library that a user of the broker would take.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { startShippedBroker } from "./broker-process.ts";
import type { ClientOptions } from "./clients/client.ts";
import { hold, type Contestant, type ContestResult } from "./contest.ts";
import type { Library, Part, Style, Told } from "./durable-client.ts";
import { readOptions, type BenchOptions } from "./options.ts";
import { startNats } from "./peers/nats.ts";
import type { Peer } from "./peers/peer.ts";
import { startRabbit } from "./peers/rabbitmq.ts";
import { startNode, stopChild } from "./processes.ts";
import { printContest, writeResults } from "./report.ts";

const BODY_BYTES = 100;
const PREFETCH = 2_000;
const WINDOW = 4_000;
const ROUNDS = 5;

interface Player {
  readonly name: string;
  readonly library: Library;
  readonly style: Style;
  /** In a round, so that it takes some seconds. */
  readonly messages: number;
}

const PIPELINED: readonly Player[] = [
  { name: "Millrace, publish()", library: "millrace", style: "pipelined", messages: 300_000 },
  { name: "Millrace, publishMany()", library: "millrace", style: "many", messages: 300_000 },
  { name: "RabbitMQ 3.10, durable queue", library: "rabbitmq", style: "pipelined", messages: 30_000 },
  { name: "NATS 2.9 JetStream, file storage", library: "nats", style: "pipelined", messages: 40_000 },
];

const AWAITED: readonly Player[] = [
  { name: "Millrace, publish()", library: "millrace", style: "awaited", messages: 1_000 },
  { name: "RabbitMQ 3.10, durable queue", library: "rabbitmq", style: "awaited", messages: 1_000 },
  { name: "NATS 2.9 JetStream, file storage", library: "nats", style: "awaited", messages: 3_000 },
];

const CONTESTS: readonly {
  readonly title: string;
  readonly players: readonly Player[];
  readonly processes: 1 | 2;
}[] = [
  { title: "durable, end to end, 100-byte messages", players: PIPELINED, processes: 2 },
  { title: "the same, producer and consumer in one process", players: PIPELINED, processes: 1 },
  { title: "the same, each publish awaited before the next", players: AWAITED, processes: 2 },
];

async function benchDurable({ rounds, wants }: BenchOptions): Promise<void> {
  const { peers, absent } = await startAll();
  const field = { peers, absent, rounds: rounds(ROUNDS) };
  try {
    const results: ContestResult[] = [];
    for (const { title, players, processes } of CONTESTS.filter((one) => wants(one.title)))
      results.push(await contest(title, players, { ...field, processes }));
    writeResults("broker", results);
  } finally {
    for (const peer of peers.values()) await peer.stop();
  }
}

interface Field {
  readonly peers: ReadonlyMap<Library, Peer>;
  readonly absent: readonly string[];
  readonly rounds: number;
  /** For producer and consumer together. */
  readonly processes: 1 | 2;
}

async function startAll(): Promise<{ peers: Map<Library, Peer>; absent: string[] }> {
  const starts: readonly (readonly [Library, string, () => Promise<Peer | null>])[] = [
    ["millrace", "Millrace", startShippedBroker],
    ["rabbitmq", "RabbitMQ", startRabbit],
    ["nats", "NATS", startNats],
  ];
  const peers = new Map<Library, Peer>();
  const absent: string[] = [];
  for (const [library, name, startPeer] of starts) {
    const peer = await startPeer();
    if (peer === null) absent.push(`${name} is not installed`);
    else peers.set(library, peer);
  }
  return { peers, absent };
}

async function contest(title: string, players: readonly Player[], field: Field): Promise<ContestResult> {
  const children: ChildProcess[] = [];
  const contestants: Contestant[] = [];
  try {
    for (const player of players) {
      const peer = field.peers.get(player.library);
      if (peer === undefined) continue;
      const options = { url: peer.url, prefetch: PREFETCH };
      const consumer = await startClient(player.library, options);
      children.push(consumer);
      const producer = field.processes === 1 ? consumer : await startClient(player.library, options);
      if (producer !== consumer) children.push(producer);
      contestants.push(contestantOf(player, { producer, consumer }));
    }
    const { rounds, absent } = field;
    const result = await hold({ title, unit: "messages/s", rounds, contestants, absent });
    printContest(result);
    return result;
  } finally {
    for (const child of children) await stopChild(child);
  }
}

export async function startClient(
  library: Library,
  options: ClientOptions,
  execArgv: readonly string[] = [],
): Promise<ChildProcess> {
  const path = join(import.meta.dirname, "durable-client.ts");
  const child = startNode(path, [library, JSON.stringify(options)], execArgv);
  await once(child, "message");
  return child;
}

/** They may be the same. */
export interface Pair {
  readonly producer: ChildProcess;
  readonly consumer: ChildProcess;
}

let roundsPlayed = 0;

/** From the first publish to the last ack that the broker has. */
export async function playRound(pair: Pair, round: Omit<Part, "round" | "role">): Promise<number> {
  const part = { ...round, round: ++roundsPlayed };
  const arrived = told(pair.consumer, "consume", "done");
  const consuming = told(pair.consumer, "consume", "consuming");
  pair.consumer.send({ ...part, role: "consume" } satisfies Part);
  await Promise.race([consuming, arrived]);
  const published = told(pair.producer, "produce", "done");
  const startedMs = performance.now();
  pair.producer.send({ ...part, role: "produce" } satisfies Part);
  await Promise.all([published, arrived]);
  return (round.messages * 1_000) / (performance.now() - startedMs);
}

function told(child: ChildProcess, role: Told["role"], what: Told["what"]): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (error?: Error): void => {
      child.off("message", hear);
      child.off("exit", gone);
      if (error === undefined) resolve();
      else reject(error);
    };
    const hear = (message: Told): void => {
      if (message.role !== role) return;
      if (message.what === what) end();
      else if (message.what === "failed") end(new Error(message.error));
    };
    const gone = (): void => end(new Error(`the client ended while it should ${role}`));
    child.on("message", hear);
    child.once("exit", gone);
  });
}

function contestantOf({ name, style, messages }: Player, pair: Pair): Contestant {
  return {
    name,
    round: async () => {
      const reached = await playRound(pair, { style, messages, bodyBytes: BODY_BYTES, window: WINDOW });
      console.log(`  ${name}: ${Math.round(reached).toLocaleString("en")} messages/s`);
      return reached;
    },
  };
}

if (import.meta.main) {
  const what = "durable messages from end to end, beside RabbitMQ and NATS JetStream";
  await benchDurable(readOptions({ what, parts: CONTESTS.map(({ title }) => title) }));
}
