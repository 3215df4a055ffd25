// The grammar of topics, and what it says of two patterns, held against trying every short topic.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  covers,
  explainMatch,
  matches,
  overlaps,
  parsePattern,
  splitWords,
} from "../../../src/routing/topic.ts";
import { fuzzRun } from "../../support/seed.ts";

const run = fuzzRun(2_000);

/** The definition, word by word; what `matches` has to agree with. */
function matchesByDefinition(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return words.length === 0;
  if (first === "#") {
    return (
      matchesByDefinition(rest, words) || (words.length > 0 && matchesByDefinition(pattern, words.slice(1)))
    );
  }
  if (words.length === 0 || (first !== "*" && first !== words[0])) return false;
  return matchesByDefinition(rest, words.slice(1));
}

/** Every topic of up to `length` words of these. A topic of one empty word is the empty one. */
function everyTopic(alphabet: readonly string[], length: number): string[] {
  let last: string[][] = [[]];
  const all = new Set([""]);
  for (let i = 0; i < length; i++) {
    last = last.flatMap((words) => alphabet.map((word) => [...words, word]));
    for (const words of last) all.add(words.join("."));
  }
  return [...all];
}

/** `z` stands for every word that no pattern names. */
const TOPICS = everyTopic(["a", "", "z"], 7);
const word = fc.constantFrom("a", "", "*", "#", "a", "*");
const pattern = fc
  .array(word, { maxLength: 4 })
  .filter((words) => words.filter((one) => one === "#").length <= 2)
  .map((words) => words.join("."));

describe(`topics, FUZZ_SEED=${run.seed}`, () => {
  it("match by the definition", () => {
    const topicWord = fc.constantFrom("a", "b", "", "*", "#", "##", "a#");
    const patternWord = fc.constantFrom("a", "b", "", "*", "#", "#", "##", "a#");
    const property = fc.property(
      fc.array(patternWord, { maxLength: 7 }),
      fc.array(topicWord, { maxLength: 8 }),
      (some, words) => {
        const [left, right] = [some.join("."), words.join(".")];
        const expected = matchesByDefinition(splitWords(left), splitWords(right));
        expect(matches(left, right), `${left} and ${right}`).toBe(expected);
        expect(explainMatch(left, right).matches).toBe(expected);
      },
    );
    fc.assert(property, { ...run, numRuns: run.numRuns * 3 });
  });

  it("are covered exactly when no short topic says otherwise", () => {
    const property = fc.property(pattern, pattern, (wide, narrow) => {
      const expected = TOPICS.every((topic) => !matches(narrow, topic) || matches(wide, topic));
      expect(covers(wide, narrow), `"${wide}" covers "${narrow}"`).toBe(expected);
    });
    fc.assert(property, run);
  });

  it("overlap exactly when some short topic is in both", () => {
    const property = fc.property(pattern, pattern, (a, b) => {
      const expected = TOPICS.some((topic) => matches(a, topic) && matches(b, topic));
      expect(overlaps(a, b), `"${a}" overlaps "${b}"`).toBe(expected);
      expect(overlaps(b, a)).toBe(expected);
      if (a !== "" && covers(a, b)) expect(overlaps(a, b)).toBe(true);
    });
    fc.assert(property, run);
  });

  it("are matched in few steps however many words there are", () => {
    const long = Array<string>(128).fill("a").join(".");
    expect(matches("#.a.a.a.a.a.a.a.a.b.#.c", long)).toBe(false);
    expect(matches(`#.${Array<string>(120).fill("a").join(".")}.#`, long)).toBe(true);
    expect(covers(`#.${Array<string>(100).fill("*").join(".")}.#`, long)).toBe(true);
    expect(overlaps(".".repeat(254), "#.*.#")).toBe(true);
    expect(matches(".".repeat(255), ".".repeat(255))).toBe(true);
  });
});

describe("a pattern", () => {
  const refusal = (detail: string) => ({ ok: false, code: "bad_request", detail });

  it("is split at its dots", () => {
    expect(parsePattern("pattern", "")).toEqual({ ok: true, value: [] });
    expect(parsePattern("pattern", ".a..#.")).toEqual({ ok: true, value: ["", "a", "", "#", ""] });
  });

  it("has at most two words #, counted as whole words", () => {
    expect(parsePattern("pattern", "#.a.#").ok).toBe(true);
    expect(parsePattern("pattern", "##.a#.#.#b.#").ok).toBe(true);
    expect(parsePattern("bindings.0.pattern", "#.#.#")).toEqual(
      refusal('bindings.0.pattern: has more than 2 words "#"'),
    );
  });

  it("has at most 255 bytes", () => {
    expect(parsePattern("pattern", "a".repeat(255)).ok).toBe(true);
    expect(parsePattern("pattern", "é".repeat(127)).ok).toBe(true);
    for (const long of ["a".repeat(256), "é".repeat(128), "€".repeat(255), "a".repeat(10_000)]) {
      expect(parsePattern("pattern", long)).toEqual(refusal("pattern: is over 255 bytes"));
    }
  });

  it("is text: half a character is none", () => {
    expect(parsePattern("pattern", "a.\ud800")).toEqual(refusal("pattern: is not well-formed text"));
  });
});

describe("an explanation", () => {
  it.each([
    ["a.b", "a.b", "every word fits"],
    ["orders.us", "orders.eu", 'word 2: "eu" is not "us"'],
    ["a.*.c.d", "a.b", "the pattern has 2 words more than the key"],
    ["a.*", "a.b.c", "the key has 1 word more than the pattern"],
    ["a", "", "the pattern has 1 word more than the key"],
    ["a.#.c", "b.x", 'word 1: "b" is not "a"'],
    ["a.#.b.c", "a.b", "the pattern asks for at least 3 words, the key has 2"],
    ["a.#.c", "a.x.y", 'word 3: "y" is not "c"'],
    ["#.b.*.#.c", "a.b.c", '"b.*" is nowhere in "a.b"'],
    ["x.#.b.*.#", "x.a.c.b", '"b.*" is nowhere in "a.c.b"'],
    ["a.", "a.b", 'word 2: "b" is not ""'],
  ])("of %j and %j says %s", (left, right, why) => {
    expect(explainMatch(left, right).why).toBe(why);
  });
});
