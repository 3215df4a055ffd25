/**
 * How an exchange comes to be, changes and ends, in step with the catalogue. Each may be cut short at any call to another
 * object, and is repeated then: a name is listed before the exchange is there, and until after it is gone.
 */
import { refuseRedeclare } from "../exchange/config-rules.ts";
import { drawEpoch } from "../exchange/context.ts";
import { judgeRemoval, type ExchangeRemoval } from "../exchange/deletion-rules.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { ExchangeStores } from "../exchange/stores.ts";
import type { ExchangeInfo } from "../protocol/exchange-commands.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import { ok, type Refusal, type Result } from "../protocol/result.ts";
import { platformRandom } from "./chance.ts";
import type { ExchangeCatalogue } from "./exchange-catalogue.ts";
import { Removal } from "./removal.ts";

/** What the lifecycle needs of the object around it. */
export interface LifecyclePorts {
  readonly catalogue: ExchangeCatalogue;
  open(): Exchange | null;
  stores(): Pick<ExchangeStores, "writeExchange">;
  notFound(): Refusal;
  whenDeclared<T>(run: (exchange: Exchange, nowMs: number) => Result<T>): Promise<Result<T>>;
  /** Deletes everything and tells the subscribers, without waiting: from then on there is no exchange, whoever asks. */
  erase(exchange: Exchange): void;
  /** Gives back the storage of an object that has nothing to keep. */
  wipe(): Promise<void>;
}

type Declared = Result<{ created: boolean; info: ExchangeInfo }>;
type Removed = Result<{ bindings: number; delayed: number }>;

export class ExchangeLifecycle {
  private readonly ports: LifecyclePorts;
  private readonly removal: Removal<ExchangeRemoval, { bindings: number; delayed: number }>;

  constructor(ports: LifecyclePorts) {
    this.ports = ports;
    const { catalogue } = ports;
    this.removal = new Removal({
      judge: (options) => {
        const exchange = ports.open();
        return exchange ? judgeRemoval(exchange, options, Date.now()) : ports.notFound();
      },
      notFound: "exchange_not_found",
      unbind: () => catalogue.unbindOthers(),
      erase: () => ports.erase(ports.open()!),
      unregister: () => catalogue.unregister(),
      clean: async (isErased) => {
        if (isErased) await ports.wipe();
      },
    });
  }

  async declare(config: ExchangeConfig): Promise<Declared> {
    await this.removal.over();
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
    const epoch = drawEpoch(platformRandom);
    const stored = { exchange, namespace, origin, createdMs, epoch, wasUsed: false, config };
    this.ports.stores().writeExchange(stored);
    return ok({ created: true, info: this.ports.open()!.inspect(createdMs) });
  }

  async update(changes: Partial<ExchangeConfig>): Promise<Result<ExchangeInfo>> {
    const missing = await this.ports.catalogue.checkAlternate(changes);
    if (missing) return missing;
    return this.ports.whenDeclared((exchange, nowMs) => exchange.update(changes, nowMs));
  }

  remove(options: ExchangeRemoval): Promise<Removed> {
    return this.removal.run(options);
  }

  /** Whoever removes it already does that: waiting for the end of it here might be waiting for oneself. */
  async goIfAbandoned(): Promise<void> {
    if (this.removal.isRunning || this.ports.open()?.isAbandoned !== true) return;
    await this.remove({ ifUnused: true, ifAbandoned: true });
  }
}
