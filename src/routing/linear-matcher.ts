// The oracle of topic matching: tries every pattern. Tests compare the broker's matcher with it.
import { assert } from "../protocol/assert.ts";
import { LIMITS } from "../protocol/limits.ts";
import { ok, type Result } from "../protocol/result.ts";
import { readText } from "../protocol/utf8.ts";
import { SLOT_MAX, type TopicList, type TopicMatcher } from "./matcher.ts";
import { matchesOf, type SlotMatches } from "./slot-matches.ts";
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
    const records = new Map<string, { slot: number; group: number; bits: number }>();
    for (let i = 0; i < topics.count; i++) {
      const group = Math.floor(i / 32);
      for (const slot of this.match(readText(topics.bytes, topics.offset(i), topics.size(i)))) {
        const key = `${slot} ${group}`;
        const record = records.get(key) ?? { slot, group, bits: 0 };
        record.bits |= 1 << (i % 32);
        records.set(key, record);
      }
    }
    return matchesOf([...records.values()]);
  }
}
