/**
 * What a message lacks and its queue's configuration gives it: a delay, a dedup id made of its content. And what it must
 * not lack. Only queues that want this pay for it: their batches are written anew.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { assert } from "../protocol/assert.ts";
import {
  FIELD,
  UNSTAMPED,
  type BatchCodec,
  type BatchSource,
  type MessageRecord,
  type RecordTable,
} from "../protocol/batch.ts";
import { mustCarry, type QueueConfig, type RequiredField } from "../protocol/queue-config.ts";
import { readRecord } from "../protocol/record.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";

export interface Completed {
  readonly batch: Uint8Array;
  readonly table: RecordTable;
}

/** Messages that were accepted before, in another queue, are taken as they are. */
export function complete(
  config: QueueConfig,
  codec: BatchCodec,
  given: Completed,
  source: BatchSource,
): Result<Completed> {
  const { table, batch } = given;
  const indexes = Array.from({ length: table.count }, (_, i) => i);
  const isLacking = (i: number): boolean =>
    lacksDelay(config, table.flags(i)) || lacksId(config, table.flags(i));
  const needed = mustCarry(config);
  if (needed.length > 0) {
    const refused = indexes.map((i) => refuseLacking(needed, table.flags(i), i)).find((one) => one !== null);
    if (refused) return refused;
  }
  if (!indexes.some(isLacking)) return ok(given);
  const records = indexes.map((i) =>
    completeRecord(config, table.flags(i), readRecord(batch, table.offset(i))),
  );
  const encoded = codec.encode(records, UNSTAMPED, source);
  if (!encoded.ok) return encoded;
  const scanned = codec.scan(encoded.value, source);
  assert(scanned.ok, "a batch just made is damaged");
  return ok({ batch: encoded.value, table: scanned.value });
}

export function completesMessages({ delayMs, dedupByContent, required }: QueueConfig): boolean {
  return delayMs > 0 || dedupByContent || required.length > 0;
}

function lacksDelay(config: QueueConfig, flags: number): boolean {
  return config.delayMs > 0 && (flags & (FIELD.delayMs | FIELD.id)) === 0;
}

function lacksId(config: QueueConfig, flags: number): boolean {
  return config.dedupByContent && (flags & (FIELD.dedupId | FIELD.id)) === 0;
}

function completeRecord(config: QueueConfig, flags: number, record: MessageRecord): MessageRecord {
  return {
    ...record,
    ...(lacksDelay(config, flags) ? { delayMs: config.delayMs } : {}),
    ...(lacksId(config, flags) ? { dedupId: bytesToHex(sha256(record.body)) } : {}),
  };
}

function refuseLacking(needed: readonly RequiredField[], flags: number, index: number): Refusal | null {
  if ((flags & FIELD.id) !== 0) return null;
  const field = needed.find((one) => (flags & FIELD[one]) === 0);
  if (field === undefined) return null;
  return refuse("field_required", `record ${index}: ${field} is missing, and this queue wants it`, { field });
}
