/**
 * The invariants of a queue, each watched by an object of its own. A checker throws a Violation when what the core
 * did can't be squared with what it must do.
 */
import type { Delivery, QueueInfo, SettlementResult } from "../../src/protocol/commands.ts";
import type { DeliveredJson } from "../../src/protocol/message-json.ts";
import type { PublishConfirm } from "../../src/protocol/commands.ts";
import type { Result } from "../../src/protocol/result.ts";
import type { Consumer } from "../../src/queue/consumers.ts";
import type { QueueMemory } from "../../src/queue/queue.ts";
import type { SimulatedQueue } from "./core.ts";
import type { ModelConfirm } from "./model-accept.ts";
import {
  eligible,
  goesAlone,
  hasFreed,
  mayGoOut,
  outOfKey,
  overtaken,
  type ModelSettled,
} from "./model-delivery.ts";
import type { Fate, ModelLease, ModelMessage, ModelQueue } from "./model.ts";

export class Violation extends Error {}

export function check(condition: unknown, rule: string, detail: () => string): asserts condition {
  if (!condition) throw new Violation(`${rule}: ${detail()}`);
}

function same(rule: string, actual: unknown, expected: unknown): void {
  const [is, must] = [JSON.stringify(actual), JSON.stringify(expected)];
  check(is === must, rule, () => `is ${is}, must be ${must}`);
}

/** A confirmed message is in one place, or ended in one way: never lost, never in two places. */
export class Conservation {
  private readonly places = new Map<string, { queue: string | null; fates: Fate[] }>();

  arrived(id: string, queue: string): void {
    const known = this.places.get(id);
    if (!known) {
      this.places.set(id, { queue, fates: [] });
      return;
    }
    check(known.queue === null && known.fates.at(-1) === "moved", "conservation", () => {
      return `message ${id} arrives in ${queue} and is ${known.queue ?? known.fates.at(-1)}`;
    });
    known.queue = queue;
  }

  ended(id: string, queue: string, fate: Fate): void {
    const known = this.places.get(id);
    check(
      known?.queue === queue,
      "conservation",
      () => `message ${id} is ${fate} in ${queue}, where it is not`,
    );
    known.queue = null;
    known.fates.push(fate);
  }

  /** The core holds exactly the messages that the model holds. */
  holds(name: string, actual: readonly string[], expected: readonly string[]): void {
    same(`conservation: messages in ${name}`, [...actual].sort(), [...expected].sort());
  }

  atEnd(): void {
    for (const [id, { queue, fates }] of this.places) {
      const last = fates.at(-1);
      check(
        queue === null && last !== "moved",
        "conservation",
        () => `message ${id} never ended: ${last ?? queue}`,
      );
    }
  }
}

/** An acked message is never delivered again, by any queue. */
export class Finality {
  private readonly acked = new Set<string>();

  wasAcked(id: string): void {
    this.acked.add(id);
  }

  delivered(message: DeliveredJson): void {
    check(!this.acked.has(message.id), "finality", () => `message ${message.id} was acked and comes again`);
  }
}

/** First deliveries are in order, a returned message is back in its place, and keys are held. */
export class Order {
  /** Before the model takes note of the message. `lease` has those that go out before it in the same delivery. */
  delivered(queue: ModelQueue, message: ModelMessage, given: DeliveredJson, lease: ModelLease): void {
    check(!queue.paused, "order", () => `${queue.name} is paused and delivers ${message.id}`);
    check(mayGoOut(queue, message, true, lease), "order", () => {
      const { state, key, isDrained } = message;
      const others = queue.all().filter((one) => one.key === key && key !== null);
      const line = others.map((one) => `${one.sequence}:${one.state}`).join(" ");
      return `${message.id} may not go out: ${state}, drained ${isDrained}, key ${key} (${line})`;
    });
    const first = overtaken(queue, message, lease);
    check(first === null, "order", () => `${message.id} overtakes ${first?.id}, which is ${first?.state}`);
    check(
      !goesAlone(queue, message) || lease.messages.length === 0,
      "order",
      () => `${message.id} on its last attempt is not alone`,
    );
    const { attempts, failures } = message;
    same("order: attempt and failures", [given.attempt, given.failures], [attempts + 1, failures]);
    if (message.key !== null) {
      const out = outOfKey(queue, message.key);
      check(out < queue.config.maxPerKey, "order", () => `${out + 1} of key ${message.key} are out`);
    }
  }

