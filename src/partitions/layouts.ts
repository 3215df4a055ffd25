/**
 * How many partitions each queue has, as far as this isolate knows. What is not known is taken for a queue of one: the
 * first call to an object that knows better is refused, and the head is asked.
 */
import type { QueueLayout } from "../protocol/rpc.ts";

/** Queues remembered; the oldest makes way. */
const LAYOUTS_MAX = 4_096;

export const ONE_PARTITION: QueueLayout = { partitions: 1, fifo: false };

export class Layouts {
  private readonly known = new Map<string, QueueLayout>();

  of(queue: string): QueueLayout {
    return this.known.get(queue) ?? ONE_PARTITION;
  }

  learn(queue: string, layout: QueueLayout): void {
    this.known.delete(queue);
    // Nothing is remembered of the many that have one.
    if (layout.partitions > 1) this.known.set(queue, layout);
    const [oldest] = this.known.keys();
    if (this.known.size > LAYOUTS_MAX && oldest !== undefined) this.known.delete(oldest);
  }

  forget(queue: string): void {
    this.known.delete(queue);
  }
}
