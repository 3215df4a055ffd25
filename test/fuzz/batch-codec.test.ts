// The wasm kernels against plain TypeScript: the same answers to anything, and no byte outside the batch counts.
// Repeat a failure with FUZZ_SEED=<seed>; run longer with FUZZ_RUNS=<count>.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BATCH_HEADER_BYTES, BATCH_MAGIC, FIELD, RECORD_HEADER_BYTES } from "../../src/protocol/batch.ts";
import { TABLE_STRIDE } from "../../src/protocol/batch.ts";
import type { BatchSource, MessageRecord } from "../../src/protocol/batch.ts";
import { crc32c } from "../../src/protocol/crc32c.ts";
import { readRecord } from "../../src/protocol/record.ts";
import { TypeScriptBatchCodec } from "../../src/protocol/typescript-batch-codec.ts";
import { WasmBatchCodec } from "../../src/protocol/wasm-batch-codec.ts";
import type { KernelExports } from "../../src/protocol/wasm-kernel.ts";
import { anyRecord, goodRecord } from "../support/record-arbitrary.ts";
import { fuzzRun } from "../support/seed.ts";
import { loadWasmModule } from "../support/wasm-module.ts";

const run = fuzzRun(400);
const typescript = new TypeScriptBatchCodec();
const wasm = new WasmBatchCodec(loadWasmModule());
const HEADER = { origin: 1, firstSequence: 2, timeMs: 3 };
const SOURCE = fc.constantFrom<BatchSource>("client", "broker");

/** A scan's answer as plain data: the refusal, or the table's rows. */
function answer(
  codec: TypeScriptBatchCodec | WasmBatchCodec,
  bytes: Uint8Array,
  source: BatchSource,
): unknown {
  const result = codec.scan(bytes, source);
  if (!result.ok) return result;
  const t = result.value;
  return Array.from({ length: t.count }, (_, i) => [
    [t.offset(i), t.size(i), t.flags(i), t.priority(i), t.keyOffset(i), t.keySize(i)],
    [t.bodyOffset(i), t.bodySize(i), t.delayMs(i), t.ttlMs(i), t.routingKeyOffset(i), t.routingKeySize(i)],
  ]);
}

/** Makes size and checksum right again, so that the bytes behind them are looked at. */
function mend(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(8, bytes.length, true);
  view.setUint32(4, crc32c(bytes, BATCH_HEADER_BYTES), true);
  return bytes;
}

interface Damage {
  readonly at: number;
  readonly kind: "set" | "flip" | "drop" | "insert" | "cut";
  readonly byte: number;
}

const DAMAGES = fc.array(
  fc.record<Damage>({
    at: fc.nat(400),
    kind: fc.constantFrom("set", "flip", "drop", "insert", "cut"),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xc0, 0xed, 0xf4, 0xff)),
  }),
  { minLength: 1, maxLength: 4 },
);

function damaged(batch: Uint8Array, damages: readonly Damage[]): Uint8Array {
  const bytes = Array.from(batch);
  for (const { at, kind, byte } of damages) {
    const place = at % bytes.length;
    if (kind === "set") bytes[place] = byte;
    else if (kind === "flip") bytes[place] = bytes[place]! ^ (1 << (byte & 7));
    else if (kind === "drop") bytes.splice(place, 1);
    else if (kind === "insert") bytes.splice(place, 0, byte);
    else bytes.length = Math.max(place, BATCH_HEADER_BYTES + 1);
  }
  return Uint8Array.from(bytes);
}

function encoded(records: readonly MessageRecord[]): Uint8Array {
  const result = typescript.encode(records, HEADER, "broker");
  if (!result.ok) throw new Error(result.detail);
  return result.value;
}

/** A batch of one record of these bytes, with all sizes right. */
function noiseBatch(flags: number, fields: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(BATCH_HEADER_BYTES + RECORD_HEADER_BYTES + fields.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, BATCH_MAGIC, true);
  view.setUint32(12, 1, true);
  view.setUint32(BATCH_HEADER_BYTES, 2 + fields.length, true);
  view.setUint16(BATCH_HEADER_BYTES + 4, flags, true);
  bytes.set(fields, BATCH_HEADER_BYTES + RECORD_HEADER_BYTES);
  return mend(bytes);
}

