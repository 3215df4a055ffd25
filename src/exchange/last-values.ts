// The last event of each topic. An event with an empty body takes its topic's value away, as with MQTT's retained ones.
import type { BatchCodec, RecordTable } from "../protocol/batch.ts";
import { readText } from "../protocol/record.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import { slicesOf } from "../protocol/runs.ts";
import type { LastValueRow, LastValueStore } from "./stores.ts";

/** When there are too many topics, this share of them goes at once: finding the oldest reads all rows. */
const EVICT_SHARE = 0.1;

export class LastValues {
  private readonly store: LastValueStore;
  private readonly codec: BatchCodec;
  private readonly topicsMax: number;
  /** Null until it is first needed: counting reads every row. */
  private known: number | null = null;

  constructor(config: ExchangeConfig, store: LastValueStore, codec: BatchCodec) {
    this.store = store;
    this.codec = codec;
    this.topicsMax = config.durable
      ? config.lastValuesMax
      : Math.min(config.lastValuesMax, LIMITS.memoryLastValuesMax);
  }

  get count(): number {
    return (this.known ??= this.topicsMax === 0 ? 0 : this.store.count());
  }

  /** Of several events of a topic in one turn, only the last is written. */
  keep(batch: Uint8Array, table: RecordTable, first: number, timeMs: number, epoch: number): void {
    if (this.topicsMax === 0) return;
    const newest = new Map<string, number>();
    for (let i = 0; i < table.count; i++) {
      newest.set(readText(batch, table.routingKeyOffset(i), table.routingKeySize(i)), i);
    }
    for (const [topic, index] of newest) {
      if (table.bodySize(index) === 0) this.drop(topic);
      else {
        const header = { origin: epoch, firstSequence: first + index, timeMs };
        const bytes = this.codec.join(slicesOf(batch, table, [[index, 1]]), header);
        this.put({ topic, offset: first + index, timeMs, bytes });
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
