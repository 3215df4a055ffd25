// Who subscribes on this hub: counts for each exchange, and what changed since they were last told.
import type { PresenceAnswer, PresenceMember } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { overlaps } from "../routing/topic.ts";

export class PresenceBoard {
  private readonly exchanges = new Map<string, Map<string, PresenceMember>>();
  private readonly changed = new Map<string, Set<string>>();

  /** `by` is 1 or -1. */
  count(exchange: string, member: string, pattern: string, by: 1 | -1): void {
    const board = this.exchanges.get(exchange) ?? new Map<string, PresenceMember>();
    this.exchanges.set(exchange, board);
    const key = JSON.stringify([member, pattern]);
    const count = (board.get(key)?.count ?? 0) + by;
    if (count > 0) board.set(key, { member, pattern, count });
    else board.delete(key);
    if (board.size === 0) this.exchanges.delete(exchange);
    const changed = this.changed.get(exchange) ?? new Set();
    this.changed.set(exchange, changed.add(key));
  }

  /** Whose pattern shares a topic with this one. */
  answer(exchange: string, pattern: string): PresenceAnswer {
    const all = [...(this.exchanges.get(exchange)?.values() ?? [])].filter((one) =>
      overlaps(one.pattern, pattern),
    );
    return {
      exchange,
      subscriptions: all.reduce((sum, { count }) => sum + count, 0),
      members: new Set(all.map(({ member }) => member)).size,
      list: all.slice(0, LIMITS.presenceMembersMax),
    };
  }

  /** What changed in an exchange, once; several changes of one member are one. Empty when nothing did. */
  takeChanges(exchange: string): PresenceMember[] {
    const keys = [...(this.changed.get(exchange) ?? [])];
    this.changed.delete(exchange);
    const board = this.exchanges.get(exchange);
    return keys.map((key) => {
      const [member, pattern] = JSON.parse(key) as [string, string];
      return board?.get(key) ?? { member, pattern, count: 0 };
    });
  }

  changedExchanges(): string[] {
    return [...this.changed.keys()];
  }

  forgetChanges(exchange: string): void {
    this.changed.delete(exchange);
  }
}
