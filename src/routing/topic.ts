/**
 * The grammar of topics and of the patterns that are bound, as in AMQP 0-9-1 with RabbitMQ's readings:
 *
 * - A text is words between dots. The empty text has no words; any other has one word more than it has dots, so a
 *   dot at either end, or two in a row, makes an empty word, which is a word like any other.
 * - In a pattern `*` takes one word, any word, and `#` takes any number of words, none included. They mean that only
 *   as a whole word: `a#b`, `**` and `##` are ordinary words. In a topic they are ordinary words always.
 * - A pattern holds at most two `#`, and at most 255 bytes of UTF-8. Words are compared byte by byte.
 */
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { writeText } from "../protocol/utf8.ts";

export const ONE_WORD = "*";
export const ANY_WORDS = "#";

const scratch = new Uint8Array(3 * LIMITS.textBytesMax);

export function splitWords(text: string): string[] {
  return text === "" ? [] : text.split(".");
}

/** The words of a pattern. `field` is what a refusal calls it. */
export function parsePattern(field: string, pattern: string): Result<readonly string[]> {
  if (!pattern.isWellFormed()) return refuse("bad_request", `${field}: is not well-formed text`);
  if (pattern.length > LIMITS.textBytesMax || writeText(pattern, scratch, 0) > LIMITS.textBytesMax) {
    return refuse("bad_request", `${field}: is over ${LIMITS.textBytesMax} bytes`);
  }
  const words = splitWords(pattern);
  if (words.filter((word) => word === ANY_WORDS).length > LIMITS.manyWordWildcardsMax) {
    return refuse("bad_request", `${field}: has more than ${LIMITS.manyWordWildcardsMax} words "#"`);
  }
  return ok(words);
}

/** Both are taken to be valid. At most as many steps as the product of their words. */
export function matches(pattern: string, topic: string): boolean {
  return fits(splitWords(pattern), splitWords(topic), false);
}

/**
 * Whether the words fit the pattern. When the words are a pattern themselves (`isPattern`), their `#` is something
 * that only a `#` can take.
 *
 * After a word that does not fit, the last `#` takes one word more. No earlier `#` need be tried again: what stands
 * before the last one fits as far to the left as it can already.
 */
function fits(pattern: readonly string[], words: readonly string[], isPattern: boolean): boolean {
  let next = 0;
  let at = 0;
  let retryNext = -1;
  let retryAt = 0;
  while (at < words.length) {
    const wanted = pattern[next];
    const word = words[at]!;
    if (wanted === ANY_WORDS) {
      retryNext = ++next;
      retryAt = at;
    } else if (wanted === ONE_WORD ? !isPattern || word !== ANY_WORDS : wanted === word) {
      next++;
      at++;
    } else if (retryNext >= 0) {
      next = retryNext;
      at = ++retryAt;
    } else {
      return false;
    }
  }
  while (pattern[next] === ANY_WORDS) next++;
  return next === pattern.length;
}

/**
 * Whether every topic that `narrow` matches is matched by `wide`: exact, if topics could be of any size.
 *
 * `wide` is matched against the words of `narrow`. A `*` of `narrow` may be a word that `wide` does not know, so
 * only a wildcard takes it. A `#` of `narrow` may be nothing, or more unknown words than `wide` has words, so only a
 * `#` takes it, and the parts of `wide` between its own `#`s lie beside it, never across it. Where they lie need not
 * change with the number of words that the `#` stands for: if a part lies across that place when there are none, it
 * can stay where it lies when there are many, and its neighbours have no less room.
 */
export function covers(wide: string, narrow: string): boolean {
  const pattern = loosened(splitWords(wide));
  return withinReach(splitWords(narrow)).every((words) => fits(pattern, words, true));
}

/** `#.*` and `*.#` mean the same. With a `#` on both sides of each `*` of such a run, neither order is missed. */
function loosened(pattern: readonly string[]): string[] {
  const result: string[] = [];
  for (let at = 0; at < pattern.length;) {
    let end = at;
    while (pattern[end] === ONE_WORD || pattern[end] === ANY_WORDS) end++;
    const run = pattern.slice(at, end);
    if (run.includes(ANY_WORDS)) {
      result.push(ANY_WORDS);
      for (const word of run) if (word === ONE_WORD) result.push(ONE_WORD, ANY_WORDS);
    } else {
      result.push(...run);
    }
    if (end < pattern.length) result.push(pattern[end]!);
    at = end + 1;
  }
  return result;
}

