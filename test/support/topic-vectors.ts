// Reads test/vectors/topics.json; its `about` says what the forms mean.
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface Binding {
  readonly pattern: string;
  readonly slot: number;
}
type Expected = Readonly<Record<string, readonly number[]>>;
export interface TopicHistory {
  readonly name: string;
  readonly why: string;
  readonly bindings: readonly Binding[];
  readonly expected: Expected;
  readonly removals: readonly {
    readonly why: string;
    readonly remove: readonly Binding[];
    readonly expected: Expected;
  }[];
}
interface JsonPattern {
  readonly pattern: string | { readonly text: string; readonly times: number };
  readonly why: string;
}
export interface PatternVector {
  readonly pattern: string;
  readonly why: string;
}
interface JsonFile {
  readonly histories: readonly TopicHistory[];
  readonly refused: readonly JsonPattern[];
  readonly taken: readonly JsonPattern[];
}

export function readTopicVectors(): {
  histories: readonly TopicHistory[];
  refused: PatternVector[];
  taken: PatternVector[];
} {
  const path = join(import.meta.dirname, "../vectors/topics.json");
  const file = JSON.parse(readFileSync(path, "utf8")) as JsonFile;
  return { histories: file.histories, refused: file.refused.map(toVector), taken: file.taken.map(toVector) };
}

function toVector({ pattern, why }: JsonPattern): PatternVector {
  return { pattern: typeof pattern === "string" ? pattern : pattern.text.repeat(pattern.times), why };
}
