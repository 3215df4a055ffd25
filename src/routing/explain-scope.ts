/**
 * What of an exchange's bindings a token may see. Whoever manages the exchange sees all, as in the list of bindings.
 * Others learn of what is theirs: bindings to what they manage, and destinations over which they have some grant.
 */
import type { BindingView, Destination, ExplainAnswer } from "../protocol/exchange-commands.ts";
import type { Grant, GrantVerb } from "../protocol/rpc.ts";
import { allowsName } from "./grants.ts";

const ANY_VERB: readonly GrantVerb[] = ["publish", "consume", "subscribe", "manage"];

export function explainedTo(
  grants: readonly Grant[],
  exchange: string,
  answer: ExplainAnswer,
  nowMs: number,
): ExplainAnswer {
  if (allowsName(grants, ["manage"], exchange, nowMs)) return answer;
  const isTheirs = ({ destination }: BindingView): boolean =>
    allowsName(grants, ["manage"], nameOf(destination), nowMs);
  const isKnown = (name: string): boolean => allowsName(grants, ANY_VERB, name, nowMs);
  const { alternate, ...rest } = answer;
  const bindings = answer.bindings.filter(({ binding }) => isTheirs(binding));
  return {
    ...rest,
    bindings,
    bindingsTotal: bindings.length,
    destinations: answer.destinations.filter((destination) => isKnown(nameOf(destination))),
    ...(alternate !== undefined && isKnown(alternate) && { alternate }),
  };
}

function nameOf(destination: Destination): string {
  return "queue" in destination ? destination.queue : destination.exchange;
}
