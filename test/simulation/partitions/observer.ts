/**
 * Watches the cores of all queues: what a call did is noted where it is done, and believed once its transaction is
 * stored.
 */
import type { BatchCodec } from "../../../src/protocol/batch.ts";
import type { Delivery } from "../../../src/protocol/commands.ts";
import { deliveryToJson } from "../../../src/protocol/message-json.ts";
import { indexesOf } from "../../../src/protocol/runs.ts";
import { Queue } from "../../../src/queue/queue.ts";
import { factsOf } from "../facts.ts";
import type { Copy, Grant } from "./truth.ts";

export interface Witness {
  stored(copy: Omit<Copy, "at" | "atMs">): void;
  /** A move of these: so many of them were taken now, perhaps the rest of them. */
  arrived(queue: string, ids: readonly string[], accepted: number): void;
  granted(grant: Grant): void;
  acked(queue: string, sequence: number): void;
  purged(queue: string, partition: number): void;
  grew(queue: string): void;
}

type Core = { -readonly [K in keyof Queue]: Queue[K] };

export class Observer {
  private readonly codec: BatchCodec;
  private readonly witness: Witness;
  private noted: (() => void)[] = [];
  private readonly restores: (() => void)[] = [];

  constructor(codec: BatchCodec, witness: Witness) {
    this.codec = codec;
    this.witness = witness;
    this.watchMessages();
    this.watchDeliveries();
    this.watchManagement();
  }

  /** The transaction in which the last ones were noted is over. */
  committed(isStored: boolean): void {
    const { noted } = this;
    this.noted = [];
    if (isStored) for (const tell of noted) tell();
  }

  end(): void {
    for (const restore of this.restores) restore();
  }

  private note(tell: () => void): void {
    this.noted.push(tell);
  }

  /** `after` is told what the method was given and what came of it. */
  private watch<K extends keyof Queue>(
    name: K,
    after: (
      queue: Queue,
      args: Queue[K] extends (...args: infer A) => unknown ? A : never,
      result: Queue[K] extends (...args: never[]) => infer R ? R : never,
    ) => void,
  ): void {
    const core = Queue.prototype as Core;
    const own = core[name] as (...args: unknown[]) => unknown;
    const watched = function (this: Queue, ...args: unknown[]): unknown {
      const result = own.apply(this, args);
      after(this, args as never, result as never);
      return result;
    };
    core[name] = watched as never;
    this.restores.push(() => (core[name] = own as never));
  }

  private watchMessages(): void {
    this.watch("publish", (queue, [commands], answers) => {
      for (const [i, answer] of answers.entries()) {
        if (!answer.ok) continue;
        const sequences = [...indexesOf(answer.value.sequences)];
        for (const [index, { text }] of factsOf(this.codec, commands[i]!.batch).entries()) {
          if (answer.value.duplicates.includes(index)) continue;
          const copy = { id: text, queue: queue.stored.queue, sequence: sequences[index]! };
          this.note(() => this.witness.stored(copy));
        }
      }
    });
    this.watch("acceptMoves", (queue, [, moves], answer) => {
      if (!answer.ok || answer.value.accepted === 0) return;
      const name = queue.stored.queue;
      // Of the first that is not done a part may have been taken.
      const tried = moves.slice(0, answer.value.done + 1);
      const ids = tried.flatMap(({ batch }) => factsOf(this.codec, batch).map(({ text }) => text));
      const { accepted } = answer.value;
      this.note(() => this.witness.arrived(name, ids, accepted));
    });
  }

  private watchDeliveries(): void {
    this.watch("receive", (queue, _, answer) => {
      if (answer.ok && answer.value.lease !== 0) this.delivered(queue, answer.value);
    });
    this.watch("dispatch", (queue, _, dispatched) => {
      for (const { delivery } of dispatched) this.delivered(queue, delivery);
    });
    this.watch("settle", (queue, [settlements], results) => {
      for (const [i, { sequences = [], verdict }] of settlements.entries()) {
        if (verdict !== "ack") continue;
        const refused = new Set(results[i]!.refused.flatMap((one) => [...indexesOf([one.sequences])]));
        for (const sequence of indexesOf(sequences)) {
          const name = queue.stored.queue;
          if (!refused.has(sequence)) this.note(() => this.witness.acked(name, sequence));
        }
      }
    });
  }

  private delivered(queue: Queue, delivery: Delivery): void {
    for (const { body = "", sequence, attempt, death } of deliveryToJson(delivery, this.codec)) {
      const grant = {
        id: body,
        queue: queue.stored.queue,
        sequence,
        lease: delivery.lease,
        attempt,
        hasDied: death !== undefined,
      };
      this.note(() => this.witness.granted(grant));
    }
  }

  private watchManagement(): void {
    this.watch("purge", (queue) => {
      const { index } = queue.partition;
      const name = queue.stored.queue;
      this.note(() => this.witness.purged(name, index));
    });
    const counts = new Map<string, number>();
    this.watch("learn", (queue) => {
      const { index, count } = queue.partition;
      const name = queue.stored.queue;
      this.note(() => {
        if (counts.get(`${name}/${index}`) === count) return;
        counts.set(`${name}/${index}`, count);
        this.witness.grew(name);
      });
    });
  }
}
