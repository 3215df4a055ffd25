/**
 * Bytes that lie in the bucket for a batch's messages. Without a scan, which whoever takes the batch does anyway: what
 * is not well formed is refused there, and counts for nothing here.
 */
import { BATCH_HEADER_BYTES, FIELD } from "./batch.ts";
import { readBodyReference } from "./message-json.ts";
import { readRecord } from "./record.ts";

/** A record's u32 size and u16 flags. */
const SIZE_BYTES = 4;
const RECORD_HEADER_BYTES = 6;

/** Of a record whose body is a reference. */
export function referencedBytes(batch: Uint8Array, offset: number): number {
  return readBodyReference(readRecord(batch, offset).body).bytes;
}

/** Of all records of a batch that the broker encoded. */
export function referencedBytesIn(batch: Uint8Array): number {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  let bytes = 0;
  let at = BATCH_HEADER_BYTES;
  while (at + RECORD_HEADER_BYTES <= batch.byteLength) {
    const end = at + SIZE_BYTES + view.getUint32(at, true);
    if (end > batch.byteLength) break;
    const isReference = (view.getUint16(at + SIZE_BYTES, true) & FIELD.bodyReference) !== 0;
    if (isReference) bytes += referencedBytes(batch, at);
    at = end;
  }
  return bytes;
}
