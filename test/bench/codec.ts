// Speed of the two batch codecs. `npm run build:wasm && node test/bench/codec.ts`. The answers are compared first.
import assert from "node:assert/strict";
import type { BatchCodec, MessageRecord, RecordSlice, RecordTable } from "../../src/protocol/batch.ts";
import { TypeScriptBatchCodec } from "../../src/protocol/typescript-batch-codec.ts";
import { WasmBatchCodec } from "../../src/protocol/wasm-batch-codec.ts";
import { loadWasmModule } from "../support/wasm-module.ts";
import { readOptions } from "./options.ts";

const HEADER = { origin: 1, firstSequence: 1, timeMs: 1_790_000_000_000 };
const typescript = new TypeScriptBatchCodec();
const wasm = new WasmBatchCodec(loadWasmModule());

function records(count: number, bodyBytes: number, isRich: boolean): MessageRecord[] {
  return Array.from({ length: count }, (_, i) => {
    const body = new Uint8Array(bodyBytes).fill(97 + (i % 26));
    if (!isRich) return { routingKey: "orders.created", body };
    const headers = { trace: "4bf92f3577b34da6a3ce929d0e0e4736", retries: 3, city: "Zürich" };
    return { routingKey: "orders.eu.created", orderingKey: `customer-${i}`, priority: i % 10, headers, body };
  });
}

const CASES: readonly { name: string; records: MessageRecord[] }[] = [
  { name: "1 record of 100 B", records: records(1, 100, false) },
  { name: "100 records of 100 B", records: records(100, 100, false) },
  { name: "1000 records of 256 B", records: records(1_000, 256, false) },
  { name: "1000 records, 5 fields", records: records(1_000, 256, true) },
  { name: "2 records of 900 kB", records: records(2, 900_000, false) },
];

const options = readOptions({
  what: "the two batch codecs",
  parts: CASES.map(({ name }) => name),
});
const ROUNDS = options.rounds(5);

/** Calls a second, of the best of a few short rounds: other work on the machine only ever slows a round down. */
function rate(work: () => void): number {
  let best = 0;
  for (let round = 0; round <= ROUNDS; round++) {
    let calls = 0;
    const start = performance.now();
    let elapsed = 0;
    do {
      work();
      calls++;
      elapsed = performance.now() - start;
    } while (elapsed < 60);
    if (round > 0) best = Math.max(best, (calls * 1_000) / elapsed);
  }
  return best;
}

function value<T>(result: { ok: true; value: T } | { ok: false }): T {
  assert(result.ok);
  return result.value;
}

/** Every second record by itself: the worst case of a join, as when consumers take turns. */
function everySecond(bytes: Uint8Array, table: RecordTable): RecordSlice[] {
  const slices: RecordSlice[] = [];
  for (let i = 0; i < table.count; i += 2) {
    slices.push({ bytes, offset: table.offset(i), size: table.size(i), count: 1 });
  }
  return slices;
}

type Work = (codec: BatchCodec) => () => unknown;

function compare(name: string, work: Work, bytes: number, count: number): void {
  const fast = work(wasm);
  const plain = work(typescript);
  assert.deepEqual(fast(), plain());
  const rates = [rate(fast), rate(plain)] as const;
  const cells = rates.map((r) => {
    const megabytes = ((r * bytes) / 1e6).toFixed(0).padStart(6);
    return `${megabytes} MB/s ${((r * count) / 1e6).toFixed(2).padStart(6)} M records/s`;
  });
  console.log(`  ${name.padEnd(9)} wasm ${cells[0]}   ts ${cells[1]}   x${(rates[0] / rates[1]).toFixed(2)}`);
}

for (const { name, records: some } of CASES.filter((one) => options.wants(one.name))) {
  const batch = value(typescript.encode(some, HEADER, "client"));
  const table = value(typescript.scan(batch, "client"));
  const whole = [{ bytes: batch, offset: 40, size: batch.length - 40, count: some.length }];
  const slices = everySecond(batch, table);
  const joined = slices.reduce((sum, slice) => sum + slice.size, 0);
  console.log(`${name} (${batch.length} bytes)`);
  compare("scan", (codec) => () => codec.scan(batch, "client"), batch.length, some.length);
  compare("join all", (codec) => () => codec.join(whole, HEADER), batch.length, some.length);
  compare("join half", (codec) => () => codec.join(slices, HEADER), joined, slices.length);
  compare("encode", (codec) => () => codec.encode(some, HEADER, "client"), batch.length, some.length);
  compare("checksum", (codec) => () => codec.checksum(batch), batch.length, some.length);
}
