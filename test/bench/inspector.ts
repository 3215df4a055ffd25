/** CPU profiles over a runtime's inspector, and what they say in figures. */
import { once } from "node:events";
import { WebSocket } from "ws";
import { printTable } from "./report.ts";

const ROWS = 45;

export interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** What is asked of a runtime's inspector. */
export class Inspector {
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
