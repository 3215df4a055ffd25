// The bindings of one exchange, and the router that is built from them when the exchange wakes.
import type { BatchCodec, RecordTable } from "../protocol/batch.ts";
import type { Binding, BindingView, Destination } from "../protocol/exchange-commands.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import type { TopicMatcher } from "../routing/matcher.ts";
import { destinationKey } from "../routing/explain.ts";
import { checkBinding, createRouter, type Router, type RouteMatches } from "../routing/router.ts";
import { splitWords } from "../routing/topic.ts";
import type { BindingStore, CounterStore } from "./stores.ts";

export interface RoutingParts {
  readonly codec: BatchCodec;
  readonly makeMatcher: () => TopicMatcher;
}

interface Target {
  readonly destination: Destination;
  bindings: number;
}

export class Bindings {
  private readonly router: Router;
  private readonly config: ExchangeConfig;
  private readonly store: BindingStore;
  private readonly counters: CounterStore;
  private readonly byId = new Map<number, BindingView>();
  private readonly byIdentity = new Map<string, BindingView>();
  /** A destination's place in this list is its number in the router; places are used again. */
  private readonly targets: (Target | null)[] = [];
  private readonly numbers = new Map<string, number>();
  /** Of all patterns. */
  private words = 0;

  constructor(config: ExchangeConfig, store: BindingStore, counters: CounterStore, parts: RoutingParts) {
    this.config = config;
    this.store = store;
    this.counters = counters;
    this.router = createRouter(config.kind, config.hashOn, parts.makeMatcher);
    for (const binding of store.all()) this.enter(binding);
  }

  get size(): number {
    return this.byId.size;
  }

  /** In the order in which they were made. */
  all(): IterableIterator<BindingView> {
    return this.byId.values();
  }

  get(id: number): BindingView | null {
    return this.byId.get(id) ?? null;
  }

  page(after: number, limit: number): { bindings: BindingView[]; after?: number } {
    const rest = [...this.byId.values()].filter((binding) => binding.id > after);
    const bindings = rest.slice(0, limit);
    const last = bindings.at(-1);
    return rest.length > limit && last !== undefined ? { bindings, after: last.id } : { bindings };
  }

  /** Each destination once. */
  destinations(): Destination[] {
    return this.targets.filter((target) => target !== null).map(({ destination }) => destination);
  }

  leadsTo(destination: Destination): boolean {
    return this.numbers.has(destinationKey(destination));
  }

  bind(binding: Binding): Result<{ created: boolean; binding: BindingView }> {
    const checked = checkBinding(this.config.kind, binding.key, binding.headers);
    if (!checked.ok) return checked;
    const known = this.byIdentity.get(identityOf(binding));
    if (known !== undefined) return ok({ created: false, binding: known });
    if (this.byId.size >= LIMITS.bindingsMax) {
      return refuse("too_many_bindings", `exchange: has its ${LIMITS.bindingsMax} bindings`);
    }
    if (this.numbers.size >= LIMITS.destinationsMax && !this.leadsTo(binding.destination)) {
      return refuse("too_many_bindings", `exchange: leads to its ${LIMITS.destinationsMax} destinations`);
    }
    if (this.words + wordsOf(this.config, binding) > LIMITS.patternWordsMax) {
      return refuse(
        "too_many_bindings",
        `exchange: its patterns have ${LIMITS.patternWordsMax} words together`,
      );
    }
    const id = this.counters.read("binding") + 1;
    this.counters.write("binding", id);
    const made = { id, ...binding };
    this.store.put(made);
    this.enter(made);
    return ok({ created: true, binding: made });
  }

  unbind(id: number): BindingView | null {
    const binding = this.byId.get(id);
    if (binding === undefined) return null;
    this.leave(binding);
    return binding;
  }

  unbindAll(destination: Destination): number {
    const key = destinationKey(destination);
    const going = [...this.byId.values()].filter((one) => destinationKey(one.destination) === key);
    for (const binding of going) this.leave(binding);
    return going.length;
  }

  /** Where each message goes from here: each destination once. */
  route(batch: Uint8Array, table: RecordTable): RouteMatches {
    return this.router.route(batch, table);
  }

  destinationOf(number: number): Destination {
    return this.targets[number]!.destination;
  }

  private enter(binding: BindingView): void {
    const key = destinationKey(binding.destination);
    const number = this.numbers.get(key) ?? this.place(key, binding.destination);
    this.targets[number]!.bindings++;
    this.words += wordsOf(this.config, binding);
    this.byId.set(binding.id, binding);
    this.byIdentity.set(identityOf(binding), binding);
    this.router.add({ ...binding, destination: number, name: key });
  }

  private place(key: string, destination: Destination): number {
    const free = this.targets.indexOf(null);
    const number = free < 0 ? this.targets.length : free;
    this.targets[number] = { destination, bindings: 0 };
    this.numbers.set(key, number);
    return number;
  }

  private leave(binding: BindingView): void {
    const key = destinationKey(binding.destination);
    const number = this.numbers.get(key)!;
    this.store.remove(binding.id);
    this.words -= wordsOf(this.config, binding);
    this.router.remove({ ...binding, destination: number, name: key });
    this.byId.delete(binding.id);
    this.byIdentity.delete(identityOf(binding));
    if (--this.targets[number]!.bindings > 0) return;
    this.targets[number] = null;
    this.numbers.delete(key);
  }
}

/** What a pattern adds to the work that one topic may be. Only the topic kind has patterns. */
function wordsOf({ kind }: ExchangeConfig, { key }: Binding): number {
  return kind === "topic" ? splitWords(key).length : 0;
}

/** Two bindings with the same text are the same binding. */
function identityOf({ destination, key, headers }: Binding): string {
  const filter =
    headers === null
      ? null
      : [headers.match, Object.entries(headers.headers).sort(([a], [b]) => (a < b ? -1 : 1))];
  return JSON.stringify([destinationKey(destination), key, filter]);
}