function isUtf8ByPlatform(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

const batches = fc.array(goodRecord, { minLength: 1, maxLength: 5 }).map((records) => encoded(records));

describe(`batch codecs, FUZZ_SEED=${run.seed}`, () => {
  it("carry any record, and make the same bytes of it", () => {
    const property = fc.property(fc.array(goodRecord, { minLength: 1, maxLength: 5 }), (records) => {
      const batch = encoded(records);
      expect(wasm.encode(records, HEADER, "broker")).toEqual({ ok: true, value: batch });
      const table = typescript.scan(batch, "broker");
      if (!table.ok) throw new Error(table.detail);
      expect(answer(wasm, batch, "broker")).toEqual(answer(typescript, batch, "broker"));
      expect(records.map((_, i) => readRecord(batch, table.value.offset(i)))).toEqual(records);
    });
    fc.assert(property, run);
  });

  it("refuse the same records with the same words, and encode nothing that a scan would refuse", () => {
    const records = fc.array(fc.oneof(goodRecord, anyRecord, anyRecord), { minLength: 1, maxLength: 3 });
    const property = fc.property(records, SOURCE, (some, source) => {
      const ours = typescript.encode(some, HEADER, source);
      expect(wasm.encode(some, HEADER, source)).toEqual(ours);
      if (ours.ok) expect(typescript.scan(ours.value, source).ok).toBe(true);
    });
    fc.assert(property, run);
  });

  it("answer alike to damaged batches", () => {
    const property = fc.property(batches, DAMAGES, SOURCE, fc.boolean(), (batch, damages, source, mended) => {
      const bytes = damaged(batch, damages);
      if (mended && bytes.length >= BATCH_HEADER_BYTES) mend(bytes);
      expect(answer(wasm, bytes, source)).toEqual(answer(typescript, bytes, source));
    });
    fc.assert(property, { ...run, numRuns: run.numRuns * 5 });
  });

  it("answer alike to bytes of no sense behind a good header", () => {
    const property = fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.integer({ min: 0, max: 3 }),
      (noise, count) => {
        const bytes = new Uint8Array(BATCH_HEADER_BYTES + noise.length);
        bytes.set([0x4d, 0x4c, 0x42, 0x31]);
        bytes[12] = count;
        bytes.set(noise, BATCH_HEADER_BYTES);
        mend(bytes);
        // A first record that fills the batch gets the fields looked at more often than a random size does.
        if (noise.length >= 6)
          new DataView(bytes.buffer).setUint32(BATCH_HEADER_BYTES, noise.length - 4, true);
        bytes[BATCH_HEADER_BYTES + 5]! &= 0x7f;
        mend(bytes);
        expect(answer(wasm, bytes, "broker")).toEqual(answer(typescript, bytes, "broker"));
        expect(answer(wasm, noise, "broker")).toEqual(answer(typescript, noise, "broker"));
      },
    );
    fc.assert(property, { ...run, numRuns: run.numRuns * 2 });
  });

  it("tell UTF-8 from other bytes as the platform does", () => {
    const lead = [
      0x00, 0x41, 0x7f, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf4, 0xf5,
    ];
    const byte = fc.constantFrom(...lead, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0x80, 0x90, 0xa0, 0xbf, 0xff);
    const good = fc
      .string({ unit: "binary", maxLength: 20 })
      .map((text) => Array.from(new TextEncoder().encode(text)));
    const bytes = fc.tuple(good, fc.array(byte, { maxLength: 5 }), fc.constantFrom(0, 9, 30));
    const property = fc.property(bytes, ([head, tail, pad]) => {
      const text = [
        ...Array<number>(pad).fill(0x61),
        ...head,
        ...tail,
        ...Array<number>(pad).fill(0x62),
      ].slice(0, 255);
      // The byte after the text would go on with a character that the text leaves unfinished.
      const batch = noiseBatch(FIELD.replyTo, [text.length, ...text, 0x80, 0x80]);
      const result = answer(wasm, batch, "client");
      expect(result).toEqual(answer(typescript, batch, "client"));
      expect(Array.isArray(result)).toBe(text.length > 0 && isUtf8ByPlatform(Uint8Array.from(text)));
    });
    fc.assert(property, { ...run, numRuns: run.numRuns * 5 });
  });

  it("answer alike to fields of small numbers, which make short sizes and every kind of header", () => {
    const small = fc.oneof(
      { weight: 5, arbitrary: fc.nat(5) },
      fc.constantFrom(0x61, 0x80, 0xf0, 0x7f, 0xff),
    );
    const flag = fc.constantFrom(...Object.values(FIELD));
    const flags = fc
      .array(flag, { minLength: 1, maxLength: 3 })
      .map((some) => some.reduce((all, one) => all | one));
    const property = fc.property(flags, fc.array(small, { maxLength: 30 }), SOURCE, (some, noise, source) => {
      for (const bytes of [
        noiseBatch(some, noise),
        noiseBatch(FIELD.headers, [noise.length & 15, 0, ...noise]),
      ]) {
        expect(answer(wasm, bytes, source)).toEqual(answer(typescript, bytes, source));
      }
    });
    fc.assert(property, { ...run, numRuns: run.numRuns * 10 });
  });

  it("join any runs as encoding their records would", () => {
    const property = fc.property(
      fc.array(batches, { minLength: 1, maxLength: 4 }),
      fc.nat(),
      (some, pick) => {
        const slices = some.map((bytes) => {
          const table = typescript.scan(bytes, "broker");
          if (!table.ok) throw new Error(table.detail);
          const t = table.value;
          const first = pick % t.count;
          const offset = t.offset(first);
          return { bytes, offset, size: bytes.length - offset, count: t.count - first };
        });
        const joined = typescript.join(slices, HEADER);
        expect(wasm.join(slices, HEADER)).toEqual(joined);
        expect(typescript.scan(joined, "broker").ok).toBe(true);
      },
    );
    fc.assert(property, run);
  });
});

