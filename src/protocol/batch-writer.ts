// Encodes records. The twin is wasm/encode.ts: the order of the checks is the same there.
import { BATCH_HEADER_BYTES, BATCH_MAGIC, BROKER_FIELDS, HEADER_KIND, RECORD_HEADER_BYTES } from "./batch.ts";
import type { BatchSource, Headers, HeaderValue, MessageRecord } from "./batch.ts";
import { flagsOf } from "./batch-assembly.ts";
import { FIELD_NUMBER, REASON, numberMax, refuseBatch, type Reason } from "./batch-refusals.ts";
import { crc32c } from "./crc32c.ts";
import { BATCH_LIMITS } from "./limits.ts";
import { ok, type Result } from "./result.ts";
import { writeText } from "./utf8.ts";

/** Writes size, count, magic and checksum over a batch whose records are in place. */
export function sealBatch(bytes: Uint8Array, count: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(0, BATCH_MAGIC, true);
  view.setUint32(4, crc32c(bytes, BATCH_HEADER_BYTES), true);
  view.setUint32(8, bytes.length, true);
  view.setUint32(12, count, true);
}

/** A larger buffer is not kept for the next batch. */
const KEPT_BYTES_MAX = 65_536;

/** Keeps its buffer from batch to batch. A method that puts something returns false after it has noted a refusal. */
export class BatchWriter {
  private bytes = new Uint8Array(4_096);
  private view = new DataView(this.bytes.buffer);
  private at = BATCH_HEADER_BYTES;
  private reason: Reason = REASON.flags;
  private field = 0;

  /** The batch but for origin, sequence and time: the caller stamps it. */
  write(records: readonly MessageRecord[], source: BatchSource): Result<Uint8Array> {
    if (records.length === 0) return refuseBatch(REASON.noRecords, 0, 0);
    if (records.length > BATCH_LIMITS.recordsMax) return refuseBatch(REASON.recordsOver, 0, 0);
    const forbidden = source === "client" ? BROKER_FIELDS : 0;
    if (this.bytes.length > KEPT_BYTES_MAX) this.replace(new Uint8Array(4_096));
    this.at = BATCH_HEADER_BYTES;
    for (const [index, record] of records.entries()) {
      if (!this.putRecord(record, forbidden)) return refuseBatch(this.reason, index, this.field);
    }
    const batch = this.bytes.slice(0, this.at);
    sealBatch(batch, records.length);
    return ok(batch);
  }

