// The model of taking messages in: duplicates, producers, room, and the order in which sequences are given.
import { ownerOf } from "../../src/protocol/partitions.ts";
import { hashText } from "../../src/protocol/rendezvous.ts";
import { messageId } from "../../src/protocol/batch.ts";
import type { ErrorCode } from "../../src/protocol/errors.ts";
import type { Facts } from "./facts.ts";
import { completed, lacksSomething } from "./model-completion.ts";
import type { ModelMessage, ModelQueue } from "./model.ts";

export interface ModelCommand {
  readonly facts: readonly Facts[];
  readonly producer?: { readonly id: string; readonly sequence: number };
}

export type ModelConfirm =
  | { readonly ok: false; readonly code: ErrorCode }
  | { readonly ok: true; readonly sequences: readonly number[]; readonly duplicates: readonly number[] };

interface Slot {
  readonly facts: Facts;
  sequence: number;
}

/** What is written in one go: new messages, and the dedup ids they brought. */
interface Together {
  readonly slots: Slot[];
  readonly dedups: Map<string, Slot>;
}

interface Producer {
  readonly first: number;
  readonly last: number;
  readonly batches: readonly { readonly first: number; readonly slots: readonly (Slot | number)[] }[];
}

const BATCHES_REMEMBERED = 8;

export class ModelAcceptance {
  private readonly queue: ModelQueue;
  private readonly dedup = new Map<
    string,
    { id: string; key: string | null; sequence: number; untilMs: number }
  >();
  /** A message that is replaced is no reason to call its replacement a duplicate. */
  private replaced = 0;
  private readonly producers = new Map<string, Producer>();

  constructor(queue: ModelQueue) {
    this.queue = queue;
  }

  /** Dedup ids with the end of their windows, and the keys they came with. */
  windows(): { readonly id: string; readonly key: string | null; readonly untilMs: number }[] {
    return [...this.dedup.values()];
  }

  forgetDedups(): void {
    this.dedup.clear();
  }

  /** What two duplicates have in common. */
  private scopeOf({ dedupId, key }: Facts, isOther = false): string | null {
    if (dedupId === null) return null;
    const isByKey = (this.queue.config.dedupScope === "key") !== isOther;
    return JSON.stringify(isByKey ? [dedupId, key] : [dedupId]);
  }

  private remembered(id: string): number | null {
    const stored = this.dedup.get(id);
    const isKnown = stored && stored.untilMs > this.queue.clockMs && stored.sequence !== this.replaced;
    return isKnown ? stored.sequence : null;
  }

  /** Takes a turn's batches, each whole or not at all, and answers them in order. */
  publish(commands: readonly ModelCommand[], nowMs: number, replaced = 0): ModelConfirm[] {
    const { queue } = this;
    this.replaced = replaced;
    queue.clockMs = Math.max(queue.clockMs, nowMs);
    let together: Together = { slots: [], dedups: new Map() };
    const write = (): void => {
      this.store(together.slots);
      const untilMs = queue.clockMs + queue.config.dedupWindowMs;
      for (const [scope, { facts, sequence }] of together.dedups)
        this.dedup.set(scope, { id: facts.dedupId!, key: facts.key, sequence, untilMs });
      together = { slots: [], dedups: new Map() };
    };
    const answers = commands.map((command) => {
      const answer = this.judge(command, together);
      if (answer !== null) return answer;
      // It fits only if what came before it in this turn gives way.
      write();
      return this.judge(command, together)!;
    });
    write();
    return answers.map((answer) => answer());
  }

  /**
   * Moved messages: no duplicates are looked for and no producer counts. How many were taken: all or none, but of
   * more than the queue may ever hold as many as there is room for.
   */
  takeMoved(facts: readonly Facts[], nowMs: number): number {
    const { queue } = this;
    queue.clockMs = Math.max(queue.clockMs, nowMs);
    let count = facts.length;
    if (!this.fits(facts)) while (count > 0 && !this.hasRoom([], facts.slice(0, count))) count--;
    const taken = facts.slice(0, count);
    if (!this.hasRoom([], taken)) return 0;
    this.store(taken.map((one) => ({ facts: one, sequence: 0 })));
    return count;
  }

