// A set of messages of one batch, by their index.
import type { SequenceRun } from "../protocol/commands.ts";
import { indexesOf } from "../protocol/runs.ts";

export class IndexSet {
  private readonly bits: Uint8Array;
  private size = 0;

  constructor(count: number) {
    this.bits = new Uint8Array(count);
  }

  get count(): number {
    return this.size;
  }

  has(index: number): boolean {
    return this.bits[index] === 1;
  }

  /** False when it was there already. */
  add(index: number): boolean {
    if (this.bits[index] !== 0) return false;
    this.bits[index] = 1;
    this.size++;
    return true;
  }

  addRuns(runs: readonly SequenceRun[]): void {
    for (const index of indexesOf(runs)) this.add(index);
  }

  /** Of the first `count`. */
  *missing(count: number): Generator<number> {
    for (let i = 0; i < count; i++) if (!this.has(i)) yield i;
  }

  runs(): SequenceRun[] {
    const runs: SequenceRun[] = [];
    for (let first = 0; first < this.bits.length; first++) {
      if (this.bits[first] === 0) continue;
      let end = first + 1;
      while (this.bits[end] === 1) end++;
      runs.push([first, end - first]);
      first = end;
    }
    return runs;
  }
}
