// What every BatchCodec must do. Vectors say most of it; here is what a single batch can't show.
import { describe, expect, it } from "vitest";
import { BATCH_HEADER_BYTES, FIELD, readBatchHeader, stampBatch } from "../../src/protocol/batch.ts";
import type { BatchCodec, MessageRecord, RecordSlice, RecordTable } from "../../src/protocol/batch.ts";
import { BATCH_LIMITS } from "../../src/protocol/limits.ts";
import { readRecord } from "../../src/protocol/record.ts";
import type { Result } from "../../src/protocol/result.ts";
import { readBatchVectors } from "../support/vectors.ts";

const HEADER = { origin: 17, firstSequence: 1_000, timeMs: 1_790_000_000_000 };
const VECTORS = readBatchVectors();

export function batchCodecContract(name: string, makeCodec: () => BatchCodec): void {
  describe(`${name} as a BatchCodec`, () => {
    vectorTests(makeCodec());
    scanTests(makeCodec());
    encodeTests(makeCodec());
    sizeTests(makeCodec);
    joinTests(makeCodec());
    checksumTests(makeCodec());
  });
}

function vectorTests(codec: BatchCodec): void {
  for (const { name, why, source, bytes, expected } of VECTORS.batches) {
    if ("refusal" in expected) {
      it(`refuses "${name}"`, () => {
        expect(codec.scan(bytes, source), why).toEqual({ ok: false, ...expected.refusal });
      });
      continue;
    }
    it(`reads and writes "${name}"`, () => {
      const table = accepted(codec.scan(bytes, source));
      expect(readBatchHeader(bytes), why).toMatchObject(expected.header);
      expect(plain(readAll(bytes, table)), why).toEqual(plain(expected.records));
      const written = accepted(codec.encode(expected.records, expected.header, source));
      expect(Buffer.compare(written, bytes), why).toBe(0);
    });
  }
  for (const { name, why, source, record, refusal } of VECTORS.records) {
    it(`refuses to encode "${name}"`, () => {
      expect(codec.encode([record], HEADER, source), why).toEqual({ ok: false, ...refusal });
    });
  }
}

