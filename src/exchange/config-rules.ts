// What may be said of an exchange's configuration beyond the form of each field.
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import { differingFields } from "../queue/config-rules.ts";
import type { ExchangeContext } from "./context.ts";

export function configOf(exchange: ExchangeContext): ExchangeConfig {
  return exchange.stored.config;
}

/** A declare of an exchange that exists is harmless when it says the same. */
export function refuseRedeclare(known: ExchangeConfig, wanted: ExchangeConfig): Refusal | null {
  const fields = differingFields(known, wanted);
  if (fields.length === 0) return null;
  return refuse("exchange_exists", `the exchange exists and differs in: ${fields.join(", ")}`);
}

/** What is bound was judged by the kind, and where events lie can't move. */
export function refuseChanges(known: ExchangeConfig, changes: Partial<ExchangeConfig>): Refusal | null {
  for (const field of ["kind", "durable"] as const) {
    if (changes[field] !== undefined && changes[field] !== known[field]) {
      return refuse("bad_request", `${field}: can't be changed; declare another exchange`);
    }
  }
  return null;
}

export function refuseAlternate(exchange: string, alternate: string): Refusal | null {
  if (alternate !== exchange) return null;
  return refuse("bad_request", "alternate: an exchange can't be its own alternate");
}
