// One queue of the world: the core, the model beside it, and what clients of it remember.
import type { PublishCommand, RedriveCommand } from "../../src/protocol/commands.ts";
import { deliveryToJson } from "../../src/protocol/message-json.ts";
import type { DeathRecord, Delivery } from "../../src/protocol/commands.ts";
import type { OutboxRow } from "../../src/queue/stores.ts";
import { check, type Checkers } from "./checkers.ts";
import type { Role } from "./configs.ts";
import { SimulatedQueue } from "./core.ts";
import { factsOf } from "./facts.ts";
import { ModelAcceptance } from "./model-accept.ts";
import { goOut, goesAlone, lend } from "./model-delivery.ts";
import { ModelQueue, type ModelLease, type ModelMessage } from "./model.ts";
import { detach, purge, receive, resumeKey, settle } from "./actions.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";
import { wasmCodec } from "../support/queue-harness.ts";

/** A delivery as its consumer remembers it, also long after it ended. */
export interface Held {
  readonly lease: number;
  readonly consumerId: number;
  readonly sequences: readonly number[];
}

export interface Holder {
  readonly consumer: string;
  readonly consumerId: number;
  readonly attemptId: string | null;
  /** How long it must have what it is given. */
  readonly leaseMs: number;
}

/** An idempotent producer: its next sequence, and the batch it has no answer for. */
export interface ProducerMemory {
  next: number;
  unconfirmed: PublishCommand | null;
}

/** In the end there is room for all, and time to ack it. */
const QUIET = { maxMessages: null, maxBytes: null, leaseMs: 5_000 } as const;

export class Site {
  readonly core: SimulatedQueue;
  readonly model: ModelQueue;
  readonly acceptance: ModelAcceptance;
  readonly checkers: Checkers;
  readonly held: Held[] = [];
  readonly producers = new Map<string, ProducerMemory>();
  /** Redrives that may still move something. */
  readonly tasks = new Map<number, RedriveCommand>();
  /** When each move may be tried, as this side knows it. */
  readonly moves = new Map<number, { target: string; notBeforeMs: number; tries: number }>();
  /** The last move taken of each sender, and how many of its messages so far. */
  readonly inbound = new Map<string, { number: number; isDone: boolean; taken: number }>();
  lastMove = 0;

  constructor(
    role: Role,
    origin: number,
    checkers: Checkers,
    options: { random: () => number; nowMs: number },
  ) {
    const { name, config } = role;
    const { random, nowMs } = options;
    this.checkers = checkers;
    this.core = new SimulatedQueue({ name, origin, config, codec: wasmCodec(), random, nowMs });
    this.model = new ModelQueue({
      name,
      origin,
      config,
      random,
      watcher: {
        arrived: (id, queue) => checkers.conservation.arrived(id, queue),
        ended: (id, queue, fate) => {
          checkers.conservation.ended(id, queue, fate);
          if (fate === "acked") checkers.finality.wasAcked(id);
        },
      },
    });
    this.acceptance = new ModelAcceptance(this.model);
  }

  get name(): string {
    return this.model.name;
  }

  /**
   * Takes note of a delivery and checks it message by message. `max` is what was asked for in so many words; a
   * dispatch is judged when it is over.
   */
  took(delivery: Delivery, { leaseMs, ...holder }: Holder, max: number): void {
    const { model, checkers } = this;
    const given = deliveryToJson(delivery, this.core.codec);
    if (given.length === 0) return checkers.order.wasFilled(model, false, null);
    check(!model.leases.has(delivery.lease), "fencing", () => `lease ${delivery.lease} is granted twice`);
    const untilMs = model.clockMs + leaseMs;
    check(delivery.untilMs === untilMs, "lease", () => `it ends at ${delivery.untilMs}, must ${untilMs}`);
    const lease = lend(model, { id: delivery.lease, untilMs, ...holder });
    let isClosed = false;
    for (const one of given) {
      const message = this.known(one.sequence, one.id);
      check(!isClosed, "order", () => `${one.id} goes along with a last attempt`);
      checkers.finality.delivered(one);
      checkers.order.delivered(model, message, one, lease);
      check(one.body === message.facts.text, "order", () => `${one.id} comes with body ${one.body}`);
      isClosed = goesAlone(model, message);
      goOut(model, lease, message);
    }
    check(
      max === 0 || given.length <= max,
      "credit",
      () => `${given.length} messages for a receive of ${max}`,
    );
    if (given.length < max) checkers.order.wasFilled(model, isClosed, lease);
    this.remember(lease);
  }

  private remember(lease: ModelLease): void {
    const sequences = lease.messages.map(({ message }) => message.sequence);
    this.held.push({ lease: lease.id, consumerId: lease.consumerId, sequences });
    if (this.held.length > 30) this.held.shift();
  }

  private known(sequence: number, id: string): ModelMessage {
    const message = this.model.messages.get(sequence);
    check(
      message?.id === id,
      "conservation",
      () => `${this.name} delivers ${id}, which is not there any more`,
    );
    return message;
  }

