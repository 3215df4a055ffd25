/**
 * topic: the matcher finds the patterns. A destination's bindings without a filter share its own slot. Bindings with a
 * filter share a slot with those of the same pattern, and their filters are tried for what the pattern matches only.
 */
import { assert } from "../protocol/assert.ts";
import type { RecordTable } from "../protocol/batch.ts";
import { LIMITS } from "../protocol/limits.ts";
import { FilterIndex, type Filtered } from "./filter-index.ts";
import { SLOT_MAX, type TopicList, type TopicMatcher } from "./matcher.ts";
import { BatchHeaders, type KindRouter, type RouteHits, type RouterBinding } from "./routes.ts";

/** Below these slots lie the destinations'. */
const PATTERN_SLOTS = LIMITS.destinationsMax;

/** Matches of filtered patterns that one answer of the matcher may hold: a batch is asked for in parts. */
const MATCHES_MAX = 1 << 20;
const TOPICS_MIN = 64;

interface FilteredPattern {
  readonly slot: number;
  readonly bindings: Set<Filtered>;
}

export class TopicRouter implements KindRouter {
  private readonly matcher: TopicMatcher;
  private readonly filters = new FilterIndex();
  private readonly patterns = new Map<string, FilteredPattern>();
  /** By slot, from PATTERN_SLOTS on. */
  private readonly bySlot: (FilteredPattern | null)[] = [];
  private readonly free: number[] = [];

  constructor(matcher: TopicMatcher) {
    this.matcher = matcher;
  }

  add(binding: RouterBinding): void {
    if (binding.headers === null) this.bind(binding.key, binding.destination);
    else this.patternOf(binding.key).bindings.add(this.filters.add(binding));
  }

  remove(binding: RouterBinding): void {
    if (binding.headers === null) return this.unbind(binding.key, binding.destination);
    const pattern = this.patterns.get(binding.key)!;
    pattern.bindings.delete(this.filters.remove(binding));
    if (pattern.bindings.size > 0) return;
    this.patterns.delete(binding.key);
    this.bySlot[pattern.slot - PATTERN_SLOTS] = null;
    this.free.push(pattern.slot);
    this.unbind(binding.key, pattern.slot);
  }

  route(batch: Uint8Array, table: RecordTable, hits: RouteHits): void {
    const part = Math.max(TOPICS_MIN, Math.floor(MATCHES_MAX / Math.max(1, this.patterns.size)));
    const headers = new BatchHeaders(batch, table);
    for (let first = 0; first < table.count; first += part) {
      const topics = topicsOf(batch, table, first, Math.min(part, table.count - first));
      this.routePart(topics, first, headers, hits);
    }
  }

  private routePart(topics: TopicList, first: number, headers: BatchHeaders, hits: RouteHits): void {
    const { slots, ends, indexes } = this.matcher.matchAll(topics);
    /** By message, so that its headers are looked at once. */
    const waiting: FilteredPattern[][] = [];
    let at = 0;
    for (let k = 0; k < slots.length; k++) {
      const slot = slots[k]!;
      for (; at < ends[k]!; at++) {
        const index = indexes[at]!;
        if (slot < PATTERN_SLOTS) hits.add(slot, first + index);
        else (waiting[index] ??= []).push(this.bySlot[slot - PATTERN_SLOTS]!);
      }
    }
    waiting.forEach((patterns, index) => this.filter(patterns, first + index, headers, hits));
  }

  private filter(
    patterns: readonly FilteredPattern[],
    index: number,
    headers: BatchHeaders,
    hits: RouteHits,
  ): void {
    this.filters.lookAt(headers.of(index));
    for (const { bindings } of patterns) {
      for (const filtered of bindings) {
        if (this.filters.accepts(filtered)) hits.add(filtered.binding.destination, index);
      }
    }
  }

  private patternOf(key: string): FilteredPattern {
    const known = this.patterns.get(key);
    if (known !== undefined) return known;
    const slot = this.free.pop() ?? PATTERN_SLOTS + this.bySlot.length;
    assert(slot <= SLOT_MAX, "there are more patterns than slots");
    const pattern = { slot, bindings: new Set<Filtered>() };
    this.patterns.set(key, pattern);
    this.bySlot[slot - PATTERN_SLOTS] = pattern;
    this.bind(key, slot);
    return pattern;
  }

  private bind(pattern: string, slot: number): void {
    assert(this.matcher.add(pattern, slot).ok, "the matcher refuses a pattern that was checked");
  }

  private unbind(pattern: string, slot: number): void {
    assert(this.matcher.remove(pattern, slot), "a binding is removed that was never added");
  }
}

function topicsOf(batch: Uint8Array, table: RecordTable, first: number, count: number): TopicList {
  const offsets = new Uint32Array(count);
  const sizes = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    offsets[i] = table.routingKeyOffset(first + i);
    sizes[i] = table.routingKeySize(first + i);
  }
  return { bytes: batch, count, offsets, sizes };
}
