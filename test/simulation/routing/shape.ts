// What a history's world is made of, and what its messages look like.
import type { Binding, ExplainCommand } from "../../../src/protocol/exchange-commands.ts";
import type { ExchangeConfig, ExchangeKind } from "../../../src/protocol/exchange-config.ts";
import type { QueueConfig } from "../../../src/protocol/queue-config.ts";
import type { Random } from "../random.ts";

export interface Shape {
  readonly hubs: number;
  readonly exchanges: ReadonlyMap<string, Partial<ExchangeConfig>>;
  readonly queues: ReadonlyMap<string, Partial<QueueConfig>>;
  readonly clients: readonly string[];
}

const KINDS: readonly ExchangeKind[] = ["topic", "topic", "fanout", "direct", "headers", "consistent-hash"];

export function drawShape(random: Random): Shape {
  const names = Array.from({ length: random.between(2, 4) }, (_, i) => `e${i}`);
  const exchanges = new Map(names.map((name, i) => [name, drawExchange(names.slice(0, i), random)]));
  const queues = new Map(
    Array.from({ length: random.between(2, 4) }, (_, i) => [`q${i}`, drawQueue(names, random)] as const),
  );
  return {
    hubs: random.between(1, 3),
    exchanges,
    queues,
    clients: Array.from({ length: random.between(1, 4) }, (_, i) => `c${i}`),
  };
}

function drawExchange(earlier: readonly string[], random: Random): Partial<ExchangeConfig> {
  const eventsMax = random.pick([0, 0, 5, 40, 1_000]);
  return {
    kind: random.pick(KINDS),
    durable: random.chance(0.7),
    autoDelete: random.chance(0.08),
    alternate: earlier.length > 0 && random.chance(0.3) ? random.pick(earlier) : null,
    history: { eventsMax, ageMs: random.chance(0.2) ? 30_000 : null },
    lastValuesMax: random.pick([0, 0, 3, 50]),
    presence: random.chance(0.5),
  };
}

function drawQueue(exchanges: readonly string[], random: Random): Partial<QueueConfig> {
  if (random.chance(0.5)) return {};
  return { deadLetter: { exchange: random.pick(exchanges) } };
}

const LONG = "x".repeat(255);
const TOPICS = ["a", "b", "a.b", "a.c", "b.a", "a.b.c", "", LONG];
const PATTERNS = ["#", "a", "a.*", "*.b", "a.#", "b", "#.c", ""];

export function drawTopic(random: Random): string {
  return random.chance(0.8) ? random.pick(TOPICS.slice(0, 6)) : random.pick(TOPICS);
}

export function drawPattern(random: Random): string {
  return random.chance(0.3) ? "#" : random.pick(PATTERNS);
}

export function drawMessage(random: Random): ExplainCommand {
  const headers = random.chance(0.5)
    ? { x: random.pick([1, 2]), ...(random.chance(0.4) ? { y: "z" } : {}) }
    : undefined;
  return { routingKey: drawTopic(random), ...(headers === undefined ? {} : { headers }) };
}

export function drawBinding(
  kind: ExchangeKind,
  destination: Binding["destination"],
  random: Random,
): Binding {
  const keys: Record<ExchangeKind, () => string> = {
    topic: () => drawPattern(random),
    direct: () => drawTopic(random),
    fanout: () => "",
    headers: () => "",
    "consistent-hash": () => String(random.between(1, 3)),
  };
  const isFiltered = kind === "headers" || random.chance(0.15);
  const headers = isFiltered
    ? {
        match: random.pick(["all", "any"] as const),
        headers: { x: random.pick([1, 2]), ...(random.chance(0.3) ? { y: null } : {}) },
      }
    : null;
  return { destination, key: keys[kind](), headers };
}
