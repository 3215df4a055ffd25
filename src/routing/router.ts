// Where the messages of an exchange go. One router for each exchange, of its kind, built from its bindings.
import type { RecordTable } from "../protocol/batch.ts";
import type { HeadersFilter } from "../protocol/exchange-commands.ts";
import type { ExchangeConfig, ExchangeKind } from "../protocol/exchange-config.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { HashRouter } from "./hash-router.ts";
import type { TopicMatcher } from "./matcher.ts";
import { DirectRouter, KeylessRouter } from "./plain-routers.ts";
import { parseWeight } from "./weight.ts";
import {
  assertDestination,
  RouteHits,
  type KindRouter,
  type RouteMatches,
  type RouterBinding,
} from "./routes.ts";
import { parsePattern } from "./topic.ts";
import { TopicRouter } from "./topic-router.ts";

export type { RouteMatches, RouterBinding } from "./routes.ts";

export interface Router {
  /** Refuses what `checkBinding` refuses. Each id is added once. */
  add(binding: RouterBinding): Result<void>;
  /** The binding as it was added. One that is not there is a bug. */
  remove(binding: RouterBinding): void;
  /** Which messages of a scanned batch go to which destination: each destination once, each message once in it. */
  route(batch: Uint8Array, table: RecordTable): RouteMatches;
}

/** `makeMatcher` is called for kind topic only. */
export function createRouter(
  kind: ExchangeKind,
  hashOn: ExchangeConfig["hashOn"],
  makeMatcher: () => TopicMatcher,
): Router {
  const router = createKindRouter(kind, hashOn, makeMatcher);
  return {
    add: (binding) => {
      const checked = checkBinding(kind, binding.key, binding.headers);
      if (!checked.ok) return checked;
      assertDestination(binding.destination);
      router.add(binding);
      return checked;
    },
    remove: (binding) => router.remove(binding),
    route: (batch, table) => {
      const hits = new RouteHits(table.count);
      router.route(batch, table, hits);
      return hits.matches();
    },
  };
}

function createKindRouter(
  kind: ExchangeKind,
  hashOn: ExchangeConfig["hashOn"],
  makeMatcher: () => TopicMatcher,
): KindRouter {
  switch (kind) {
    case "direct":
      return new DirectRouter();
    case "fanout":
    case "headers":
      return new KeylessRouter();
    case "topic":
      return new TopicRouter(makeMatcher());
    case "consistent-hash":
      return new HashRouter(hashOn);
  }
}

/** What may be said of a binding of an exchange of this kind. Sizes have been checked with the request. */
export function checkBinding(kind: ExchangeKind, key: string, headers: HeadersFilter | null): Result<void> {
  if (headers === null && kind === "headers") {
    return refuse(
      "bad_request",
      "headers: is missing; bindings of an exchange of kind headers need a filter",
    );
  }
  if (headers !== null && Object.keys(headers.headers).length === 0) {
    return refuse("bad_request", "headers: must name a header");
  }
  const parsed =
    kind === "topic"
      ? parsePattern("key", key)
      : kind === "consistent-hash"
        ? parseWeight(key)
        : ok(undefined);
  return parsed.ok ? ok(undefined) : parsed;
}
