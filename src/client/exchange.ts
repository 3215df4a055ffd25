/** One exchange, as `client.exchange(name)` gives it. Makes nothing until it is used. */
import type { HeaderValue } from "../protocol/batch.ts";
import type {
  Binding,
  BindingView,
  Destination,
  ExchangeInfo,
  ExplainAnswer,
  ExplainCommand,
  HeadersFilter,
  PresenceAnswer,
} from "../protocol/exchange-commands.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import { EventStream } from "./event-stream.ts";
import type { ExchangePublisher, Routed } from "./exchange-publisher.ts";
import type { Http } from "./http.ts";
import { NO_OPTIONS, refuseUnknown, type Known } from "./known-options.ts";
import type { MessageBody, PublishOptions } from "./outgoing.ts";
import type { PresenceHandler, PresenceWatch } from "./presence.ts";
import { SUBSCRIBE_OPTIONS, type EventHandler, type SubscribeOptions } from "./subscription-options.ts";
import type { Subscription } from "./subscription.ts";

/** A destination by its object, or a queue by its name. */
export type BindTarget = string | Destination;

export interface RouteOptions extends Omit<PublishOptions, "routingKey"> {
  /** Rejects with `unroutable` when no binding leads the message to a queue. */
  readonly mandatory?: boolean;
}

/** What an exchange needs of its client. */
export interface ExchangePorts {
  readonly http: Http;
  readonly publisher: () => ExchangePublisher;
  readonly subscribe: (
    pattern: string,
    handler: EventHandler,
    options: SubscribeOptions,
    bufferEvents: number,
  ) => Subscription;
  readonly presence: (pattern: string) => Promise<PresenceAnswer>;
  readonly watch: (pattern: string, handler: PresenceHandler | null) => PresenceWatch;
}

const BUFFER_EVENTS = 1_000;
const BIND_OPTIONS: Known<{ headers?: unknown }> = { headers: true };
const DELETE_OPTIONS: Known<{ ifUnused?: boolean }> = { ifUnused: true };

export class Exchange {
  readonly name: string;
  private readonly ports: ExchangePorts;
  private readonly path: string;

  /** @internal */
  constructor(name: string, ports: ExchangePorts) {
    this.name = name;
    this.ports = ports;
    this.path = `/v1/exchanges/${encodeURIComponent(name)}`;
  }

  // ---- messages

  /**
   * Resolves when every queue that a binding leads to has stored the message, and every hub with subscribers has it.
   * Messages of one turn travel together, so publish many without awaiting each. Rejects with `unroutable` (when
   * `mandatory`), a RouteError when some queue did not take it, `timeout` or `disconnected` (`facts.outcome` says
   * whether it may have been published), `exchange_not_found`, `exchange_busy`, `forbidden` …
   *
   * A message that was sent and not confirmed when the connection broke is sent again only if it has a `dedupId`; the
   * others reject with `disconnected`. A `dedupId` keeps a queue from taking it twice; subscribers may get it twice.
   */
  publish(topic: string, body: MessageBody, options: RouteOptions = NO_OPTIONS): Promise<Routed> {
    return this.ports.publisher().publish(topic, body, options);
  }

  /** Resolves when every message published so far is confirmed or rejected. */
  flush(): Promise<void> {
    return this.ports.publisher().flush();
  }

  /**
   * Events whose topic matches the pattern (`*`: one word, `#`: any number of words), from now on, and of the past what
   * the options ask for. With a handler: one after the other, in order. Without: `for await (const event of …)`.
   *
   * Interruptions mend themselves: what was missed is asked for, and `onRecovered` or `onGap` tells how it ended.
   *
   * Subscriptions of one client with the same exchange and pattern share one at the broker. So a second one may not ask
   * for the past, nor for other `onSlow`, `member`, `format` or `recoverSlow` than the first: it throws `bad_request`.
   */
  subscribe(pattern: string, handler: EventHandler, options?: SubscribeOptions): Subscription;
  subscribe(pattern: string, options?: SubscribeOptions): EventStream;
  subscribe(
    pattern: string,
    first: EventHandler | SubscribeOptions = {},
    second: SubscribeOptions = {},
  ): Subscription | EventStream {
    refuseUnknown(typeof first === "function" ? second : first, SUBSCRIBE_OPTIONS);
    if (typeof first === "function") return this.ports.subscribe(pattern, first, second, 0);
    const { bufferEvents = BUFFER_EVENTS } = first;
    return new EventStream((handler) => this.ports.subscribe(pattern, handler, first, bufferEvents));
  }

