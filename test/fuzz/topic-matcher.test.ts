// The trie against trying every pattern: the same answers after any history, memory that comes back, and work that
// stays within nodes times words. Repeat a failure with FUZZ_SEED=<seed>; run longer with FUZZ_RUNS=<count>.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LinearMatcher } from "../../src/routing/linear-matcher.ts";
import { splitWords } from "../../src/routing/topic.ts";
import { WasmMatcher } from "../../src/routing/wasm-matcher.ts";
import { fuzzRun } from "../support/seed.ts";
import { plainMatches, topicList } from "../support/topic-list.ts";
import { loadWasmModule } from "../support/wasm-module.ts";

const run = fuzzRun(300);
const wasmMatcher = (): WasmMatcher => new WasmMatcher(loadWasmModule());

interface Change {
  readonly kind: "add" | "remove";
  readonly pattern: string;
  readonly slot: number;
}
interface Match {
  readonly kind: "match";
  readonly topic: string;
}
interface MatchAll {
  readonly kind: "matchAll";
  readonly topics: readonly string[];
}
type Step = Change | Match | MatchAll;

/** Words that share beginnings and sizes around the eight bytes that are kept in a row, and every odd one. */
const SIZED = ["abcdefgh", "abcdefghi", "abcdefgh\0", "exactly-sixteen!", "exactly-sixteen!!", "é", "日本語"];
const plainWord = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("a", "b", "c", "") },
  { weight: 1, arbitrary: fc.constantFrom(...SIZED) },
  {
    weight: 1,
    arbitrary: fc.string({ unit: "binary", maxLength: 12 }).map((text) => text.replaceAll(".", "")),
  },
);
const patternWord = fc.oneof(
  { weight: 3, arbitrary: plainWord },
  { weight: 2, arbitrary: fc.constantFrom("*", "#", "#", "**", "##") },
);
const topic = fc.array(plainWord, { maxLength: 7 }).map((words) => words.join("."));
const topicWithWildcards = fc.array(patternWord, { maxLength: 5 }).map((words) => words.join("."));
/** Some have too many `#`, which both must refuse. */
const pattern = fc.array(patternWord, { maxLength: 6 }).map((words) => words.join("."));
const slot = fc.oneof(fc.nat(4), fc.nat(200), fc.constantFrom(63, 64, 65_535));
const anyTopic = fc.oneof({ weight: 4, arbitrary: topic }, topicWithWildcards);

/** Draws patterns again and again from a few, so that removes hit. */
function history(length: number): fc.Arbitrary<Step[]> {
  return fc.array(pattern, { minLength: 1, maxLength: 25 }).chain((patterns) => {
    const known = fc.constantFrom(...patterns);
    return fc.array(
      fc.oneof(
        fc.record<Change>({
          kind: fc.constantFrom("add" as const, "add" as const, "remove" as const),
          pattern: known,
          slot,
        }),
        fc.record<Change>({ kind: fc.constant("remove" as const), pattern, slot }),
        fc.record<Match>({ kind: fc.constant("match" as const), topic: anyTopic }),
        fc.record<MatchAll>({
          kind: fc.constant("matchAll" as const),
          topics: fc.array(anyTopic, { maxLength: 20 }),
        }),
      ),
      { maxLength: length },
    );
  });
}

function follow(steps: readonly Step[]): void {
  const [wasm, linear] = [wasmMatcher(), new LinearMatcher()];
  for (const step of steps) {
    if (step.kind === "match") {
      expect(wasm.match(step.topic), step.topic).toEqual(linear.match(step.topic));
    } else if (step.kind === "matchAll") {
      const topics = topicList(step.topics);
      expect(plainMatches(wasm.matchAll(topics))).toEqual(plainMatches(linear.matchAll(topics)));
    } else {
      const { kind, pattern: text, slot: to } = step;
      expect(wasm[kind](text, to)).toEqual(linear[kind](text, to));
    }
    expect(wasm.size).toBe(linear.size);
  }
}

/** Nodes of a trie of these patterns, the root included. */
function countNodes(patterns: readonly string[]): number {
  const prefixes = new Set([""]);
  for (const text of patterns) {
    const words = splitWords(text);
    for (let i = 1; i <= words.length; i++) prefixes.add(`/${words.slice(0, i).join(".")}`);
  }
  return prefixes.size;
}

/** Adds the patterns to a matcher, with their numbers as slots. */
function bound(patterns: readonly string[]): { wasm: WasmMatcher; linear: LinearMatcher } {
  const [wasm, linear] = [wasmMatcher(), new LinearMatcher()];
  for (const [i, text] of patterns.entries()) {
    expect(wasm.add(text, i).ok).toBe(true);
    linear.add(text, i);
  }
  return { wasm, linear };
}

