/**
 * Where the time of a durable message goes: CPU profiles of workerd and of the client, taken while rounds are played.
 * `npm run bench:profile -- [pipelined|many|awaited] [rounds]`. Prints self times; the profiles themselves lie in
 * build/bench for a browser's developer tools.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { WebSocket } from "ws";
import { startShippedBroker } from "./broker-process.ts";
import { playRound, startClient } from "./durable.ts";
import type { Style } from "./durable-client.ts";
import { printTable } from "./report.ts";

const FOLDER = join(import.meta.dirname, "../../build/bench");
const SAMPLE_US = 200;
const ROWS = 45;

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** What is asked of a runtime's inspector. */
class Inspector {
  private readonly socket: WebSocket;
  private readonly waiting = new Map<number, (result: unknown) => void>();
  private nextId = 1;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data: Buffer) => {
      const { id, result } = JSON.parse(data.toString()) as { id?: number; result?: unknown };
      if (id === undefined) return;
      this.waiting.get(id)?.(result);
      this.waiting.delete(id);
    });
  }

  static async open(port: number): Promise<Inspector> {
    const targets = (await (await fetch(`http://127.0.0.1:${port}/json`)).json()) as {
      webSocketDebuggerUrl: string;
    }[];
    const socket = new WebSocket(targets[0]!.webSocketDebuggerUrl, { maxPayload: 1 << 30 });
    await once(socket, "open");
    return new Inspector(socket);
  }

  ask(method: string, params: object = {}): Promise<unknown> {
    const id = this.nextId++;
    this.socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }

  close(): void {
    this.socket.close();
  }
}

/** Self time of each function, largest first; what is idle is told apart. */
export function printProfile(title: string, profile: Profile): void {
  const selfUs = new Map<number, number>();
  profile.samples.forEach((id, i) => selfUs.set(id, (selfUs.get(id) ?? 0) + profile.timeDeltas[i]!));
  const byFunction = new Map<string, number>();
  let allUs = 0;
  let idleUs = 0;
  for (const { id, callFrame } of profile.nodes) {
    const us = selfUs.get(id) ?? 0;
    allUs += us;
    const { functionName, url, lineNumber } = callFrame;
    if (functionName === "(idle)") {
      idleUs += us;
      continue;
    }
    const place = url === "" ? "" : `  ${url.split("/").slice(-2).join("/")}:${lineNumber + 1}`;
    const name = `${functionName || "(anonymous)"}${place}`;
    byFunction.set(name, (byFunction.get(name) ?? 0) + us);
  }
  const busyUs = allUs - idleUs;
  console.log(`\n${title}: ${Math.round(allUs / 1_000)} ms, busy ${Math.round(busyUs / 1_000)} ms`);
  const rows = [...byFunction]
    .sort((a, b) => b[1] - a[1])
    .slice(0, ROWS)
    .map(([name, us]) => [name, `${((us * 100) / busyUs).toFixed(1)} %`, `${Math.round(us / 1_000)} ms`]);
  printTable(["self time of busy time", "", ""], rows);
}

async function main(style: Style, rounds: number): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const profiles = join(FOLDER, "client-profile");
  rmSync(profiles, { recursive: true, force: true });
  const broker = await startShippedBroker({ isInspected: true, minify: false });
  try {
    const flags = ["--cpu-prof", `--cpu-prof-dir=${profiles}`, `--cpu-prof-interval=${SAMPLE_US}`];
    const both = await startClient("millrace", { url: broker.url, prefetch: 2_000 }, flags);
    const pair = { producer: both, consumer: both };
    const round = { style, messages: style === "awaited" ? 500 : 200_000, bodyBytes: 100, window: 4_000 };
    console.log(`warm-up: ${Math.round(await playRound(pair, round))} messages/s`);
    const inspector = await Inspector.open(broker.inspectorPort!);
    await inspector.ask("Profiler.enable");
    await inspector.ask("Profiler.setSamplingInterval", { interval: SAMPLE_US });
    await inspector.ask("Profiler.start");
    for (let i = 0; i < rounds; i++) {
      console.log(`profiled: ${Math.round(await playRound(pair, round))} messages/s`);
    }
    const { profile } = (await inspector.ask("Profiler.stop")) as { profile: Profile };
    inspector.close();
    writeFileSync(join(FOLDER, "workerd.cpuprofile"), JSON.stringify(profile));
    printProfile("workerd", profile);
    both.send("end");
    await once(both, "exit");
    const [file] = readdirSync(profiles);
    printProfile("client", JSON.parse(readFileSync(join(profiles, file!), "utf8")) as Profile);
  } finally {
    await broker.stop();
  }
}

const [style = "pipelined", rounds = "3"] = process.argv.slice(2);
await main(style as Style, Number(rounds));