  // ---- who subscribes

  /** Who subscribes with patterns that overlap this one. The exchange must have `presence` on. */
  presence(pattern = "#"): Promise<PresenceAnswer> {
    return this.ports.presence(pattern);
  }

  /**
   * The same, kept up to date: the handler is told once at the beginning and then at each change. Without a handler:
   * `for await (const { members, changes } of …)`, which skips over states that nobody asked for in time.
   */
  watchPresence(pattern = "#", handler: PresenceHandler | null = null): PresenceWatch {
    return this.ports.watch(pattern, handler);
  }

  // ---- bindings

  /**
   * Leads messages to a queue or another exchange. The key is read as the exchange's kind says. Repeatable: an equal
   * binding is found. Rejects with `destination_missing`, `too_many_bindings`.
   */
  async bind(
    target: BindTarget,
    key = "",
    options: { readonly headers?: HeadersFilter | null } = {},
  ): Promise<BindingView> {
    refuseUnknown(options, BIND_OPTIONS);
    const destination = typeof target === "string" ? { queue: target } : target;
    const binding: Binding = { destination, key, headers: options.headers ?? null };
    return this.ports.http.json("POST", `${this.path}/bindings`, { json: binding, repeatable: true });
  }
  /** Rejects with `binding_not_found`. */
  unbind(id: number): Promise<BindingView> {
    return this.ports.http.json("DELETE", `${this.path}/bindings/${id}`);
  }
  /** A page of the bindings, by id. */
  bindings(
    options: { limit?: number; after?: number } = {},
  ): Promise<{ bindings: BindingView[]; after?: number }> {
    return this.ports.http.json("GET", `${this.path}/bindings`, { query: { ...options }, repeatable: true });
  }
  /** Where a message with this key would go, and why. Nothing is published. */
  explain(
    routingKey: string,
    options: Omit<ExplainCommand, "routingKey" | "headers"> & {
      readonly headers?: Readonly<Record<string, Exclude<HeaderValue, Uint8Array>>>;
    } = {},
  ): Promise<ExplainAnswer> {
    const json = { routingKey, ...options };
    return this.ports.http.json("POST", `${this.path}/explain`, { json, repeatable: true });
  }

  // ---- the exchange itself

  /** Makes the exchange, or finds it. What is left out has its default. Rejects with `exchange_exists` if it is another. */
  declare(config: Partial<ExchangeConfig> = {}): Promise<ExchangeInfo> {
    return this.ports.http.json("PUT", this.path, { json: config, repeatable: true });
  }
  /** Changes what is named; `kind` and `durable` can't be changed. */
  update(changes: Partial<ExchangeConfig>): Promise<ExchangeInfo> {
    return this.ports.http.json("PATCH", this.path, { json: changes, repeatable: true });
  }
  inspect(): Promise<ExchangeInfo> {
    return this.ports.http.json("GET", this.path, { repeatable: true });
  }
  /** With its bindings, history and delayed messages. Rejects with `exchange_in_use` where asked to. */
  async delete(options: { ifUnused?: boolean } = {}): Promise<{ bindings: number; delayed: number }> {
    refuseUnknown(options, DELETE_OPTIONS);
    const query = { ifUnused: options.ifUnused === undefined ? undefined : String(options.ifUnused) };
    return this.ports.http.json("DELETE", this.path, { query });
  }
}