function scanTests(codec: BatchCodec): void {
  it("tells where the fields of each record lie", () => {
    const records = [
      { orderingKey: "key", priority: 7, delayMs: 5e9, ttlMs: 1, routingKey: "a.b", body: text("one") },
      { body: text("two") },
      { ttlMs: 31_622_400_000, routingKey: "", body: text("") },
    ];
    const batch = accepted(codec.encode(records, HEADER, "client"));
    const table = accepted(codec.scan(batch, "client"));
    expect(table.count).toBe(3);
    expect(table.offset(0)).toBe(BATCH_HEADER_BYTES);
    expect(table.offset(1)).toBe(table.offset(0) + table.size(0));
    expect(table.offset(2) + table.size(2)).toBe(batch.length);
    expect(slice(batch, table.keyOffset(0), table.keySize(0))).toBe("key");
    expect(slice(batch, table.bodyOffset(0), table.bodySize(0))).toBe("one");
    expect([table.priority(0), table.delayMs(0), table.ttlMs(0)]).toEqual([7, 5e9, 1]);
    expect(slice(batch, table.bodyOffset(1), table.bodySize(1))).toBe("two");
    expect([table.priority(1), table.delayMs(1), table.ttlMs(1), table.keySize(1)]).toEqual([0, 0, 0, 0]);
    expect([table.keyOffset(1), table.flags(1), table.ttlMs(2)]).toEqual([0, 0, 31_622_400_000]);
    expect(slice(batch, table.routingKeyOffset(0), table.routingKeySize(0))).toBe("a.b");
    expect([table.routingKeyOffset(1), table.routingKeySize(1)]).toEqual([0, 0]);
    expect([table.routingKeyOffset(2), table.routingKeySize(2)]).toEqual([table.offset(2) + 7, 0]);
    const early = FIELD.orderingKey | FIELD.priority | FIELD.delayMs | FIELD.ttlMs | FIELD.routingKey;
    expect(table.flags(0)).toBe(early);
    expect(table.allFlags()).toBe(early);
  });

  it("keeps an earlier table when it scans again", () => {
    const first = accepted(codec.encode([{ priority: 9, body: text("first") }], HEADER, "client"));
    const table = accepted(codec.scan(first, "client"));
    const other = accepted(codec.encode([{ body: text("x") }, { body: text("y") }], HEADER, "client"));
    accepted(codec.scan(other, "client"));
    expect([table.count, table.priority(0), table.bodySize(0)]).toEqual([1, 9, 5]);
  });

  it("reads a batch from the middle of a buffer and leaves it as it was", () => {
    const batch = accepted(codec.encode([{ orderingKey: "k", body: text("body") }], HEADER, "client"));
    const around = new Uint8Array(batch.length + 13).fill(0xff);
    around.set(batch, 7);
    const before = around.slice();
    const inside = around.subarray(7, 7 + batch.length);
    const table = accepted(codec.scan(inside, "client"));
    expect(readAll(inside, table)).toEqual([{ orderingKey: "k", body: text("body") }]);
    expect(around).toEqual(before);
  });

  it("accepts from the broker what the broker stamped", () => {
    const batch = accepted(codec.encode([{ body: text("x") }], HEADER, "client"));
    stampBatch(batch, { origin: 1, firstSequence: 2, timeMs: 3 });
    accepted(codec.scan(batch, "broker"));
    expect(readBatchHeader(batch)).toMatchObject({ origin: 1, firstSequence: 2, timeMs: 3, count: 1 });
  });

  it("tells UTF-8 from other bytes as the platform does, for every first byte and every kind of second", () => {
    const platform = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const batch = accepted(codec.encode([{ body: new Uint8Array(5) }], HEADER, "client"));
    batch[BATCH_HEADER_BYTES + 4] = FIELD.routingKey;
    const view = new DataView(batch.buffer);
    for (let i = 0x80 << 7; i < 0x100 << 7; i++) {
      // Eight bits of the first byte, the second's high half, its low half as 0 or 15, and the size.
      const [first, high, low, size] = [i >> 7, (i >> 3) & 15, (i & 4) * 3.75, (i & 3) + 1];
      const text = [first, (high << 4) | low, 0x80, 0xbf].slice(0, size);
      batch.set([size, ...text, 0x80, 0x80, 0x80].slice(0, 5), BATCH_HEADER_BYTES + 6);
      view.setUint32(4, codec.checksum(batch.subarray(BATCH_HEADER_BYTES)), true);
      const isText = isAccepted(() => platform.decode(Uint8Array.from(text)));
      if (codec.scan(batch, "client").ok !== isText) expect.unreachable(`${text.join()} is text: ${isText}`);
    }
  });

  it("reads records as copies", () => {
    const record = { headers: { raw: text("raw") }, body: text("body") };
    const batch = accepted(codec.encode([record], HEADER, "client"));
    const read = readRecord(batch, BATCH_HEADER_BYTES);
    batch.fill(0);
    expect(read).toEqual(record);
  });

  it("leaves Object.prototype alone when a header is called __proto__", () => {
    const headers = JSON.parse('{"__proto__": "x", "polluted": true}') as Record<string, string>;
    const batch = accepted(codec.encode([{ headers, body: text("") }], HEADER, "client"));
    const read = readRecord(batch, BATCH_HEADER_BYTES).headers!;
    expect(Object.entries(read)).toEqual([
      ["__proto__", "x"],
      ["polluted", true],
    ]);
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
    expect("polluted" in {}).toBe(false);
  });
}