  private replace(bytes: Uint8Array<ArrayBuffer>): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }

  private refuse(reason: Reason, field: number): false {
    this.reason = reason;
    this.field = field;
    return false;
  }

  private room(size: number): void {
    if (this.at + size <= this.bytes.length) return;
    const bytes = new Uint8Array(Math.max(this.at + size, this.bytes.length * 2));
    bytes.set(this.bytes.subarray(0, this.at));
    this.replace(bytes);
  }

  private putRecord(record: MessageRecord, forbidden: number): boolean {
    const flags = flagsOf(record);
    const notAllowed = flags & forbidden;
    if (notAllowed !== 0) return this.refuse(REASON.brokerOnly, 31 - Math.clz32(notAllowed & -notAllowed));
    const start = this.at;
    this.room(RECORD_HEADER_BYTES);
    this.at += RECORD_HEADER_BYTES;
    if (!this.putFields(record)) return false;
    const { body } = record;
    if (body.length > BATCH_LIMITS.bodyBytesMax) return this.refuse(REASON.fieldOver, FIELD_NUMBER.body);
    if (this.at + body.length > BATCH_LIMITS.batchBytesMax) return this.refuse(REASON.batchOver, 0);
    this.room(body.length);
    this.bytes.set(body, this.at);
    this.at += body.length;
    this.view.setUint32(start, this.at - start - 4, true);
    this.view.setUint16(start + 4, flags, true);
    return true;
  }

  private putFields(record: MessageRecord): boolean {
    return (
      this.putText(record.id, FIELD_NUMBER.id) &&
      this.putWhole(record.timeMs, FIELD_NUMBER.timeMs) &&
      this.putText(record.routingKey, FIELD_NUMBER.routingKey) &&
      this.putText(record.orderingKey, FIELD_NUMBER.orderingKey) &&
      this.putWhole(record.priority, FIELD_NUMBER.priority) &&
      this.putWhole(record.delayMs, FIELD_NUMBER.delayMs) &&
      this.putWhole(record.ttlMs, FIELD_NUMBER.ttlMs) &&
      this.putText(record.dedupId, FIELD_NUMBER.dedupId) &&
      this.putText(record.cancelKey, FIELD_NUMBER.cancelKey) &&
      this.putText(record.correlationId, FIELD_NUMBER.correlationId) &&
      this.putText(record.replyTo, FIELD_NUMBER.replyTo) &&
      this.putText(record.contentType, FIELD_NUMBER.contentType) &&
      this.putHeaders(record.headers) &&
      this.putText(record.death, FIELD_NUMBER.death)
    );
  }

  private putWhole(value: number | undefined, field: number): boolean {
    if (value === undefined) return true;
    if (!Number.isInteger(value) || value < 0 || value > numberMax(field)) {
      return this.refuse(REASON.notInRange, field);
    }
    this.room(8);
    if (field === FIELD_NUMBER.priority) {
      this.bytes[this.at++] = value;
      return true;
    }
    this.view.setBigUint64(this.at, BigInt(value), true);
    this.at += 8;
    return true;
  }

  /** A text with its size before it: one byte, or two for a death. */
  private putText(text: string | undefined, field: number): boolean {
    if (text === undefined) return true;
    const isDeath = field === FIELD_NUMBER.death;
    const max = isDeath ? BATCH_LIMITS.deathBytesMax : BATCH_LIMITS.textBytesMax;
    if (text === "" && field !== FIELD_NUMBER.routingKey) return this.refuse(REASON.fieldEmpty, field);
    if (text.length > max) return this.refuse(REASON.fieldOver, field);
    this.room(2 + text.length * 3);
    const start = this.at + (isDeath ? 2 : 1);
    const size = writeText(text, this.bytes, start);
    if (size > max) return this.refuse(REASON.fieldOver, field);
    // A lone surrogate has no UTF-8; it grew to three bytes, so text of the same size has none.
    if (size !== text.length && !text.isWellFormed()) return this.refuse(REASON.notUtf8, field);
    if (isDeath) this.view.setUint16(this.at, size, true);
    else this.bytes[this.at] = size;
    this.at = start + size;
    return true;
  }

  private putHeaders(headers: Headers | undefined): boolean {
    if (headers === undefined) return true;
    const names = Object.keys(headers);
    if (names.length > BATCH_LIMITS.headersMax) return this.refuse(REASON.headersOver, FIELD_NUMBER.headers);
    this.room(2);
    const start = this.at;
    this.at += 2;
    for (const name of names) if (!this.putHeader(name, headers[name]!, start + 2)) return false;
    this.view.setUint16(start, this.at - start - 2, true);
    return true;
  }

  private putHeader(name: string, value: HeaderValue, start: number): boolean {
    const field = FIELD_NUMBER.headers;
    if (name === "") return this.refuse(REASON.headerNameEmpty, field);
    if (name.length > BATCH_LIMITS.textBytesMax) return this.refuse(REASON.headerNameOver, field);
    this.room(2 + name.length * 3);
    const nameSize = writeText(name, this.bytes, this.at + 1);
    if (nameSize > BATCH_LIMITS.textBytesMax) return this.refuse(REASON.headerNameOver, field);
    if (nameSize !== name.length && !name.isWellFormed()) return this.refuse(REASON.headerNameNotUtf8, field);
    this.bytes[this.at] = nameSize;
    this.at += 1 + nameSize;
    return this.putHeaderValue(value, start + BATCH_LIMITS.headersBytesMax - this.at);
  }

  /** Kind and value, in no more than `left` bytes. */
  private putHeaderValue(value: HeaderValue, left: number): boolean {
    const field = FIELD_NUMBER.headers;
    if (typeof value === "boolean") {
      if (left < 1) return this.refuse(REASON.fieldOver, field);
      this.room(1);
      this.bytes[this.at++] = value ? HEADER_KIND.true : HEADER_KIND.false;
      return true;
    }
    if (typeof value === "number") {
      if (left < 9) return this.refuse(REASON.fieldOver, field);
      if (!Number.isFinite(value)) return this.refuse(REASON.headerNotFinite, field);
      this.room(9);
      this.bytes[this.at] = HEADER_KIND.number;
      this.view.setFloat64(this.at + 1, value, true);
      this.at += 9;
      return true;
    }
    const isText = typeof value === "string";
    if (!isText && !(value instanceof Uint8Array)) return this.refuse(REASON.headerKind, field);
    if (left < 3 + value.length) return this.refuse(REASON.fieldOver, field);
    this.room(3 + value.length * 3);
    let size = value.length;
    if (isText) size = writeText(value, this.bytes, this.at + 3);
    else this.bytes.set(value, this.at + 3);
    if (left < 3 + size) return this.refuse(REASON.fieldOver, field);
    if (isText && size !== value.length && !value.isWellFormed())
      return this.refuse(REASON.headerNotUtf8, field);
    this.bytes[this.at] = isText ? HEADER_KIND.text : HEADER_KIND.bytes;
    this.view.setUint16(this.at + 1, size, true);
    this.at += 3 + size;
    return true;
  }
}
