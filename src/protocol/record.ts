// One validated record as an object: in the broker on slow paths only (JSON answers, peeks, dead letters), in the SDK for
// every message that a handler looks into.
import {
  FIELD,
  HEADER_KIND,
  RECORD_HEADER_BYTES,
  type Headers,
  type HeaderValue,
  type MessageRecord,
} from "./batch.ts";
import { readText } from "./utf8.ts";

export { readText } from "./utf8.ts";

/**
 * Decodes the record whose u32 size is at `offset`. The bytes must have passed `scan`; nothing is checked again.
 * Body and byte headers are copies: a record keeps no batch alive and shares no memory with one.
 */
export function readRecord(bytes: Uint8Array, offset: number): MessageRecord {
  return new RecordReader(bytes, offset).read();
}

/** The headers alone, and nothing else of the record; null when it has none. */
export function readHeaders(bytes: Uint8Array, offset: number): Headers | null {
  return new RecordReader(bytes, offset).readHeaders();
}

/** The correlation id alone; null when the record has none. */
export function readCorrelationId(bytes: Uint8Array, offset: number): string | null {
  return new RecordReader(bytes, offset).readCorrelationId();
}

/** The id alone; null when the record has none. */
export function readId(bytes: Uint8Array, offset: number): string | null {
  return new RecordReader(bytes, offset).readId();
}

/** The cancel key alone; null when the record has none. */
export function readCancelKey(bytes: Uint8Array, offset: number): string | null {
  return new RecordReader(bytes, offset).readCancelKey();
}

const WHOLE_FIELDS = FIELD.time | FIELD.delayMs | FIELD.ttlMs;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const NO_BYTES = new Uint8Array(0);

/** A u32. By hand: a DataView for each record costs more than the rest of it. */
function readWord(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

class RecordReader {
  private readonly bytes: Uint8Array;
  private readonly end: number;
  private at: number;

  constructor(bytes: Uint8Array, offset: number) {
    this.bytes = bytes;
    this.end = offset + 4 + readWord(bytes, offset);
    this.at = offset;
  }

  /** In the order of the bits, since each field starts where the one before ends. */
  read(): MessageRecord {
    const flags = this.bytes[this.at + 4]! | (this.bytes[this.at + 5]! << 8);
    this.at += RECORD_HEADER_BYTES;
    const record: Mutable<MessageRecord> = { body: NO_BYTES };
    if (flags & FIELD.id) record.id = this.text();
    if (flags & FIELD.time) record.timeMs = this.whole();
    if (flags & FIELD.routingKey) record.routingKey = this.text();
    if (flags & FIELD.orderingKey) record.orderingKey = this.text();
    if (flags & FIELD.priority) record.priority = this.bytes[this.at++]!;
    if (flags & FIELD.delayMs) record.delayMs = this.whole();
    if (flags & FIELD.ttlMs) record.ttlMs = this.whole();
    if (flags & FIELD.dedupId) record.dedupId = this.text();
    if (flags & FIELD.cancelKey) record.cancelKey = this.text();
    if (flags & FIELD.correlationId) record.correlationId = this.text();
    if (flags & FIELD.replyTo) record.replyTo = this.text();
    if (flags & FIELD.contentType) record.contentType = this.text();
    if (flags & FIELD.headers) record.headers = this.headers();
    if (flags & FIELD.bodyReference) record.bodyReference = true;
    if (flags & FIELD.death) record.death = this.longText();
    record.body = this.bytes.slice(this.at, this.end);
    return record;
  }

  readHeaders(): Headers | null {
    return this.skipTo(FIELD.headers) ? this.headers() : null;
  }

  readCorrelationId(): string | null {
    return this.skipTo(FIELD.correlationId) ? this.text() : null;
  }

  readId(): string | null {
    return this.skipTo(FIELD.id) ? this.text() : null;
  }

  readCancelKey(): string | null {
    return this.skipTo(FIELD.cancelKey) ? this.text() : null;
  }

  /** Goes to a field that comes no later than the headers. False when the record lacks it. */
  private skipTo(field: number): boolean {
    const flags = this.bytes[this.at + 4]! | (this.bytes[this.at + 5]! << 8);
    this.at += RECORD_HEADER_BYTES;
    for (let bit = 1; bit < field; bit <<= 1) {
      if ((flags & bit) === 0) continue;
      if (bit & WHOLE_FIELDS) this.at += 8;
      else this.at += bit === FIELD.priority ? 1 : 1 + this.bytes[this.at]!;
    }
    return (flags & field) !== 0;
  }

  private text(): string {
    return this.take(this.bytes[this.at++]!);
  }

  private longText(): string {
    return this.take(this.size());
  }

  private take(size: number): string {
    this.at += size;
    return readText(this.bytes, this.at - size, size);
  }

  private size(): number {
    this.at += 2;
    return this.bytes[this.at - 2]! | (this.bytes[this.at - 1]! << 8);
  }

  private whole(): number {
    this.at += 8;
    return readWord(this.bytes, this.at - 4) * 2 ** 32 + readWord(this.bytes, this.at - 8);
  }

  private headers(): Headers {
    const size = this.size();
    const end = this.at + size;
    const entries: [string, HeaderValue][] = [];
    while (this.at < end) entries.push([this.text(), this.headerValue()]);
    // A header may be called `__proto__`: fromEntries defines it, where an assignment would set the prototype.
    return Object.fromEntries(entries);
  }

  private headerValue(): HeaderValue {
    const kind = this.bytes[this.at++]!;
    if (kind === HEADER_KIND.true || kind === HEADER_KIND.false) return kind === HEADER_KIND.true;
    if (kind === HEADER_KIND.number) {
      this.at += 8;
      return new DataView(this.bytes.buffer, this.bytes.byteOffset).getFloat64(this.at - 8, true);
    }
    if (kind === HEADER_KIND.text) return this.longText();
    const size = this.size();
    this.at += size;
    return this.bytes.slice(this.at - size, this.at);
  }
}
