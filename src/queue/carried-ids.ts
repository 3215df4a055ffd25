/**
 * Ids that messages have from elsewhere, such as dead letters, which keep theirs. Numbers that follow one another, as they
 * do where a delivery moved as one, are a run: one row, written with their segment and removed with it.
 */
import { FIELD, numbersOfId } from "../protocol/batch.ts";
import { readId } from "../protocol/record.ts";
import type { QueueContext } from "./context.ts";
import type { Segment } from "./segments.ts";
import type { IdRun } from "./stores.ts";

export function noteIds(queue: QueueContext, segment: Segment): void {
  for (const run of runsIn(segment)) queue.stores.identities.putIdRun(run);
}

/** The segment is gone. */
export function forgetIds(queue: QueueContext, segment: Segment): void {
  for (const run of runsIn(segment)) queue.stores.identities.removeIdRun(run);
}

/** Where the message with an id of another queue lies; of several, which came one after the other, the last that is here. */
export function locateCarried(queue: QueueContext, id: string): { segment: Segment; index: number } | null {
  const numbers = numbersOfId(id);
  if (numbers === null) return null;
  const { identities } = queue.stores;
  const { origin, sequence } = numbers;
  const nearest = identities.idRunAtOrBelow(origin, sequence);
  const found = nearest && locateIn(queue, nearest, sequence);
  if (found !== null) return found;
  for (const run of identities.idRunsWith(origin, sequence)) {
    const next = locateIn(queue, run, sequence);
    if (next !== null) return next;
  }
  return null;
}

function locateIn(
  queue: QueueContext,
  run: IdRun,
  sequence: number,
): { segment: Segment; index: number } | null {
  const at = sequence - run.first;
  if (at >= run.count) return null;
  const segment = queue.segments.find(run.segment);
  const index = segment === null ? -1 : run.sequence + at - segment.first;
  return segment === null || segment.isSettled(index) ? null : { segment, index };
}

function runsIn(segment: Segment): IdRun[] {
  if ((segment.flags & FIELD.id) === 0) return [];
  const runs: (IdRun & { count: number })[] = [];
  for (let i = 0; i < segment.count; i++) {
    const id = readId(segment.bytes, segment.table.offset(i));
    const numbers = id === null ? null : numbersOfId(id);
    if (numbers === null) continue;
    const { origin, sequence: first } = numbers;
    const here = segment.first + i;
    const last = runs.at(-1);
    const follows =
      last?.origin === origin && last.first + last.count === first && last.sequence + last.count === here;
    if (follows) last.count++;
    else runs.push({ origin, first, segment: segment.id, sequence: here, count: 1 });
  }
  return runs;
}
