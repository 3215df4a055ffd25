// What a history's queues are like, and what its messages look like.
import type { MessageRecord } from "../../../src/protocol/batch.ts";
import { QUEUE_DEFAULTS, type QueueConfig } from "../../../src/protocol/queue-config.ts";
import type { Random } from "../random.ts";

/** The queue that a history is about, and the one that its dead letters may go to. */
export const MAIN = "main";
export const DEAD = "dead";

export interface Shape {
  readonly queues: ReadonlyMap<string, QueueConfig>;
  readonly keys: number;
  readonly hubs: number;
  /** Whole keys may die undelivered, so that first deliveries tell nothing of their order. */
  readonly drainsKeys: boolean;
  readonly callers: number;
  readonly purges: boolean;
}

export function drawShape(random: Random): Shape {
  const drainsKeys = random.chance(0.15);
  const main: QueueConfig = {
    ...QUEUE_DEFAULTS,
    fifo: random.chance(0.7),
    partitions: random.pick([1, 1, 2, 3, 4]),
    maxPerKey: random.chance(0.8) ? 1 : 2,
    onKeyFailure: drainsKeys ? "drain" : random.pick(["park", "skip"] as const),
    maxFailures: random.between(0, 3),
    retry: { kind: "fixed", baseMs: random.pick([0, 300, 4_000]), maxMs: 10_000, jitter: 0.2 },
    nackDelayMs: random.pick([0, 200]),
    leaseMs: random.pick([2_000, 15_000, 30_000]),
    maxMessages: random.chance(0.2) ? 24 : null,
    dedupWindowMs: 60_000,
    deadLetter: random.chance(0.6) ? { queue: DEAD } : null,
  };
  const dead: QueueConfig = {
    ...QUEUE_DEFAULTS,
    fifo: random.chance(0.3),
    partitions: random.pick([1, 2, 3]),
    maxFailures: 1_000,
  };
  return {
    queues: new Map([
      [DEAD, dead],
      [MAIN, main],
    ]),
    keys: random.between(1, 8),
    hubs: 2,
    drainsKeys,
    callers: random.between(2, 4),
    purges: random.chance(0.2),
  };
}

/** What was added later is drawn for itself, so that a seed that was kept means what it meant: see simulatePartitions(). */
export function withNewer(shape: Shape, random: Random): Shape {
  const main = shape.queues.get(MAIN)!;
  const several = { oneDeliveryPerKey: true, maxPerKey: random.pick([1, 2, 3]) };
  const newer: QueueConfig = {
    ...main,
    ...(main.fifo && random.chance(0.6) ? several : {}),
    ...(random.chance(0.3) ? { dedupScope: "key" } : {}),
    ...(random.chance(0.15) ? { required: ["orderingKey"] } : {}),
    ...(random.chance(0.1) ? { maxFailures: null } : {}),
  };
  return { ...shape, queues: new Map([...shape.queues, [MAIN, newer]]) };
}

/** What a message may have; its body is its id. */
export function drawRecord(id: string, shape: Shape, random: Random): MessageRecord {
  return {
    body: new TextEncoder().encode(id),
    ...(random.chance(0.75) ? { orderingKey: `k${random.between(1, shape.keys)}` } : {}),
    ...(random.chance(0.12) ? { dedupId: `d${random.between(1, 6)}` } : {}),
    ...(random.chance(0.05) ? { delayMs: random.pick([1, 2_000, 20_000]) } : {}),
  };
}
