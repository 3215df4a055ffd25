// What a failed check is called: one refusal that names the first field at fault.
import type { z } from "zod";
import { refuse, type Refusal } from "./result.ts";

/** The refusal that a failed check comes to; `value` is what was checked. */
export function refusalOf(error: z.core.$ZodError, value: unknown, where: string): Refusal {
  const issue = error.issues[0];
  if (issue === undefined) return refuse("bad_request", `${where}: is not valid`);
  if (issue.code === "unrecognized_keys") {
    const path = fieldPath([...issue.path, issue.keys[0] ?? ""]);
    return refuse("bad_request", `${path}: is not a known field`);
  }
  const path = fieldPath(issue.path);
  const given = valueAt(value, issue.path);
  const isMissing = issue.path.length > 0 && given === undefined;
  const what = isMissing ? "is missing" : words(issue, given);
  return refuse("bad_request", `${path === "" ? where : path}: ${what}`);
}

/** `messages[3].headers.colour`. A long key is cut: it is the sender's text. */
function fieldPath(path: readonly PropertyKey[]): string {
  let out = "";
  for (const part of path) {
    if (typeof part === "number") out += `[${part}]`;
    else out += `${out === "" ? "" : "."}${shorten(String(part))}`;
  }
  return out;
}

function shorten(part: string): string {
  return part.length > 60 ? `${part.slice(0, 60)}…` : part;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<PropertyKey, unknown>)[part];
  }
  return at;
}

const KIND_WORDS: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "a text",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
  tuple: "a pair of numbers",
};

function words(issue: z.core.$ZodIssue, given?: unknown): string {
  if (issue.code === "invalid_type") return `must be ${KIND_WORDS[issue.expected] ?? issue.expected}`;
  if (issue.code === "too_big") {
    return `must be ${issue.inclusive === false ? "below" : "at most"} ${issue.maximum}${unit(issue.origin, issue.maximum)}`;
  }
  if (issue.code === "too_small") {
    return `must be ${issue.inclusive === false ? "above" : "at least"} ${issue.minimum}${unit(issue.origin, issue.minimum)}`;
  }
  if (issue.code === "invalid_value") return `must be one of ${issue.values.map(String).join(", ")}`;
  if (issue.code === "invalid_key") return `its name ${words(issue.issues[0]!)}`;
  return issue.code === "invalid_union" && issue.discriminator !== undefined
    ? `${typeof given === "string" ? `"${shorten(given)}" ` : ""}is not a type of frame`
    : issue.message;
}

function unit(origin: string, count: number | bigint): string {
  const name = origin === "string" ? "character" : origin === "array" ? "item" : null;
  return name === null ? "" : ` ${name}${Number(count) === 1 ? "" : "s"}`;
}
