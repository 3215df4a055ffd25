/**
 * topic: the matcher finds the patterns. A destination's bindings without a filter share its own slot. Bindings with a
 * filter share a slot with those of the same pattern, and their filters are tried for what the pattern matches only.
 */
import { assert } from "../protocol/assert.ts";
import type { RecordTable } from "../protocol/batch.ts";
import { LIMITS } from "../protocol/limits.ts";
import { FilterIndex, PART_MAX, type Filtered } from "./filter-index.ts";
import { RoutingKeys, SLOT_MAX, type TopicList, type TopicMatcher } from "./matcher.ts";
import { bitsFor, type KindRouter, type RouteHits, type RouterBinding } from "./routes.ts";

/** Below these slots lie the destinations'. */
const PATTERN_SLOTS = LIMITS.destinationsMax;

/** Matches of filtered patterns that one answer of the matcher may hold: a batch is asked for in parts. */
const MATCHES_MAX = 1 << 20;

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
    const part = this.partSize(table.count);
    for (let first = 0; first < table.count; first += part) {
      const count = Math.min(part, table.count - first);
      const waiting = this.match(new RoutingKeys(batch, table, first, count), first, hits);
      if (waiting.size === 0) continue;
      this.filters.load(batch, table, first, count);
      for (const [{ bindings }, candidates] of waiting) {
        this.filters.route(bindings, candidates, first, hits);
      }
    }
  }

  /** Without filters the whole batch; else a multiple of 32. */
  private partSize(count: number): number {
    if (this.patterns.size === 0) return count;
    const size = Math.floor(MATCHES_MAX / this.patterns.size / 32) * 32;
    return Math.max(32, Math.min(size, PART_MAX));
  }

  /** Sends on what needs no filter. The rest by pattern, as bits of the topics. */
  private match(topics: TopicList, first: number, hits: RouteHits): Map<FilteredPattern, Uint32Array> {
    const matches = this.matcher.matchAll(topics);
    const waiting = new Map<FilteredPattern, Uint32Array>();
    for (let k = 0; k < matches.count; k++) {
      const slot = matches.slot(k);
      if (slot < PATTERN_SLOTS) {
        hits.addGroup(slot, first / 32 + matches.group(k), matches.bits(k));
      } else {
        const pattern = this.bySlot[slot - PATTERN_SLOTS]!;
        let candidates = waiting.get(pattern);
        if (candidates === undefined) waiting.set(pattern, (candidates = bitsFor(topics.count)));
        candidates[matches.group(k)]! |= matches.bits(k);
      }
    }
    return waiting;
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
