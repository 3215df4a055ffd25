// What both codecs do alike when they make a batch. A wrong argument here is a bug of the caller, never a client's.
import { assert } from "./assert.ts";
import {
  BATCH_HEADER_BYTES,
  FIELD,
  type BatchHeader,
  type MessageRecord,
  type RecordSlice,
} from "./batch.ts";
import { BATCH_LIMITS } from "./limits.ts";

export function assertHeader(header: BatchHeader): void {
  assert(isCount(header.origin), "origin is not a count");
  assert(isCount(header.firstSequence), "firstSequence is not a count");
  assert(isCount(header.timeMs), "timeMs is not a count");
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** The size and count of the batch that these slices make together. */
export function measureSlices(slices: readonly RecordSlice[]): { size: number; count: number } {
  let size = BATCH_HEADER_BYTES;
  let count = 0;
  for (const slice of slices) {
    assert(
      slice.offset >= 0 && slice.size >= 0 && slice.offset + slice.size <= slice.bytes.length,
      "a slice lies outside its batch",
    );
    size += slice.size;
    count += slice.count;
  }
  assert(count > 0 && count <= BATCH_LIMITS.recordsMax, "a joined batch has too few or too many records");
  assert(size <= BATCH_LIMITS.batchBytesMax, "a joined batch is over the limit");
  return { size, count };
}

/** The flags of a record to encode: a field that is undefined is absent. */
export function flagsOf(record: MessageRecord): number {
  let flags = 0;
  if (record.id !== undefined) flags |= FIELD.id;
  if (record.timeMs !== undefined) flags |= FIELD.time;
  if (record.routingKey !== undefined) flags |= FIELD.routingKey;
  if (record.orderingKey !== undefined) flags |= FIELD.orderingKey;
  if (record.priority !== undefined) flags |= FIELD.priority;
  if (record.delayMs !== undefined) flags |= FIELD.delayMs;
  if (record.ttlMs !== undefined) flags |= FIELD.ttlMs;
  if (record.dedupId !== undefined) flags |= FIELD.dedupId;
  if (record.cancelKey !== undefined) flags |= FIELD.cancelKey;
  if (record.correlationId !== undefined) flags |= FIELD.correlationId;
  if (record.replyTo !== undefined) flags |= FIELD.replyTo;
  if (record.contentType !== undefined) flags |= FIELD.contentType;
  if (record.headers !== undefined) flags |= FIELD.headers;
  if (record.bodyReference === true) flags |= FIELD.bodyReference;
  if (record.death !== undefined) flags |= FIELD.death;
  return flags;
}