  /**
   * After a delivery that could have held more: nothing that may go out stays behind, unless a message on its last
   * attempt went alone, or would have to.
   */
  wasFilled(queue: ModelQueue, isClosed: boolean, delivery: ModelLease | null): void {
    if (queue.paused || isClosed) return;
    const left = eligible(queue, delivery);
    if (delivery !== null && left.some((message) => goesAlone(queue, message))) return;
    const behind = left.filter((message) => delivery === null || !hasFreed(delivery, message));
    check(behind.length === 0, "order", () => {
      return `${queue.name} leaves ${behind.map(({ id, state }) => `${id} ${state}`).join(", ")} behind`;
    });
  }
}

/** A settlement counts only from the holder; saying it twice is harmless. */
export class Fencing {
  settled(result: SettlementResult, expected: ModelSettled): void {
    const refused = result.refused.flatMap(({ sequences: [first, count], code }) =>
      Array.from({ length: Math.max(1, count) }, (_, i) => [first + i, code] as const),
    );
    const sorted = (list: Iterable<readonly [number, string]>): unknown =>
      [...new Map(list)].sort(([a], [b]) => a - b);
    same("fencing: settled", result.settled, expected.settled);
    same("fencing: refused", sorted(refused), sorted(expected.refused));
    same("fencing: lease end", result.untilMs ?? null, expected.untilMs ?? null);
  }
}

/** Never more open deliveries than a consumer has credit for; the single active one alone is served. */
export class Credit {
  dispatched(
    queue: ModelQueue,
    consumer: Consumer,
    all: Iterable<Consumer>,
    openBefore: number,
    count: number,
  ): void {
    check(openBefore + count <= consumer.credit, "credit", () => {
      return `consumer ${consumer.name} has ${openBefore + count} open of ${consumer.credit}`;
    });
    check(!consumer.isDraining, "credit", () => `consumer ${consumer.name} drains and is served`);
    if (!queue.config.singleActiveConsumer) return;
    for (const other of all) {
      check(other.id >= consumer.id || other.isDraining, "credit", () => {
        return `${consumer.name} is served and ${other.name} came first`;
      });
    }
  }

  /** After a dispatch: whoever may take more got all there is. */
  isSatisfied(queue: ModelQueue, consumers: readonly Consumer[]): void {
    const hungry = hungryOf(queue, consumers);
    if (!hungry) return;
    const [left] = eligible(queue);
    check(!left, "credit", () => `${hungry.name} waits with credit and ${left?.id} (${left?.state}) stays`);
  }
}

/** A consumer that would be served if there were something. */
export function hungryOf(queue: ModelQueue, consumers: readonly Consumer[]): Consumer | undefined {
  if (queue.paused) return undefined;
  const active = consumers.filter(
    (one) =>
      !queue.config.singleActiveConsumer ||
      consumers.every((other) => other.id >= one.id || other.isDraining),
  );
  return active.find((one) => !one.isDraining && queue.openOf(one.id) < one.credit);
}

/** The alarm is never later than what is due. */
export class WakeTime {
  check(
    queue: ModelQueue,
    wakeMs: number | null,
    others: { isAwaited: boolean; otherDueMs: (number | null)[] },
  ): void {
    const dues = [queue.nextDueMs(others.isAwaited), ...others.otherDueMs].filter((ms) => ms !== null);
    if (dues.length === 0) return;
    const first = Math.min(...dues);
    check(
      wakeMs !== null && wakeMs <= first,
      "wake",
      () => `${queue.name} wakes at ${wakeMs}, ${first} is due`,
    );
  }
}

