// The queues of a history: always the same roles, each with a configuration drawn from what may be set.
import { QUEUE_DEFAULTS, type QueueConfig, type RetryPolicy } from "../../src/protocol/queue-config.ts";
import type { Random } from "./random.ts";

export interface Role {
  readonly name: string;
  readonly config: QueueConfig;
  /** How often producers choose this queue. */
  readonly weight: number;
}

export function drawRetry(random: Random): RetryPolicy {
  return {
    kind: random.pick(["fixed", "linear", "exponential"]),
    baseMs: random.pick([0, 1, 50, 700]),
    maxMs: random.pick([100, 1_500, 10_000]),
    jitter: random.pick([0, 0.2, 1]),
  };
}

/** What any role may draw. */
function drawCommon(random: Random): QueueConfig {
  return {
    ...QUEUE_DEFAULTS,
    leaseMs: random.pick([200, 1_000, 5_000]),
    maxFailures: random.pick([0, 1, 2, 4]),
    retry: drawRetry(random),
    nackDelayMs: random.pick([0, 30, 500]),
    dedupWindowMs: random.pick([100, 2_000, 60_000]),
    singleActiveConsumer: random.chance(0.15),
    ttlMs: random.chance(0.15) ? random.pick([300, 4_000]) : null,
  };
}

export function drawRoles(random: Random): Role[] {
  const hasCycle = random.chance(0.2);
  const fifo = (): Partial<QueueConfig> => ({
    fifo: true,
    maxPerKey: random.pick([1, 1, 1, 2, 3]),
    onKeyFailure: random.pick(["park", "skip", "drain"]),
  });
  const draw = (name: string, weight: number, own: Partial<QueueConfig>): Role => ({
    name,
    weight,
    config: { ...drawCommon(random), ...own },
  });
  return [
    draw("main", 4, { deadLetter: random.chance(0.8) ? { queue: "main-dead", routingKey: "dead" } : null }),
    draw("main-dead", 0, {
      ...(random.chance(0.3) ? fifo() : {}),
      deadLetter: hasCycle ? { queue: "main" } : null,
      maxMessages: random.chance(0.2) ? 40 : null,
    }),
    draw("keys", 4, { ...fifo(), deadLetter: random.chance(0.6) ? { queue: "keys-dead" } : null }),
    draw("keys-dead", 0, fifo()),
    draw("short", 2, {
      maxMessages: random.pick([1, 3, 8]),
      maxBytes: random.chance(0.3) ? 400 : null,
      overflow: random.pick(["dropOldest", "dropOldest", "reject"]),
      ...(random.chance(0.3) ? fifo() : {}),
      deadLetter: random.chance(0.5) ? { queue: "main-dead" } : null,
    }),
    draw("brief", 2, { ttlMs: random.pick([50, 400, 3_000]), deadLetter: null }),
  ];
}

/**
 * What was added later is drawn for itself, so that a seed that was kept means what it meant: see simulate().
 */
export function withNewer(role: Role, random: Random): Role {
  const { config } = role;
  const some = <T extends Partial<QueueConfig>>(probability: number, settings: () => T): Partial<T> =>
    random.chance(probability) ? settings() : {};
  return {
    ...role,
    config: {
      ...config,
      ...some(0.5, () =>
        config.fifo ? { oneDeliveryPerKey: true, maxPerKey: random.pick([1, 2, 3, 5]) } : {},
      ),
      ...some(0.3, () => ({ onExpiry: "drop" as const })),
      ...some(0.15, () => ({ maxFailures: null })),
      ...some(0.3, () => ({ lastAttemptAlone: false })),
      ...some(0.15, () => ({ delayMs: random.pick([1, 40, 400]) })),
      ...some(0.2, () => ({ receiveWaitMs: 5_000 })),
      ...some(0.2, () => ({ dedupByContent: true })),
      ...some(0.3, () => ({ dedupScope: "key" as const })),
      ...some(0.15, () => ({ required: drawRequired(random) })),
      ...some(0.1, () => ({ leaseMs: 0 })),
      ...some(0.4, () => (config.fifo ? {} : { fairLanes: random.pick([2, 4, 32]) })),
    },
  };
}

function drawRequired(random: Random): QueueConfig["required"] {
  return random.pick([["orderingKey"], ["dedupId"], ["orderingKey", "dedupId"]] as const);
}

/** An operator's change of what was added later. */
export function drawNewerUpdate(random: Random): Partial<QueueConfig> {
  return random.pick<Partial<QueueConfig>>([
    { oneDeliveryPerKey: random.chance(0.5) },
    { oneDeliveryPerKey: true, maxPerKey: random.pick([2, 4]) },
    { onExpiry: random.pick(["drop", "deadLetter"]) },
    { maxFailures: null },
    { lastAttemptAlone: random.chance(0.5) },
    { delayMs: random.pick([0, 40]) },
    { receiveWaitMs: random.pick([0, 5_000]) },
    { dedupByContent: random.chance(0.5) },
    { dedupScope: random.pick(["queue", "key"]) },
    { required: random.chance(0.5) ? [] : drawRequired(random) },
    { leaseMs: random.pick([0, 1_000]) },
  ]);
}

/** Another dead-letter target, while dead letters may be on their way to the one before. */
export function drawTarget(queue: string, random: Random): Pick<QueueConfig, "deadLetter"> {
  const targets = [{ queue: "main-dead" }, { queue: "keys-dead" }, { queue: "main", routingKey: "dead" }];
  const others = targets.filter((target) => target.queue !== queue);
  return { deadLetter: random.chance(0.15) ? null : random.pick(others) };
}

/** An operator's change. What decides a queue's kind stays. */
export function drawUpdate(random: Random): Partial<QueueConfig> {
  return random.pick<Partial<QueueConfig>>([
    { leaseMs: random.pick([200, 1_000, 5_000]) },
    { maxFailures: random.pick([0, 1, 3]) },
    { retry: drawRetry(random) },
    { nackDelayMs: random.pick([0, 100]) },
    { maxPerKey: random.pick([1, 2]) },
    { onKeyFailure: random.pick(["park", "skip", "drain"]) },
    { dedupWindowMs: random.pick([100, 2_000]) },
    { singleActiveConsumer: random.chance(0.3) },
    { ttlMs: random.pick([null, 300, 4_000]) },
  ]);
}
