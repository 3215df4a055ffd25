/** The broker as it is shipped, but for counters around the Worker and its objects, and a look at its process. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startShippedBroker } from "./broker-process.ts";
import type { Counters } from "./counters.ts";

const ENTRY = join(import.meta.dirname, "counting/worker.ts");

export interface CountedBroker {
  readonly url: string;
  counters(): Promise<Counters>;
  /** Of the whole process so far: Worker, objects, SQLite, sockets. In steps of the kernel's clock, 10 ms. */
  cpuMs(): number;
  residentBytes(): number;
  stop(): Promise<void>;
}

export async function startCountedBroker(): Promise<CountedBroker> {
  const workerd = await startShippedBroker({ entry: ENTRY });
  const { url, pid } = workerd;
  return {
    url,
    counters: async () => (await (await fetch(`${url}/counters`)).json()) as Counters,
    cpuMs: () => cpuMs(pid),
    residentBytes: () => residentBytes(pid),
    stop: () => workerd.stop(),
  };
}

/** Fields 14 and 15 of /proc/<pid>/stat, in ticks of 10 ms. The name before them may hold spaces. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1] ?? 0) * 1_024;
}
