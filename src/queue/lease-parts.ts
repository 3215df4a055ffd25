// Where sequences stand in a lease. Callers name them in runs of any length, so runs are cut by search, not by steps.
import type { SequenceRun } from "../protocol/commands.ts";
import { firstSequenceOf } from "./lane.ts";
import type { LeaseRun } from "./leases.ts";

/** Consecutive messages of a lease's run. */
export interface LeasePart {
  readonly run: LeaseRun;
  /** The first one's index in its segment, its place in the lease's outcomes, and its sequence. */
  readonly index: number;
  readonly at: number;
  readonly sequence: number;
  readonly count: number;
}

/** A lease's runs by their sequences. Priorities and returned messages come in another order. */
const sorted = new WeakMap<readonly LeaseRun[], readonly LeasePart[]>();

function inOrder(runs: readonly LeaseRun[]): readonly LeasePart[] {
  let parts = sorted.get(runs);
  if (parts === undefined) {
    let at = 0;
    const all = runs.map((run): LeasePart => {
      const part = { run, index: run.index, at, sequence: firstSequenceOf(run.segment) + run.index };
      at += run.count;
      return { ...part, count: run.count };
    });
    parts = all.sort((a, b) => a.sequence - b.sequence);
    sorted.set(runs, parts);
  }
  return parts;
}

/** The parts of a lease that a run of sequences covers, in the order of their sequences. */
export function* partsOf(runs: readonly LeaseRun[], [first, count]: SequenceRun): Generator<LeasePart> {
  const parts = inOrder(runs);
  const end = first + count;
  for (let i = firstEndingAfter(parts, first); i < parts.length; i++) {
    const { run, index, at, sequence, count: length } = parts[i]!;
    if (sequence >= end) return;
    const skipped = Math.max(0, first - sequence);
    const taken = Math.min(sequence + length, end) - sequence - skipped;
    yield { run, index: index + skipped, at: at + skipped, sequence: sequence + skipped, count: taken };
  }
}

/** The place of the first part that ends after a sequence. */
function firstEndingAfter(parts: readonly LeasePart[], sequence: number): number {
  let low = 0;
  let high = parts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (parts[middle]!.sequence + parts[middle]!.count > sequence) high = middle;
    else low = middle + 1;
  }
  return low;
}
