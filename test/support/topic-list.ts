// Topics as a batch holds them, and a matcher's grouped answer as plain data.
import type { SlotMatches, TopicList } from "../../src/routing/matcher.ts";

/** The topics with other bytes before, between and behind them, as the records of a batch have. */
export function topicList(topics: readonly string[]): TopicList {
  const texts = topics.map((topic) => new TextEncoder().encode(topic));
  const bytes = new Uint8Array(texts.reduce((sum, text) => sum + text.length + 3, 5)).fill(0x2e);
  const offsets = new Uint32Array(topics.length);
  let at = 5;
  for (const [i, text] of texts.entries()) {
    bytes.set(text, at);
    offsets[i] = at;
    at += text.length + 3;
  }
  return { bytes, count: topics.length, offsets, sizes: Uint32Array.from(texts, (text) => text.length) };
}

/** `[slot, indexes]` for each slot, in the order of the answer. */
export function plainMatches({ slots, ends, indexes }: SlotMatches): [number, number[]][] {
  return Array.from(slots, (slot, k) => [slot, Array.from(indexes.subarray(ends[k - 1] ?? 0, ends[k]))]);
}
