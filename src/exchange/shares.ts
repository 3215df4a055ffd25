// A destination's share of a batch: the very bytes when it gets all of it, else its records joined into a new batch.
import type { BatchCodec, RecordTable } from "../protocol/batch.ts";
import type { SequenceRun } from "../protocol/commands.ts";
import { countOf, slicesOf } from "../protocol/runs.ts";

const UNSTAMPED = { origin: 0, firstSequence: 0, timeMs: 0 };

/** `runs` are not empty. */
export function shareOf(
  codec: BatchCodec,
  batch: Uint8Array,
  table: RecordTable,
  runs: readonly SequenceRun[],
): Uint8Array {
  if (countOf(runs) === table.count) return batch;
  return codec.join(slicesOf(batch, table, runs), UNSTAMPED);
}
