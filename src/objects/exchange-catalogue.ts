/**
 * What an exchange asks of its namespace and of the exchanges that lead to it: whether it may be, what it may name, where
 * it leads, and that nothing leads to it once it is gone.
 */
import type { Env } from "../env.ts";
import { destinationKey } from "../routing/explain.ts";
import { refuseAlternate } from "../exchange/config-rules.ts";
import type { Destination } from "../protocol/exchange-commands.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import { splitObjectName } from "../protocol/names.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { NamespaceApi } from "../protocol/rpc.ts";
import { exchangeOf, namespaceOf } from "./peers.ts";

const RETRY_MS = 1_000;

/** What changes of what leads to one destination. */
interface Order {
  running: number;
  making: Promise<unknown>[];
  tail: Promise<unknown>;
}

export class ExchangeCatalogue {
  readonly namespace: string;
  readonly exchange: string;
  private readonly env: Env;
  private readonly orders = new Map<string, Order>();

  constructor(env: Env, name: string) {
    this.env = env;
    const { namespace, name: exchange } = splitObjectName(name);
    this.namespace = namespace;
    this.exchange = exchange;
  }

  /** A stub that has thrown stays broken, so each call has its own. */
  private get api(): NamespaceApi {
    return namespaceOf(this.env, this.namespace);
  }

  register(): Promise<Result<{ isNew: boolean }>> {
    return this.api.registerExchange(this.exchange);
  }

  /** With it goes all that is noted of where it leads. */
  unregister(): Promise<Result<void>> {
    return this.api.unregisterExchange(this.exchange);
  }

  has(destination: Destination): Promise<Result<boolean>> {
    return "queue" in destination
      ? this.api.hasQueue(destination.queue)
      : this.api.hasExchange(destination.exchange);
  }

  async checkAlternate({ alternate }: Partial<ExchangeConfig>): Promise<Refusal | null> {
    if (alternate === undefined || alternate === null) return null;
    const refused = refuseAlternate(this.exchange, alternate);
    if (refused) return refused;
    const found = await this.api.hasExchange(alternate);
    if (!found.ok) return found;
    if (found.value) return null;
    return refuse("destination_missing", `alternate: there is no exchange "${alternate}"`);
  }

  note(destination: Destination): Promise<Result<void>> {
    return this.api.noteBinding(this.exchange, destination);
  }

  forget(destination: Destination): Promise<Result<void>> {
    return this.api.forgetBinding(this.exchange, destination);
  }

  /** What makes bindings to a destination: together, but not while some are taken away. */
  making<T>(destination: Destination, run: () => Promise<T>): Promise<T> {
    const order = this.orderOf(destination);
    const done = order.tail.then(run);
    order.making.push(done);
    return this.ending(destination, done);
  }

  /** What takes bindings to a destination away: alone, so that what is noted in the end is right. */
  taking<T>(destination: Destination, run: () => Promise<T>): Promise<T> {
    const order = this.orderOf(destination);
    const done = Promise.allSettled([order.tail, ...order.making]).then(run);
    order.making = [];
    order.tail = done.catch(() => undefined);
    return this.ending(destination, done);
  }

  private orderOf(destination: Destination): Order {
    const key = destinationKey(destination);
    const order = this.orders.get(key) ?? { running: 0, making: [], tail: Promise.resolve() };
    this.orders.set(key, order);
    order.running++;
    return order;
  }

  private async ending<T>(destination: Destination, done: Promise<T>): Promise<T> {
    try {
      return await done;
    } finally {
      const key = destinationKey(destination);
      const order = this.orders.get(key);
      if (order !== undefined && --order.running === 0) this.orders.delete(key);
    }
  }

  /** Takes away every binding that leads here; repeatable, as with queues. */
  async unbindOthers(): Promise<Result<void>> {
    const destination = { exchange: this.exchange };
    try {
      const bound = await this.api.boundTo(destination);
      if (!bound.ok) return bound;
      const others = bound.value.filter((other) => other !== this.exchange);
      const answers = await Promise.all(
        others.map((other) => exchangeOf(this.env, this.namespace, other).unbindAll(destination)),
      );
      if (answers.every((answer) => answer.ok)) return ok(undefined);
    } catch (error) {
      const { namespace } = this;
      console.error("bindings were not taken away", { namespace, ...destination, error: String(error) });
    }
    return refuse("unavailable", "an exchange that leads to this one can't be reached; repeat the request", {
      retryAfterMs: RETRY_MS,
    });
  }
}
