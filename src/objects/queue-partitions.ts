/**
 * The partitions of a queue: what its head tells the others, and what each tells those that were added after it. Every
 * step may be cut short and runs again by alarm, so each does no harm when it is done twice.
 */
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { PartitionApi, PartitionSetup } from "../protocol/rpc.ts";
import { judgeRemoval, type QueueRemoval } from "../queue/deletion-rules.ts";
import type { Queue } from "../queue/queue.ts";

export interface PartitionsPorts {
  readonly queue: string;
  /** This one's. */
  readonly partition: number;
  part(partition: number): PartitionApi;
  open(): Queue | null;
  /** Runs a change as a part of the turn's transaction. */
  inTurn(run: (queue: Queue) => void): Promise<void>;
  /** Runs a change after which callers and consumers must know of more partitions. */
  learn(setup: PartitionSetup): Promise<void>;
  /** Whether the queue is being deleted: then nothing is made any more. */
  isLeaving(): boolean;
}

/** When others that could not be reached are tried again. */
const RETRY_MS = 1_000;

export class QueuePartitions {
  private readonly ports: PartitionsPorts;
  private spreading: Promise<unknown> = Promise.resolve();
  private retryAtMs = 0;

  constructor(ports: PartitionsPorts) {
    this.ports = ports;
  }

  /** The head's: waits until all partitions know what it stores. */
  async spread(): Promise<Refusal | null> {
    try {
      await this.spreadInTurn();
      return null;
    } catch (error) {
      console.error("partitions were not told", { queue: this.ports.queue, error: String(error) });
      const detail = "partitions: not all could be reached; the change is made as soon as they can";
      return refuse("unavailable", detail, { retryAfterMs: RETRY_MS });
    }
  }

  private spreadInTurn(): Promise<void> {
    const spread = this.spreading.then(() => this.spreadNow());
    this.spreading = spread.catch(() => undefined);
    return spread;
  }

  /** Resolves when nothing is being told. */
  async idle(): Promise<void> {
    await this.spreading;
  }

  private async spreadNow(): Promise<void> {
    const queue = this.ports.open();
    if (queue === null || this.ports.isLeaving()) return;
    const { count, changes, told } = queue.partition;
    if (told === changes) return;
    const { origin, createdMs, config, paused } = queue.stored;
    const { partitions } = config;
    const setup = { origin, createdMs, config, paused, partitions, change: changes, waitsFor: [] };
    const waitsFor = config.fifo ? range(0, count) : [];
    await this.joinAll(range(count, partitions), { ...setup, waitsFor });
    await this.joinAll(range(1, count), setup);
    // The head last: from here on it tells callers of the new ones, and nobody takes a message of theirs any more.
    await this.ports.learn(setup);
    await this.ports.inTurn((current) => current.noteTold(changes));
  }

  private async joinAll(partitions: readonly number[], setup: PartitionSetup): Promise<void> {
    for (const joined of await Promise.all(partitions.map((one) => this.ports.part(one).join(setup)))) {
      if (!joined.ok) throw new Error(joined.detail);
    }
  }

  /** The head's: whether one of the others keeps the queue from being deleted. Asked before anything of it goes. */
  async judgeAll(options: QueueRemoval): Promise<Refusal | null> {
    await this.idle();
    const looked = await Promise.all(this.others().map((part) => part.inspect(Number.POSITIVE_INFINITY)));
    for (const info of looked) {
      const judged = info.ok ? judgeRemoval(info.value, options) : null;
      if (judged?.ok === false) return judged;
    }
    return null;
  }

  /** All but the head; those, too, that were made and that nobody has been told of yet. */
  private others(): PartitionApi[] {
    const queue = this.ports.open();
    const count = Math.max(queue?.partition.count ?? 1, queue?.config.partitions ?? 1);
    return range(1, count).map((one) => this.ports.part(one));
  }

  /** The head's: deletes the others. One that refuses stays, and so does the queue. */
  async leaveAll(options: QueueRemoval): Promise<Result<{ messages: number }>> {
    await this.idle();
    const others = this.others();
    if (others.length === 0) return ok({ messages: 0 });
    // Should the head stay, because one refuses or all this is cut short, those that went are made anew.
    await this.ports.inTurn((queue) => queue.store({ config: queue.config }));
    const answers = await Promise.all(others.map((part) => part.leave(options)));
    let messages = 0;
    for (const answer of answers) {
      if (!answer.ok) return answer;
      messages += answer.value.messages;
    }
    return ok({ messages });
  }

  /** When the alarm must ring for what is to be told; null: all know all. */
  nextWakeMs(queue: Queue, nowMs: number): number | null {
    const { told, changes } = queue.partition;
    return told < changes || queue.workedOff() !== null ? Math.max(nowMs, this.retryAtMs) : null;
  }

  /** What the alarm does: goes on with what was cut short. */
  async work(nowMs: number): Promise<void> {
    // Unless it comes to its end.
    this.retryAtMs = nowMs + RETRY_MS;
    try {
      await this.workNow();
      // While the queue is being deleted nobody is told, and the alarm need not ask in vain.
      if (!this.ports.isLeaving()) this.retryAtMs = 0;
    } catch (error) {
      console.error("partitions were not told", { queue: this.ports.queue, error: String(error) });
    }
  }

  private async workNow(): Promise<void> {
    const queue = this.ports.open();
    if (queue && queue.partition.told < queue.partition.changes) await this.spreadInTurn();
    for (let fence = queue?.workedOff(); fence; fence = this.ports.open()?.workedOff()) {
      const { tell } = fence;
      await Promise.all(tell.map((one) => this.ports.part(one).endWait(this.ports.partition)));
      const ended = fence;
      await this.ports.inTurn((current) => current.endFence(ended));
    }
  }
}

function range(from: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - from) }, (_, i) => from + i);
}