function encodeTests(codec: BatchCodec): void {
  it("writes the header it is given", () => {
    const batch = accepted(codec.encode([{ body: text("x") }], HEADER, "broker"));
    expect(readBatchHeader(batch)).toEqual({ ...HEADER, count: 1, bytes: batch.length });
  });

  it("takes an undefined field for an absent one", () => {
    const record = { priority: undefined, headers: undefined, body: text("x") } as unknown as MessageRecord;
    const batch = accepted(codec.encode([record], HEADER, "client"));
    expect(readRecord(batch, BATCH_HEADER_BYTES)).toEqual({ body: text("x") });
  });

  it("refuses no records and too many", () => {
    const many = Array.from({ length: BATCH_LIMITS.recordsMax + 1 }, () => ({ body: text("") }));
    const empty = { ok: false, code: "bad_batch", detail: "the batch has no records" };
    expect(codec.encode([], HEADER, "client")).toEqual(empty);
    const over = { ok: false, code: "bad_batch", detail: "the batch has over 4096 records" };
    expect(codec.encode(many, HEADER, "client")).toEqual(over);
    accepted(codec.encode(many.slice(1), HEADER, "client"));
  });

  it("refuses numbers that are none, and names the record", () => {
    const refusal = (record: MessageRecord) => {
      const result = codec.encode([{ body: text("") }, record], HEADER, "client");
      return result.ok ? null : result.detail;
    };
    const range = "is not a whole number from 0 to";
    expect(refusal({ priority: Number.NaN, body: text("") })).toBe(`record 1: priority ${range} 31`);
    expect(refusal({ ttlMs: Number.POSITIVE_INFINITY, body: text("") })).toContain(
      `record 1: ttlMs ${range}`,
    );
    expect(refusal({ delayMs: 0.5, body: text("") })).toContain(`record 1: delayMs ${range}`);
    const words = "record 1: a header's value is not a finite number";
    expect(refusal({ headers: { a: Number.NaN }, body: text("") })).toBe(words);
    const kind = { headers: { a: null }, body: text("") } as unknown as MessageRecord;
    expect(refusal(kind)).toBe("record 1: a header's value is of an unknown kind");
  });

  it("refuses headers that are far over every limit", () => {
    const long = "\u20ac".repeat(16_384);
    const headers = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`${i}`, long]));
    const result = codec.encode([{ headers, death: long, body: text("") }], HEADER, "broker");
    expect(result).toMatchObject({ detail: "record 0: headers is over 16384 bytes" });
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`${i}`, ""]));
    const more = codec.encode([{ headers: many, body: text("") }], HEADER, "client");
    expect(more).toMatchObject({ detail: "record 0: headers are more than 64" });
  });

  it("throws at a header that is no count: a bug of the caller", () => {
    for (const wrong of [-1, 1.5, 2 ** 53, Number.NaN]) {
      expect(() => codec.encode([{ body: text("") }], { ...HEADER, origin: wrong }, "broker")).toThrow(
        "origin",
      );
    }
  });
}

function sizeTests(makeCodec: () => BatchCodec): void {
  const half = new Uint8Array(950_000 - BATCH_HEADER_BYTES / 2 - 6).fill(0x61);

  it("carries a batch of exactly the limit, in and out, with a codec that has seen small ones", () => {
    const codec = makeCodec();
    accepted(codec.scan(accepted(codec.encode([{ body: text("small") }], HEADER, "client")), "client"));
    const batch = accepted(codec.encode([{ body: half }, { body: half }], HEADER, "client"));
    expect(batch.length).toBe(BATCH_LIMITS.batchBytesMax);
    const table = accepted(makeCodec().scan(batch, "client"));
    expect(Buffer.compare(readRecord(batch, table.offset(1)).body, half)).toBe(0);
    const joined = makeCodec().join([whole(batch, table)], HEADER);
    expect(Buffer.compare(joined, batch)).toBe(0);
  });

  it("refuses to encode a batch of one byte more", () => {
    const more = new Uint8Array(half.length + 1);
    const result = makeCodec().encode([{ body: half }, { body: more }], HEADER, "client");
    expect(result).toEqual({ ok: false, code: "batch_too_large", detail: "the batch is over 1900000 bytes" });
  });

  it("stages no more of too many headers than there is room for", () => {
    const big = new Uint8Array(BATCH_LIMITS.headersBytesMax).fill(1);
    const headers = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`h${i}`, big]));
    const result = makeCodec().encode([{ headers, body: text("") }], HEADER, "client");
    expect(result).toMatchObject({ detail: "record 0: headers is over 16384 bytes" });
  });

  it("carries 4096 records with every text at its limit of size", () => {
    const codec = makeCodec();
    const records = Array.from({ length: 4_096 }, (_, i) => ({
      orderingKey: `${i}`.padStart(255, "k"),
      body: new Uint8Array(i % 100),
    }));
    const batch = accepted(codec.encode(records, HEADER, "client"));
    expect(plain(readAll(batch, accepted(codec.scan(batch, "client"))))).toEqual(plain(records));
  });
}

