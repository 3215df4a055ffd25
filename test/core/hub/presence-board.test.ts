// Who subscribes on a hub, and what changed since it was last told.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PresenceBoard } from "../../../src/hub/presence-board.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { overlaps } from "../../../src/routing/topic.ts";
import { fuzzRun } from "../../support/seed.ts";

function boardOf(...who: readonly (readonly [string, string])[]): PresenceBoard {
  const board = new PresenceBoard();
  for (const [member, pattern] of who) board.count("e", member, pattern, 1);
  return board;
}

describe("a presence board", () => {
  it("tells whose pattern shares a topic with the one asked for", () => {
    const board = boardOf(["ann", "a.#"], ["ann", "a.#"], ["ann", "b"], ["bob", "*.x"], ["cid", "c"]);
    expect(board.answer("e", "a.x")).toEqual({
      exchange: "e",
      subscriptions: 3,
      members: 2,
      list: [
        { member: "ann", pattern: "a.#", count: 2 },
        { member: "bob", pattern: "*.x", count: 1 },
      ],
    });
    expect(board.answer("e", "#")).toMatchObject({ subscriptions: 5, members: 3 });
    expect(board.answer("f", "#")).toEqual({ exchange: "f", subscriptions: 0, members: 0, list: [] });
  });

  it("tells each change once, as it is in the end", () => {
    const board = boardOf(["ann", "a"], ["bob", "b"]);
    board.count("e", "ann", "a", 1);
    board.count("e", "bob", "b", -1);
    board.count("f", "cid", "c", 1);
    expect(board.changedExchanges()).toEqual(["e", "f"]);
    expect(board.takeChanges("e")).toEqual([
      { member: "ann", pattern: "a", count: 2 },
      { member: "bob", pattern: "b", count: 0 },
    ]);
    expect([board.takeChanges("e"), board.changedExchanges()]).toEqual([[], ["f"]]);
    board.forgetChanges("f");
    expect([board.takeChanges("f"), board.changedExchanges()]).toEqual([[], []]);
  });

  it("tells the last one's going too", () => {
    const board = boardOf(["ann", "a"]);
    board.takeChanges("e");
    board.count("e", "ann", "a", -1);
    expect(board.takeChanges("e")).toEqual([{ member: "ann", pattern: "a", count: 0 }]);
    expect(board.answer("e", "#").members).toBe(0);
  });

  it("tells names apart, whatever they are made of", () => {
    const board = boardOf(["a b", "c"], ["a", "b c"], ['a","b', "c"], ["__proto__", "#"]);
    expect(board.answer("e", "#").members).toBe(4);
    expect(board.takeChanges("e")).toHaveLength(4);
  });

  it("cuts its list, and counts all", () => {
    const count = LIMITS.presenceMembersMax + 3;
    const board = boardOf(...Array.from({ length: count }, (_, i) => [`m${i}`, "a"] as const));
    const { members, subscriptions, list } = board.answer("e", "#");
    expect([members, subscriptions, list.length]).toEqual([count, count, LIMITS.presenceMembersMax]);
  });

  const { seed, numRuns } = fuzzRun(200);
  it(`is what a plain count of who came and went says (seed ${seed})`, () => {
    const move = fc.tuple(fc.constantFrom("ann", "bob"), fc.constantFrom("a", "a.*", "#"), fc.boolean());
    const check = fc.property(
      fc.array(move, { maxLength: 20 }),
      fc.constantFrom("a", "*.b", "#"),
      (moves, asked) => {
        const board = new PresenceBoard();
        const counts = new Map<string, number>();
        for (const [member, pattern, comes] of moves) {
          const key = `${member} ${pattern}`;
          const before = counts.get(key) ?? 0;
          if (!comes && before === 0) continue;
          counts.set(key, before + (comes ? 1 : -1));
          board.count("e", member, pattern, comes ? 1 : -1);
        }
        const here = [...counts].filter(([key, count]) => count > 0 && overlaps(key.split(" ")[1]!, asked));
        const { list, subscriptions } = board.answer("e", asked);
        expect(
          Object.fromEntries(list.map(({ member, pattern, count }) => [`${member} ${pattern}`, count])),
        ).toEqual(Object.fromEntries(here));
        expect(subscriptions).toBe(here.reduce((sum, [, count]) => sum + count, 0));
        expect(board.takeChanges("e")).toHaveLength(counts.size);
      },
    );
    fc.assert(check, { seed, numRuns });
  });
});
