// What a person sees of an exchange.
import type { ExchangeInfo } from "../protocol/exchange-commands.ts";
import type { ExchangeContext } from "./context.ts";

export function inspect(exchange: ExchangeContext, nowMs: number): ExchangeInfo {
  const { stored, bindings, hubs, history, lastValues, stores, published, unroutable } = exchange;
  const { events, bytes } = history.size();
  const earliest = history.earliestOffset(nowMs);
  return {
    exchange: stored.exchange,
    namespace: stored.namespace,
    config: stored.config,
    createdMs: stored.createdMs,
    bindings: bindings.size,
    hubs: hubs.size,
    epoch: history.epochText,
    offset: history.offset,
    earliestOffset: earliest > history.offset ? null : earliest,
    historyEvents: Math.min(events, history.offset - earliest + 1),
    historyBytes: bytes,
    lastValues: lastValues.count,
    delayed: stores.delayed.totals().count,
    moving: stores.outbox.outboxCount(),
    published,
    unroutable,
  };
}
