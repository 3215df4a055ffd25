/**
 * Where segments lie that were looked at: ids, ascending, and the messages of each, in flat arrays bounded in bytes. It tells
 * which segment a message of a line is in without a query; whether the segment is still there is for the caller to see.
 */

/** Two numbers each: 256 kilobytes. */
const SPANS_MAX = 16_384;

export class Spans {
  private readonly ids: number[] = [];
  private readonly counts: number[] = [];

  get size(): number {
    return this.ids.length;
  }

  /** The segment known to have what `at`, which is an id as well, begins with; null: none is known. */
  find(at: number): number | null {
    const place = this.placeAfter(at) - 1;
    if (place < 0) return null;
    const id = this.ids[place]!;
    return at < id + this.counts[place]! ? id : null;
  }

  /** A segment of one message is not kept: no other message would be found by it. */
  add(id: number, count: number): void {
    if (count < 2) return;
    const before = this.placeAfter(id) - 1;
    if (before >= 0 && this.ids[before] === id) {
      this.counts[before] = count;
      return;
    }
    this.ids.splice(before + 1, 0, id);
    this.counts.splice(before + 1, 0, count);
    if (this.ids.length <= SPANS_MAX) return;
    // Each lane is emptied from its beginning.
    this.ids.splice(0, SPANS_MAX / 2);
    this.counts.splice(0, SPANS_MAX / 2);
  }

  remove(id: number): void {
    const place = this.placeAfter(id) - 1;
    if (place < 0 || this.ids[place] !== id) return;
    this.ids.splice(place, 1);
    this.counts.splice(place, 1);
  }

  /** How many ids are not above one. */
  private placeAfter(id: number): number {
    let low = 0;
    let high = this.ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ids[middle]! <= id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