function joinTests(codec: BatchCodec): void {
  const records = Array.from({ length: 9 }, (_, i) => ({ orderingKey: `k${i}`, body: text(`body ${i}`) }));
  const batch = accepted(codec.encode(records, HEADER, "client"));
  const table = accepted(codec.scan(batch, "client"));

  it("makes of runs the batch that encoding their records makes", () => {
    const other = accepted(codec.encode([{ id: "x-1", body: text("other") }], HEADER, "broker"));
    const slices = [run(batch, table, 2, 3), whole(other, accepted(codec.scan(other, "broker")))];
    const header = { origin: 1, firstSequence: 2, timeMs: 3 };
    const joined = codec.join([...slices, run(batch, table, 0, 1)], header);
    const expected = [...records.slice(2, 5), { id: "x-1", body: text("other") }, records[0]!];
    expect(joined).toEqual(accepted(codec.encode(expected, header, "broker")));
    expect(readAll(joined, accepted(codec.scan(joined, "broker")))).toEqual(expected);
  });

  it("allows a run of no records", () => {
    expect(codec.join([run(batch, table, 3, 0), whole(batch, table)], HEADER)).toEqual(batch);
  });

  it("throws at slices that can't be: a bug of the caller", () => {
    const good = run(batch, table, 0, 2);
    const wrong: RecordSlice[][] = [
      [],
      [{ ...good, count: 3 }],
      [{ ...good, size: good.size - 1 }],
      [{ ...good, offset: good.offset + 1 }],
      [{ ...good, size: batch.length }],
      [{ ...good, offset: -1 }],
      Array.from({ length: 2_049 }, () => good),
    ];
    for (const slices of wrong) expect(() => codec.join(slices, HEADER)).toThrow();
    expect(() => codec.join([good], { ...HEADER, timeMs: -1 })).toThrow("timeMs");
  });
}

function checksumTests(codec: BatchCodec): void {
  it("computes CRC-32C as RFC 3720 does", () => {
    expect(codec.checksum(new Uint8Array(0))).toBe(0);
    expect(codec.checksum(text("123456789"))).toBe(0xe3069283);
    expect(codec.checksum(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(codec.checksum(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(codec.checksum(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  });

  it("agrees with the definition at every length of a few steps, and past a batch's size", () => {
    const bytes = Uint8Array.from({ length: 2_500_000 }, (_, i) => (i * 167 + (i >> 8)) & 0xff);
    for (let size = 0; size < 70; size++) {
      expect(codec.checksum(bytes.subarray(1, 1 + size))).toBe(slowChecksum(bytes.subarray(1, 1 + size)));
    }
    expect(codec.checksum(bytes)).toBe(slowChecksum(bytes));
  });
}

/** The definition, bit by bit. */
function slowChecksum(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0x82f63b78 & -(crc & 1));
  }
  return ~crc >>> 0;
}

function accepted<T>(result: Result<T>): T {
  expect(result.ok ? "accepted" : result.detail).toBe("accepted");
  return (result as { value: T }).value;
}

function readAll(bytes: Uint8Array, table: RecordTable): MessageRecord[] {
  return Array.from({ length: table.count }, (_, i) => readRecord(bytes, table.offset(i)));
}

/** Bodies as strings: comparing a million array elements takes seconds. */
function plain(records: readonly MessageRecord[]): unknown[] {
  return records.map((record) => ({ ...record, body: Buffer.from(record.body).toString("latin1") }));
}

function run(bytes: Uint8Array, table: RecordTable, first: number, count: number): RecordSlice {
  let size = 0;
  for (let i = first; i < first + count; i++) size += table.size(i);
  return { bytes, offset: table.offset(first), size, count };
}

function whole(bytes: Uint8Array, table: RecordTable): RecordSlice {
  return run(bytes, table, 0, table.count);
}

function isAccepted(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function slice(bytes: Uint8Array, offset: number, size: number): string {
  return Buffer.from(bytes.subarray(offset, offset + size)).toString();
}
