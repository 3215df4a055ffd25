/**
 * Why a message would go where it goes, binding by binding, for people. It evaluates each binding on its own, without the
 * router's indexes; a test holds the two against each other.
 */
import type { Headers } from "../protocol/batch.ts";
import type {
  BindingView,
  Destination,
  ExplainAnswer,
  ExplainCommand,
} from "../protocol/exchange-commands.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import { LIMITS } from "../protocol/limits.ts";
import { explainFilter, shown } from "./headers-filter.ts";
import { hashHeader, hashText, score, wins, type Hash } from "../protocol/rendezvous.ts";
import { parseWeight } from "./weight.ts";
import { explainMatch } from "./topic.ts";

type KeyedKind = Exclude<ExchangeConfig["kind"], "consistent-hash">;

interface Verdict {
  readonly matches: boolean;
  readonly why: string;
}

/** The name by which consistent-hash knows a destination. Queues and exchanges are named apart; no name has a colon. */
export function destinationKey(destination: Destination): string {
  return "queue" in destination ? `queue:${destination.queue}` : `exchange:${destination.exchange}`;
}

/** What the exchange itself makes of it; the alternate exchange is for the caller to add. */
export function explain(
  config: Pick<ExchangeConfig, "kind" | "hashOn">,
  bindings: readonly BindingView[],
  command: ExplainCommand,
): ExplainAnswer {
  const { kind, hashOn } = config;
  const verdicts =
    kind === "consistent-hash"
      ? hashVerdicts(hashOn, bindings, command)
      : bindings.map((binding) => verdictOf(kind, binding, command));
  const told = bindings.map((binding, i) => ({ binding, ...verdicts[i]! }));
  const matching = told.filter(({ matches }) => matches);
  const destinations = new Map(
    matching.map(({ binding }) => [destinationKey(binding.destination), binding.destination]),
  );
  return {
    bindings: [...matching, ...told.filter(({ matches }) => !matches)].slice(0, LIMITS.explainMax),
    bindingsTotal: bindings.length,
    destinations: [...destinations.values()],
  };
}

function verdictOf(kind: KeyedKind, binding: BindingView, command: ExplainCommand): Verdict {
  const key = keyVerdict(kind, binding.key, command.routingKey);
  return key.matches ? withFilter(key, filterVerdict(binding, command)) : key;
}

/** The key's reason, and the filter's when there is one. A filter that refuses has the last word. */
function withFilter(key: Verdict, filter: Verdict | null): Verdict {
  if (filter === null) return key;
  return filter.matches ? { matches: true, why: `${key.why}; ${filter.why}` } : filter;
}

function filterVerdict({ headers }: BindingView, command: ExplainCommand): Verdict | null {
  return headers === null ? null : explainFilter(headers, headersOf(command));
}

function headersOf(command: ExplainCommand): Headers {
  return command.headers ?? {};
}

function keyVerdict(kind: KeyedKind, key: string, routingKey: string): Verdict {
  switch (kind) {
    case "direct":
      return key === routingKey
        ? { matches: true, why: `the key is ${shown(key)}` }
        : { matches: false, why: `key ${shown(routingKey)} is not ${shown(key)}` };
    case "topic":
      return explainMatch(key, routingKey);
    case "fanout":
    case "headers":
      return { matches: true, why: `${kind} reads no key` };
  }
}

interface Entry {
  readonly name: string;
  readonly weight: number;
  readonly score: number;
}

function hashVerdicts(
  hashOn: ExchangeConfig["hashOn"],
  bindings: readonly BindingView[],
  command: ExplainCommand,
): Verdict[] {
  const key = hashOf(hashOn, command);
  const filters = bindings.map((binding) => filterVerdict(binding, command));
  const entries = bindings.map((binding, i) =>
    filters[i]?.matches === false ? null : entryOf(binding, key),
  );
  const winner = entries.reduce(
    (best, one) => (one !== null && (best === null || wins(one, best)) ? one : best),
    null,
  );
  return entries.map((entry, i) => {
    if (entry === null) return filters[i]!;
    const isChosen = entry.name === winner!.name && entry.weight === winner!.weight;
    const key = { matches: isChosen, why: `weight ${entry.weight}: ${isChosen ? "chosen" : "not chosen"}` };
    return isChosen ? withFilter(key, filters[i]!) : key;
  });
}

function entryOf({ destination, key }: BindingView, hashed: Hash): Entry {
  const name = destinationKey(destination);
  const parsed = parseWeight(key);
  const weight = parsed.ok ? parsed.value : 0;
  return { name, weight, score: score(hashed, hashText(name), weight) };
}

function hashOf(hashOn: ExchangeConfig["hashOn"], command: ExplainCommand): Hash {
  if (typeof hashOn !== "object") return hashText(command[hashOn] ?? "");
  const headers = headersOf(command);
  return hashHeader(Object.hasOwn(headers, hashOn.header) ? headers[hashOn.header] : undefined);
}