  /** Moves arrive here, perhaps again; tells how many of them, from the first on, are here now. */
  takeMoves(world: World, from: Site, rows: readonly OutboxRow[], random: Random): number {
    const sender = `${from.name}#${from.core.origin}`;
    let done = 0;
    world.turn({
      site: this,
      random,
      work: (queue) =>
        queue.acceptMoves(
          sender,
          rows.map(({ number, batch }) => ({ number, batch: batch.slice() })),
          world.nowMs,
        ),
      apply: (answer) => {
        const expected = this.expectMoves(sender, rows, world.nowMs);
        ({ done } = expected);
        const isRefused = done === 0 && expected.accepted === 0;
        const actual = answer.ok ? answer.value : null;
        check(JSON.stringify(actual) === JSON.stringify(isRefused ? null : expected), "move", () => {
          return `${this.name} answers ${JSON.stringify(answer)}, must be ${JSON.stringify(expected)}`;
        });
      },
    });
    return done;
  }

  private expectMoves(sender: string, rows: readonly OutboxRow[], nowMs: number) {
    const before = this.inbound.get(sender) ?? { number: 0, isDone: true, taken: 0 };
    const isHere = ({ number }: OutboxRow): boolean =>
      number < before.number || (number === before.number && before.isDone);
    let done = rows.filter(isHere).length;
    let accepted = 0;
    const fresh = rows.slice(done).map(({ batch }) => factsOf(this.core.codec, batch));
    if (fresh.length > 0 && (before.isDone || rows[done]!.number !== before.number)) {
      const count = this.acceptance.takeTogether(fresh, nowMs);
      accepted = fresh.slice(0, count).flat().length;
      done += count;
      if (count > 0) this.inbound.set(sender, { number: rows[done - 1]!.number, isDone: true, taken: 0 });
    }
    for (; done < rows.length; done++) {
      const one = this.takeMove(sender, rows[done]!, nowMs);
      accepted += one.accepted;
      if (!one.isDone) break;
    }
    return { accepted, done };
  }

  /** One that is not wholly here: all of it, its rest, or a part of that. */
  private takeMove(sender: string, { number, batch }: OutboxRow, nowMs: number) {
    const facts = factsOf(this.core.codec, batch);
    const known = this.inbound.get(sender);
    const before = number === known?.number ? known.taken : 0;
    const accepted = this.acceptance.takeMoved(facts.slice(before), nowMs);
    const taken = before + accepted;
    const isDone = taken === facts.length;
    if (accepted > 0) this.inbound.set(sender, { number, isDone, taken });
    return { accepted, isDone };
  }

  /** The sender's side of moves that were tried. */
  carried(done: readonly OutboxRow[], failed: OutboxRow | undefined, nowMs: number): void {
    for (const row of done) {
      this.moves.delete(row.number);
      this.model.outbox.splice(
        this.model.outbox.findIndex(({ number }) => number === row.number),
        1,
      );
    }
    if (failed === undefined) return;
    const tries = failed.tries + 1;
    const notBeforeMs = nowMs + Math.min(60_000, 1_000 * 2 ** failed.tries);
    this.moves.set(failed.number, { target: failed.target, notBeforeMs, tries });
  }

  /** Takes note of what has left, died in place or was brought back. Only redrives do what was not predicted. */
  observe(nowMs: number, isRedriving: boolean): void {
    for (const { number, target, batch } of this.core.outbox(this.lastMove)) {
      const facts = factsOf(this.core.codec, batch);
      const ids = facts.map(({ id }) => id ?? "");
      facts.forEach(({ death }, i) => this.left(ids[i]!, target, death, isRedriving));
      this.model.outbox.push({ number, target, ids });
      this.moves.set(number, { target, notBeforeMs: nowMs, tries: 0 });
      this.lastMove = number;
    }
    const [missing] = this.model.departures;
    check(!missing, "conservation", () => `${missing?.id} should have left for ${missing?.target}`);
    this.observeDead(isRedriving);
  }

  private left(id: string, target: string, death: DeathRecord | null, isRedriving: boolean): void {
    const { model } = this;
    const hasDiedHere = death?.queue === this.name && death.redrivenMs === undefined;
    const reason = hasDiedHere ? death.reason : null;
    const early = model.byId(id);
    if (early?.isDrained && reason === "failed") model.bury(early, "failed");
    // Picked over before the alarm came.
    else if (reason === "expired" && early && isWaiting(early) && model.isExpired(early))
      model.bury(early, "expired");
    const at = model.departures.findIndex((one) => one.id === id && one.target === target);
    if (at !== -1) {
      const [departure] = model.departures.splice(at, 1);
      check(
        departure?.reason === reason,
        "conservation",
        () => `${id} died of ${reason}, not ${departure?.reason}`,
      );
      return;
    }
    const message = model.byId(id);
    const isDead = message?.state === "dead" || isDeadLetter(message);
    const isMeant = isDead || this.movesAll;
    const isOut = message?.state === "leased" || message?.state === "parked";
    check(message && isRedriving && isMeant && !isOut, "conservation", () => {
      return `${id} (${message?.state ?? "gone"}) left ${this.name} for ${target}`;
    });
    // One redrive brought it back, and another took it on before anyone looked.
    if (message.state === "dead" && death === null && this.movesAll && this.bringsBack(id))
      model.bringBack(message);
    const hasDied = message.state === "dead" || message.facts.death !== null;
    check(
      hasDied === (death !== null),
      "redrive",
      () => `${id} died: ${hasDied}, and tells ${death?.reason}`,
    );
    model.totals.redriven++;
    model.remove(message, "moved");
  }

