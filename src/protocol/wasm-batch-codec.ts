// The batch codec on the wasm kernels: the broker's. The module is handed in, since each platform loads it its own way.
import { assert } from "./assert.ts";
import { BATCH_HEADER_BYTES, RecordTable, TABLE_STRIDE, stampBatch } from "./batch.ts";
import type { BatchCodec, BatchHeader, BatchSource, MessageRecord, RecordSlice } from "./batch.ts";
import { assertHeader, flagsOf, measureSlices } from "./batch-assembly.ts";
import { REASON, refuseBatch, type Reason } from "./batch-refusals.ts";
import { BATCH_LIMITS } from "./limits.ts";
import { ok, type Refusal, type Result } from "./result.ts";
import { OUTSIDE, WasmKernel } from "./wasm-kernel.ts";
import { WasmStage } from "./wasm-stage.ts";

/** A checksum of more bytes than a batch has is taken in steps, so that memory does not grow with it. */
const CHECKSUM_STEP = 1_048_576;

export class WasmBatchCodec implements BatchCodec {
  private readonly kernel: WasmKernel;
  private readonly stage: WasmStage;

  constructor(module: WebAssembly.Module) {
    this.kernel = new WasmKernel(module);
    this.stage = new WasmStage(this.kernel);
  }

  scan(bytes: Uint8Array, source: BatchSource): Result<RecordTable> {
    if (bytes.length > BATCH_LIMITS.batchBytesMax) return refuseBatch(REASON.batchOver, 0, 0);
    this.kernel.reserve(bytes.length);
    this.kernel.bytes.set(bytes, this.kernel.batch);
    const count = this.kernel.exports.scan(bytes.length, isClient(source));
    if (count < 0) return this.refusal(count);
    return ok(new RecordTable(count, this.kernel.copyTable(count * TABLE_STRIDE * 4)));
  }

  encode(records: readonly MessageRecord[], header: BatchHeader, source: BatchSource): Result<Uint8Array> {
    assertHeader(header);
    if (records.length === 0) return refuseBatch(REASON.noRecords, 0, 0);
    if (records.length > BATCH_LIMITS.recordsMax) return refuseBatch(REASON.recordsOver, 0, 0);
    let at = BATCH_HEADER_BYTES;
    for (const [index, record] of records.entries()) {
      this.stage.put(record);
      at = this.kernel.append(at, index, flagsOf(record), isClient(source));
      if (at < 0) return this.refusal(at);
      this.kernel.bytes.set(record.body, this.kernel.batch + at - record.body.length);
    }
    return ok(this.seal(at, records.length, header));
  }

  /** The slices must be of validated batches. A slice with another count of records than it says is a bug. */
  join(slices: readonly RecordSlice[], header: BatchHeader): Uint8Array {
    assertHeader(header);
    const { size, count } = measureSlices(slices);
    this.kernel.reserve(size);
    const { bytes } = this.kernel;
    let at = this.kernel.batch + BATCH_HEADER_BYTES;
    for (const slice of slices) {
      bytes.set(slice.bytes.subarray(slice.offset, slice.offset + slice.size), at);
      at += slice.size;
    }
    return this.seal(size, count, header);
  }

  checksum(bytes: Uint8Array): number {
    this.kernel.reserve(Math.min(bytes.length, CHECKSUM_STEP));
    let sum = 0;
    for (let at = 0; at < bytes.length; at += CHECKSUM_STEP) {
      const step = bytes.subarray(at, at + CHECKSUM_STEP);
      this.kernel.bytes.set(step, this.kernel.batch);
      sum = this.kernel.exports.checksum(step.length, sum);
    }
    return sum >>> 0;
  }

  private seal(size: number, count: number, header: BatchHeader): Uint8Array {
    assert(this.kernel.exports.seal(size, count) === 1, "the slices don't hold the records they say");
    const batch = this.kernel.copyBatch(size);
    stampBatch(batch, header);
    return batch;
  }

  private refusal(result: number): Refusal {
    assert(result !== OUTSIDE, "a size lies outside the wasm memory");
    const { exports } = this.kernel;
    return refuseBatch(-result as Reason, exports.refusedRecord(), exports.refusedField());
  }
}

function isClient(source: BatchSource): number {
  return source === "client" ? 1 : 0;
}
