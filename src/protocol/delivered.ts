// The messages of a delivery one by one, for doors that don't speak the batch format.
import { assert } from "./assert.ts";
import { messageId, readBatchHeader, type BatchCodec, type MessageRecord } from "./batch.ts";
import type { Delivery, DeliveryRun } from "./commands.ts";
import { readRecord } from "./record.ts";

export interface DeliveredRecord {
  readonly id: string;
  readonly sequence: number;
  /** Of the queue that the delivery came from. */
  readonly origin: number;
  /** When it was published, in the queue that took it first. */
  readonly timeMs: number;
  readonly record: MessageRecord;
  readonly run: DeliveryRun;
}

/** In the order of the payload, which is the broker's own and so valid. */
export function* deliveredRecords(
  { runs, payload }: Pick<Delivery, "runs" | "payload">,
  codec: BatchCodec,
): Generator<DeliveredRecord> {
  let at = 0;
  for (const run of runs) {
    const bytes = payload.subarray(at, at + run.bytes);
    at += run.bytes;
    const table = codec.scan(bytes, "broker");
    assert(table.ok, "a delivery holds a damaged batch");
    const { origin, firstSequence, timeMs } = readBatchHeader(bytes);
    for (let i = 0; i < table.value.count; i++) {
      const record = readRecord(bytes, table.value.offset(i));
      const sequence = firstSequence + i;
      const id = record.id ?? messageId(origin, sequence);
      yield { id, sequence, origin, timeMs: record.timeMs ?? timeMs, record, run };
    }
  }
}
