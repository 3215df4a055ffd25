// The batch codec in plain TypeScript: the client's, and the oracle of the wasm kernels.
import { assert } from "./assert.ts";
import { BATCH_HEADER_BYTES, RECORD_HEADER_BYTES, stampBatch, type RecordTable } from "./batch.ts";
import type { BatchCodec, BatchHeader, BatchSource, MessageRecord, RecordSlice } from "./batch.ts";
import { assertHeader, measureSlices } from "./batch-assembly.ts";
import { scanBatch } from "./batch-scanner.ts";
import { BatchWriter, sealBatch } from "./batch-writer.ts";
import { crc32c } from "./crc32c.ts";
import type { Result } from "./result.ts";

export class TypeScriptBatchCodec implements BatchCodec {
  private readonly writer = new BatchWriter();

  scan(bytes: Uint8Array, source: BatchSource): Result<RecordTable> {
    return scanBatch(bytes, source);
  }

  encode(records: readonly MessageRecord[], header: BatchHeader, source: BatchSource): Result<Uint8Array> {
    assertHeader(header);
    const written = this.writer.write(records, source);
    if (written.ok) stampBatch(written.value, header);
    return written;
  }

  /** The slices must be of validated batches. A slice with another count of records than it says is a bug. */
  join(slices: readonly RecordSlice[], header: BatchHeader): Uint8Array {
    assertHeader(header);
    const { size, count } = measureSlices(slices);
    const batch = new Uint8Array(size);
    let at = BATCH_HEADER_BYTES;
    for (const slice of slices) {
      batch.set(slice.bytes.subarray(slice.offset, slice.offset + slice.size), at);
      at += slice.size;
    }
    assert(countRecords(batch) === count, "the slices don't hold the records they say");
    sealBatch(batch, count);
    stampBatch(batch, header);
    return batch;
  }

  checksum(bytes: Uint8Array): number {
    return crc32c(bytes);
  }
}

/** Counts the records that fill the batch exactly; -1 when they don't. */
function countRecords(batch: Uint8Array): number {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  let at = BATCH_HEADER_BYTES;
  let count = 0;
  for (; at + RECORD_HEADER_BYTES <= batch.length; count++) {
    const size = view.getUint32(at, true);
    if (size < 2) return -1;
    at += 4 + size;
  }
  return at === batch.length ? count : -1;
}
