// One numbering for all consumers of a queue, those with a socket here and those on a hub.

export class ConsumerIds {
  private last = 0;

  /** A consumer that was there before this life of the object. */
  note(id: number): void {
    this.last = Math.max(this.last, id);
  }

  /** Later than every id given before, in this life of the object or an earlier one. */
  next(nowMs: number): number {
    this.last = Math.max(this.last + 1, nowMs);
    return this.last;
  }
}
