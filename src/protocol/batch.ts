/**
 * The batch: the one layout of messages on the wire, on disk and in a delivery. PROTOCOL §2 draws it.
 * All integers are little-endian.
 *
 *   header, 40 bytes
 *     0  u32  magic "MLB1"                       4  u32  CRC-32C of the bytes from 40 to the end
 *     8  u32  size of the whole batch           12  u32  count of records
 *    16  u64  origin: which queue's numbering   24  u64  sequence of the first record
 *    32  u64  time of acceptance, ms since 1970
 *   then each record
 *     0  u32  size of what follows               4  u16  flags: which fields are present
 *     6  the present fields, in the order of their bits; then the body, to the record's end
 *
 * A client sends origin, sequence and time as zero. The broker writes them when it accepts the batch, which
 * is why the checksum leaves the header out.
 */
import type { Result } from "./result.ts";

export const BATCH_MAGIC = 0x31424c4d; // "MLB1" as a little-endian u32
export const BATCH_HEADER_BYTES = 40;
export const RECORD_HEADER_BYTES = 6;

/** The bit of each field. Stored: never renumber. */
export const FIELD = {
  /** text. The broker's: set when a message moved from another queue and keeps its id. */
  id: 1 << 0,
  /** u64 ms. The broker's: the original time of a moved message. */
  time: 1 << 1,
  routingKey: 1 << 2, // text
  orderingKey: 1 << 3, // text
  priority: 1 << 4, // u8
  delayMs: 1 << 5, // u64, from the time of acceptance
  ttlMs: 1 << 6, // u64, from the time of acceptance
  dedupId: 1 << 7, // text
  cancelKey: 1 << 8, // text
  correlationId: 1 << 9, // text
  replyTo: 1 << 10, // text
  contentType: 1 << 11, // text
  headers: 1 << 12, // u16 size, then per header: text name, u8 kind, value (HEADER_KIND)
  /** no bytes. The broker's: the body is a reference to a stored object. */
  bodyReference: 1 << 13,
  /** u16 size, then JSON. The broker's: why and where the message died (DeathRecord). */
  death: 1 << 14,
} as const;

/** Fields that only the broker may set: a batch from a client with one of these is refused. */
export const BROKER_FIELDS = FIELD.id | FIELD.time | FIELD.bodyReference | FIELD.death;

/** What follows a header's name. Stored: never renumber. */
export const HEADER_KIND = {
  text: 0, // u16 size, UTF-8
  bytes: 1, // u16 size, bytes
  number: 2, // f64
  true: 3,
  false: 4,
} as const;

export type HeaderValue = string | number | boolean | Uint8Array;
export type Headers = Readonly<Record<string, HeaderValue>>;

/** One message as an object. Only JSON clients, dead letters and peeks pay for this form. */
export interface MessageRecord {
  readonly id?: string;
  readonly timeMs?: number;
  readonly routingKey?: string;
  readonly orderingKey?: string;
  readonly priority?: number;
  readonly delayMs?: number;
  readonly ttlMs?: number;
  readonly dedupId?: string;
  readonly cancelKey?: string;
  readonly correlationId?: string;
  readonly replyTo?: string;
  readonly contentType?: string;
  readonly headers?: Headers;
  readonly bodyReference?: true;
  /** JSON text of a DeathRecord. */
  readonly death?: string;
  readonly body: Uint8Array;
}

export interface BatchHeader {
  readonly origin: number;
  readonly firstSequence: number;
  readonly timeMs: number;
}

/** Whether the batch comes from a client (broker fields refused) or from the broker itself. */
export type BatchSource = "client" | "broker";

/** Where a run of records lies in some batch. `offset` and `size` include each record's u32 size. */
export interface RecordSlice {
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly size: number;
  readonly count: number;
}

/**
 * Reads and writes batches. Two implementations run one contract suite: the wasm kernels (the broker's) and
 * plain TypeScript (the client's). Bytes that break the format are refused with `bad_batch`, or `body_too_large`
 * / `batch_too_large` over a limit, and the refusal names the record and the field. Nothing throws on bad bytes.
 */
export interface BatchCodec {
  /** Validates everything (sizes, checksum, UTF-8, limits) and tells where each record and its key fields lie. */
  scan(bytes: Uint8Array, source: BatchSource): Result<RecordTable>;
  /** Encodes records. Refuses what `scan` would refuse, with the same words. */
  encode(records: readonly MessageRecord[], header: BatchHeader, source: BatchSource): Result<Uint8Array>;
  /** Joins runs of valid records into a new batch. */
  join(slices: readonly RecordSlice[], header: BatchHeader): Uint8Array;
  /** CRC-32C (Castagnoli). */
  checksum(bytes: Uint8Array): number;
}

