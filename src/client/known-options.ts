/** Options that nobody would read are refused by their names: a misspelt one loses what the caller meant. */
import { MillraceError } from "./errors.ts";

/** The names of all options of one kind, which the compiler keeps whole. */
export type Known<T> = Readonly<Record<keyof T, true>>;

export const DRAIN_OPTIONS: Known<{ timeoutMs?: number }> = { timeoutMs: true };

/** For callers without options, who are not looked at. */
export const NO_OPTIONS = Object.freeze({});

/** The refusal, or null when all are known. `at` is the option that these are in, with a dot behind it. */
export function unknownOption(
  options: object,
  known: Readonly<Record<string, true>>,
  at = "",
): MillraceError | null {
  if (options === NO_OPTIONS) return null;
  for (const name in options) {
    if (known[name] === true) continue;
    const near = nearest(name, Object.keys(known));
    const hint = near === null ? "" : `; did you mean ${near}?`;
    return new MillraceError("bad_request", `${at}${name}: is not a known option${hint}`);
  }
  return null;
}

/** Throws the refusal. */
export function refuseUnknown(options: object, known: Readonly<Record<string, true>>, at?: string): void {
  const refusal = unknownOption(options, known, at);
  if (refusal !== null) throw refusal;
}

/** The one that it begins, or that takes the fewest letters to correct, if they are few. */
function nearest(given: string, known: readonly string[]): string | null {
  const name = given.toLowerCase();
  let best: string | null = null;
  let fewest = Math.min(4, Math.ceil(name.length / 2));
  for (const one of known) {
    const letters = one.toLowerCase().startsWith(name) ? 1 : distance(name, one.toLowerCase());
    if (letters < fewest) [best, fewest] = [one, letters];
  }
  return best;
}

/** Letters to insert, remove or change. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const changed = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(changed, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
