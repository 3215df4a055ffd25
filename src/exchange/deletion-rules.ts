// When an exchange may be deleted.
import { ok, refuse, type Result } from "../protocol/result.ts";
import type { Exchange } from "./exchange.ts";

export interface ExchangeRemoval {
  readonly ifUnused: boolean;
  /** By itself: only while nothing is left of it that anyone needs. */
  readonly ifAbandoned?: boolean;
}

/** What goes with the exchange, or why it stays. */
export function judgeRemoval(
  exchange: Exchange,
  { ifUnused, ifAbandoned = false }: ExchangeRemoval,
  nowMs: number,
): Result<{ bindings: number; delayed: number }> {
  const inUse = (why: string) => refuse("exchange_in_use", why);
  const { bindings, hubs, delayed, moving } = exchange.inspect(nowMs);
  if (ifUnused && bindings + hubs > 0) {
    return inUse(`the exchange has ${bindings} bindings and ${hubs} hubs with subscribers`);
  }
  if (moving > 0) return inUse(`${moving} messages are on their way to queues; try again`);
  const stranded = exchange.strandedCount;
  if (stranded > 0) return inUse(`${stranded} dead letters lead nowhere; bind a queue that takes them`);
  if (ifUnused && delayed > 0) return inUse(`${delayed} messages wait for their time`);
  if (ifAbandoned && !exchange.isAbandoned) return inUse("the exchange is used again");
  return ok({ bindings, delayed });
}
