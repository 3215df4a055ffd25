// The oracle of topic matching: tries every pattern. Tests compare the broker's matcher with it.
import { assert } from "../protocol/assert.ts";
import { LIMITS } from "../protocol/limits.ts";
import { ok, type Result } from "../protocol/result.ts";
import { readText } from "../protocol/utf8.ts";
import { SLOT_MAX, type SlotMatches, type TopicList, type TopicMatcher } from "./matcher.ts";
import { matches, parsePattern } from "./topic.ts";

export class LinearMatcher implements TopicMatcher {
  /** How often each pair was added, by pattern and then slot. */
  private readonly patterns = new Map<string, Map<number, number>>();
  size = 0;

  add(pattern: string, slot: number): Result<void> {
    const parsed = parsePattern("pattern", pattern);
    if (!parsed.ok) return parsed;
    assert(Number.isInteger(slot) && slot >= 0 && slot <= SLOT_MAX, "a slot is out of range");
    const slots = this.patterns.get(pattern) ?? new Map<number, number>();
    if (!slots.has(slot)) this.size++;
    slots.set(slot, (slots.get(slot) ?? 0) + 1);
    this.patterns.set(pattern, slots);
    return ok(undefined);
  }

  remove(pattern: string, slot: number): boolean {
    const slots = this.patterns.get(pattern);
    const times = slots?.get(slot);
    if (slots === undefined || times === undefined) return false;
    if (times > 1) {
      slots.set(slot, times - 1);
      return true;
    }
    slots.delete(slot);
    if (slots.size === 0) this.patterns.delete(pattern);
    this.size--;
    return true;
  }

  match(topic: string): number[] {
    // In UTF-8 half a character becomes U+FFFD.
    const text = topic.toWellFormed();
    assert(new TextEncoder().encode(text).length <= LIMITS.textBytesMax, "a topic is too long");
    const found = new Set<number>();
    for (const [pattern, slots] of this.patterns) {
      if (matches(pattern, text)) for (const slot of slots.keys()) found.add(slot);
    }
    return [...found].sort((a, b) => a - b);
  }

  matchAll(topics: TopicList): SlotMatches {
    const bySlot = new Map<number, number[]>();
    for (let i = 0; i < topics.count; i++) {
      for (const slot of this.match(readText(topics.bytes, topics.offsets[i]!, topics.sizes[i]!))) {
        const indexes = bySlot.get(slot);
        if (indexes === undefined) bySlot.set(slot, [i]);
        else indexes.push(i);
      }
    }
    const slots = Uint32Array.from(bySlot.keys()).sort();
    const indexes = Array.from(slots, (slot) => bySlot.get(slot)!);
    let end = 0;
    const ends = Uint32Array.from(indexes, (some) => (end += some.length));
    return { slots, ends, indexes: Uint32Array.from(indexes.flat()) };
  }
}
