// Reads test/vectors/batches.json; its `about` says what the forms mean.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BatchHeader, BatchSource, HeaderValue, MessageRecord } from "../../src/protocol/batch.ts";

type Bytes = { readonly hex: string } | { readonly byte: string; readonly times: number };
type JsonRecord = Omit<MessageRecord, "body" | "headers"> & {
  readonly body: Bytes;
  readonly headers?: Readonly<Record<string, string | number | boolean | Bytes>>;
};
interface RefusalVector {
  readonly code: string;
  readonly detail: string;
}
interface JsonVector {
  readonly name: string;
  readonly why: string;
  readonly source: BatchSource;
}
interface JsonFile {
  readonly batches: readonly (JsonVector & {
    readonly bytes: readonly (string | Bytes)[];
    readonly header?: BatchHeader;
    readonly records?: readonly JsonRecord[];
    readonly refusal?: RefusalVector;
  })[];
  readonly records: readonly (JsonVector & {
    readonly record: JsonRecord;
    readonly refusal: RefusalVector;
  })[];
}

export interface BatchVector extends JsonVector {
  readonly bytes: Uint8Array;
  readonly expected: { header: BatchHeader; records: MessageRecord[] } | { refusal: RefusalVector };
}
export interface RecordVector extends JsonVector {
  readonly record: MessageRecord;
  readonly refusal: RefusalVector;
}

export function readBatchVectors(): { batches: BatchVector[]; records: RecordVector[] } {
  const path = join(import.meta.dirname, "../vectors/batches.json");
  const file = JSON.parse(readFileSync(path, "utf8")) as JsonFile;
  return {
    batches: file.batches.map(({ name, why, source, bytes, header, records, refusal }) => ({
      name,
      why,
      source,
      bytes: Uint8Array.from(Buffer.concat(bytes.map(toBytes))),
      expected:
        refusal !== undefined ? { refusal } : { header: header!, records: records!.map((r) => toRecord(r)) },
    })),
    records: file.records.map((vector) => ({ ...vector, record: toRecord(vector.record) })),
  };
}

function toBytes(value: string | Bytes): Uint8Array {
  if (typeof value === "string") return Uint8Array.from(Buffer.from(value, "hex"));
  if ("hex" in value) return toBytes(value.hex);
  return new Uint8Array(value.times).fill(Number.parseInt(value.byte, 16));
}

function toRecord({ body, headers, ...rest }: JsonRecord): MessageRecord {
  const record = { ...rest, body: toBytes(body) };
  if (headers === undefined) return record;
  const entries = Object.entries(headers).map(([name, value]): [string, HeaderValue] => [
    name,
    typeof value === "object" ? toBytes(value) : value,
  ]);
  return { ...record, headers: Object.fromEntries(entries) };
}
