// Who may see who subscribes: what a token may subscribe to, and all of it where it manages the exchange.
import type { PresenceAnswer, PresenceMember } from "../protocol/exchange-commands.ts";
import type { Grant } from "../protocol/rpc.ts";
import { allowsName, subscriptionScope, type SubscriptionScope } from "./grants.ts";
import { overlaps } from "./topic.ts";

export function presenceScope(
  grants: readonly Grant[],
  exchange: string,
  pattern: string,
  nowMs: number,
): SubscriptionScope {
  if (allowsName(grants, ["manage"], exchange, nowMs)) return { kind: "all" };
  return subscriptionScope(grants, exchange, pattern, nowMs);
}

/** The members whose pattern shares a topic with what may be seen. */
export function withinScope(scope: SubscriptionScope, members: readonly PresenceMember[]): PresenceMember[] {
  if (scope.kind === "all") return [...members];
  if (scope.kind === "none") return [];
  return members.filter((member) => scope.patterns.some((pattern) => overlaps(pattern, member.pattern)));
}

/** An answer cut down to what may be seen; counts are of what is left. */
export function narrowPresence(scope: SubscriptionScope, answer: PresenceAnswer): PresenceAnswer {
  if (scope.kind === "all") return answer;
  const list = withinScope(scope, answer.list);
  return {
    exchange: answer.exchange,
    subscriptions: list.reduce((sum, { count }) => sum + count, 0),
    members: new Set(list.map(({ member }) => member)).size,
    list,
  };
}
