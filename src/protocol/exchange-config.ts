// What a person may set on an exchange, and what holds when they don't.

/**
 * direct           the routing key equals the binding's key
 * fanout           every binding
 * topic            the binding's key is a pattern of the topic grammar (PROTOCOL §7.16)
 * headers          the binding's headers filter decides; its key is not read
 * consistent-hash  one of the bindings, chosen by the hash of the routing key; the binding's key is its weight, 1 to 100
 */
export type ExchangeKind = "direct" | "fanout" | "topic" | "headers" | "consistent-hash";

export interface HistoryPolicy {
  /** Events kept; 0: none. */
  readonly eventsMax: number;
  /** Events older than this are gone. Null: no limit of age. */
  readonly ageMs: number | null;
}

export interface ExchangeConfig {
  readonly kind: ExchangeKind;
  /** False: history and last values live in memory only. They cost no rows, and a restart begins a new epoch. */
  readonly durable: boolean;
  /** Deleted when the last of its bindings and subscribers goes, once it has had one. */
  readonly autoDelete: boolean;
  /** Takes messages from other exchanges and dead letters only; clients can't publish to it. */
  readonly internal: boolean;
  /** An exchange of the namespace that gets what no binding matched. It must exist when it is named here. */
  readonly alternate: string | null;
  /** consistent-hash: what is hashed. */
  readonly hashOn: "routingKey" | "orderingKey" | "correlationId" | { readonly header: string };
  /** What a subscriber can get back after it was away. */
  readonly history: HistoryPolicy;
  /** Topics whose last event is kept, for those who subscribe later; 0: none. The ones silent longest give way. */
  readonly lastValuesMax: number;
  /** Hubs report who subscribes, so that clients may ask and watch. */
  readonly presence: boolean;
}

export const EXCHANGE_DEFAULTS: ExchangeConfig = {
  kind: "topic",
  durable: true,
  autoDelete: false,
  internal: false,
  alternate: null,
  hashOn: "routingKey",
  history: { eventsMax: 0, ageMs: null },
  lastValuesMax: 0,
  presence: false,
};
