/** An object's one alarm: never later than the earliest due time, and only moved forward, because moving costs a row. */
export class Alarm {
  private readonly storage: DurableObjectStorage;
  /** What it is set to, as far as this instance knows; undefined: not looked up yet. */
  private setMs: number | null | undefined;

  constructor(storage: DurableObjectStorage) {
    this.storage = storage;
  }

  /**
   * Looks up what it is set to. Needed where `keep` is not told of all that is waited for: it would move an alarm of an
   * earlier life that it does not know.
   */
  async load(): Promise<void> {
    this.setMs = await this.storage.getAlarm();
  }

  /** It rings now, so it is set no more. */
  rang(): void {
    this.setMs = null;
  }

  async delete(): Promise<void> {
    this.setMs = undefined;
    await this.storage.deleteAlarm();
  }

  /** Nulls are for what waits for no time. */
  keep(dueMs: readonly (number | null)[], nowMs: number): void {
    const times = dueMs.filter((ms) => ms !== null);
    if (times.length === 0) return;
    const wakeMs = Math.min(...times);
    if (this.setMs !== null && this.setMs !== undefined && this.setMs <= wakeMs) return;
    this.setMs = Math.max(wakeMs, nowMs);
    void this.storage.setAlarm(this.setMs);
  }
}
