// What one isolate of the edge remembers from a request to the next. Any of it may be lost at any time, and another
// isolate knows nothing of it.
import { FullHubs } from "./full-hubs.ts";
import { Rates } from "./rates.ts";
import { Revocations } from "./revocations.ts";
import type { EdgeMiddleware } from "./services.ts";

export interface IsolateMemory {
  readonly rates: Rates;
  readonly fullHubs: FullHubs;
  readonly revocations: Revocations;
}

export function remember(): EdgeMiddleware {
  const memory: IsolateMemory = {
    rates: new Rates(),
    fullHubs: new FullHubs(),
    revocations: new Revocations(),
  };
  return (context, next) => {
    context.set("memory", memory);
    return next();
  };
}
