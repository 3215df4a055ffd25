import { describe, expect, it } from "vitest";
import { allows, patternMatches } from "../../../src/edge/grants.ts";

/** The grammar transcribed, with no thought for speed. */
function oracle(pattern: readonly string[], name: readonly string[]): boolean {
  const [word, ...rest] = pattern;
  if (word === undefined) return name.length === 0;
  if (word === "#") return oracle(rest, name) || (name.length > 0 && oracle(pattern, name.slice(1)));
  return name.length > 0 && (word === "*" || word === name[0]) && oracle(rest, name.slice(1));
}

/** Every list of one to three words. */
const upTo3 = (alphabet: string[]): string[][] =>
  [1, 2, 3].flatMap((size) =>
    Array.from({ length: alphabet.length ** size }, (_, number) =>
      Array.from(
        { length: size },
        (_, at) => alphabet[Math.floor(number / alphabet.length ** at) % alphabet.length]!,
      ),
    ),
  );

describe("a grant's pattern", () => {
  it.each([
    ["orders", "orders", true],
    ["orders", "orders.eu", false],
    ["orders.*", "orders.eu", true],
    ["orders.*", "orders", false],
    ["orders.*", "orders.eu.fast", false],
    ["orders.#", "orders", true],
    ["orders.#", "orders.eu.fast", true],
    ["orders.#", "ordersx", false],
    ["#", "anything.at.all", true],
    ["*", "one", true],
    ["*", "one.two", false],
    ["#.fast", "orders.eu.fast", true],
    ["#.fast", "fast", true],
    ["orders.#.fast", "orders.fast", true],
    ["*.#.*", "one", false],
    ["Orders", "orders", false],
  ])("%s over %s: %s", (pattern, name, matches) => {
    expect(patternMatches(pattern, name)).toBe(matches);
  });

  it("means what the grammar says, for every short pattern and name", () => {
    const words = ["a", "b", "*", "#"];
    for (const pattern of upTo3(words)) {
      for (const name of upTo3(["a", "b"])) {
        const matches = patternMatches(pattern.join("."), name.join("."));
        expect({ pattern, name, matches }).toEqual({ pattern, name, matches: oracle(pattern, name) });
      }
    }
  });

  it("counts only for its verb", () => {
    const grants = [
      { verb: "publish", pattern: "orders.#" },
      { verb: "consume", pattern: "mail" },
    ] as const;
    expect(allows(grants, ["publish"], "orders.eu")).toBe(true);
    expect(allows(grants, ["consume"], "orders.eu")).toBe(false);
    expect(allows(grants, ["manage", "consume"], "mail")).toBe(true);
    expect(allows([], ["publish"], "mail")).toBe(false);
  });
});
