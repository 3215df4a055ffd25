/**
 * Binding and unbinding, in step with the catalogue: it knows of each destination before a binding leads there, so that a
 * destination that goes can take its bindings with it.
 */
import type { Exchange } from "../exchange/exchange.ts";
import type { Binding, BindingView, Destination } from "../protocol/exchange-commands.ts";
import { ok, type Refusal, type Result } from "../protocol/result.ts";
import type { ExchangeCatalogue } from "./exchange-catalogue.ts";

export interface ExchangeBindingsPorts {
  readonly catalogue: ExchangeCatalogue;
  open(): Exchange | null;
  notFound(): Refusal;
  whenDeclared<T>(run: (exchange: Exchange, nowMs: number) => Result<T>): Promise<Result<T>>;
  goIfAbandoned(): Promise<void>;
}

export class ExchangeBindings {
  private readonly ports: ExchangeBindingsPorts;

  constructor(ports: ExchangeBindingsPorts) {
    this.ports = ports;
  }

  async bind(binding: Binding): Promise<Result<{ created: boolean; binding: BindingView }>> {
    const { ports } = this;
    if (!ports.open()) return ports.notFound();
    const { destination } = binding;
    const { catalogue } = ports;
    const bound = await catalogue.making(destination, async () => {
      const noted = await catalogue.note(destination);
      if (!noted.ok) return noted;
      return ports.whenDeclared((exchange) => exchange.bind(binding));
    });
    if (!bound.ok) await catalogue.taking(destination, () => this.forgetUnbound(destination));
    return bound;
  }

  async unbind(id: number): Promise<Result<BindingView>> {
    const unbound = await this.ports.whenDeclared((exchange) => exchange.unbind(id));
    if (!unbound.ok) return unbound;
    const { destination } = unbound.value;
    await this.ports.catalogue.taking(destination, () => this.forgetUnbound(destination));
    await this.ports.goIfAbandoned();
    return unbound;
  }

  async unbindAll(destination: Destination): Promise<Result<{ bindings: number }>> {
    const unbound = await this.ports.catalogue.taking(destination, () => this.unbindNow(destination));
    await this.ports.goIfAbandoned();
    return unbound;
  }

  /** A destination said that it is not there: unless it has come back meanwhile, what leads there leads nowhere. */
  async gone(destination: Destination): Promise<void> {
    const { catalogue } = this.ports;
    if (this.ports.open()?.leadsTo(destination) !== true) return;
    await catalogue.taking(destination, async () => {
      const has = await catalogue.has(destination);
      if (has.ok && !has.value) await this.unbindNow(destination);
    });
    await this.ports.goIfAbandoned();
  }

  private async unbindNow(destination: Destination): Promise<Result<{ bindings: number }>> {
    if (!this.ports.open()) return ok({ bindings: 0 });
    const unbound = await this.ports.whenDeclared((exchange) => ok(exchange.unbindAll(destination)));
    if (!unbound.ok) return unbound.code === "exchange_not_found" ? ok({ bindings: 0 }) : unbound;
    await this.forgetUnbound(destination);
    return ok({ bindings: unbound.value });
  }

  private async forgetUnbound(destination: Destination): Promise<void> {
    if (this.ports.open()?.leadsTo(destination) !== true) await this.ports.catalogue.forget(destination);
  }
}
