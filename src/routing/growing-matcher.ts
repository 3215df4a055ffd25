/**
 * A matcher that is small while it holds little. A trie takes 0.65 MB at the least; a hub that has a few
 * patterns of each of many exchanges would fill its memory with them. So patterns are searched one by one until there
 * are enough of them for the trie to pay.
 */
import type { Result } from "../protocol/result.ts";
import { LinearMatcher } from "./linear-matcher.ts";
import type { TopicList, TopicMatcher } from "./matcher.ts";
import type { SlotMatches } from "./slot-matches.ts";

/** Pairs of pattern and slot from which on there is a trie. It stays when they become fewer. */
const TRIE_FROM = 16;

interface Pair {
  readonly pattern: string;
  readonly slot: number;
  count: number;
}

export class GrowingMatcher implements TopicMatcher {
  private readonly makeTrie: () => TopicMatcher;
  private matcher: TopicMatcher = new LinearMatcher();
  /** What the linear search holds; null when there is a trie. */
  private pairs: Map<string, Pair> | null = new Map();

  constructor(makeTrie: () => TopicMatcher) {
    this.makeTrie = makeTrie;
  }

  get size(): number {
    return this.matcher.size;
  }

  add(pattern: string, slot: number): Result<void> {
    const key = `${slot} ${pattern}`;
    const known = this.pairs?.get(key);
    if (this.pairs !== null && known === undefined && this.pairs.size >= TRIE_FROM) this.grow(this.pairs);
    const added = this.matcher.add(pattern, slot);
    if (!added.ok) return added;
    if (known === undefined) this.pairs?.set(key, { pattern, slot, count: 1 });
    else known.count++;
    return added;
  }

  private grow(pairs: ReadonlyMap<string, Pair>): void {
    this.matcher = this.makeTrie();
    for (const { pattern, slot, count } of pairs.values()) {
      for (let i = 0; i < count; i++) this.matcher.add(pattern, slot);
    }
    this.pairs = null;
  }

  remove(pattern: string, slot: number): boolean {
    const removed = this.matcher.remove(pattern, slot);
    const key = `${slot} ${pattern}`;
    const known = this.pairs?.get(key);
    if (removed && known !== undefined && --known.count === 0) this.pairs?.delete(key);
    return removed;
  }

  match(topic: string): number[] {
    return this.matcher.match(topic);
  }

  matchAll(topics: TopicList): SlotMatches {
    return this.matcher.matchAll(topics);
  }
}
