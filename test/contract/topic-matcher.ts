// What every TopicMatcher must do. Vectors say most of it; here is what needs more than one history.
import { describe, expect, it } from "vitest";
import { SLOT_MAX, type TopicMatcher } from "../../src/routing/matcher.ts";
import { plainMatches, topicList } from "../support/topic-list.ts";
import { readTopicVectors } from "../support/topic-vectors.ts";

const VECTORS = readTopicVectors();

export function topicMatcherContract(name: string, makeMatcher: () => TopicMatcher): void {
  describe(`${name} as a TopicMatcher`, () => {
    vectorTests(makeMatcher);
    pairTests(makeMatcher);
    batchTests(makeMatcher);
    repeatTests(makeMatcher);
    limitTests(makeMatcher);
  });
}

function vectorTests(makeMatcher: () => TopicMatcher): void {
  for (const { name, why, bindings, expected, removals } of VECTORS.histories) {
    it(`finds what "${name}" says, one by one and together`, () => {
      const matcher = makeMatcher();
      for (const { pattern, slot } of bindings) expect(matcher.add(pattern, slot).ok).toBe(true);
      expectAnswers(matcher, expected, why);
      for (const step of removals) {
        for (const { pattern, slot } of step.remove) expect(matcher.remove(pattern, slot)).toBe(true);
        expectAnswers(matcher, step.expected, step.why);
      }
    });
  }
  it.each(VECTORS.refused)("refuses $pattern", ({ pattern, why }) => {
    const matcher = makeMatcher();
    expect(matcher.add(pattern, 0), why).toMatchObject({ ok: false, code: "bad_request" });
    expect(matcher.remove(pattern, 0), why).toBe(false);
    expect(matcher.size).toBe(0);
  });
  it.each(VECTORS.taken)("takes $pattern, and finds it by itself", ({ pattern, why }) => {
    const matcher = makeMatcher();
    expect(matcher.add(pattern, 3).ok, why).toBe(true);
    expect(matcher.match(pattern), why).toEqual([3]);
    expect(matcher.remove(pattern, 3), why).toBe(true);
    expect(matcher.match(pattern), why).toEqual([]);
  });
}

function expectAnswers(
  matcher: TopicMatcher,
  expected: Readonly<Record<string, readonly number[]>>,
  why: string,
): void {
  const keys = Object.keys(expected);
  for (const key of keys) expect(matcher.match(key), `${JSON.stringify(key)}: ${why}`).toEqual(expected[key]);
  const slots = [...new Set(Object.values(expected).flat())].sort((a, b) => a - b);
  const grouped = slots.map((slot) => [
    slot,
    keys.flatMap((key, i) => (expected[key]!.includes(slot) ? [i] : [])),
  ]);
  expect(plainMatches(matcher.matchAll(topicList(keys))), why).toEqual(grouped);
}

