/** What workerd and SQLite allow on this machine: frames echoed and rows stored by an object that does nothing else. */
import { BROADCAST, ECHO, INSERT } from "./bound-kinds.ts";
import { startBound } from "./bound-process.ts";
import { once } from "node:events";
import type { WebSocket } from "ws";
import { hold, type Contestant, type ContestResult } from "./contest.ts";
import { exchange, openSocket } from "./frames.ts";
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

export async function benchBounds(rounds = 5): Promise<void> {
  const worker = await startBound();
  const socket = await openSocket(worker.url.replace("http", "ws"));
  try {
    const contestants = CASES.map(({ name, kind, bytes, window, count }): Contestant => {
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
    const result = await hold({ title: "bare workerd and SQLite", unit: "frames/s", rounds, contestants });
    printContest(result);
    // It would hear the broadcasts, too.
    socket.terminate();
    await once(socket, "close");
    const broadcast = await benchBroadcast(worker.url, rounds);
    writeResults("bounds", [result, broadcast]);
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

if (import.meta.main) await benchBounds(process.argv[2] === undefined ? undefined : Number(process.argv[2]));
