// What every route of an exchange needs: its path parameter, and calls to the object behind it.
import { z } from "@hono/zod-openapi";
import type { ExchangeApi } from "../protocol/exchange-rpc.ts";
import type { Result } from "../protocol/result.ts";
import { Name } from "../protocol/schemas.ts";
import { call } from "./call.ts";
import type { EdgeContext } from "./services.ts";

export const ExchangeParam = z.object({ exchange: Name });

export interface ExchangeCall<T> {
  /** For the log. */
  readonly method: string;
  /** Whether a second call after a lost answer does no harm. */
  readonly repeatable: boolean;
  readonly run: (exchange: ExchangeApi) => Promise<Result<T>>;
}

/** Calls the object of the path's exchange in the caller's namespace. */
export function callExchange<T>(context: EdgeContext, command: ExchangeCall<T>): Promise<Result<T>> {
  const exchange = pathExchange(context);
  const { namespace } = context.get("claims");
  return call(context, { method: command.method, repeatable: command.repeatable, exchange }, () =>
    command.run(context.env.exchange(namespace, exchange)),
  );
}

/** The exchange that the path names; `needsExchange` or the route's schema has checked it. */
export function pathExchange(context: EdgeContext): string {
  return context.req.param("exchange") ?? "";
}