function pairTests(makeMatcher: () => TopicMatcher): void {
  it("counts each pair once, however often it was added", () => {
    const matcher = makeMatcher();
    for (let i = 0; i < 3; i++) matcher.add("a.*", 1);
    matcher.add("a.*", 2);
    matcher.add("a.#", 1);
    expect(matcher.size).toBe(3);
    expect([matcher.remove("a.*", 1), matcher.remove("a.*", 1)]).toEqual([true, true]);
    expect([matcher.size, matcher.match("a.b")]).toEqual([3, [1, 2]]);
    expect([matcher.remove("a.*", 1), matcher.remove("a.#", 1)]).toEqual([true, true]);
    expect([matcher.size, matcher.match("a.b")]).toEqual([1, [2]]);
    expect(matcher.remove("a.*", 1)).toBe(false);
  });

  it("says no to a remove of what is not there, and changes nothing", () => {
    const matcher = makeMatcher();
    matcher.add("a.b.c", 1);
    for (const pattern of ["", "a", "a.b", "a.b.c.d", "a.*.c", "#", "x.b.c", "a.b.longer-than-eight"]) {
      expect(matcher.remove(pattern, 1), pattern).toBe(false);
    }
    expect(matcher.remove("a.b.c", 2)).toBe(false);
    expect([matcher.size, matcher.match("a.b.c")]).toEqual([1, [1]]);
  });

  it("keeps patterns below and above one that goes", () => {
    const matcher = makeMatcher();
    matcher.add("a", 1);
    matcher.add("a.b", 2);
    matcher.add("a.b.c", 3);
    matcher.remove("a.b", 2);
    expect(["a", "a.b", "a.b.c"].map((key) => matcher.match(key))).toEqual([[1], [], [3]]);
    matcher.remove("a.b.c", 3);
    matcher.add("a.b", 4);
    expect(["a", "a.b", "a.b.c"].map((key) => matcher.match(key))).toEqual([[1], [4], []]);
  });

  it("carries many slots on one pattern, up to the highest", () => {
    const matcher = makeMatcher();
    const slots = Array.from({ length: 500 }, (_, i) => (i * 7_919) % (SLOT_MAX + 1));
    for (const slot of [...slots, SLOT_MAX, 0]) matcher.add("busy.#", slot);
    const ascending = [...new Set([...slots, SLOT_MAX, 0])].sort((a, b) => a - b);
    expect(matcher.match("busy.day")).toEqual(ascending);
    for (const slot of slots.slice(0, 490)) matcher.remove("busy.#", slot);
    const left = [...new Set([...slots.slice(490), SLOT_MAX])].sort((a, b) => a - b);
    expect(matcher.match("busy").filter((slot) => slot !== 0)).toEqual(left);
  });

  it("tells words apart that begin, end or fold alike", () => {
    const matcher = makeMatcher();
    const words = [
      "a",
      "ab",
      "abcdefg",
      "abcdefgh",
      "abcdefghi",
      "abcdefghj",
      "abcdefgh\0",
      "a\0",
      "\0",
      "\0\0",
    ];
    const long = Array.from({ length: 30 }, (_, i) => `${"x".repeat(i + 1)}y`);
    const all = [...words, ...long, ...long.map((word) => `${word}y`)];
    for (const [slot, word] of all.entries()) matcher.add(`k.${word}`, slot);
    for (const [slot, word] of all.entries()) expect(matcher.match(`k.${word}`), word).toEqual([slot]);
    for (const [slot, word] of all.entries()) if (slot % 2 === 0) matcher.remove(`k.${word}`, slot);
    for (const [slot, word] of all.entries()) {
      expect(matcher.match(`k.${word}`), word).toEqual(slot % 2 === 0 ? [] : [slot]);
    }
  });
}

function batchTests(makeMatcher: () => TopicMatcher): void {
  it("answers to no topics, and to none that match, with nothing", () => {
    const matcher = makeMatcher();
    matcher.add("a", 1);
    expect(plainMatches(matcher.matchAll(topicList([])))).toEqual([]);
    expect(plainMatches(matcher.matchAll(topicList(["b", "", "c.d"])))).toEqual([]);
  });

  it("says of each slot which topics go there", () => {
    const matcher = makeMatcher();
    matcher.add("a.#", 900);
    matcher.add("#", 5);
    matcher.add("a.b", 70);
    expect(plainMatches(matcher.matchAll(topicList(["x", "a.b", "", "a", "a.b"])))).toEqual([
      [5, [0, 1, 2, 3, 4]],
      [70, [1, 4]],
      [900, [1, 3, 4]],
    ]);
    expect(plainMatches(matcher.matchAll(topicList(["a"])))).toEqual([
      [5, [0]],
      [900, [0]],
    ]);
  });

  it("matches 4,096 topics of 255 bytes, more than fit in one call", () => {
    const matcher = makeMatcher();
    matcher.add("#", 1);
    matcher.add("*.odd.*", 2);
    const topics = Array.from({ length: 4_096 }, (_, i) =>
      `${i}.${i % 2 === 0 ? "even" : "odd"}.`.padEnd(255, "x"),
    );
    const indexes = topics.map((_, i) => i);
    expect(plainMatches(matcher.matchAll(topicList(topics)))).toEqual([
      [1, indexes],
      [2, indexes.filter((i) => i % 2 === 1)],
    ]);
  });

  it("matches topics that find more than fits in one answer", () => {
    const matcher = makeMatcher();
    const slots = Array.from({ length: 5_000 }, (_, i) => i * 13);
    for (const slot of slots) matcher.add("#", slot);
    for (const slot of slots.slice(0, 3)) matcher.add("last", slot + 1);
    const topics = [...Array.from({ length: 40 }, (_, i) => `t${i}`), "last"];
    const found = plainMatches(matcher.matchAll(topicList(topics)));
    expect(found.length).toBe(slots.length + 3);
    expect(found.reduce((sum, [, indexes]) => sum + indexes.length, 0)).toBe(
      slots.length * topics.length + 3,
    );
    expect(found.slice(0, 3)).toEqual([
      [0, [...topics.keys()]],
      [1, [40]],
      [13, [...topics.keys()]],
    ]);
  });
}

