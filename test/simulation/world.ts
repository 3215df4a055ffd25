/**
 * Several queues in one process, with a clock that is a number. A turn is what the object's shell does for one
 * event: the work, a dispatch to the sockets, then whatever the alarm would do by now. After each turn everything
 * that is known about the queue is checked.
 */
import type { PeekPage } from "../../src/protocol/commands.ts";
import type { MessageState } from "../../src/protocol/commands.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import type { Result } from "../../src/protocol/result.ts";
import type { Consumer, Dispatched } from "../../src/queue/consumers.ts";
import type { Queue } from "../../src/queue/queue.ts";
import { check, Checkers, hungryOf } from "./checkers.ts";
import type { Role } from "./configs.ts";
import { NO_FAULTS, type Faults } from "./faults.ts";
import type { Random } from "./random.ts";
import { Site } from "./site.ts";

/** Alarms in a row before a queue that finds no rest is a failure. */
const ALARMS_MAX = 200;

export interface Turn<T> {
  readonly site: Site;
  readonly random: Random;
  readonly work: (queue: Queue) => T;
  /** The same on the model, with what the core answered. */
  readonly apply: (value: T) => void;
  /** Moves messages that no prediction names: nothing is dispatched in the same transaction. */
  readonly isRedrive?: boolean;
  /** The same, because a key is drained by hand. */
  readonly isDrain?: boolean;
  /** It does by itself what the alarm has not come round to. What can't be predicted is left to the alarm. */
  readonly doesDue?: boolean;
}

export class World {
  nowMs = 1_000_000;
  faults: Faults;
  readonly sites = new Map<string, Site>();
  readonly checkers = new Checkers();
  readonly history: string[] = [];
  /** What producers made, so that every message is told from every other. */
  published = 0;
  lastConsumer = 0;
  /** What a step draws beside all else, for what was added later; null where that is left out. */
  newer: Random | null = null;

  constructor(roles: readonly Role[], faults: Faults, chance: number) {
    this.faults = faults;
    const options = { random: () => chance, nowMs: this.nowMs };
    roles.forEach((role, i) => this.sites.set(role.name, new Site(role, 1_000 + i, this.checkers, options)));
  }

  site(name: string): Site {
    return this.sites.get(name)!;
  }

  /** Moments to come at which something is due somewhere. */
  edges(): number[] {
    const dues = [...this.sites.values()].map(({ model }) => model.nextDueMs(true));
    return dues.filter((ms) => ms !== null && ms >= this.nowMs).map(Number);
  }

  log(line: string): void {
    this.history.push(`${this.nowMs} ${line}`);
  }

  /** Runs a turn; false when storage failed and nothing of it happened. */
  turn<T>(turn: Turn<T>): boolean {
    const { site, random, work, apply } = turn;
    if (random.chance(this.faults.storageFaultProbability)) {
      this.failTurn(site, random, work);
      if (random.chance(0.5)) return false;
    }
    // What only an observation can tell must be known before the next thing happens.
    const isRedriving = turn.isRedrive === true || site.tasks.size > 0;
    const isSplit = isRedriving || turn.isDrain === true || site.isDraining;
    const isLate = random.chance(this.faults.lateAlarmProbability) && !(isSplit && turn.doesDue === true);
    if (isSplit && !isLate) this.alarm(site);
    const done = site.core.run(this.nowMs, (queue) => {
      if (!isLate && !isSplit) tickAll(queue, this.nowMs);
      const value = work(queue);
      return { value, dispatched: isSplit ? [] : queue.dispatch(this.nowMs) };
    });
    if (!isLate && !isSplit) site.model.tick(this.nowMs);
    site.model.clockMs = this.clockOf(site);
    apply(done.value);
    this.dispatched(site, done.dispatched);
    if (isSplit) site.observe(this.nowMs, isRedriving);
    this.rest(site);
    return true;
  }

  private failTurn(site: Site, random: Random, work: (queue: Queue) => unknown): void {
    const atMs = Math.max(this.nowMs, this.clockOf(site));
    const before = site.core.inspect(atMs);
    site.core.runFailing(this.nowMs, random.between(0, 40), (queue) => {
      queue.tick(this.nowMs);
      work(queue);
      queue.dispatch(this.nowMs);
    });
    this.log(`${site.name} storage fails`);
    this.checkers.eviction.check(before, site.core.inspect(atMs), "rollback");
    site.model.clockMs = this.clockOf(site);
  }

