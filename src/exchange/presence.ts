// Who subscribes, put together from what each hub says.
import type { PresenceAnswer, PresenceMember } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";

export function mergePresence(exchange: string, answers: readonly PresenceAnswer[]): PresenceAnswer {
  const byKey = new Map<string, PresenceMember>();
  let subscriptions = 0;
  for (const answer of answers) {
    subscriptions += answer.subscriptions;
    for (const member of answer.list) {
      const key = JSON.stringify([member.member, member.pattern]);
      const known = byKey.get(key);
      byKey.set(key, known === undefined ? member : { ...known, count: known.count + member.count });
    }
  }
  const all = [...byKey.values()].sort((a, b) =>
    a.member === b.member ? compare(a.pattern, b.pattern) : compare(a.member, b.member),
  );
  const names = new Set(all.map(({ member }) => member));
  // A hub whose list was cut knows how many it has; names on several hubs are counted once as far as lists tell.
  const cut = answers.reduce(
    (sum, { members, list }) => sum + members - new Set(list.map((one) => one.member)).size,
    0,
  );
  return {
    exchange,
    subscriptions,
    members: names.size + cut,
    list: all.slice(0, LIMITS.presenceMembersMax),
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
