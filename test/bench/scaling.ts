/**
 * Scaling curves: `npm run bench:scaling`, with `--quick` smaller and in a fifth of the time, `--only patterns` one of
 * them. Tables, JSON, and pictures in curves/.
 */
import { readFileSync } from "node:fs";
import { plotBacklog, plotBodies, plotPartitions, plotPatterns, plotSubscribers } from "./curves.ts";
import { scaleBacklog } from "./scaling-backlog.ts";
import { scaleBodies } from "./scaling-bodies.ts";
import { measureService, scalePartitions } from "./scaling-partitions.ts";
import { scalePatterns } from "./scaling-patterns.ts";
import { scaleSubscribers } from "./scaling-subscribers.ts";
import { scaleWake } from "./scaling-wake.ts";
import { simulateSpeedUp } from "./simulated-partitions.ts";
import { readOptions } from "./options.ts";
import { writeResults } from "./report.ts";

/** workerd opens two files for a socket, and the machine may not let it have enough of them. */
function socketsMax(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
  return Math.min(10_000, Math.floor((Number(line?.[1] ?? 20_000) - 1_000) / 2));
}

function upTo(most: number, counts: readonly number[]): number[] {
  return counts.filter((count) => count <= most);
}

const { isQuick, rounds, wants } = readOptions({
  what: "scaling curves",
  parts: ["patterns", "backlog", "subscribers", "bodies", "partitions"],
  quick: "and smaller: a fifth of the time",
});

const CURVES: Record<string, () => unknown> = {
  patterns: () => {
    const most = isQuick ? 100_000 : 1_000_000;
    const points = scalePatterns(
      upTo(most, [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000]),
      isQuick ? 2_000 : 10_000,
    );
    plotPatterns(points);
    return points;
  },
  backlog: async () => {
    const sizes = [0, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
    const core = scaleBacklog(upTo(isQuick ? 1_000_000 : 10_000_000, sizes));
    const broker = await scaleWake(upTo(isQuick ? 100_000 : 1_000_000, sizes));
    plotBacklog(core);
    return { core, broker };
  },
  subscribers: async () => {
    const most = socketsMax();
    const counts = upTo(isQuick ? 1_000 : most, [10, 100, 1_000, 3_000, most]);
    const points = await scaleSubscribers(counts, isQuick ? 50_000 : 300_000);
    plotSubscribers(points);
    return points;
  },
  bodies: async () => {
    const sizes = [10, 100, 1_000, 10_000, 100_000, 1_048_576];
    const points = await scaleBodies(sizes, isQuick ? 20_000_000 : 200_000_000);
    plotBodies(points);
    return points;
  },
  partitions: async () => {
    const counts = [1, 2, 4, 8, 16];
    const points = await scalePartitions(isQuick ? [1, 4, 16] : counts, rounds(100));
    const service = await measureService(rounds(100));
    const speedUps = simulateSpeedUp(counts, service);
    plotPartitions(points, speedUps);
    return { points, service, speedUps };
  },
};

const results: Record<string, unknown> = {};
for (const [name, curve] of Object.entries(CURVES)) {
  if (wants(name)) results[name] = await curve();
}
writeResults("scaling", results);