  /** The queue's own time. A clock that moved nothing is not stored: it may be earlier after the queue is reopened. */
  private clockOf(site: Site): number {
    return site.core.run(this.nowMs, (queue) => queue.clockMs);
  }

  /** Lets the alarm come until nothing is left to do now, then looks at everything. */
  private rest(site: Site): void {
    let before = "";
    for (let i = 0; ; i++) {
      check(i < ALARMS_MAX, "rest", () => `${site.name} finds no rest: ${before}`);
      this.alarm(site);
      const dispatched = site.core.run(this.nowMs, (queue) => queue.dispatch(this.nowMs));
      this.dispatched(site, dispatched);
      const info = site.core.inspect(this.nowMs);
      const after = JSON.stringify([info.counts, info.totals]);
      if (after === before) break;
      before = after;
    }
    this.checkers.credit.isSatisfied(site.model, [...site.core.sockets.values()]);
    this.look(site);
  }

  private alarm(site: Site): void {
    site.core.run(this.nowMs, (queue) => tickAll(queue, this.nowMs));
    const isRedriving = site.tasks.size > 0;
    if (isRedriving) site.observeBroughtBack();
    site.model.tick(this.nowMs);
    site.observe(this.nowMs, isRedriving);
  }

  private look(site: Site): void {
    const { core, model } = site;
    const { info, memory, wakeMs, ended } = core.run(this.nowMs, (queue) => ({
      info: queue.inspect(this.nowMs),
      memory: queue.memory(),
      wakeMs: queue.nextWakeMs(this.nowMs),
      ended: [...site.tasks.keys()].filter((task) => {
        const status = queue.redriveStatus(task);
        return !status.ok || status.value.state !== "running";
      }),
    }));
    for (const task of ended) site.tasks.delete(task);
    this.checkers.counts.check(info, model);
    const isAwaited = hungryOf(model, [...core.sockets.values()]) !== undefined;
    // A paced redrive takes its next step within two seconds.
    const taskMs = site.tasks.size > 0 ? model.clockMs + 2_000 : null;
    this.checkers.wakeTime.check(model, wakeMs, { isAwaited, otherDueMs: [taskMs, site.nextMoveMs()] });
    this.checkers.memory.check(core, memory, model);
  }

  private dispatched(site: Site, list: readonly Dispatched[]): void {
    const { core, model } = site;
    for (const { consumer, delivery } of list) {
      const openBefore = consumer.isOnce ? 0 : model.openOf(consumer.id);
      const consumerId = consumer.isOnce ? 0 : consumer.id;
      const wishMs = consumer.leaseMs ?? model.config.leaseMs;
      const leaseMs = consumer.isOnce ? wishMs : Math.max(wishMs, LIMITS.leaseMsMin);
      site.took(delivery, { consumer: consumer.name, consumerId, attemptId: null, leaseMs }, 0);
      const count = model.leases.get(delivery.lease)!.messages.length;
      this.checkers.credit.dispatched(model, consumer, core.sockets.values(), openBefore, count);
      if (consumer.isOnce) core.sockets.delete(consumer.id);
      this.log(`${site.name} → ${consumer.name}: lease ${delivery.lease} ${namesOf(site, delivery.lease)}`);
    }
  }

  /** The object goes out of memory and comes back; nothing that a client can see may change. */
  evict(site: Site, lost: readonly Consumer[] = []): void {
    const atMs = Math.max(this.nowMs, this.clockOf(site));
    const before = site.core.inspect(atMs);
    for (const { id } of lost) site.core.sockets.delete(id);
    site.core.evict();
    // Opened at the time that it is: what lost sockets held is given back then.
    site.core.run(this.nowMs, () => undefined);
    const after = site.core.inspect(atMs);
    this.log(
      `${site.name} is evicted${lost.length > 0 ? `, losing ${lost.map(({ name }) => name).join()}` : ""}`,
    );
    site.model.clockMs = this.clockOf(site);
    if (lost.length === 0) this.checkers.eviction.check(before, after, "eviction");
    for (const { id } of lost) site.model.release(id, "restarted");
    this.rest(site);
  }

