/**
 * A row of a key's line: sequences of one lane in runs, in a window that begins with the row's first message. Stored as pairs
 * of varints: how far a run begins behind the end of the one before it, and its length less one.
 *
 * What has left the line is not taken out of its rows: whether a message is gone is known from its segment. A row goes when
 * nothing of it is left, so that a line costs a row or two for thousands of messages.
 */
import { assert } from "../protocol/assert.ts";
import { hasBit } from "./bitmap.ts";
import { firstSequenceOf, laneOfSegment } from "./lane.ts";
import type { LineRow } from "./stores.ts";

/** Sequences that one row spans. */
export const ROW_SPAN = 65_536;

/** `[first, count]`, ascending. */
export type Run = [first: number, count: number];

/** A row as it is worked with: decoded, and with a place up to which nothing is left of it. */
export class Line {
  readonly id: number;
  readonly lane: number;
  readonly first: number;
  /** Pairs: how far a run begins behind the row's first message, and its length. */
  private readonly pairs: Uint32Array;
  /** The run that is looked at, and how many of its messages are gone. */
  run = 0;
  gone = 0;

  constructor(id: number, runs: readonly Run[]) {
    this.id = id;
    this.lane = laneOfSegment(id);
    this.first = firstSequenceOf(id);
    this.pairs = new Uint32Array(runs.length * 2);
    for (const [i, [first, count]] of runs.entries()) {
      this.pairs[i * 2] = first - this.first;
      this.pairs[i * 2 + 1] = count;
    }
  }

  get runBytes(): number {
    return this.pairs.byteLength;
  }

  get runs(): Run[] {
    return this.runsFrom(0);
  }

  get last(): number {
    return this.endOf(this.length - 1) - 1;
  }

  private get length(): number {
    return this.pairs.length / 2;
  }

  private startOf(run: number): number {
    return this.first + this.pairs[run * 2]!;
  }

  private endOf(run: number): number {
    return this.startOf(run) + this.pairs[run * 2 + 1]!;
  }

  private runsFrom(from: number): Run[] {
    const runs: Run[] = [];
    for (let run = from; run < this.length; run++) runs.push([this.startOf(run), this.pairs[run * 2 + 1]!]);
    return runs;
  }

  /** What may be left. */
  rest(): Run[] {
    const runs = this.runsFrom(this.run);
    if (runs.length > 0 && this.gone > 0) runs[0] = [runs[0]![0] + this.gone, runs[0]![1] - this.gone];
    return runs;
  }

  has(sequence: number): boolean {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.endOf(middle) <= sequence) low = middle + 1;
      else high = middle;
    }
    return low < this.length && this.startOf(low) <= sequence;
  }

  /** Moves on to the first sequence at or after one. */
  skipTo(sequence: number): void {
    for (; this.run < this.length; this.run++) {
      if (this.endOf(this.run) > sequence) {
        this.gone = Math.max(this.gone, sequence - this.startOf(this.run));
        return;
      }
      this.gone = 0;
    }
  }

  /** The sequence it is at; null at its end. */
  get at(): number | null {
    return this.run < this.length ? this.startOf(this.run) + this.gone : null;
  }
}

export function lineOf({ id, positions, isBitmap }: LineRow): Line {
  const first = firstSequenceOf(id);
  return new Line(id, isBitmap ? bitmapRuns(first, positions) : decode(first, positions));
}

/** Runs put together; both ascend. */
export function mergeRuns(some: readonly Run[], others: readonly Run[]): Run[] {
  const merged: Run[] = [];
  for (const [first, count] of [...some, ...others].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last !== undefined && last[0] + last[1] >= first)
      last[1] = Math.max(last[1], first + count - last[0]);
    else merged.push([first, count]);
  }
  return merged;
}

export function encodeRuns(first: number, runs: readonly Run[]): Uint8Array {
  const bytes: number[] = [];
  let end = first;
  for (const [start, count] of runs) {
    assert(start >= end, `a run of a line begins at ${start}, before ${end}`);
    putVarint(bytes, start - end);
    putVarint(bytes, count - 1);
    end = start + count;
  }
  return Uint8Array.from(bytes);
}

function putVarint(bytes: number[], value: number): void {
  let rest = value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
}

function decode(first: number, bytes: Uint8Array): Run[] {
  const runs: Run[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  let end = first;
  while (at < bytes.length) {
    const start = end + varint();
    const count = varint() + 1;
    runs.push([start, count]);
    end = start + count;
  }
  return runs;
}

/** How earlier versions wrote a row: a bit for each message of a segment. */
function bitmapRuns(first: number, bits: Uint8Array): Run[] {
  const runs: Run[] = [];
  for (let i = 0; i < bits.length * 8; i++) {
    if (!hasBit(bits, i)) continue;
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === first + i) last[1]++;
    else runs.push([first + i, 1]);
  }
  return runs;
}
