/**
 * Which partition gets which message of a batch. A batch of one owner goes as it is; else each partition's part is
 * joined from the records' bytes.
 */
import { FIELD, type BatchCodec, type RecordTable } from "../protocol/batch.ts";
import type { SequenceRun } from "../protocol/commands.ts";
import { bareKey } from "../protocol/own-keys.ts";
import { ownerOf } from "../protocol/partitions.ts";
import { readRecord } from "../protocol/record.ts";
import { hashBytes, hashText } from "../protocol/rendezvous.ts";
import type { QueueLayout } from "../protocol/rpc.ts";
import { indexesOf, runsOf, shareOf } from "../protocol/runs.ts";

export interface Part {
  readonly partition: number;
  readonly batch: Uint8Array;
  /** The part's messages, by their indexes in the whole batch. */
  readonly messages: readonly SequenceRun[];
}

export interface SplitOptions {
  readonly layout: QueueLayout;
  readonly even: number;
  readonly only?: readonly SequenceRun[];
}

/**
 * A partition gets one part at the most. `even`: the partition of messages that have no owner, the same for all of the
 * batch. `only`: the messages that are still to be sent; default: all.
 */
export function splitBatch(
  codec: BatchCodec,
  batch: Uint8Array,
  table: RecordTable,
  { layout, even, only = [[0, table.count]] }: SplitOptions,
): Part[] {
  const indexes = new Map<number, number[]>();
  for (const i of indexesOf(only)) {
    const owner = ownerAt(batch, table, i, layout) ?? even;
    const own = indexes.get(owner);
    if (own) own.push(i);
    else indexes.set(owner, [i]);
  }
  return [...indexes].map(([partition, own]) => {
    const messages = runsOf(own);
    return { partition, batch: shareOf(codec, batch, table, messages), messages };
  });
}

/**
 * In a FIFO queue all messages of a key have one owner. A dedup id, and a cancel key, is known where its first message
 * lies: within the ordering key in a FIFO queue, else by itself.
 */
function ownerAt(
  batch: Uint8Array,
  table: RecordTable,
  index: number,
  { partitions, fifo }: QueueLayout,
): number | null {
  const flags = table.flags(index);
  if (fifo && (flags & FIELD.orderingKey) !== 0) {
    return ownerOf(hashBytes(batch, table.keyOffset(index), table.keySize(index)), partitions);
  }
  if ((flags & (FIELD.dedupId | FIELD.cancelKey)) === 0) return null;
  const { dedupId, cancelKey = "" } = readRecord(batch, table.offset(index));
  // What came through an exchange has its publisher in front already.
  return ownerOf(hashText(bareKey(dedupId ?? cancelKey)), partitions);
}
