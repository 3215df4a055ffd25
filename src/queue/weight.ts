// What messages count for where a queue's bytes are limited: their records, and their bodies where those lie in the bucket.
import { FIELD, type RecordTable } from "../protocol/batch.ts";
import { referencedBytes } from "../protocol/referenced-bytes.ts";
import type { QueueContext } from "./context.ts";
import type { Segment } from "./segments.ts";

/** Of a message that is to be taken. */
export function recordWeight(batch: Uint8Array, table: RecordTable, index: number): number {
  const size = table.size(index);
  const isReference = (table.flags(index) & FIELD.bodyReference) !== 0;
  return isReference ? size + referencedBytes(batch, table.offset(index)) : size;
}

/** Of a message that the queue holds. What an earlier version took was counted without its body, and goes so. */
export function weightOf(queue: QueueContext, segment: Segment, index: number): number {
  const { bodiesFrom } = queue.ledger.now;
  const isPlain = (segment.flags & FIELD.bodyReference) === 0 || segment.first + index < bodiesFrom;
  return isPlain ? segment.table.size(index) : recordWeight(segment.bytes, segment.table, index);
}

/** Of all messages of a new segment. */
export function segmentWeight(segment: Segment): number {
  if ((segment.flags & FIELD.bodyReference) === 0) return segment.recordBytes;
  let bytes = 0;
  for (let i = 0; i < segment.count; i++) bytes += recordWeight(segment.bytes, segment.table, i);
  return bytes;
}