/** Words of 32 bits a record takes in a RecordTable. */
export const TABLE_STRIDE = 14;

/**
 * What a scan found, as numbers: one row of 56 bytes a record, so that a batch of a thousand makes one buffer
 * and no objects. Offsets count from the start of the batch.
 *
 *   u32 index: 0 record offset  1 record size (with its u32)  2 flags  3 priority  4 ordering key offset
 *              5 ordering key size  6 body offset  7 body size
 *   f64 at byte 32: delayMs   at byte 40: ttlMs      (0 when absent; the flag tells absent from zero)
 *   u32 index: 12 routing key offset  13 routing key size      (0 and 0 when absent; an empty key has a place)
 */
export class RecordTable {
  readonly count: number;
  private readonly words: Uint32Array;
  private readonly doubles: Float64Array;

  constructor(count: number, buffer: ArrayBuffer) {
    this.count = count;
    this.words = new Uint32Array(buffer);
    this.doubles = new Float64Array(buffer);
  }
  offset(index: number): number {
    return this.words[index * TABLE_STRIDE]!;
  }
  size(index: number): number {
    return this.words[index * TABLE_STRIDE + 1]!;
  }
  flags(index: number): number {
    return this.words[index * TABLE_STRIDE + 2]!;
  }
  priority(index: number): number {
    return this.words[index * TABLE_STRIDE + 3]!;
  }
  keyOffset(index: number): number {
    return this.words[index * TABLE_STRIDE + 4]!;
  }
  keySize(index: number): number {
    return this.words[index * TABLE_STRIDE + 5]!;
  }
  routingKeyOffset(index: number): number {
    return this.words[index * TABLE_STRIDE + 12]!;
  }
  routingKeySize(index: number): number {
    return this.words[index * TABLE_STRIDE + 13]!;
  }
  bodyOffset(index: number): number {
    return this.words[index * TABLE_STRIDE + 6]!;
  }
  bodySize(index: number): number {
    return this.words[index * TABLE_STRIDE + 7]!;
  }
  delayMs(index: number): number {
    return this.doubles[(index * TABLE_STRIDE) / 2 + 4]!;
  }
  ttlMs(index: number): number {
    return this.doubles[(index * TABLE_STRIDE) / 2 + 5]!;
  }
  /** Every flag that some record has: lets the usual batch skip all questions about single fields. */
  allFlags(): number {
    let all = 0;
    for (let i = 0; i < this.count; i++) all |= this.words[i * TABLE_STRIDE + 2]!;
    return all;
  }
}

export function readBatchHeader(bytes: Uint8Array): BatchHeader & { count: number; bytes: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    bytes: view.getUint32(8, true),
    count: view.getUint32(12, true),
    origin: Number(view.getBigUint64(16, true)),
    firstSequence: Number(view.getBigUint64(24, true)),
    timeMs: Number(view.getBigUint64(32, true)),
  };
}

/** Writes the broker's part of the header over the batch in place. */
export function stampBatch(bytes: Uint8Array, header: BatchHeader): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setBigUint64(16, BigInt(header.origin), true);
  view.setBigUint64(24, BigInt(header.firstSequence), true);
  view.setBigUint64(32, BigInt(header.timeMs), true);
}

/** What the broker writes over when it accepts the batch. */
export const UNSTAMPED: BatchHeader = { origin: 0, firstSequence: 0, timeMs: 0 };

/** A message's id when it carries none of its own: `<origin>-<sequence>`, both in base 36. */
export function messageId(origin: number, sequence: number): string {
  return idPrefix(origin) + sequence.toString(36);
}

/** What the ids of all messages of an origin begin with. */
export function idPrefix(origin: number): string {
  return `${origin.toString(36)}-`;
}

/** What `messageId` made an id of, or null when it did not. */
export function numbersOfId(id: string): { origin: number; sequence: number } | null {
  const match = /^([0-9a-z]{1,11})-([0-9a-z]{1,11})$/.exec(id);
  if (match === null) return null;
  const [origin, sequence] = [Number.parseInt(match[1]!, 36), Number.parseInt(match[2]!, 36)];
  if (!Number.isSafeInteger(origin) || !Number.isSafeInteger(sequence)) return null;
  return messageId(origin, sequence) === id ? { origin, sequence } : null;
}

/** The sequence in an id that `messageId` made for this origin, or null. */
export function sequenceOfId(id: string, origin: number): number | null {
  const numbers = numbersOfId(id);
  return numbers?.origin === origin ? numbers.sequence : null;
}
