/** The pictures of the scaling bench: one message each. */
import { plot } from "./plot.ts";
import type { BacklogPoint } from "./scaling-backlog.ts";
import type { BodyPoint } from "./scaling-bodies.ts";
import type { PartitionPoint } from "./scaling-partitions.ts";
import type { PatternPoint } from "./scaling-patterns.ts";
import type { SpeedUp } from "./simulated-partitions.ts";
import type { SubscriberPoint } from "./scaling-subscribers.ts";

import type { DeafPoint } from "./deaf.ts";

type Pair = readonly [number, number];

function line<T>(points: readonly T[], x: (point: T) => number, y: (point: T) => number): Pair[] {
  return points.map((point): Pair => [x(point), y(point)]);
}

export function plotPatterns(points: readonly PatternPoint[]): void {
  const x = (point: PatternPoint): number => point.patterns;
  plot({
    name: "patterns-time",
    title: "The time to match a topic follows what it matches, not what is bound",
    x: { name: "patterns bound", log: true },
    y: { name: "CPU µs per topic, batches of 100", min: 0 },
    right: { name: "matches per topic", min: 0 },
    series: [
      { name: "µs per topic", points: line(points, x, (point) => point.topicMicros) },
      {
        name: "matches per topic",
        right: true,
        dashed: true,
        points: line(points, x, (p) => p.slotsPerTopic),
      },
    ],
  });
  plot({
    name: "patterns-memory",
    title: "The more patterns, the less memory each takes",
    x: { name: "patterns bound", log: true },
    y: { name: "bytes per pattern", min: 0 },
    series: [{ name: "bytes per pattern", points: line(points, x, (point) => point.bytesPerPattern) }],
  });
}

export function plotBacklog(all: readonly BacklogPoint[]): void {
  // A logarithm has no place for the empty queue, which is in the table.
  const points = all.filter(({ backlog }) => backlog > 0);
  const x = (point: BacklogPoint): number => point.backlog;
  plot({
    name: "backlog-message",
    title: "A message costs the same however many wait before it",
    x: { name: "messages waiting", log: true },
    y: { name: "CPU µs per message, batches of 1,000", min: 0 },
    series: [
      { name: "publish", points: line(points, x, (point) => point.publishMicros) },
      { name: "receive and ack", points: line(points, x, (point) => point.lifeMicros) },
    ],
  });
  plot({
    name: "backlog-wake",
    title: "A queue wakes as fast with ten million messages as with a thousand",
    x: { name: "messages waiting", log: true },
    y: { name: "CPU ms to open from storage", log: true, min: 0.1, max: 100 },
    series: [
      { name: "after deliveries", points: line(points, x, (point) => point.wakeMicros / 1_000) },
      { name: "only published to", dashed: true, points: line(points, x, (p) => p.wakeUnreadMicros / 1_000) },
    ],
  });
}

export function plotSubscribers(points: readonly SubscriberPoint[]): void {
  const x = (point: SubscriberPoint): number => point.subscribers;
  plot({
    name: "subscribers",
    title: "From a hundred subscribers on, a delivery costs about the same",
    x: { name: "subscribers, a socket each", log: true },
    y: { name: "deliveries/s", min: 0 },
    right: { name: "CPU µs of the broker per delivery", log: true },
    series: [
      { name: "deliveries/s", points: line(points, x, (point) => point.deliveriesPerSecond) },
      { name: "CPU µs per delivery", right: true, dashed: true, points: line(points, x, (p) => p.cpuMicros) },
    ],
  });
}

export function plotBodies(points: readonly BodyPoint[]): void {
  const x = (point: BodyPoint): number => point.bodyBytes;
  plot({
    name: "bodies",
    title: "Small bodies are bound by messages, large ones by bytes",
    x: { name: "bytes of a body", log: true },
    y: { name: "messages/s", log: true },
    right: { name: "MB/s", min: 0 },
    series: [
      { name: "messages/s", points: line(points, x, (point) => point.messagesPerSecond) },
      {
        name: "MB/s",
        right: true,
        dashed: true,
        points: line(points, x, (point) => point.megabytesPerSecond),
      },
    ],
  });
}

export function plotPartitions(points: readonly PartitionPoint[], speedUps: readonly SpeedUp[]): void {
  const of = (isKeyed: boolean): Pair[] =>
    line(
      points.filter((point) => point.isKeyed === isKeyed),
      (point) => point.partitions,
      (point) => point.rowsPerMessage,
    );
  plot({
    name: "partitions-rows",
    title: "Keys split a batch, and each partition stores its part by itself",
    x: { name: "partitions", min: 0, max: 16, step: 4 },
    y: { name: "rows written per message, batches of 100", min: 0 },
    series: [
      { name: "no keys", points: of(false) },
      { name: "keys", points: of(true) },
    ],
  });
  const partitions = speedUps[0]?.points.map((point) => point.partitions) ?? [];
  plot({
    name: "partitions-simulated",
    title: "Simulated: partitions add throughput where batches stay large",
    x: { name: "partitions, each on a machine of its own", min: 0, max: 16, step: 4 },
    y: { name: "times the throughput of one", min: 0, max: 16, step: 4 },
    series: [
      ...speedUps.map(({ load, points: reached }) => ({
        name: load,
        points: line(
          reached,
          (point) => point.partitions,
          (point) => point.times,
        ),
      })),
      { name: "ideal", dashed: true, points: partitions.map((count): Pair => [count, count]) },
    ],
  });
}

export function plotDeaf(parts: Readonly<Record<string, readonly DeafPoint[]>>): void {
  plot({
    name: "deaf",
    title: "Peers that do not read take a bounded part of memory",
    x: { name: "sockets of which nothing is read", min: 0 },
    y: { name: "MiB more than without them", min: 0 },
    series: Object.entries(parts).map(([name, points]) => ({
      name,
      points: line(
        points,
        (point) => point.sockets,
        (point) => point.bytes / 1024 ** 2,
      ),
    })),
  });
}
