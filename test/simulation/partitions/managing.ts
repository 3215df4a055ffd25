// What operators do: they add partitions, change the configuration, pause, redrive, purge and free keys.
import type { QueueConfig } from "../../../src/protocol/queue-config.ts";
import { check } from "../checkers.ts";
import type { Random } from "../random.ts";
import { DEAD, MAIN } from "./shape.ts";
import type { PartitionsWorld } from "./world.ts";

/** More would only be slower. */
const PARTITIONS_MAX = 6;

/** A change, and when it was asked for and answered. */
interface Change {
  readonly value: number | boolean;
  readonly start: number;
  end: number;
  isDone: boolean;
}

/** What was asked of a setting, and what may therefore hold in the end. */
class Wishes {
  private readonly changes: Change[] = [];

  add(change: Change): void {
    this.changes.push(change);
  }

  /** None that was surely made after it. */
  mayHold(value: number | boolean, initial: number | boolean): boolean {
    const done = this.changes.filter(({ isDone }) => isDone);
    if (value === initial && done.length === 0) return true;
    return this.changes.some(
      (change) => change.value === value && !done.some(({ start }) => start > change.end),
    );
  }

  greatestDone(): number {
    return Math.max(0, ...this.changes.filter(({ isDone }) => isDone).map(({ value }) => Number(value)));
  }
}

export class Operators {
  private readonly world: PartitionsWorld;
  private readonly leaseMs = new Map([MAIN, DEAD].map((queue) => [queue, new Wishes()]));
  private readonly partitions = new Map([MAIN, DEAD].map((queue) => [queue, new Wishes()]));
  private readonly paused = new Map([MAIN, DEAD].map((queue) => [queue, new Wishes()]));
  private readonly known = new Map<string, number>();
  private changes = 0;

  constructor(world: PartitionsWorld) {
    this.world = world;
  }

  private async change(
    wishes: Wishes,
    value: number | boolean,
    what: string,
    call: () => Promise<{ ok: boolean } | null>,
  ): Promise<boolean> {
    const { truth } = this.world;
    const change = { value, start: truth.tick(), end: Number.POSITIVE_INFINITY, isDone: false };
    wishes.add(change);
    this.world.say(what);
    const answer = await call();
    change.end = truth.tick();
    change.isDone = answer?.ok === true;
    if (change.isDone) this.world.say(`${what}: done`);
    return change.isDone;
  }

  partitionsOf(queue: string): number {
    return this.known.get(queue) ?? this.world.shape.queues.get(queue)!.partitions;
  }

  async grow(queue: string, caller: number, random: Random): Promise<void> {
    const partitions = Math.min(PARTITIONS_MAX, this.partitionsOf(queue) + random.pick([1, 1, 2]));
    // Whether it is done or not: another's next wish goes on from here.
    this.known.set(queue, partitions);
    await this.update(queue, caller, { partitions });
  }

  update(
    queue: string,
    caller: number,
    changes: { partitions: number } | { leaseMs: number },
  ): Promise<boolean> {
    const [field, wishes] =
      "partitions" in changes
        ? (["partitions", this.partitions] as const)
        : (["leaseMs", this.leaseMs] as const);
    const value = (changes as Partial<QueueConfig>)[field]!;
    const what = `${queue}: ${field} = ${value}`;
    return this.change(wishes.get(queue)!, value, what, () =>
      this.world.ask(what, () => this.world.queue(caller, queue).update(changes)),
    );
  }

  async changeLease(queue: string, caller: number): Promise<void> {
    await this.update(queue, caller, { leaseMs: 10_000 + ++this.changes });
  }

  pause(queue: string, caller: number, paused: boolean): Promise<boolean> {
    const what = `${queue}: paused = ${paused}`;
    return this.change(this.paused.get(queue)!, paused, what, () =>
      this.world.ask(what, () => this.world.queue(caller, queue).pause(paused)),
    );
  }

  async redrive(queue: string, caller: number, random: Random): Promise<void> {
    const limit = random.chance(0.3) ? { limit: random.between(1, 5) } : {};
    const rate = random.chance(0.2) ? { ratePerSecond: 5 } : {};
    const whole = this.world.queue(caller, queue);
    const command = { filter: {}, dryRun: false, ...limit, ...rate, ...this.newerWish(queue) };
    const started = await this.world.ask(`redrive of ${queue}`, () => whole.redrive(command));
    const task = started?.ok ? started.value.task : null;
    if (task === null) return;
    if (random.chance(0.5)) await this.world.ask(`redrive ${task}`, () => whole.redriveStatus(task));
    if (random.chance(0.1)) await this.world.ask(`redrive ${task}`, () => whole.redriveCancel(task));
  }

  /** What never died moves one way only: what comes back from elsewhere has no place in the order of its key. */
  private newerWish(queue: string): { all?: boolean; to?: string; alone?: boolean } {
    const { newer } = this.world;
    if (newer === null) return {};
    const all = queue === MAIN && newer.chance(0.3) ? { all: true, to: DEAD } : {};
    return { ...all, ...(newer.chance(0.3) ? { alone: true } : {}) };
  }

  async purge(queue: string, caller: number): Promise<void> {
    await this.world.ask(`purge of ${queue}`, () => this.world.queue(caller, queue).purge({}));
  }

  async resumeKey(key: string, caller: number, random: Random): Promise<void> {
    const action = random.pick(
      this.world.shape.drainsKeys ? (["retry", "skip", "drain"] as const) : (["retry", "skip"] as const),
    );
    await this.world.ask(`${action} ${key}`, () => this.world.queue(caller, MAIN).resumeKey(key, action));
  }

  async inspect(queue: string, caller: number): Promise<void> {
    const answer = await this.world.ask(`inspect ${queue}`, () => this.world.queue(caller, queue).inspect());
    if (!answer?.ok) return;
    const { counts, config } = answer.value;
    const isPossible = Object.values(counts).every((count) => count >= 0);
    check(isPossible, "inspect", () => `${queue} has ${JSON.stringify(counts)} with ${config.partitions}`);
  }

  /** What was confirmed holds, unless something later may have changed it. */
  checkSettings(queue: string): void {
    const initial = this.world.shape.queues.get(queue)!;
    const { config, paused } = this.world.core(queue, 0)!.stored;
    const isLease = this.leaseMs.get(queue)!.mayHold(config.leaseMs, initial.leaseMs);
    check(isLease, "settings", () => `${queue} has leaseMs ${config.leaseMs}, which is not the last`);
    const isPause = this.paused.get(queue)!.mayHold(paused, false);
    check(isPause, "settings", () => `${queue} has paused ${paused}, which is not the last`);
    const greatest = this.partitions.get(queue)!.greatestDone();
    check(config.partitions >= greatest, "settings", () => {
      return `${queue} has ${config.partitions} partitions, and ${greatest} were confirmed`;
    });
  }
}