/** What a queue says of itself is what is in it. */
export class Counts {
  check(info: QueueInfo, queue: ModelQueue): void {
    same(`counts of ${queue.name}`, info.counts, queue.counts());
    same(`totals of ${queue.name}`, info.totals, queue.totals);
    same(`last sequence of ${queue.name}`, info.lastSequence, queue.nextSequence - 1);
    const { published, acked, cancelled, purged, dropped, deadLettered, redriven } = info.totals;
    const ended = acked + cancelled + purged + dropped + deadLettered + redriven;
    same(`balance of ${queue.name}`, published - ended, queue.messages.size);
  }
}

/** What was in memory only is what storage says. */
export class Eviction {
  check(before: QueueInfo, after: QueueInfo, what: string): void {
    same(`${what}: inspect`, after, before);
  }
}

/** A publish is answered as the first one of its kind was, and taken once. */
export class Deduplication {
  answered(actual: Result<PublishConfirm>, expected: ModelConfirm): void {
    if (!expected.ok || !actual.ok) {
      same("publish", actual.ok ? "accepted" : actual.code, expected.ok ? "accepted" : expected.code);
      return;
    }
    const sequences = actual.value.sequences.flatMap(([first, count]) =>
      Array.from({ length: count }, (_, i) => first + i),
    );
    same("publish: sequences", sequences, expected.sequences);
    same("publish: duplicates", actual.value.duplicates, expected.duplicates);
  }
}

/** Leases that are remembered after their end, in the core. */
const ENDED_LEASES_MAX = 256;
const PRODUCERS_MAX = 256 + 64;

/** Memory and rows grow with what is there, not with what was. */
export class Memory {
  check(core: SimulatedQueue, memory: QueueMemory, queue: ModelQueue): void {
    const open = [...queue.leases.values()].filter((lease) => queue.open(lease).length > 0);
    const leased = queue.all().filter(({ state }) => state === "leased");
    same("memory: active leases", memory.activeLeases, open.length);
    check(
      memory.endedLeases <= ENDED_LEASES_MAX + open.length,
      "memory",
      () => `${memory.endedLeases} ended leases`,
    );
    same("memory: holders", memory.holders, new Set(open.map(({ consumerId }) => consumerId)).size);
    const keys = new Set(leased.flatMap(({ key }) => (key === null ? [] : [key])));
    same("memory: keys in flight", memory.keysInFlight, keys.size);
    check(memory.producers <= PRODUCERS_MAX, "memory", () => `${memory.producers} producers`);
    const segments = core.rows("segment");
    check(
      memory.segments <= segments,
      "memory",
      () => `${memory.segments} segments of ${segments} are cached`,
    );
    check(
      segments <= queue.messages.size,
      "memory",
      () => `${segments} segments, ${queue.messages.size} messages`,
    );
    for (const sequence of core.returnedSequences()) {
      const state = queue.messages.get(sequence)?.state ?? "gone";
      check(
        state !== "fresh" && state !== "gone",
        "memory",
        () => `${sequence} has a return row and is ${state}`,
      );
    }
    if (queue.messages.size === 0) this.checkEmpty(core);
  }

  private checkEmpty(core: SimulatedQueue): void {
    for (const table of [
      "segment",
      "progress",
      "returned",
      "delayed",
      "expiry",
      "blocked",
      "handle",
    ] as const) {
      same(`memory: rows of ${table} in an empty queue`, core.rows(table), 0);
    }
  }
}

export class Checkers {
  readonly conservation = new Conservation();
  readonly finality = new Finality();
  readonly order = new Order();
  readonly fencing = new Fencing();
  readonly credit = new Credit();
  readonly wakeTime = new WakeTime();
  readonly counts = new Counts();
  readonly eviction = new Eviction();
  readonly deduplication = new Deduplication();
  readonly memory = new Memory();
}

export type { Delivery };
