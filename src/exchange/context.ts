// What the parts of an exchange share. One context is one exchange in memory; it is thrown away when a transition fails.
import type { BatchCodec } from "../protocol/batch.ts";
import { Bindings, type RoutingParts } from "./bindings.ts";
import { History } from "./history.ts";
import { HubLeases } from "./hub-leases.ts";
import { LastValues } from "./last-values.ts";
import { MemoryHistoryStore, MemoryLastValueStore } from "./memory-stores.ts";
import type { ExchangeStores, StoredExchange } from "./stores.ts";

export interface ExchangeContext {
  readonly stores: ExchangeStores;
  readonly codec: BatchCodec;
  bindings: Bindings;
  readonly hubs: HubLeases;
  history: History;
  lastValues: LastValues;
  stored: StoredExchange;
  /** Since the exchange's object started. */
  published: number;
  unroutable: number;
}

export interface ExchangeParts extends RoutingParts {
  /** From 0 to below 1: draws epochs. */
  readonly random: () => number;
}

export function openContext(stores: ExchangeStores, parts: ExchangeParts): ExchangeContext | null {
  const stored = stores.readExchange();
  if (stored === null) return null;
  const { codec } = parts;
  return {
    stores,
    codec,
    bindings: new Bindings(stored.config, stores.bindings, stores.counters, parts),
    hubs: new HubLeases(stores.hubs),
    ...openEvents(stored, stores, parts),
    stored,
    published: 0,
    unroutable: 0,
  };
}

/** The stored epoch goes with stored events. What lives in memory begins anew with every instance. */
export function openEvents(
  stored: StoredExchange,
  stores: ExchangeStores,
  { codec, random }: ExchangeParts,
): { history: History; lastValues: LastValues } {
  const { config } = stored;
  const isStored = config.durable && (config.history.eventsMax > 0 || config.lastValuesMax > 0);
  const epoch = isStored ? stored.epoch : drawEpoch(random);
  return {
    history: new History(config, epoch, isStored ? stores.history : new MemoryHistoryStore(), codec),
    lastValues: new LastValues(config, isStored ? stores.lastValues : new MemoryLastValueStore(), codec),
  };
}

/** From 1; 48 bits, so that two epochs never meet in practice. */
export function drawEpoch(random: () => number): number {
  return 1 + Math.floor(random() * 2 ** 48);
}
