/** One publisher, a thousand subscribers over WebSockets, all of which get every message. QoS 0, or what is its like. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { startShippedBroker } from "./broker-process.ts";
import { hold, type Contestant, type ContestResult } from "./contest.ts";
import type { FanoutTold, Protocol } from "./fanout-client.ts";
import { readOptions, type BenchOptions } from "./options.ts";
import { startAedes } from "./peers/aedes.ts";
import { startMosquitto } from "./peers/mosquitto.ts";
import type { Peer } from "./peers/peer.ts";
import { startNode, stopChild } from "./processes.ts";
import { printContest, writeResults } from "./report.ts";

const SUBSCRIBERS = 1_000;
const BODY_BYTES = 100;
const ROUNDS = 5;

interface Broker {
  readonly name: string;
  readonly protocol: Protocol;
  readonly start: () => Promise<Peer | null>;
  /** Messages in a round with many under way, so that it takes some seconds. */
  readonly messages: number;
}

const BROKERS: readonly Broker[] = [
  { name: "Millrace", protocol: "millrace", start: startShippedBroker, messages: 1_000 },
  { name: "Mosquitto 2.0", protocol: "mqtt", start: startMosquitto, messages: 200 },
  { name: "aedes 1.2", protocol: "mqtt", start: startAedes, messages: 100 },
];

interface Load {
  readonly title: string;
  readonly messages?: number;
  /** Published and not yet with all subscribers, at most. */
  readonly window: number;
}

const LOADS: readonly Load[] = [
  { title: "up to 100 messages under way", window: 100 },
  { title: "one message after the other", messages: 20, window: 1 },
];

interface Field {
  readonly broker: Broker;
  readonly peer: Peer;
  readonly client: ChildProcess;
}

async function benchFanout({ rounds, wants }: BenchOptions): Promise<void> {
  const fields: Field[] = [];
  const absent: string[] = [];
  try {
    for (const broker of BROKERS) {
      const peer = await broker.start();
      if (peer === null) {
        absent.push(`${broker.name} is not installed`);
        continue;
      }
      fields.push({ broker, peer, client: await startFanoutClient(broker.protocol, peer.url) });
    }
    const results: ContestResult[] = [];
    for (const load of LOADS.filter(({ title }) => wants(title))) {
      const title = `fan-out to ${SUBSCRIBERS.toLocaleString("en")} WebSockets, ${load.title}`;
      const contestants = fields.map((field) => contestantOf(field, load));
      const result = await hold({ title, unit: "deliveries/s", rounds: rounds(ROUNDS), contestants, absent });
      printContest(result);
      results.push(result);
    }
    writeResults("fanout", results);
  } finally {
    for (const { client, peer } of fields) {
      await stopChild(client);
      await peer.stop();
    }
  }
}

export async function startFanoutClient(
  protocol: Protocol,
  url: string,
  execArgv: readonly string[] = [],
): Promise<ChildProcess> {
  const args = [protocol, url, String(SUBSCRIBERS)];
  const client = startNode(join(import.meta.dirname, "fanout-client.ts"), args, execArgv);
  await answer(client);
  return client;
}

let roundsPlayed = 0;

export function playFanout(
  client: ChildProcess,
  load: { readonly messages: number; readonly window: number },
): Promise<number> {
  client.send({ ...load, round: ++roundsPlayed, bodyBytes: BODY_BYTES });
  return answer(client);
}

function contestantOf({ broker, client }: Field, { messages = broker.messages, window }: Load): Contestant {
  return {
    name: broker.name,
    round: async () => {
      const reached = await playFanout(client, { messages, window });
      console.log(`  ${broker.name}: ${Math.round(reached).toLocaleString("en")} deliveries/s`);
      return reached;
    },
  };
}

async function answer(client: ChildProcess): Promise<number> {
  const [told] = (await once(client, "message")) as [FanoutTold];
  if (told === "ready") return 0;
  if ("error" in told) throw new Error(told.error);
  return told.perSecond;
}

if (import.meta.main) {
  const what = "fan-out to a thousand sockets, beside Mosquitto and aedes";
  await benchFanout(readOptions({ what, parts: LOADS.map(({ title }) => title) }));
}
