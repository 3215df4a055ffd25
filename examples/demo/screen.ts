// What the person at the terminal sees. On a terminal the picture is drawn over itself; in a log it is a line a second.

const BAR = 40;

export interface Progress {
  readonly published: number;
  readonly acked: number;
  readonly dead: number;
  readonly waiting: number;
  readonly retrying: number;
  readonly leased: number;
  readonly consumers: number;
}

export class Screen {
  private readonly isTerminal = process.stdout.isTTY;
  private drawn = 0;
  private lastLineMs = 0;

  say(text: string): void {
    this.drawn = 0;
    console.log(text);
  }

  /** `isLast` is shown even when the last line is young. */
  show(progress: Progress, isLast = false): void {
    const { published, acked, dead, waiting, retrying, leased, consumers } = progress;
    const facts = `${acked} acked · ${dead} dead · ${waiting} waiting · ${leased} out · ${retrying} backing off · ${consumers} consumers`;
    if (!this.isTerminal) {
      const nowMs = Date.now();
      if (!isLast && nowMs - this.lastLineMs < 1_000) return;
      this.lastLineMs = nowMs;
      console.log(`  ${facts}`);
      return;
    }
    const good = Math.round((BAR * acked) / Math.max(1, published));
    const bad = Math.min(BAR - good, Math.ceil((BAR * dead) / Math.max(1, published)));
    const bar = `\x1b[32m${"█".repeat(good)}\x1b[31m${"█".repeat(bad)}\x1b[90m${"░".repeat(BAR - good - bad)}\x1b[0m`;
    if (this.drawn > 0) process.stdout.write(`\x1b[${this.drawn}A`);
    process.stdout.write(`\x1b[2K  ${bar} ${published} published\n\x1b[2K  ${facts}\n`);
    this.drawn = 2;
  }
}
