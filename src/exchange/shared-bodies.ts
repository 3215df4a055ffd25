/**
 * Bodies in a bucket belong to one message in one queue, which deletes its body when it is done. A dead letter that an
 * exchange leads to several queues is marked, so that none of them takes the body from the others; it stays in the bucket.
 */
import { FIELD, type RecordTable, UNSTAMPED } from "../protocol/batch.ts";
import { assert } from "../protocol/assert.ts";
import type { SequenceRun } from "../protocol/commands.ts";
import { encodeBodyReference, readBodyReference } from "../protocol/message-json.ts";
import { readRecord } from "../protocol/record.ts";
import { indexesOf } from "../protocol/runs.ts";
import type { ExchangeContext } from "./context.ts";
import type { Scanned } from "./step.ts";

export function markSharedBodies(
  exchange: ExchangeContext,
  { batch, table }: Scanned,
  shares: readonly { readonly messages: readonly SequenceRun[] }[],
): Scanned {
  if ((table.allFlags() & FIELD.bodyReference) === 0 || shares.length < 2) return { batch, table };
  const shared = sharedIndexes(table, shares);
  if (shared.size === 0) return { batch, table };
  const records = Array.from({ length: table.count }, (_, index) => {
    const record = readRecord(batch, table.offset(index));
    if (!shared.has(index)) return record;
    const { key, bytes } = readBodyReference(record.body);
    return { ...record, body: encodeBodyReference({ key, bytes, isShared: true }) };
  });
  const marked = exchange.codec.encode(records, UNSTAMPED, "broker");
  assert(marked.ok, "marked dead letters can't be encoded");
  const scanned = exchange.codec.scan(marked.value, "broker");
  assert(scanned.ok, "marked dead letters can't be read");
  return { batch: marked.value, table: scanned.value };
}

/** Messages with a body in the bucket that go to more than one queue. */
function sharedIndexes(
  table: RecordTable,
  shares: readonly { readonly messages: readonly SequenceRun[] }[],
): Set<number> {
  const seen = new Set<number>();
  const shared = new Set<number>();
  for (const { messages } of shares) {
    for (const index of indexesOf(messages)) {
      if ((table.flags(index) & FIELD.bodyReference) === 0) continue;
      if (seen.has(index)) shared.add(index);
      seen.add(index);
    }
  }
  return shared;
}