  /** Moves that come in one call are written together: how many, from the first on, there is room for. */
  takeTogether(moves: readonly (readonly Facts[])[], nowMs: number): number {
    const { queue } = this;
    queue.clockMs = Math.max(queue.clockMs, nowMs);
    const over = moves.findIndex((facts, i) => !this.hasRoom(moves.slice(0, i).flat(), facts));
    const count = over === -1 ? moves.length : over;
    const taken = moves.slice(0, count).flat();
    this.store(taken.map((one) => ({ facts: one, sequence: 0 })));
    return count;
  }

  /** The answer, to be completed when sequences are given; null when what was taken before must be written first. */
  private judge(command: ModelCommand, together: Together): (() => ModelConfirm) | null {
    const { producer } = command;
    const facts = command.facts.map((one) => completed(one, this.queue.config));
    const known = producer && this.producers.get(producer.id);
    if (producer && known && producer.sequence !== known.last + 1) {
      const isGap = producer.sequence < known.first || producer.sequence + facts.length - 1 > known.last;
      if (isGap) return () => ({ ok: false, code: "sequence_gap" });
      this.queue.totals.duplicates += facts.length;
      return () => repeated(this.producers.get(producer.id)!, producer.sequence, facts.length);
    }
    if (command.facts.some((one) => lacksSomething(one, this.queue.config)))
      return () => ({ ok: false, code: "field_required" });
    const own = new Map<string, Slot>();
    const slots = facts.map((one): Slot | number => {
      const id = this.scopeOf(one);
      if (id === null) return { facts: one, sequence: 0 };
      const earlier = this.remembered(id) ?? together.dedups.get(id) ?? own.get(id);
      if (earlier !== undefined) return earlier;
      // What came before a change of the scope is known as it was then.
      const before = this.remembered(this.scopeOf(one, true)!);
      if (before !== null) return before;
      const slot = { facts: one, sequence: 0 };
      own.set(id, slot);
      return slot;
    });
    const fresh = slots.filter(
      (slot, i): slot is Slot => typeof slot !== "number" && slot.facts === facts[i],
    );
    const taken = together.slots.map((slot) => slot.facts);
    const batch = fresh.map((slot) => slot.facts);
    const mayGiveWay = taken.length > 0 && this.queue.config.overflow === "dropOldest";
    if (batch.length > 0 && !this.hasRoom(taken, batch)) {
      const code = this.fits(batch) ? "queue_full" : "batch_too_large";
      return mayGiveWay ? null : () => ({ ok: false, code });
    }
    together.slots.push(...fresh);
    for (const [id, slot] of own) together.dedups.set(id, slot);
    if (producer) {
      const batches = [...(known?.batches ?? []), { first: producer.sequence, slots }].slice(
        -BATCHES_REMEMBERED,
      );
      const first = known?.first ?? producer.sequence;
      this.producers.set(producer.id, { first, last: producer.sequence + facts.length - 1, batches });
    }
    const duplicates = slots.flatMap((slot, i) =>
      typeof slot === "number" || slot.facts !== facts[i] ? [i] : [],
    );
    this.queue.totals.duplicates += duplicates.length;
    return () => ({ ok: true, sequences: slots.map(sequenceOf), duplicates });
  }

  private hasRoom(taken: readonly Facts[], batch: readonly Facts[]): boolean {
    if (!this.fits(batch)) return false;
    const isDropping = this.queue.config.overflow === "dropOldest";
    const staying = isDropping ? this.live(({ state }) => state === "leased") : this.live();
    return this.fits([...this.live(), ...taken, ...batch]) || this.fits([...staying, ...taken, ...batch]);
  }

  private fits(facts: readonly Facts[]): boolean {
    const { maxMessages, maxBytes } = this.queue.config;
    return facts.length <= (maxMessages ?? Infinity) && bytesOf(facts) <= (maxBytes ?? Infinity);
  }

