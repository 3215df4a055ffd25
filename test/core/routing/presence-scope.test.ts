import { describe, expect, it } from "vitest";
import type { PresenceMember } from "../../../src/protocol/exchange-commands.ts";
import type { Grant } from "../../../src/protocol/rpc.ts";
import { narrowPresence, presenceScope, withinScope } from "../../../src/routing/presence-scope.ts";

const NOW = 1_000_000;
const ALL = { kind: "all" } as const;
const NONE = { kind: "none" } as const;

const subscribe = (pattern: string, more: Partial<Grant> = {}): Grant => ({
  verb: "subscribe",
  pattern,
  exchange: "e",
  ...more,
});
const manage = (pattern: string, more: Partial<Grant> = {}): Grant => ({ verb: "manage", pattern, ...more });
const member = (name: string, pattern: string, count = 1): PresenceMember => ({
  member: name,
  pattern,
  count,
});

describe("who may see who subscribes", () => {
  it.each([
    ["sees all of what one grant covers", [subscribe("a.#")], "a.*", ALL],
    [
      "sees what shares a topic with a grant",
      [subscribe("a.*")],
      "#",
      { kind: "filtered", patterns: ["a.*"] },
    ],
    ["sees nothing of what no grant touches", [subscribe("a.*")], "b", NONE],
    ["sees nothing of another exchange", [subscribe("#", { exchange: "f" })], "#", NONE],
    ["sees nothing by a grant that has ended", [subscribe("#", { expiresMs: NOW })], "#", NONE],
    ["sees nothing because it publishes", [{ verb: "publish", pattern: "#" }], "#", NONE],
    ["sees all where it manages the exchange", [subscribe("a"), manage("e")], "#", ALL],
    ["sees nothing where it manages another", [manage("f")], "#", NONE],
    [
      "sees what is left when it manages no more",
      [subscribe("a"), manage("e", { expiresMs: NOW })],
      "a",
      ALL,
    ],
  ] as const)("%s", (_claim, grants, pattern, scope) => {
    expect(presenceScope(grants, "e", pattern, NOW)).toEqual(scope);
  });
});

describe("presence that is narrowed", () => {
  const list = [member("ann", "a.#", 2), member("ann", "c"), member("bob", "*.b"), member("eve", "b")];
  const answer = { exchange: "e", subscriptions: 50, members: 20, list };

  it("is of those whose pattern shares a topic with a grant, and so are its counts", () => {
    const scope = { kind: "filtered", patterns: ["a.b", "c"] } as const;
    const left = [list[0]!, list[1]!, list[2]!];
    expect(withinScope(scope, list)).toEqual(left);
    expect(narrowPresence(scope, answer)).toEqual({
      exchange: "e",
      subscriptions: 4,
      members: 2,
      list: left,
    });
  });

  it("is whole for who may see all, counts beyond the list too, and empty for who may see nothing", () => {
    expect([withinScope(ALL, list), narrowPresence(ALL, answer)]).toEqual([list, answer]);
    expect(withinScope(NONE, list)).toEqual([]);
    expect(narrowPresence(NONE, answer)).toEqual({ exchange: "e", subscriptions: 0, members: 0, list: [] });
  });
});
