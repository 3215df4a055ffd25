// What the model needs to know of each record of a batch.
import type { BatchCodec, MessageRecord } from "../../src/protocol/batch.ts";
import type { DeathRecord } from "../../src/protocol/commands.ts";
import { readRecord } from "../../src/protocol/record.ts";

export interface Facts {
  /** Of the record as stored, its size included. */
  readonly bytes: number;
  /** Kept by a message that moved. */
  readonly id: string | null;
  readonly key: string | null;
  readonly priority: number;
  readonly delayMs: number;
  /** A delay of 0 may be named as well. */
  readonly namesDelay: boolean;
  readonly ttlMs: number | null;
  readonly dedupId: string | null;
  readonly cancelKey: string | null;
  readonly death: DeathRecord | null;
  readonly text: string;
}

export function factsOf(codec: BatchCodec, batch: Uint8Array): Facts[] {
  const scanned = codec.scan(batch, "broker");
  if (!scanned.ok) throw new Error(`a batch of the simulation is damaged: ${scanned.detail}`);
  const table = scanned.value;
  return Array.from({ length: table.count }, (_, i) => {
    const record = readRecord(batch, table.offset(i));
    return {
      bytes: table.size(i),
      id: record.id ?? null,
      key: record.orderingKey ?? null,
      priority: record.priority ?? 0,
      delayMs: record.delayMs ?? 0,
      namesDelay: record.delayMs !== undefined,
      ttlMs: record.ttlMs ?? null,
      dedupId: record.dedupId ?? null,
      cancelKey: record.cancelKey ?? null,
      death: record.death === undefined ? null : (JSON.parse(record.death) as DeathRecord),
      text: new TextDecoder().decode(record.body),
    };
  });
}

export function encodeBatch(codec: BatchCodec, records: readonly MessageRecord[]): Uint8Array {
  const encoded = codec.encode(records, { origin: 0, firstSequence: 0, timeMs: 0 }, "client");
  if (!encoded.ok) throw new Error(encoded.detail);
  return encoded.value;
}
