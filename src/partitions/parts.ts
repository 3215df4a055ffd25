/**
 * The objects of a queue, called under the layout that is known: an object that knows better refuses, the head is asked,
 * and the call is made again.
 */
import type { BatchCodec } from "../protocol/batch.ts";
import type { MessageHandle } from "../protocol/commands.ts";
import { partitionOfId } from "../protocol/partitions.ts";
import { refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { PartitionApi, QueueLayout } from "../protocol/rpc.ts";
import type { Layouts } from "./layouts.ts";
import { isStale } from "./publishing.ts";

export interface PartsPorts {
  /** Unique among all queues. */
  readonly name: string;
  /** A fresh stub each time: one that has thrown stays broken. */
  part(partition: number): PartitionApi;
  readonly layouts: Layouts;
  readonly codec: BatchCodec;
  readonly random: () => number;
  /** A number that nobody who has not read it can tell. */
  readonly drawMark: () => number;
}

/** While partitions are added they are asked again this often, and so many times. */
const RETRY_MS = 50;
const TRIES_MAX = 40;

export class Parts {
  readonly ports: PartsPorts;

  constructor(ports: PartsPorts) {
    this.ports = ports;
  }

  get head(): PartitionApi {
    return this.ports.part(0);
  }

  /** Runs under the layout that is known, and again when a partition knows better. */
  async under<T>(run: (layout: QueueLayout) => Promise<Result<T>>): Promise<Result<T>> {
    for (let tries = 0; ; tries++) {
      const layout = this.ports.layouts.of(this.ports.name);
      const answer = await run(layout);
      if (answer.ok || !isStale(answer)) return answer;
      const refused = await this.relearn(layout, tries);
      if (refused) return refused;
    }
  }

  /** Asks the head. A refusal when the queue is gone, or its partitions are not there in time. */
  async relearn(before: QueueLayout, tries: number): Promise<Refusal | null> {
    const { layouts, name } = this.ports;
    const learned = await this.head.layout();
    if (!learned.ok) {
      layouts.forget(name);
      return learned;
    }
    layouts.learn(name, learned.value);
    if (learned.value.partitions !== before.partitions) return null;
    if (tries >= TRIES_MAX) {
      const detail = "the queue's partitions are being added; try again";
      return refuse("unavailable", detail, { retryAfterMs: RETRY_MS * TRIES_MAX });
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    return null;
  }

  /** Asks all; any refusal is the answer. */
  merged<T, M>(
    ask: (part: PartitionApi, known: number) => Promise<Result<T>>,
    merge: (answers: Result<T>[]) => Result<M>,
  ): Promise<Result<M>> {
    return this.under(async ({ partitions }) => {
      const each = Array.from({ length: partitions }, (_, i) => ask(this.ports.part(i), partitions));
      const answers = await Promise.all(each);
      const stale = answers.find((answer) => !answer.ok && isStale(answer));
      return stale && !stale.ok ? stale : merge(answers);
    });
  }

  /**
   * Asks one after the other until one does not say that it has no such message. An id that tells its partition is looked
   * for there first; a message that was moved keeps its id, and may lie anywhere.
   */
  found<T>(
    handle: MessageHandle,
    ask: (part: PartitionApi, known: number) => Promise<Result<T>>,
  ): Promise<Result<T>> {
    return this.under(async ({ partitions }) => {
      const first = "id" in handle ? partitionOfId(handle.id) : 0;
      for (let i = 0; ; i++) {
        const answer = await ask(this.ports.part((first + i) % partitions), partitions);
        const isMissing = !answer.ok && answer.code === "message_not_found";
        if (!isMissing || i === partitions - 1) return answer;
      }
    });
  }
}
