/** What workerd and SQLite allow on this machine: frames echoed and rows stored by an object that does nothing else. */
import { BROADCAST, ECHO, INSERT } from "./bound-kinds.ts";
import { startBound } from "./bound-process.ts";
import { once } from "node:events";
import type { WebSocket } from "ws";
import { hold, type Contestant, type ContestResult } from "./contest.ts";
import { exchange, openSocket } from "./frames.ts";
import { readOptions, type BenchOptions } from "./options.ts";
import { printContest, writeResults } from "./report.ts";

const CASES = [
  { name: "echo, 100 bytes, one at a time", kind: ECHO, bytes: 100, window: 1, count: 2_000 },
  { name: "echo, 100 bytes, 64 in flight", kind: ECHO, bytes: 100, window: 64, count: 20_000 },
  { name: "echo, 60 kB (500 messages), 8 in flight", kind: ECHO, bytes: 60_000, window: 8, count: 3_000 },
  { name: "insert, 100 bytes, one at a time", kind: INSERT, bytes: 100, window: 1, count: 1_000 },
  { name: "insert, 10 kB, one at a time", kind: INSERT, bytes: 10_000, window: 1, count: 1_000 },
  { name: "insert, 10 kB, 64 in flight", kind: INSERT, bytes: 10_000, window: 64, count: 3_000 },
  { name: "insert, 60 kB, 8 in flight", kind: INSERT, bytes: 60_000, window: 8, count: 1_000 },
];

const SOCKETS = 1_000;
const BROADCASTS = 20;
const BROADCAST_NAME = "broadcast to 1,000 sockets";
const ROUNDS = 5;

async function benchBounds(options: BenchOptions): Promise<void> {
  const { wants } = options;
  const rounds = options.rounds(ROUNDS);
  const worker = await startBound();
  const socket = await openSocket(worker.url.replace("http", "ws"));
  try {
    const cases = CASES.filter(({ name }) => wants(name));
    const contestants = cases.map(({ name, kind, bytes, window, count }): Contestant => {
      const frame = new Uint8Array(bytes).fill(120);
      frame[0] = kind;
      return {
        name,
        round: async () => {
          const startedMs = performance.now();
          await exchange({ socket, frame, count, window });
          return (count * 1_000) / (performance.now() - startedMs);
        },
      };
    });
    const results: ContestResult[] = [];
    if (contestants.length > 0) {
      results.push(await hold({ title: "bare workerd and SQLite", unit: "frames/s", rounds, contestants }));
      printContest(results[0]!);
    }
    // It would hear the broadcasts, too.
    socket.terminate();
    await once(socket, "close");
    if (wants(BROADCAST_NAME)) results.push(await benchBroadcast(worker.url, rounds));
    writeResults("bounds", results);
  } finally {
    await worker.stop();
  }
}

/** One frame after the other to a thousand sockets. */
async function benchBroadcast(url: string, rounds: number): Promise<ContestResult> {
  const sockets: WebSocket[] = [];
  while (sockets.length < SOCKETS) sockets.push(await openSocket(url.replace("http", "ws")));
  let missing = 0;
  let arrived: () => void = () => undefined;
  for (const socket of sockets) socket.on("message", () => --missing === 0 && arrived());
  const frame = new Uint8Array(200).fill(120);
  frame[0] = BROADCAST;
  const round = async (): Promise<number> => {
    const startedMs = performance.now();
    for (let i = 0; i < BROADCASTS; i++) {
      missing = SOCKETS;
      const all = new Promise<void>((resolve) => (arrived = resolve));
      sockets[0]!.send(frame);
      await all;
    }
    return (BROADCASTS * SOCKETS * 1_000) / (performance.now() - startedMs);
  };
  try {
    const title = "bare workerd, a frame to each of 1,000 sockets, one after the other";
    const result = await hold({
      title,
      unit: "frames/s",
      rounds,
      contestants: [{ name: "broadcast", round }],
    });
    printContest(result);
    return result;
  } finally {
    for (const socket of sockets) socket.terminate();
  }
}

if (import.meta.main) {
  const parts = [...CASES.map(({ name }) => name), BROADCAST_NAME];
  await benchBounds(readOptions({ what: "what workerd and SQLite allow", parts }));
}