/**
 * No topic is a single empty word, since the empty topic has no words. So in `#.` some `#` takes a word at least:
 * the patterns that say which. Together they match the topics that the one given matches.
 */
function withinReach(words: readonly string[]): (readonly string[])[] {
  const plain = words.filter((word) => word !== ANY_WORDS);
  if (plain.length !== 1 || plain[0] !== "") return [words];
  return words.flatMap((word, i) => (word === ANY_WORDS ? [words.toSpliced(i, 0, ONE_WORD)] : []));
}

/** Whether some topic is matched by both: exact, if topics could be of any size. */
export function overlaps(a: string, b: string): boolean {
  const others = withinReach(splitWords(b));
  return withinReach(splitWords(a)).some((words) => others.some((other) => haveCommon(words, other)));
}

/** `row[j]` says whether some words fit both what of `a` starts at i and what of `b` starts at j. */
function haveCommon(a: readonly string[], b: readonly string[]): boolean {
  let below: boolean[] = [];
  for (let i = a.length; i >= 0; i--) {
    const row: boolean[] = [];
    for (let j = b.length; j >= 0; j--) {
      const [one, other] = [a[i], b[j]];
      if (one === ANY_WORDS || other === ANY_WORDS) {
        // The `#` takes the other side's next word, or goes on to its own. Past an end there is nothing to pass.
        row[j] = below[j] === true || row[j + 1] === true;
      } else if (one === undefined || other === undefined) {
        row[j] = one === other;
      } else {
        row[j] = (one === other || one === ONE_WORD || other === ONE_WORD) && below[j + 1] === true;
      }
    }
    below = row;
  }
  return below[0]!;
}

/** Whether the pattern matches, and a short sentence for people on why not. Words are counted from 1. */
export function explainMatch(pattern: string, topic: string): { matches: boolean; why: string } {
  const wanted = splitWords(pattern);
  const words = splitWords(topic);
  if (fits(wanted, words, false)) return { matches: true, why: "every word fits" };
  return { matches: false, why: whyNot(wanted, words) };
}

function whyNot(wanted: readonly string[], words: readonly string[]): string {
  const first = wanted.indexOf(ANY_WORDS);
  if (first < 0) {
    return firstMisfit(wanted, words, 0) ?? countMisfit(wanted.length - words.length);
  }
  const last = wanted.lastIndexOf(ANY_WORDS);
  const start = firstMisfit(wanted.slice(0, first), words, 0);
  if (start !== null) return start;
  const least = wanted.filter((word) => word !== ANY_WORDS).length;
  if (words.length < least) {
    return `the pattern asks for at least ${counted(least)}, the key has ${words.length}`;
  }
  const tail = words.length - (wanted.length - last - 1);
  const end = firstMisfit(wanted.slice(last + 1), words.slice(tail), tail);
  if (end !== null) return end;
  const middle = wanted.slice(first + 1, last).join(".");
  return `"${middle}" is nowhere in "${words.slice(first, tail).join(".")}"`;
}

/** The first word that is another than the pattern's; `before` words of the key come before these. */
function firstMisfit(wanted: readonly string[], words: readonly string[], before: number): string | null {
  const length = Math.min(wanted.length, words.length);
  for (let i = 0; i < length; i++) {
    if (wanted[i] === ONE_WORD || wanted[i] === words[i]) continue;
    return `word ${before + i + 1}: "${words[i]!}" is not "${wanted[i]!}"`;
  }
  return null;
}

function countMisfit(surplus: number): string {
  return surplus > 0
    ? `the pattern has ${counted(surplus)} more than the key`
    : `the key has ${counted(-surplus)} more than the pattern`;
}

function counted(words: number): string {
  return words === 1 ? "1 word" : `${words} words`;
}
