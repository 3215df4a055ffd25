// The last event of each topic. An event with an empty body takes its topic's value away, as with MQTT's retained ones.
import type { BatchCodec } from "../protocol/batch.ts";
import { readText } from "../protocol/record.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import { slicesOf } from "../protocol/runs.ts";
import type { Scanned } from "./step.ts";
import type { LastValueRow, LastValueStore } from "./stores.ts";

/** When there are too many topics, this share of them goes at once: finding the oldest reads all rows. */
const EVICT_SHARE = 0.1;

export class LastValues {
  private readonly store: LastValueStore;
  private readonly codec: BatchCodec;
  private topicsMax = 0;
  /** Null until it is first needed: counting reads every row. */
  private known: number | null = null;

  constructor(config: ExchangeConfig, store: LastValueStore, codec: BatchCodec) {
    this.store = store;
    this.codec = codec;
    this.configure(config);
  }

  /** Values that are not kept any more are gone: they would be old when they are kept again. */
  configure({ durable, lastValuesMax }: ExchangeConfig): void {
    const before = this.topicsMax;
    this.topicsMax = durable ? lastValuesMax : Math.min(lastValuesMax, LIMITS.memoryLastValuesMax);
    if (before === 0 || this.topicsMax > 0) return;
    this.store.clear();
    this.known = null;
  }

  get count(): number {
    return (this.known ??= this.topicsMax === 0 ? 0 : this.store.count());
  }

  /** The events of one row, numbered from `first` on. Of several events of a topic only the last is written. */
  keep(batches: readonly Scanned[], first: number, timeMs: number, epoch: number): void {
    if (this.topicsMax === 0) return;
    for (const [topic, { batch, table, index, offset }] of newestOf(batches, first)) {
      if (table.bodySize(index) === 0) this.drop(topic);
      else {
        const header = { origin: epoch, firstSequence: offset, timeMs };
        const bytes = this.codec.join(slicesOf(batch, table, [[index, 1]]), header);
        this.put({ topic, offset, timeMs, bytes });
      }
    }
    const over = this.count - this.topicsMax;
    if (over <= 0) return;
    this.store.removeOldest(over + Math.floor(this.topicsMax * EVICT_SHARE));
    this.known = null;
  }

  private put(row: LastValueRow): void {
    const before = this.count;
    if (this.store.put(row)) this.known = before + 1;
  }

  private drop(topic: string): void {
    const before = this.count;
    if (this.store.remove(topic)) this.known = before - 1;
  }

  /** All of them, a page at a time. */
  *all(): Generator<LastValueRow> {
    if (this.topicsMax === 0) return;
    for (let after: string | null = null; ;) {
      const page: LastValueRow[] = this.store.page(after, 200);
      yield* page;
      const last = page.at(-1);
      if (last === undefined) return;
      after = last.topic;
    }
  }
}

interface Newest extends Scanned {
  readonly index: number;
  readonly offset: number;
}

/** The last event of each topic, in the order of their offsets. */
function newestOf(batches: readonly Scanned[], first: number): Map<string, Newest> {
  const newest = new Map<string, Newest>();
  let offset = first;
  for (const { batch, table } of batches) {
    for (let index = 0; index < table.count; index++, offset++) {
      const topic = readText(batch, table.routingKeyOffset(index), table.routingKeySize(index));
      // Deleted first: a topic that is set again would keep its place.
      newest.delete(topic);
      newest.set(topic, { batch, table, index, offset });
    }
  }
  return newest;
}
