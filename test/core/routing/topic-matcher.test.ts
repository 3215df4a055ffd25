// All topic matchers, through one contract.
import { describe, expect, it } from "vitest";
import { GrowingMatcher } from "../../../src/routing/growing-matcher.ts";
import { LinearMatcher } from "../../../src/routing/linear-matcher.ts";
import { WasmMatcher } from "../../../src/routing/wasm-matcher.ts";
import { topicMatcherContract } from "../../contract/topic-matcher.ts";
import { loadWasmModule } from "../../support/wasm-module.ts";

topicMatcherContract("LinearMatcher", () => new LinearMatcher());
topicMatcherContract("WasmMatcher", () => new WasmMatcher(loadWasmModule()));
topicMatcherContract("GrowingMatcher", () => new GrowingMatcher(() => new WasmMatcher(loadWasmModule())));

describe("a GrowingMatcher", () => {
  it("has a trie only once it holds enough, and finds the same before and after", () => {
    let tries = 0;
    const matcher = new GrowingMatcher(() => {
      tries++;
      return new WasmMatcher(loadWasmModule());
    });
    for (let slot = 0; slot < 16; slot++) matcher.add(`a.${slot}.#`, slot);
    // Counted twice, so that one remove after the change must leave it.
    matcher.add("a.3.#", 3);
    const before = matcher.match("a.3.x");
    expect([tries, before]).toEqual([0, [3]]);
    matcher.add("a.*.x", 16);
    expect([tries, matcher.match("a.3.x")]).toEqual([1, [3, 16]]);
    matcher.remove("a.3.#", 3);
    expect(matcher.match("a.3.x")).toEqual([3, 16]);
    matcher.remove("a.3.#", 3);
    expect(matcher.match("a.3.x")).toEqual([16]);
    expect(matcher.size).toBe(16);
  });
});
