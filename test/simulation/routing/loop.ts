/**
 * The one source of order and time: whatever waits is a task here, and chance says which of those that are due is next.
 * After each task every promise that can settle does, so a history depends on its seed alone.
 */
import type { Random } from "../random.ts";

interface Task {
  readonly dueMs: number;
  readonly run: () => void;
}

export class Loop {
  nowMs = 1_700_000_000_000;
  steps = 0;
  private readonly random: Random;
  private tasks: Task[] = [];

  constructor(random: Random) {
    this.random = random;
  }

  get size(): number {
    return this.tasks.length;
  }

  /** The function it returns takes it back. */
  later(delayMs: number, run: () => void): () => void {
    const task = { dueMs: this.nowMs + Math.max(0, delayMs), run };
    this.tasks.push(task);
    return () => {
      this.tasks = this.tasks.filter((other) => other !== task);
    };
  }

  /** Runs one task that is due by `untilMs`, moving the clock to it when none is due now. False when there is none. */
  async step(untilMs: number): Promise<boolean> {
    const due = this.tasks.filter(({ dueMs }) => dueMs <= this.nowMs);
    const next = due.length > 0 ? this.random.pick(due) : this.first();
    if (next === null || next.dueMs > untilMs) return false;
    this.tasks.splice(this.tasks.indexOf(next), 1);
    this.nowMs = Math.max(this.nowMs, next.dueMs);
    this.steps++;
    next.run();
    await settled();
    return true;
  }

  /** Everything that is due within a time, one after the other. */
  async runFor(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms;
    while (await this.step(untilMs));
    this.nowMs = Math.max(this.nowMs, untilMs);
  }

  private first(): Task | null {
    let first: Task | null = null;
    for (const task of this.tasks) if (first === null || task.dueMs < first.dueMs) first = task;
    return first;
  }
}

export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