  private live(isMeant: (message: ModelMessage) => boolean = () => true): Facts[] {
    return this.queue
      .all()
      .filter((message) => message.state !== "dead" && isMeant(message))
      .map(({ facts }) => facts);
  }

  /** Under dropOldest the oldest that waits gives way, as long as there is one. */
  private makeRoom(facts: readonly Facts[]): void {
    if (this.queue.config.overflow !== "dropOldest") return;
    for (;;) {
      if (this.fits([...this.live(), ...facts])) return;
      const oldest = this.queue
        .all()
        .filter(({ state }) => state !== "leased" && state !== "dead")
        .sort((a, b) => a.sequence - b.sequence)[0];
      if (!oldest) return;
      this.queue.bury(oldest, "overflow");
    }
  }

  /** Sequences run through the lanes: higher priorities first, within one the delayed last and by due time. */
  private store(slots: readonly Slot[]): void {
    const { queue } = this;
    if (slots.length === 0) return;
    this.makeRoom(slots.map((slot) => slot.facts));
    const order = slots
      .map((slot, at) => ({ slot, at, facts: slot.facts }))
      .sort(
        (a, b) =>
          this.laneOf(b.facts) - this.laneOf(a.facts) ||
          Number(a.facts.delayMs > 0) - Number(b.facts.delayMs > 0) ||
          a.facts.delayMs - b.facts.delayMs ||
          a.at - b.at,
      );
    for (const { slot } of order) slot.sequence = queue.nextSequence++;
    for (const { slot } of order) this.add(slot);
    // In the order of publishing, so that the last one with a key stays.
    for (const slot of slots) this.takeCancelKey(slot);
    queue.totals.published += slots.length;
  }

  /** Among those of equal rank order counts: its priority, or in a fair queue where its key leads it. */
  private laneOf({ key, priority }: Facts): number {
    const { fairLanes } = this.queue.config;
    if (fairLanes === 0) return priority;
    return key === null ? 0 : ownerOf(hashText(key), fairLanes);
  }

  private add({ facts: given, sequence }: Slot): void {
    const { queue } = this;
    const facts = { ...given, priority: this.laneOf(given) };
    const ttls = [facts.ttlMs, queue.config.ttlMs].filter((ttl) => ttl !== null);
    const message: ModelMessage = {
      id: facts.id ?? messageId(queue.origin, sequence),
      sequence,
      facts,
      key: queue.config.fifo ? facts.key : null,
      rankMs: queue.clockMs + facts.delayMs,
      expiresMs: ttls.length === 0 ? null : queue.clockMs + Math.min(...ttls),
      acceptedMs: queue.clockMs,
      state: "fresh",
      availableMs: 0,
      attempts: 0,
      failures: 0,
      parkedFor: "failed",
      isDrained: false,
    };
    queue.add(message);
  }

  /** A waiting message gives way to a later one of the same key. A moved message takes neither place nor key. */
  private takeCancelKey({ facts, sequence }: Slot): void {
    const { queue } = this;
    if (facts.cancelKey === null) return;
    const earlier = queue.messages.get(queue.cancelKeys.get(facts.cancelKey) ?? 0);
    if (earlier && facts.id !== null) return;
    if (earlier && earlier.state !== "leased" && earlier.state !== "dead") queue.cancel(earlier);
    queue.cancelKeys.set(facts.cancelKey, sequence);
  }
}

function sequenceOf(slot: Slot | number): number {
  return typeof slot === "number" ? slot : slot.sequence;
}

function repeated(producer: Producer, first: number, count: number): ModelConfirm {
  const batch = producer.batches.find((one) => one.first === first && one.slots.length === count);
  const duplicates = Array.from({ length: count }, (_, i) => i);
  return { ok: true, sequences: batch ? batch.slots.map(sequenceOf) : [], duplicates };
}

function bytesOf(facts: readonly Facts[]): number {
  return facts.reduce((sum, one) => sum + one.bytes, 0);
}