  /** Compares what a look at the messages shows with the model. */
  census(site: Site): void {
    const { model, core } = site;
    const states: MessageState[] = ["ready", "leased", "delayed", "parked", "dead"];
    const seen = states.map((state) => core.run(this.nowMs, (queue) => allIn(queue, state, this.nowMs)));
    // A look moves the queue's clock.
    model.clockMs = this.clockOf(site);
    const ids = model.all().map(({ id }) => id);
    this.checkers.conservation.holds(site.name, seen.flat(), ids);
    const inState = (wanted: string): string[] =>
      model
        .all()
        .filter(({ state }) => state === wanted)
        .map(({ id }) => id);
    this.checkers.conservation.holds(`${site.name}, leased`, seen[1]!, inState("leased"));
    this.checkers.conservation.holds(`${site.name}, dead`, seen[4]!, inState("dead"));
  }

  /** One attempt to carry some of a queue's moves to a target; the last answer may be lost. */
  carry(site: Site, random: Random): boolean {
    const [name] = site.core.run(this.nowMs, (queue) => queue.dueTargets(this.nowMs));
    if (name === undefined) return false;
    const target = this.site(name);
    const all = site.core.run(this.nowMs, (queue) => queue.movesTo(name, this.nowMs));
    const rows = all.slice(0, random.between(1, all.length));
    const times = random.chance(this.faults.moveRepeatedProbability) ? 2 : 1;
    let done = 0;
    for (let i = 0; i < times; i++) done = Math.max(done, target.takeMoves(this, site, rows, random));
    const answered = random.chance(this.faults.moveRepeatedProbability) ? 0 : done;
    this.log(`${site.name} ⇒ ${target.name}: moves ${rows[0]!.number}…, ${done} of ${rows.length} taken`);
    const failed = rows[answered];
    this.turn({
      site,
      random,
      work: (queue) => {
        if (answered > 0) queue.moved(rows[answered - 1]!);
        if (failed !== undefined) queue.moveFailed(failed, this.nowMs);
      },
      apply: () => site.carried(rows.slice(0, answered), failed, this.nowMs),
    });
    return true;
  }

  /** Everything comes to an end: no more faults, every message is taken and acked. */
  drain(random: Random): void {
    this.faults = NO_FAULTS;
    const sites = [...this.sites.values()];
    for (const site of sites) site.quiet(this, random);
    const isDone = (): boolean =>
      sites.every(
        ({ model, moves }) => moves.size === 0 && model.all().every(({ state }) => state === "dead"),
      );
    for (let round = 0; !isDone(); round++) {
      check(round < 300, "drain", () =>
        sites.map(({ name, model }) => `${name} ${JSON.stringify(model.counts())}`).join("; "),
      );
      this.nowMs += 20_000;
      for (const site of sites) {
        site.consumeAll(this, random);
        while (this.carry(site, random));
      }
    }
    for (const site of sites) site.purgeAll(this, random);
    this.checkers.conservation.atEnd();
  }

  close(): void {
    for (const { core } of this.sites.values()) core.close();
  }
}

/** A tick is bounded; the model's is not. */
function tickAll(queue: Queue, nowMs: number): void {
  do queue.tick(nowMs);
  while (queue.hasMoreWork);
}

export function namesOf(site: Site, lease: number): string {
  const messages = site.model.leases.get(lease)?.messages ?? [];
  return messages.map(({ message }) => message.sequence).join(",");
}

function allIn(queue: Queue, state: MessageState, nowMs: number): string[] {
  const ids: string[] = [];
  let cursor: string | undefined;
  do {
    const page: Result<PeekPage> = queue.peek(
      { state, limit: 7, ...(cursor === undefined ? {} : { cursor }) },
      nowMs,
    );
    if (!page.ok) throw new Error(page.detail);
    ids.push(...page.value.messages.map(({ id }) => id));
    cursor = page.value.cursor;
  } while (cursor !== undefined);
  return ids;
}
