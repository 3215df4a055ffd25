// Validates a whole batch. The twin is wasm/batch.ts: the order of the checks is the same there, because both must
// refuse the same bytes with the same words.
import { BATCH_HEADER_BYTES, BATCH_MAGIC, BROKER_FIELDS, FIELD, HEADER_KIND, TABLE_STRIDE } from "./batch.ts";
import { RECORD_HEADER_BYTES, RecordTable, type BatchSource } from "./batch.ts";
import { FIELD_NUMBER, REASON, numberMax, refuseBatch, type Reason } from "./batch-refusals.ts";
import { crc32c } from "./crc32c.ts";
import { BATCH_LIMITS } from "./limits.ts";
import { ok, type Result } from "./result.ts";
import { isUtf8 } from "./utf8.ts";

const KNOWN_FLAGS = 0x7fff;

/** The text fields between ttlMs and headers. */
const LATER_TEXTS = [
  FIELD_NUMBER.dedupId,
  FIELD_NUMBER.cancelKey,
  FIELD_NUMBER.correlationId,
  FIELD_NUMBER.replyTo,
  FIELD_NUMBER.contentType,
] as const;

export function scanBatch(bytes: Uint8Array, source: BatchSource): Result<RecordTable> {
  return new BatchScanner(bytes).scan(source === "client" ? BROKER_FIELDS : 0);
}

/** Within a record a method takes an offset and returns the next one, or 0 after it has noted a refusal. */
class BatchScanner {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private words = new Uint32Array(0);
  private doubles = new Float64Array(0);
  private reason: Reason = REASON.magic;
  private field = 0;
  /** Where the names of one record's headers lie: offset and size by turns. */
  private readonly names: number[] = [];

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  scan(forbidden: number): Result<RecordTable> {
    const wrong = this.checkHead();
    if (wrong !== null) return refuseBatch(wrong, 0, 0);
    const count = this.view.getUint32(12, true);
    const buffer = new ArrayBuffer(count * TABLE_STRIDE * 4);
    this.words = new Uint32Array(buffer);
    this.doubles = new Float64Array(buffer);
    let at = BATCH_HEADER_BYTES;
    for (let index = 0; index < count; index++) {
      at = this.record(at, index * TABLE_STRIDE, forbidden);
      if (at === 0) return refuseBatch(this.reason, index, this.field);
    }
    return at === this.bytes.length ? ok(new RecordTable(count, buffer)) : refuseBatch(REASON.leftOver, 0, 0);
  }

  private refuse(reason: Reason, field: number): 0 {
    this.reason = reason;
    this.field = field;
    return 0;
  }

  private checkHead(): Reason | null {
    const size = this.bytes.length;
    if (size > BATCH_LIMITS.batchBytesMax) return REASON.batchOver;
    if (size < BATCH_HEADER_BYTES) return REASON.batchShort;
    if (this.view.getUint32(0, true) !== BATCH_MAGIC) return REASON.magic;
    if (this.view.getUint32(8, true) !== size) return REASON.size;
    const count = this.view.getUint32(12, true);
    if (count === 0) return REASON.noRecords;
    if (count > BATCH_LIMITS.recordsMax) return REASON.recordsOver;
    return crc32c(this.bytes, BATCH_HEADER_BYTES) === this.view.getUint32(4, true) ? null : REASON.checksum;
  }

  private record(at: number, row: number, forbidden: number): number {
    if (at + 4 > this.bytes.length) return this.refuse(REASON.recordCut, 0);
    const size = this.view.getUint32(at, true);
    if (size < 2) return this.refuse(REASON.recordShort, 0);
    const end = at + 4 + size;
    if (end > this.bytes.length) return this.refuse(REASON.recordCut, 0);
    const flags = this.view.getUint16(at + 4, true);
    if ((flags & ~KNOWN_FLAGS) !== 0) return this.refuse(REASON.flags, 0);
    const notAllowed = flags & forbidden;
    if (notAllowed !== 0) return this.refuse(REASON.brokerOnly, 31 - Math.clz32(notAllowed & -notAllowed));

    this.words[row] = at;
    this.words[row + 1] = size + 4;
    this.words[row + 2] = flags;
    let body = this.earlyFields(at + RECORD_HEADER_BYTES, end, row, flags);
    if (body !== 0) body = this.lateFields(body, end, flags);
    if (body === 0) return 0;
    if (end - body > BATCH_LIMITS.bodyBytesMax) return this.refuse(REASON.fieldOver, FIELD_NUMBER.body);
    this.words[row + 6] = body;
    this.words[row + 7] = end - body;
    return end;
  }

  /** The fields up to ttlMs, in the order of their bits. */
  private earlyFields(at: number, end: number, row: number, flags: number): number {
    if (flags & FIELD.id && (at = this.text(at, end, FIELD_NUMBER.id)) === 0) return 0;
    if (flags & FIELD.time && (at = this.whole(at, end, FIELD_NUMBER.timeMs)) === 0) return 0;
    if (flags & FIELD.routingKey) {
      const key = at + 1;
      if ((at = this.text(at, end, FIELD_NUMBER.routingKey)) === 0) return 0;
      this.words[row + 12] = key;
      this.words[row + 13] = at - key;
    }
    if (flags & FIELD.orderingKey) {
      const key = at + 1;
      if ((at = this.text(at, end, FIELD_NUMBER.orderingKey)) === 0) return 0;
      this.words[row + 4] = key;
      this.words[row + 5] = at - key;
    }
    if (flags & FIELD.priority) {
      if (at >= end) return this.refuse(REASON.fieldCut, FIELD_NUMBER.priority);
      const priority = this.bytes[at++]!;
      if (priority > BATCH_LIMITS.priorityMax) return this.refuse(REASON.notInRange, FIELD_NUMBER.priority);
      this.words[row + 3] = priority;
    }
    if (flags & FIELD.delayMs) {
      if ((at = this.whole(at, end, FIELD_NUMBER.delayMs)) === 0) return 0;
      this.doubles[row / 2 + 4] = this.u64(at - 8);
    }
    if (flags & FIELD.ttlMs) {
      if ((at = this.whole(at, end, FIELD_NUMBER.ttlMs)) === 0) return 0;
      this.doubles[row / 2 + 5] = this.u64(at - 8);
    }
    return at;
  }