describe(`topic matchers, FUZZ_SEED=${run.seed}`, () => {
  it("answer alike after any history", () => {
    fc.assert(fc.property(history(80), follow), run);
  });

  it("answer alike to long topics of few words, where every pattern can go many ways", () => {
    const few = fc.constantFrom("a", "b", "");
    const wild = fc.constantFrom("a", "b", "", "*", "*", "#");
    const short = fc
      .array(wild, { maxLength: 6 })
      .filter((words) => words.filter((word) => word === "#").length <= 2)
      .map((words) => words.join("."));
    const longTopic = fc.array(few, { minLength: 100, maxLength: 127 }).map((words) => words.join("."));
    const property = fc.property(fc.uniqueArray(short, { maxLength: 60 }), longTopic, (patterns, text) => {
      const { wasm, linear } = bound(patterns);
      for (const one of [text, ".".repeat(255), `${"a.".repeat(127)}a`]) {
        expect(wasm.match(one)).toEqual(linear.match(one));
        expect(wasm.statesVisited).toBeLessThanOrEqual(countNodes(patterns) * (splitWords(one).length + 1));
      }
    });
    fc.assert(property, { ...run, numRuns: Math.ceil(run.numRuns / 3) });
  });

  it("answer alike with tables that have grown many times and shrunk again", () => {
    const { wasm, linear } = bound(
      Array.from({ length: 3_000 }, (_, i) => `${i % 70}.w${i}.${i % 3 ? "*" : "#"}`),
    );
    const topics = topicList(Array.from({ length: 300 }, (_, i) => `${(i * 10) % 70}.w${i * 10}.x`));
    expect(plainMatches(wasm.matchAll(topics))).toEqual(plainMatches(linear.matchAll(topics)));
    for (let i = 0; i < 3_000; i++) {
      if (i % 20 === 0) continue;
      const text = `${i % 70}.w${i}.${i % 3 ? "*" : "#"}`;
      expect([wasm.remove(text, i), linear.remove(text, i)]).toEqual([true, true]);
    }
    expect(plainMatches(wasm.matchAll(topics))).toEqual(plainMatches(linear.matchAll(topics)));
    expect(wasm.size).toBe(150);
  });
});

describe("the trie's work", () => {
  const WORDS = 127;
  const topicOf = (word: string): string => Array<string>(WORDS).fill(word).join(".");

  it.each([
    ["#.a.#", Array.from({ length: 3_000 }, (_, i) => `#.${i % 2 ? "a" : `a${i}`}.#.x${i}`)],
    ["#.a.a.a.#.a.b", Array.from({ length: 60 }, (_, i) => `#.${"a.".repeat(i)}#.${"a.".repeat(30)}b`)],
    ["*.#.*.#", Array.from({ length: 60 }, (_, i) => `${"*.".repeat(i)}#.${"*.".repeat(20)}#.b`)],
    ["a or *, everywhere", everyChoice(9, ["a", "*"]).map((words) => `#.${words}.#.b`)],
  ])("stays within nodes times words for thousands like %s", (_, patterns) => {
    const { wasm, linear } = bound(patterns);
    const most = countNodes(patterns) * (WORDS + 1);
    for (const text of [topicOf("a"), `${topicOf("a")}.b`, topicOf("")]) {
      expect(wasm.match(text)).toEqual(linear.match(text));
      expect(wasm.statesVisited).toBeLessThanOrEqual(most);
    }
  });

  it("visits each word once for a plain topic, whatever else is bound", () => {
    const { wasm } = bound(Array.from({ length: 5_000 }, (_, i) => `a${i}.b.c`));
    expect(wasm.match("a77.b.c")).toEqual([77]);
    expect(wasm.statesVisited).toBe(4);
  });
});

function everyChoice(length: number, words: readonly string[]): string[] {
  let all = [""];
  for (let i = 0; i < length; i++)
    all = all.flatMap((one) => words.map((word) => (one ? `${one}.${word}` : word)));
  return all;
}

describe("the trie's memory", () => {
  it("does not grow over 200,000 patterns that come and go", () => {
    const wasm = wasmMatcher();
    const cycle = (round: number): void => {
      for (let i = 0; i < 1_000; i++) wasm.add(`r${round}.number-${round * 1_000 + i}.*.#`, i);
      expect(wasm.size).toBe(1_000);
      for (let i = 0; i < 1_000; i++) {
        expect(wasm.remove(`r${round}.number-${round * 1_000 + i}.*.#`, i)).toBe(true);
      }
    };
    cycle(0);
    const before = wasm.memoryBytes;
    for (let round = 1; round < 200; round++) cycle(round);
    expect(wasm.memoryBytes).toBe(before);
    expect([wasm.size, wasm.match("r1.number-1000.x")]).toEqual([0, []]);
  });

  it("does not grow while slots of one pattern come and go, or long and short words take turns", () => {
    const wasm = wasmMatcher();
    const cycle = (round: number): void => {
      for (let i = 0; i < 2_000; i++) wasm.add("busy.#", (i * 31 + round) & 0xffff);
      for (let i = 0; i < 2_000; i++) wasm.remove("busy.#", (i * 31 + round) & 0xffff);
      for (let i = 0; i < 200; i++) wasm.add(`${"w".repeat(i + 1)}${round}`, i);
      for (let i = 0; i < 200; i++) wasm.remove(`${"w".repeat(i + 1)}${round}`, i);
    };
    cycle(0);
    const before = wasm.memoryBytes;
    for (let round = 1; round < 20; round++) cycle(round);
    expect(wasm.memoryBytes).toBe(before);
    expect(wasm.size).toBe(0);
  });

  it("does not grow by matching", () => {
    const { wasm } = bound(Array.from({ length: 100 }, (_, i) => `#.${i}.#`));
    const before = wasm.memoryBytes;
    const topics = topicList(Array.from({ length: 4_096 }, (_, i) => `${i % 100}.${"x".repeat(200)}`));
    for (let i = 0; i < 20; i++) wasm.matchAll(topics);
    expect(wasm.memoryBytes).toBe(before);
  });
});
