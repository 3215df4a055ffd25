// Messages of a batch by their index, as runs `[first, count]`: how they travel, and how their bytes are sliced.
import { UNSTAMPED, type BatchCodec, type RecordSlice, type RecordTable } from "./batch.ts";
import type { SequenceRun } from "./commands.ts";

/** Runs of ascending numbers. */
export function runsOf(numbers: Iterable<number>): SequenceRun[] {
  const runs: [number, number][] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === number) last[1]++;
    else runs.push([number, 1]);
  }
  return runs;
}

export function* indexesOf(runs: readonly SequenceRun[]): Generator<number> {
  for (const [first, count] of runs) for (let i = first; i < first + count; i++) yield i;
}

export function countOf(runs: readonly SequenceRun[]): number {
  return runs.reduce((sum, [, count]) => sum + count, 0);
}

export function slicesOf(batch: Uint8Array, table: RecordTable, runs: readonly SequenceRun[]): RecordSlice[] {
  return runs.map(([first, count]) => {
    const last = first + count - 1;
    const offset = table.offset(first);
    return { bytes: batch, offset, size: table.offset(last) + table.size(last) - offset, count };
  });
}

/** Some of a batch's messages as a batch: the very bytes when they are all of it. `runs` are not empty. */
export function shareOf(
  codec: BatchCodec,
  batch: Uint8Array,
  table: RecordTable,
  runs: readonly SequenceRun[],
): Uint8Array {
  if (countOf(runs) === table.count) return batch;
  return codec.join(slicesOf(batch, table, runs), UNSTAMPED);
}