describe(`reading within the batch, FUZZ_SEED=${run.seed}`, () => {
  const kernel = new WebAssembly.Instance(loadWasmModule(), {}).exports as unknown as KernelExports;
  kernel.reserve(4_096);
  const memory = new Uint8Array(kernel.memory.buffer);
  const batchAt = kernel.batchAddress();

  /** Everything the kernel says of a batch when the bytes after it, and the table before, are `poison`. */
  function poisoned(bytes: Uint8Array, poison: number): unknown {
    memory.fill(poison, kernel.tableAddress());
    memory.set(bytes, batchAt);
    const result = kernel.scan(bytes.length, 0);
    const after = memory.subarray(batchAt + bytes.length);
    expect(after.every((byte) => byte === poison)).toBe(true);
    expect(Buffer.compare(memory.subarray(batchAt, batchAt + bytes.length), bytes)).toBe(0);
    if (result < 0) return [result, kernel.refusedField()];
    return Array.from(
      memory.subarray(kernel.tableAddress(), kernel.tableAddress() + result * TABLE_STRIDE * 4),
    );
  }

  it("depends on no byte outside, and writes none but the table's, in wasm", () => {
    const property = fc.property(batches, DAMAGES, (batch, damages) => {
      const bytes = mend(damaged(batch, damages)).slice(0, 4_096);
      expect(poisoned(bytes, 0xff)).toEqual(poisoned(bytes, 0x00));
      expect(poisoned(bytes, 0x80)).toEqual(poisoned(bytes, 0x00));
    });
    fc.assert(property, run);
  });

  it("depends on no byte outside in TypeScript", () => {
    const property = fc.property(batches, DAMAGES, (batch, damages) => {
      const bytes = mend(damaged(batch, damages));
      const inside = (poison: number) => {
        const around = new Uint8Array(bytes.length + 512).fill(poison);
        around.set(bytes, 256);
        return answer(typescript, around.subarray(256, 256 + bytes.length), "broker");
      };
      expect(inside(0xff)).toEqual(inside(0x00));
      expect(inside(0xff)).toEqual(answer(typescript, bytes, "broker"));
    });
    fc.assert(property, run);
  });
});
