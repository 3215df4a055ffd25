/**
 * The subscriptions of a hub, by exchange and pattern: patterns are matched in wasm, once for each batch, and all
 * subscribers of one pattern that may see the same and want the same form are one audience, for whom one frame is made.
 */
import type { RecordTable } from "../protocol/batch.ts";
import { assert } from "../protocol/assert.ts";
import { LIMITS } from "../protocol/limits.ts";
import { readText } from "../protocol/record.ts";
import { RoutingKeys, SLOT_MAX, type TopicMatcher } from "../routing/matcher.ts";
import { matches, splitWords } from "../routing/topic.ts";
import type { Subscription } from "./session.ts";

export interface Subscriber {
  readonly session: number;
  readonly subscription: Subscription;
}

export interface Audience {
  readonly exchange: string;
  readonly pattern: string;
  readonly format: "json" | "binary";
  readonly scope: readonly string[] | null;
  readonly subscribers: Map<number, Subscriber>;
}

/** The events of a batch that an audience gets, by their indexes, ascending. */
export interface AudienceShare {
  readonly audience: Audience;
  readonly indexes: readonly number[];
}

interface Pattern {
  readonly slot: number;
  readonly audiences: Map<string, Audience>;
}

class ExchangeSubscribers {
  private readonly matcher: TopicMatcher;
  private readonly patterns = new Map<string, Pattern>();
  private readonly bySlot: (Pattern | null)[] = [];
  private readonly freeSlots: number[] = [];
  /** Of all patterns. */
  private words = 0;
  subscriptions = 0;

  constructor(matcher: TopicMatcher) {
    this.matcher = matcher;
  }

  private get isFull(): boolean {
    return this.freeSlots.length === 0 && this.bySlot.length > SLOT_MAX;
  }

  has(pattern: string): boolean {
    return this.patterns.has(pattern);
  }

  add(subscriber: Subscriber): void {
    const { pattern, exchange, format, scope } = subscriber.subscription;
    const known = this.patterns.get(pattern) ?? this.addPattern(pattern);
    const key = audienceKey(subscriber.subscription);
    const audience = known.audiences.get(key) ?? { exchange, pattern, format, scope, subscribers: new Map() };
    known.audiences.set(key, audience);
    if (!audience.subscribers.has(subscriber.session)) this.subscriptions++;
    audience.subscribers.set(subscriber.session, subscriber);
  }

  hasRoomFor(pattern: string): boolean {
    return !this.isFull && this.words + splitWords(pattern).length <= LIMITS.patternWordsMax;
  }

  private addPattern(pattern: string): Pattern {
    const slot = this.freeSlots.pop() ?? this.bySlot.length;
    const added = this.matcher.add(pattern, slot);
    assert(added.ok, "a pattern that was checked is refused");
    const made: Pattern = { slot, audiences: new Map() };
    this.words += splitWords(pattern).length;
    this.patterns.set(pattern, made);
    this.bySlot[slot] = made;
    return made;
  }

  remove(session: number, subscription: Subscription): void {
    const known = this.patterns.get(subscription.pattern);
    const key = audienceKey(subscription);
    const audience = known?.audiences.get(key);
    if (!known || !audience?.subscribers.delete(session)) return;
    this.subscriptions--;
    if (audience.subscribers.size > 0) return;
    known.audiences.delete(key);
    if (known.audiences.size > 0) return;
    this.matcher.remove(subscription.pattern, known.slot);
    this.words -= splitWords(subscription.pattern).length;
    this.patterns.delete(subscription.pattern);
    this.bySlot[known.slot] = null;
    this.freeSlots.push(known.slot);
  }

  /** All at once: while the shares are told, sessions may go, and a slot may get another pattern. */
  share(batch: Uint8Array, table: RecordTable): AudienceShare[] {
    const shares: AudienceShare[] = [];
    const bySlot = new Map<number, number[]>();
    const matches = this.matcher.matchAll(new RoutingKeys(batch, table));
    for (let k = 0; k < matches.count; k++) {
      const slot = matches.slot(k);
      let matched = bySlot.get(slot);
      if (matched === undefined) bySlot.set(slot, (matched = []));
      matches.addIndexes(k, matched);
    }
    for (const [slot, matched] of bySlot) {
      for (const audience of this.bySlot[slot]!.audiences.values()) {
        const seen = audience.scope === null ? matched : withinScope(audience.scope, matched, batch, table);
        if (seen.length > 0) shares.push({ audience, indexes: seen });
      }
    }
    return shares;
  }

  *all(): Generator<Subscriber> {
    for (const { audiences } of this.patterns.values()) {
      for (const { subscribers } of audiences.values()) yield* subscribers.values();
    }
  }
}

function audienceKey({ format, scope }: Subscription): string {
  return JSON.stringify([format, scope]);
}

/** Whether a subscription's grants let it see a topic that its pattern matches. */
export function mayIn({ scope }: Pick<Subscription, "scope">, topic: string): boolean {
  return scope === null || scope.some((pattern) => matches(pattern, topic));
}

function withinScope(
  scope: readonly string[],
  indexes: readonly number[],
  batch: Uint8Array,
  table: RecordTable,
): number[] {
  return indexes.filter((index) => {
    const topic = readText(batch, table.routingKeyOffset(index), table.routingKeySize(index));
    return mayIn({ scope }, topic);
  });
}

export class Subscribers {
  private readonly exchanges = new Map<string, ExchangeSubscribers>();
  private readonly makeMatcher: () => TopicMatcher;

  constructor(makeMatcher: () => TopicMatcher) {
    this.makeMatcher = makeMatcher;
  }

  get count(): number {
    let count = 0;
    for (const { subscriptions } of this.exchanges.values()) count += subscriptions;
    return count;
  }

  names(): string[] {
    return [...this.exchanges.keys()];
  }

  has(exchange: string): boolean {
    return this.exchanges.has(exchange);
  }

  /** Whether another pattern of this exchange can be matched. */
  hasRoomFor(exchange: string, pattern: string): boolean {
    const known = this.exchanges.get(exchange);
    return known === undefined || known.has(pattern) || known.hasRoomFor(pattern);
  }

  /** The same session's subscription to the same pattern must have been removed before. */
  add(subscriber: Subscriber): void {
    const { exchange } = subscriber.subscription;
    let known = this.exchanges.get(exchange);
    if (known === undefined)
      this.exchanges.set(exchange, (known = new ExchangeSubscribers(this.makeMatcher())));
    known.add(subscriber);
  }

  remove(session: number, subscription: Subscription): void {
    const known = this.exchanges.get(subscription.exchange);
    known?.remove(session, subscription);
    if (known?.subscriptions === 0) this.exchanges.delete(subscription.exchange);
  }

  /** Who gets what of a batch. */
  share(exchange: string, batch: Uint8Array, table: RecordTable): readonly AudienceShare[] {
    return this.exchanges.get(exchange)?.share(batch, table) ?? [];
  }

  /** Everyone who subscribes to an exchange. */
  of(exchange: string): Subscriber[] {
    return [...(this.exchanges.get(exchange)?.all() ?? [])];
  }
}