  /** What a redrive has put back into its place here. What it moved away is still in no outbox row we have read. */
  observeBroughtBack(): void {
    const dead = this.core.deadSequences();
    const left = new Set(
      this.core
        .outbox(this.lastMove)
        .flatMap(({ batch }) => factsOf(this.core.codec, batch).map(({ id }) => id)),
    );
    for (const message of this.model.all()) {
      if (message.state === "dead" && !dead.has(message.sequence) && !left.has(message.id))
        this.model.bringBack(message);
    }
  }

  private observeDead(isRedriving: boolean): void {
    if (isRedriving) this.observeBroughtBack();
    const dead = this.core.deadSequences();
    const returned = new Set(this.core.returnedSequences());
    for (const message of this.model.all()) {
      if (!message.isDrained) continue;
      if (dead.has(message.sequence)) this.model.bury(message, "failed");
      // Nobody has had it, so that it has a row tells that it died; and a redrive brought it back in the same alarm.
      else if (returned.has(message.sequence) && this.bringsBack(message.id)) {
        this.model.bury(message, "failed");
        this.model.bringBack(message);
      } else if (this.model.isExpired(message)) this.model.bury(message, "expired");
    }
    const known = this.model.all().filter(({ state }) => state === "dead");
    check(
      known.every(({ sequence }) => dead.has(sequence)) && known.length === dead.size,
      "conservation",
      () => {
        return `${this.name} has ${dead.size} dead messages, ${known.length} died`;
      },
    );
  }

  /** A redrive goes on that puts this message, if it is dead, back into its place here. */
  private bringsBack(id: string): boolean {
    return [...this.tasks.values()].some(
      ({ to = this.name, filter: { ids } }) => to === this.name && (ids === undefined || ids.includes(id)),
    );
  }

  /** A redrive goes on that moves what never died as well. */
  private get movesAll(): boolean {
    return [...this.tasks.values()].some(({ all }) => all === true);
  }

  /** Messages may die because their key is drained, at once or when they come up. */
  get isDraining(): boolean {
    return this.model.config.onKeyFailure === "drain" || this.model.all().some(({ isDrained }) => isDrained);
  }

  /** When the first move to any target may be tried. */
  nextMoveMs(): number | null {
    const first = new Map<string, number>();
    for (const { target, notBeforeMs } of this.moves.values())
      if (!first.has(target)) first.set(target, notBeforeMs);
    return first.size === 0 ? null : Math.min(...first.values());
  }

  /** Nobody consumes and nothing is redriven any more. */
  quiet(world: World, random: Random): void {
    for (const { id } of Array.from(this.core.sockets.values())) detach(world, this, id, "released", random);
    const tasks = [...this.tasks.keys()];
    world.turn({
      site: this,
      random,
      work: (queue) => {
        // A message with its death record may be larger than its target may ever be: then somebody raises the limit.
        queue.store({ paused: false, config: { ...queue.config, ...QUIET } });
        for (const task of tasks) queue.redriveCancel(task);
      },
      apply: () => {
        this.model.paused = false;
        this.model.config = { ...this.model.config, ...QUIET };
      },
    });
  }

  /** Frees parked keys, takes what is ready and acks it. */
  consumeAll(world: World, random: Random): void {
    for (let i = 0; i < 1_000; i++) {
      const parked = this.model.all().find(({ state }) => state === "parked");
      if (parked) resumeKey(world, this, parked.key!, "skip", random);
      const lease = receive(world, this, { consumer: "last", max: 50 }, random);
      if (lease === null && !parked) return;
      if (lease !== null) settle(world, this, { lease, verdict: "ack" }, random);
    }
  }

  purgeAll(world: World, random: Random): void {
    purge(world, this, {}, random);
    check(this.model.messages.size === 0, "drain", () => `${this.name} is not empty`);
  }
}

/** It came dead from another queue and was not brought back since. */
function isDeadLetter(message: ModelMessage | null): boolean {
  const death = message?.facts.death;
  return death !== null && death !== undefined && death.redrivenMs === undefined;
}

function isWaiting({ state }: ModelMessage): boolean {
  return state !== "leased" && state !== "dead";
}
