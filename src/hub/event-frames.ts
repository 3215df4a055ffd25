/**
 * Event frames of one batch. Each event becomes JSON at most once, whatever the number of its readers; a binary frame
 * is a slice of the batch as it came.
 */
import type { BatchCodec, RecordTable } from "../protocol/batch.ts";
import { readBatchHeader } from "../protocol/batch.ts";
import { encodeBinaryFrame } from "../protocol/frames.ts";
import { eventToJson } from "../protocol/message-json.ts";
import { readRecord, readText } from "../protocol/record.ts";
import { runsOf, slicesOf } from "../protocol/runs.ts";
import type { SessionServerFrame } from "../protocol/session-frames.ts";

type EventsHead = Extract<SessionServerFrame, { type: "events" }>;

/** What an event frame tells beside the events. */
export type FrameHead = Pick<EventsHead, "exchange" | "pattern" | "epoch" | "from">;

export interface SourceBatch {
  readonly batch: Uint8Array;
  readonly table: RecordTable;
  /** Offsets of the records, in their order. */
  readonly offsets: (index: number) => number;
}

export class EventFrames {
  private readonly codec: BatchCodec;
  private readonly source: SourceBatch;
  private readonly texts = new Map<number, string>();
  private readonly timeMs: number;

  constructor(codec: BatchCodec, source: SourceBatch) {
    this.codec = codec;
    this.source = source;
    this.timeMs = readBatchHeader(source.batch).timeMs;
  }

  offset(index: number): number {
    return this.source.offsets(index);
  }

  topic(index: number): string {
    const { batch, table } = this.source;
    return readText(batch, table.routingKeyOffset(index), table.routingKeySize(index));
  }

  /** What holding on to these frames keeps in memory. */
  get batchBytes(): number {
    return this.source.batch.length;
  }

  /** One event as JSON text. */
  text(index: number): string {
    let text = this.texts.get(index);
    if (text === undefined) {
      const record = readRecord(this.source.batch, this.source.table.offset(index));
      text = JSON.stringify(eventToJson(record, this.offset(index), this.timeMs));
      this.texts.set(index, text);
    }
    return text;
  }

  json(head: FrameHead, indexes: readonly number[]): string {
    return jsonFrame(
      head,
      indexes.map((index) => this.text(index)),
    );
  }

  binary(head: FrameHead, indexes: readonly number[]): Uint8Array {
    const { batch, table } = this.source;
    const offsets = runsOf(indexes.map((index) => this.offset(index)));
    const frame = { type: "events", ...head, timeMs: this.timeMs, offsets } satisfies EventsHead;
    return encodeBinaryFrame(frame, indexes.length === table.count ? batch : this.join(indexes));
  }

  private join(indexes: readonly number[]): Uint8Array {
    const { batch, table } = this.source;
    const slices = slicesOf(batch, table, runsOf(indexes));
    const { origin } = readBatchHeader(batch);
    return this.codec.join(slices, { origin, firstSequence: this.offset(indexes[0]!), timeMs: this.timeMs });
  }
}

/** `texts`: the events as JSON. */
export function jsonFrame(head: FrameHead, texts: readonly string[]): string {
  const open = JSON.stringify({ type: "events", ...head });
  return `${open.slice(0, -1)},"events":[${texts.join(",")}]}`;
}
