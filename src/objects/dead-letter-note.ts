/**
 * The catalogue knows where each queue's dead messages go, so that a dead-letter queue can tell whose it is. It is told
 * after the queue has stored it; what is cut short in between is told by alarm.
 */
import { refuse, type Refusal, type Result } from "../protocol/result.ts";
import { deadLetterQueue } from "../queue/config-rules.ts";
import type { Queue } from "../queue/queue.ts";

export interface NotePorts {
  open(): Queue | null;
  /** Tells the catalogue. Null: dead messages go to no queue. */
  note(deadLetter: string | null): Promise<Result<void>>;
  /** Runs a change as a part of the turn's transaction. */
  inTurn(run: (queue: Queue) => void): Promise<void>;
}

/** No queue's name, so that whatever is to be noted differs from it. */
const UNKNOWN = "";

/** When a catalogue that could not be reached is tried again. */
const RETRY_MS = 1_000;

export class DeadLetterNote {
  private readonly ports: NotePorts;
  private telling: Promise<Refusal | null> = Promise.resolve(null);
  private retryAtMs = 0;

  constructor(ports: NotePorts) {
    this.ports = ports;
  }

  /** One after the other, so that the catalogue's last word is the newest. */
  tell(): Promise<Refusal | null> {
    this.telling = this.telling.then(() => this.tellOrRefuse());
    return this.telling;
  }

  private async tellOrRefuse(): Promise<Refusal | null> {
    try {
      await this.tellNow();
      return null;
    } catch (error) {
      console.error("the catalogue was not told of a dead-letter queue", { error: String(error) });
      const detail = "deadLetter: the catalogue could not be reached; it is told as soon as it can";
      return refuse("unavailable", detail, { retryAfterMs: RETRY_MS });
    }
  }

  private async tellNow(): Promise<void> {
    const queue = this.ports.open();
    if (queue === null || !isUntold(queue)) return;
    const { origin } = queue.stored;
    const target = deadLetterQueue(queue.config);
    const noted = await this.ports.note(target);
    if (!noted.ok) throw new Error(noted.detail);
    // The queue may be another one by now, or lead elsewhere: then it is still to be told.
    await this.ports.inTurn((current) => {
      if (current.stored.origin === origin) current.store({ notedDeadLetter: target });
    });
  }

  /**
   * What goes with a change: what is being told now may reach the catalogue or not, so that nothing is known to be noted
   * there, not even what was noted before.
   */
  whileTold(queue: Queue): { notedDeadLetter?: string } {
    return isUntold(queue) ? { notedDeadLetter: UNKNOWN } : {};
  }

  /** When the alarm must ring; null: the catalogue knows. */
  nextWakeMs(queue: Queue, nowMs: number): number | null {
    return isUntold(queue) ? Math.max(nowMs, this.retryAtMs) : null;
  }

  /** What the alarm does. */
  async work(nowMs: number): Promise<void> {
    this.retryAtMs = nowMs + RETRY_MS;
    if ((await this.tell()) === null) this.retryAtMs = 0;
  }
}

/** The head speaks for all partitions. */
function isUntold({ stored, partition, config }: Queue): boolean {
  return partition.index === 0 && deadLetterQueue(config) !== (stored.notedDeadLetter ?? null);
}
