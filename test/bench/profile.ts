/**
 * Where the time goes: CPU profiles of workerd and of the client, taken while rounds are played.
 * `npm run bench:profile -- --only awaited`, one part after the other. Prints self times; the profiles
 * themselves lie in build/bench for a browser's developer tools.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startShippedBroker } from "./broker-process.ts";
import { playRound, startClient } from "./durable.ts";
import type { Style } from "./durable-client.ts";
import { playFanout, startFanoutClient } from "./fanout.ts";
import { readOptions } from "./options.ts";
import { Inspector, printProfile, type Profile } from "./inspector.ts";

const FOLDER = join(import.meta.dirname, "../../build/bench");
const SAMPLE_US = 200;
const PARTS = ["pipelined", "many", "awaited", "fanout", "fanout-awaited"] as const;

/** A client that is profiled from its start to its end, and one round of it. */
interface Played {
  readonly client: ChildProcess;
  readonly unit: string;
  play(): Promise<number>;
}

async function durable(url: string, style: Style, flags: readonly string[]): Promise<Played> {
  const client = await startClient("millrace", { url, prefetch: 2_000 }, flags);
  const messages = style === "awaited" ? 500 : 200_000;
  const round = { style, messages, bodyBytes: 100, window: 4_000 };
  const play = (): Promise<number> => playRound({ producer: client, consumer: client }, round);
  return { client, unit: "messages/s", play };
}

async function fanout(url: string, isAwaited: boolean, flags: readonly string[]): Promise<Played> {
  const client = await startFanoutClient("millrace", url, flags);
  const load = isAwaited ? { messages: 50, window: 1 } : { messages: 2_000, window: 100 };
  return { client, unit: "deliveries/s", play: () => playFanout(client, load) };
}

async function profile(what: (typeof PARTS)[number], rounds: number): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const profiles = join(FOLDER, "client-profile");
  rmSync(profiles, { recursive: true, force: true });
  const broker = await startShippedBroker({ isInspected: true, minify: false });
  try {
    const flags = ["--cpu-prof", `--cpu-prof-dir=${profiles}`, `--cpu-prof-interval=${SAMPLE_US}`];
    const played =
      what === "fanout" || what === "fanout-awaited"
        ? await fanout(broker.url, what === "fanout-awaited", flags)
        : await durable(broker.url, what satisfies Style, flags);
    console.log(`warm-up: ${Math.round(await played.play())} ${played.unit}`);
    const inspector = await Inspector.open(broker.inspectorPort!);
    await inspector.ask("Profiler.enable");
    await inspector.ask("Profiler.setSamplingInterval", { interval: SAMPLE_US });
    await inspector.ask("Profiler.start");
    for (let i = 0; i < rounds; i++)
      console.log(`profiled: ${Math.round(await played.play())} ${played.unit}`);
    const { profile } = (await inspector.ask("Profiler.stop")) as { profile: Profile };
    inspector.close();
    writeFileSync(join(FOLDER, "workerd.cpuprofile"), JSON.stringify(profile));
    printProfile("workerd", profile);
    played.client.send("end");
    await once(played.client, "exit");
    const [file] = readdirSync(profiles);
    printProfile("client", JSON.parse(readFileSync(join(profiles, file!), "utf8")) as Profile);
  } finally {
    await broker.stop();
  }
}

const { rounds, wants } = readOptions({
  what: "where the time of a message goes",
  parts: PARTS,
});
for (const part of PARTS.filter(wants)) await profile(part, rounds(3));
