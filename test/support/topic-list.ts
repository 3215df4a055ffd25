// Topics as a batch holds them, and a matcher's grouped answer as plain data.
import type { TopicList } from "../../src/routing/matcher.ts";
import type { SlotMatches } from "../../src/routing/slot-matches.ts";

/** The topics with other bytes before, between and behind them, as the records of a batch have. */
export function topicList(topics: readonly string[]): TopicList {
  const texts = topics.map((topic) => new TextEncoder().encode(topic));
  const bytes = new Uint8Array(texts.reduce((sum, text) => sum + text.length + 3, 5)).fill(0x2e);
  const offsets: number[] = [];
  let at = 5;
  for (const [i, text] of texts.entries()) {
    bytes.set(text, at);
    offsets[i] = at;
    at += text.length + 3;
  }
  return {
    bytes,
    count: topics.length,
    offset: (index) => offsets[index]!,
    size: (index) => texts[index]!.length,
  };
}

/** `[slot, indexes]` for each slot, ascending. */
export function plainMatches(matches: SlotMatches): [number, number[]][] {
  const bySlot = new Map<number, number[]>();
  for (let k = 0; k < matches.count; k++) {
    const indexes = bySlot.get(matches.slot(k)) ?? [];
    matches.addIndexes(k, indexes);
    bySlot.set(matches.slot(k), indexes);
  }
  return [...bySlot].sort(([a], [b]) => a - b);
}
