/**
 * How an exchange comes to be, changes and ends, in step with the catalogue. Each may be cut short at any call to another
 * object, and is repeated then: a name is listed before the exchange is there, and until after it is gone.
 */
import { refuseRedeclare } from "../exchange/config-rules.ts";
import { drawEpoch } from "../exchange/context.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { ExchangeStores } from "../exchange/stores.ts";
import type { ExchangeInfo } from "../protocol/exchange-commands.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { ExchangeCatalogue } from "./exchange-catalogue.ts";

export interface RemoveOptions {
  readonly ifUnused: boolean;
  /** By itself: only while nothing is left of it that anyone needs. */
  readonly ifAbandoned?: boolean;
}

/** What the lifecycle needs of the object around it. */
export interface LifecyclePorts {
  readonly catalogue: ExchangeCatalogue;
  open(): Exchange | null;
  stores(): Pick<ExchangeStores, "writeExchange">;
  notFound(): Refusal;
  whenDeclared<T>(run: (exchange: Exchange, nowMs: number) => Result<T>): Promise<Result<T>>;
  /** Deletes everything and tells the subscribers, without waiting: from then on there is no exchange, whoever asks. */
  erase(exchange: Exchange): void;
}

type Declared = Result<{ created: boolean; info: ExchangeInfo }>;
type Removed = Result<{ bindings: number; delayed: number }>;

export class ExchangeLifecycle {
  private readonly ports: LifecyclePorts;
  /** While the exchange is being removed: a declare waits for the end of it. */
  private removal: Promise<unknown> | null = null;

  constructor(ports: LifecyclePorts) {
    this.ports = ports;
  }

  async declare(config: ExchangeConfig): Promise<Declared> {
    while (this.removal !== null) await this.removal;
    const { catalogue } = this.ports;
    const missing = await catalogue.checkAlternate(config);
    if (missing) return missing;
    const found = this.find(config);
    if (found) return found;
    const registered = await catalogue.register();
    if (!registered.ok) return registered;
    // Another declare may have come in between.
    return this.find(config) ?? this.create(config);
  }

  private find(config: ExchangeConfig): Declared | null {
    const known = this.ports.open();
    if (!known) return null;
    return refuseRedeclare(known.config, config) ?? ok({ created: false, info: known.inspect(Date.now()) });
  }

  private create(config: ExchangeConfig): Declared {
    const { namespace, exchange } = this.ports.catalogue;
    const createdMs = Date.now();
    const origin = crypto.getRandomValues(new Uint32Array(1))[0]! * 256 + 1;
    const epoch = drawEpoch(Math.random);
    const stored = { exchange, namespace, origin, createdMs, epoch, wasUsed: false, config };
    this.ports.stores().writeExchange(stored);
    return ok({ created: true, info: this.ports.open()!.inspect(createdMs) });
  }

  async update(changes: Partial<ExchangeConfig>): Promise<Result<ExchangeInfo>> {
    const missing = await this.ports.catalogue.checkAlternate(changes);
    if (missing) return missing;
    return this.ports.whenDeclared((exchange, nowMs) => exchange.update(changes, nowMs));
  }

  async remove(options: RemoveOptions): Promise<Removed> {
    while (this.removal !== null) await this.removal;
    const removal = this.removeNow(options);
    // Whoever waits for its end does not want to know how it ended.
    this.removal = removal.catch(() => undefined);
    try {
      return await removal;
    } finally {
      this.removal = null;
    }
  }

  /** Bindings that lead here go first: while one can't be taken away nothing is deleted. */
  private async removeNow(options: RemoveOptions): Promise<Removed> {
    const { catalogue } = this.ports;
    // Judged twice: bindings to an exchange that stays are not to be touched, and it may change while they are.
    const early = this.judgeRemoval(options);
    if (!early.ok && early.code !== "exchange_not_found") return early;
    const unbound = await catalogue.unbindOthers();
    if (!unbound.ok) return unbound;
    const judged = this.judgeRemoval(options);
    if (!judged.ok && judged.code !== "exchange_not_found") return judged;
    if (judged.ok) this.ports.erase(this.ports.open()!);
    // Where there was no exchange as well: a declare or a removal may have been cut short between the catalogue and here.
    await catalogue.unregister();
    const leftovers = await catalogue.unbindOthers();
    return leftovers.ok ? judged : leftovers;
  }

  private judgeRemoval({ ifUnused, ifAbandoned = false }: RemoveOptions): Removed {
    const exchange = this.ports.open();
    if (!exchange) return this.ports.notFound();
    const { bindings, hubs, delayed, moving } = exchange.inspect(Date.now());
    if (ifUnused && bindings + hubs > 0) {
      return refuse(
        "exchange_in_use",
        `the exchange has ${bindings} bindings and ${hubs} hubs with subscribers`,
      );
    }
    if (moving > 0) {
      return refuse("exchange_in_use", `${moving} messages are on their way to queues; try again`);
    }
    const stranded = exchange.strandedCount;
    if (stranded > 0) {
      return refuse("exchange_in_use", `${stranded} dead letters lead nowhere; bind a queue that takes them`);
    }
    if (ifUnused && delayed > 0) {
      return refuse("exchange_in_use", `${delayed} messages wait for their time`);
    }
    if (ifAbandoned && !exchange.isAbandoned) return refuse("exchange_in_use", "the exchange is used again");
    return ok({ bindings, delayed });
  }

  /** Whoever removes it already does that: waiting for the end of it here might be waiting for oneself. */
  async goIfAbandoned(): Promise<void> {
    if (this.removal !== null || this.ports.open()?.isAbandoned !== true) return;
    await this.remove({ ifUnused: true, ifAbandoned: true });
  }
}
