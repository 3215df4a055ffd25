// Lays the fields of one record out where wasm/encode.ts reads them. It decides nothing: what breaks a rule is staged
// so that the kernel sees it and refuses it in its turn.
import type { Headers, HeaderValue, MessageRecord } from "./batch.ts";
import { HEADER_KIND } from "./batch.ts";
import { FIELD_NUMBER } from "./batch-refusals.ts";
import { BATCH_LIMITS } from "./limits.ts";
import { writeText } from "./utf8.ts";
import type { WasmKernel } from "./wasm-kernel.ts";

const ROW_BYTES = 16;
const HEADER_ROW_BYTES = 24;
const UNKNOWN_KIND = 255;

export class WasmStage {
  private readonly kernel: WasmKernel;
  private readonly rows: number;
  private readonly headerRows: number;
  private readonly start: number;
  /** Where the next staged text goes. */
  private at = 0;

  constructor(kernel: WasmKernel) {
    this.kernel = kernel;
    this.rows = kernel.exports.stageAddress();
    this.headerRows = kernel.exports.stageHeadersAddress();
    this.start = kernel.exports.stageBytesAddress();
  }

  /** Everything but the body, of which the kernel needs the size only. */
  put(record: MessageRecord): void {
    this.at = this.start;
    this.putText(record.id, FIELD_NUMBER.id);
    this.putNumber(record.timeMs, FIELD_NUMBER.timeMs);
    this.putText(record.routingKey, FIELD_NUMBER.routingKey);
    this.putText(record.orderingKey, FIELD_NUMBER.orderingKey);
    this.putNumber(record.priority, FIELD_NUMBER.priority);
    this.putNumber(record.delayMs, FIELD_NUMBER.delayMs);
    this.putNumber(record.ttlMs, FIELD_NUMBER.ttlMs);
    this.putText(record.dedupId, FIELD_NUMBER.dedupId);
    this.putText(record.cancelKey, FIELD_NUMBER.cancelKey);
    this.putText(record.correlationId, FIELD_NUMBER.correlationId);
    this.putText(record.replyTo, FIELD_NUMBER.replyTo);
    this.putText(record.contentType, FIELD_NUMBER.contentType);
    if (record.headers !== undefined) this.putHeaders(record.headers);
    this.putText(record.death, FIELD_NUMBER.death);
    this.putSize(FIELD_NUMBER.body, record.body.length);
  }

  private putSize(field: number, size: number): void {
    this.kernel.data.setUint32(this.rows + field * ROW_BYTES, size, true);
  }

  private putNumber(value: number | undefined, field: number): void {
    if (value !== undefined) this.kernel.data.setFloat64(this.rows + field * ROW_BYTES + 8, value, true);
  }

  private putText(text: string | undefined, field: number): void {
    if (text === undefined) return;
    const max = field === FIELD_NUMBER.death ? BATCH_LIMITS.deathBytesMax : BATCH_LIMITS.textBytesMax;
    this.putSize(field, this.stageText(text, max));
  }

  /** Stages the bytes and returns their size. A text that must be over the limit is not staged at all. */
  private stageText(text: string, max: number): number {
    if (text.length > max) return max + 1;
    const size = writeText(text, this.kernel.bytes, this.at);
    // A lone surrogate has no UTF-8. A byte that UTF-8 never has stands for it.
    if (size !== text.length && !text.isWellFormed()) this.kernel.bytes[this.at] = 0xff;
    this.at += size;
    return size;
  }

  private putHeaders(headers: Headers): void {
    const names = Object.keys(headers);
    this.putSize(FIELD_NUMBER.headers, names.length);
    if (names.length > BATCH_LIMITS.headersMax) return;
    const full = this.at + BATCH_LIMITS.headersBytesMax;
    for (const [index, name] of names.entries()) {
      this.putHeader(name, headers[name]!, this.headerRows + index * HEADER_ROW_BYTES);
      // The kernel refuses before it reads further, and the stage has room for no more.
      if (this.at > full) return;
    }
  }

  private putHeader(name: string, value: HeaderValue, row: number): void {
    const { data } = this.kernel;
    data.setUint32(row, this.stageText(name, BATCH_LIMITS.textBytesMax), true);
    data.setUint32(row + 8, 0, true);
    if (typeof value === "boolean") {
      data.setUint32(row + 4, value ? HEADER_KIND.true : HEADER_KIND.false, true);
    } else if (typeof value === "number") {
      data.setUint32(row + 4, HEADER_KIND.number, true);
      data.setFloat64(row + 16, value, true);
    } else if (typeof value === "string") {
      data.setUint32(row + 4, HEADER_KIND.text, true);
      data.setUint32(row + 8, this.stageText(value, BATCH_LIMITS.headersBytesMax), true);
    } else if (value instanceof Uint8Array) {
      data.setUint32(row + 4, HEADER_KIND.bytes, true);
      data.setUint32(row + 8, this.stageBytes(value), true);
    } else {
      data.setUint32(row + 4, UNKNOWN_KIND, true);
    }
  }

  private stageBytes(value: Uint8Array): number {
    if (value.length > BATCH_LIMITS.headersBytesMax) return BATCH_LIMITS.headersBytesMax + 1;
    this.kernel.bytes.set(value, this.at);
    this.at += value.length;
    return value.length;
  }
}