  private lateFields(at: number, end: number, flags: number): number {
    for (const field of LATER_TEXTS) {
      if (flags & (1 << field) && (at = this.text(at, end, field)) === 0) return 0;
    }
    if (flags & FIELD.headers && (at = this.headers(at, end)) === 0) return 0;
    if (flags & FIELD.death && (at = this.death(at, end)) === 0) return 0;
    return at;
  }

  private text(at: number, end: number, field: number): number {
    if (at >= end) return this.refuse(REASON.fieldCut, field);
    const size = this.bytes[at++]!;
    if (at + size > end) return this.refuse(REASON.fieldCut, field);
    if (size === 0 && field !== FIELD_NUMBER.routingKey) return this.refuse(REASON.fieldEmpty, field);
    if (!isUtf8(this.bytes, at, size)) return this.refuse(REASON.notUtf8, field);
    return at + size;
  }

  /** Inexact above 2^53, where every limit has been passed already. */
  private u64(at: number): number {
    return this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * 2 ** 32;
  }

  private whole(at: number, end: number, field: number): number {
    if (at + 8 > end) return this.refuse(REASON.fieldCut, field);
    if (this.u64(at) > numberMax(field)) return this.refuse(REASON.notInRange, field);
    return at + 8;
  }

  private death(at: number, end: number): number {
    const field = FIELD_NUMBER.death;
    if (at + 2 > end) return this.refuse(REASON.fieldCut, field);
    const size = this.view.getUint16(at, true);
    if (size > BATCH_LIMITS.deathBytesMax) return this.refuse(REASON.fieldOver, field);
    if (at + 2 + size > end) return this.refuse(REASON.fieldCut, field);
    if (size === 0) return this.refuse(REASON.fieldEmpty, field);
    if (!isUtf8(this.bytes, at + 2, size)) return this.refuse(REASON.notUtf8, field);
    return at + 2 + size;
  }

  private headers(at: number, recordEnd: number): number {
    const field = FIELD_NUMBER.headers;
    if (at + 2 > recordEnd) return this.refuse(REASON.fieldCut, field);
    const size = this.view.getUint16(at, true);
    if (size > BATCH_LIMITS.headersBytesMax) return this.refuse(REASON.fieldOver, field);
    at += 2;
    const end = at + size;
    if (end > recordEnd) return this.refuse(REASON.fieldCut, field);
    this.names.length = 0;
    while (at < end) {
      if (this.names.length === 2 * BATCH_LIMITS.headersMax) return this.refuse(REASON.headersOver, field);
      if ((at = this.headerName(at, end)) === 0) return 0;
      if ((at = this.headerValue(at, end)) === 0) return 0;
    }
    return at;
  }

  private headerName(at: number, end: number): number {
    const field = FIELD_NUMBER.headers;
    const size = this.bytes[at++]!;
    if (at + size > end) return this.refuse(REASON.headerCut, field);
    if (size === 0) return this.refuse(REASON.headerNameEmpty, field);
    if (!isUtf8(this.bytes, at, size)) return this.refuse(REASON.headerNameNotUtf8, field);
    for (let i = 0; i < this.names.length; i += 2) {
      if (this.names[i + 1] === size && this.isSame(this.names[i]!, at, size)) {
        return this.refuse(REASON.headerRepeated, field);
      }
    }
    this.names.push(at, size);
    return at + size;
  }

  private isSame(a: number, b: number, size: number): boolean {
    for (let i = 0; i < size; i++) if (this.bytes[a + i] !== this.bytes[b + i]) return false;
    return true;
  }

  private headerValue(at: number, end: number): number {
    const field = FIELD_NUMBER.headers;
    if (at >= end) return this.refuse(REASON.headerCut, field);
    const kind = this.bytes[at++]!;
    if (kind === HEADER_KIND.true || kind === HEADER_KIND.false) return at;
    if (kind === HEADER_KIND.number) {
      if (at + 8 > end) return this.refuse(REASON.headerCut, field);
      const isFinite = Number.isFinite(this.view.getFloat64(at, true));
      return isFinite ? at + 8 : this.refuse(REASON.headerNotFinite, field);
    }
    if (kind > HEADER_KIND.false) return this.refuse(REASON.headerKind, field);
    if (at + 2 > end) return this.refuse(REASON.headerCut, field);
    const size = this.view.getUint16(at, true);
    at += 2;
    if (at + size > end) return this.refuse(REASON.headerCut, field);
    if (kind === HEADER_KIND.text && !isUtf8(this.bytes, at, size)) {
      return this.refuse(REASON.headerNotUtf8, field);
    }
    return at + size;
  }
}