function repeatTests(makeMatcher: () => TopicMatcher): void {
  it("answers to the same topic again and again as the patterns are at the time", () => {
    const matcher = makeMatcher();
    const ask = (expected: readonly number[]): void => {
      for (let i = 0; i < 4; i++) expect(matcher.match("a.b")).toEqual(expected);
      const both = matcher.matchAll(topicList(Array.from({ length: 70 }, (_, i) => (i % 2 ? "a.b" : "a.c"))));
      const odd = Array.from({ length: 35 }, (_, i) => 2 * i + 1);
      expect(plainMatches(both)).toEqual(expected.map((slot) => [slot, odd]));
    };
    matcher.add("a.b", 7);
    ask([7]);
    matcher.add("#.b", 3);
    ask([3, 7]);
    matcher.add("#.b", 3);
    matcher.remove("#.b", 3);
    ask([3, 7]);
    matcher.remove("a.b", 7);
    ask([3]);
    matcher.remove("#.b", 3);
    ask([]);
  });

  it("tells topics apart that begin alike, of any size, however often they come", () => {
    const matcher = makeMatcher();
    const topics = [0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 100, 255].map((size) => "x".repeat(size));
    for (const [slot, topic] of topics.entries()) matcher.add(topic, slot);
    const expected = topics.map((_, slot) => [slot, [slot]]);
    for (let i = 0; i < 4; i++) expect(plainMatches(matcher.matchAll(topicList(topics)))).toEqual(expected);
    for (const [slot, topic] of topics.entries()) expect(matcher.match(topic)).toEqual([slot]);
  });

  it.each([31, 32, 33, 100])("finds %i slots each time", (count) => {
    const matcher = makeMatcher();
    const slots = Array.from({ length: count }, (_, i) => 3 * i);
    for (const slot of slots) matcher.add(slot % 2 ? "*.b" : "a.#", slot);
    for (let i = 0; i < 4; i++) {
      expect(matcher.match("a.b")).toEqual(slots);
      expect(plainMatches(matcher.matchAll(topicList(["", "a.b"])))).toEqual(
        slots.map((slot) => [slot, [1]]),
      );
    }
  });

  it("matches many topics that can each go many ways", () => {
    const matcher = makeMatcher();
    const patterns = Array.from({ length: 1_024 }, (_, i) =>
      i
        .toString(2)
        .split("")
        .map((bit) => "a*"[Number(bit)]),
    );
    for (const [slot, words] of patterns.entries()) matcher.add(`#.${words.join(".")}`, slot);
    const topics = Array.from({ length: 64 }, (_, i) => `${"a.".repeat(11)}${i % 3 ? "a" : `b${i}`}`);
    const expected = new Map<number, number[]>();
    for (const [i, topic] of topics.entries()) {
      for (const slot of matcher.match(topic)) expected.set(slot, [...(expected.get(slot) ?? []), i]);
    }
    expect(expected.size).toBe(1_024);
    expect(plainMatches(matcher.matchAll(topicList(topics)))).toEqual(
      [...expected].sort(([a], [b]) => a - b),
    );
  });
}

function limitTests(makeMatcher: () => TopicMatcher): void {
  it("matches a topic of 256 empty words", () => {
    const matcher = makeMatcher();
    const dots = ".".repeat(255);
    const bindings = [dots, "#", "#..#", `*${".*".repeat(126)}.#`, "#.a", `.#.`, ".".repeat(254), "*.#"];
    for (const [slot, pattern] of bindings.entries()) matcher.add(pattern, slot);
    expect(matcher.match(dots)).toEqual([0, 1, 2, 3, 5, 7]);
    expect(plainMatches(matcher.matchAll(topicList([dots]))).map(([slot]) => slot)).toEqual([
      0, 1, 2, 3, 5, 7,
    ]);
  });

  it("matches wildcards against words that no pattern has", () => {
    const matcher = makeMatcher();
    matcher.add("*.*", 1);
    matcher.add("#", 2);
    expect(matcher.match("never.heard")).toEqual([1, 2]);
    expect(matcher.match("of.it.before")).toEqual([2]);
  });

  it("takes half a character in a topic for U+FFFD, as UTF-8 does", () => {
    const matcher = makeMatcher();
    matcher.add("\ufffd", 1);
    expect(matcher.match("\ud800")).toEqual([1]);
  });

  it("throws at a topic over 255 bytes or a slot out of range: a bug of the caller", () => {
    const matcher = makeMatcher();
    matcher.add("#", 0);
    for (const long of ["x".repeat(256), "é".repeat(128), "€".repeat(255)]) {
      expect(() => matcher.match(long)).toThrow("too long");
    }
    for (const slot of [-1, 0.5, SLOT_MAX + 1, Number.NaN]) {
      expect(() => matcher.add("a", slot)).toThrow("slot");
    }
    expect(matcher.match("€".repeat(85))).toEqual([0]);
  });
}
