/**
 * Messages on their way through an exchange: a publish and its confirm, what other exchanges and queues hand over, and
 * what was held until it was due.
 */
import { ConfirmBuilder } from "../exchange/confirm.ts";
import type { Due, QueueShares, Ways } from "../exchange/due.ts";
import type { Exchange, PublishPlan } from "../exchange/exchange.ts";
import { shareOf } from "../protocol/runs.ts";
import type { Scanned } from "../exchange/step.ts";
import type { BatchCodec } from "../protocol/batch.ts";
import type { RouteConfirm, RoutePublishCommand, RouteStep } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { MoveBatch, MovedCommand, MovesTaken } from "../protocol/move-target.ts";
import { countOf } from "../protocol/runs.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { FanOut } from "./exchange-fan-out.ts";
import { RateLimits } from "./rate-limits.ts";

/** What the jobs of one turn wait for after its commit. */
export interface TurnPushes {
  done: Promise<void>;
}

export interface ExchangeMessagesPorts {
  readonly codec: BatchCodec;
  readonly fanOut: FanOut;
  readonly storage: DurableObjectStorage;
  open(): Exchange | null;
  notFound(): Refusal;
  look<T>(run: (exchange: Exchange, nowMs: number) => Result<T>): Result<T>;
  /** Runs a change as a part of the turn's transaction, and tells what the turn's pushes come to. */
  inTurn<T>(
    run: (exchange: Exchange, nowMs: number) => Result<T>,
  ): Promise<Refusal | { ok: true; value: T; turn: TurnPushes }>;
}

/** Batches of what is due that are routed in one alarm; the next alarm goes on. */
const DUE_MAX = 50;

export class ExchangeMessages {
  private readonly ports: ExchangeMessagesPorts;
  private inFlightBytes = 0;
  private readonly rates: RateLimits;

  constructor(ports: ExchangeMessagesPorts) {
    this.ports = ports;
    this.rates = new RateLimits(ports.storage);
  }

  async publish(command: RoutePublishCommand): Promise<Result<RouteConfirm>> {
    if (!this.ports.open()) return this.ports.notFound();
    const bytes = command.batch.byteLength;
    if (this.inFlightBytes + bytes > LIMITS.exchangeInFlightBytesMax) {
      return refuse("exchange_busy", "the exchange waits for its destinations", { retryAfterMs: 1_000 });
    }
    const tooFast = this.rates.charge(command.charges ?? [], Date.now());
    if (tooFast) return tooFast;
    this.inFlightBytes += bytes;
    try {
      const planned = await this.ports.inTurn((exchange, nowMs) => exchange.publish(command, nowMs));
      return planned.ok ? ok(await this.carryOut(planned.value, planned.turn, command)) : planned;
    } finally {
      this.inFlightBytes -= bytes;
    }
  }

  private async carryOut(
    { now, places, delayed, step }: PublishPlan,
    turn: TurnPushes,
    command: RoutePublishCommand,
  ): Promise<RouteConfirm> {
    const { codec, fanOut } = this.ports;
    const confirm = new ConfirmBuilder(countOf(places) + countOf(delayed), places, delayed);
    if (now !== null) {
      const resolution = await fanOut.resolve(now, step, false);
      for (const failure of resolution.failed) confirm.fail(failure);
      const source = command.source ?? "client";
      await Promise.all(
        resolution.shares().map(async ({ queue, messages }) => {
          const batch = shareOf(codec, now.batch, now.table, messages);
          const { publisher } = command;
          const share = { batch, source, isRouted: true, ...(publisher && { publisher }) };
          const refused = await fanOut.toQueue(queue, share);
          if (refused === "gone") return;
          if ("ok" in refused) confirm.refused(queue, messages, refused);
          else confirm.tookAllBut(queue, messages, refused);
        }),
      );
    }
    await turn.done;
    return confirm.confirm(command.mandatory ?? false, this.ports.open()?.position ?? "");
  }

  async step(batch: Uint8Array, options: { isQuiet: boolean }): Promise<Result<RouteStep>> {
    if (!this.ports.open()) return this.ports.notFound();
    const step = await this.ports.inTurn((exchange) => exchange.step(batch, options.isQuiet));
    if (!step.ok) return step;
    await step.turn.done;
    return ok(step.value);
  }

  /** One after the other, so that they lie in their order wherever they go; up to the first that is refused. */
  async acceptMoves({ from, moves }: MovedCommand): Promise<Result<MovesTaken>> {
    let accepted = 0;
    for (const [done, move] of moves.entries()) {
      const taken = await this.acceptMove(from, move);
      if (!taken.ok) return done === 0 ? taken : ok({ accepted, done });
      accepted += taken.value;
    }
    return ok({ accepted, done: moves.length });
  }

  /** How many messages it brought; none where it was taken before. */
  private async acceptMove(from: string, { number, batch }: MoveBatch): Promise<Result<number>> {
    const looked = this.ports.look((exchange) =>
      exchange.hasMoved(from, number) ? ok(null) : exchange.look(batch),
    );
    if (!looked.ok) return looked;
    if (looked.value === null) return ok(0);
    const { scanned, step } = looked.value;
    const shares = await this.sharesOf(scanned, step, false);
    if (!shares.ok) return shares;
    const taken = await this.ports.inTurn((exchange, nowMs) =>
      exchange.takeMoved(from, number, scanned, shares.value, nowMs),
    );
    if (!taken.ok) return taken;
    await taken.turn.done;
    return ok(scanned.table.count);
  }

  /** All queues that a held batch goes to; a refusal when an exchange on the way can't say. */
  private async sharesOf(scanned: Scanned, step: RouteStep, isQuiet: boolean): Promise<Result<QueueShares>> {
    const resolution = await this.ports.fanOut.resolve(scanned, step, isQuiet);
    const failure = resolution.failed.find(({ code }) => code !== "unroutable");
    return failure === undefined ? ok(resolution.shares()) : refuse("unavailable", failure.detail);
  }

  async routeAllDue(): Promise<void> {
    for (let i = 0; i < DUE_MAX && (await this.routeDue()); i++);
  }

  /** False when nothing is due. */
  private async routeDue(): Promise<boolean> {
    const exchange = this.ports.open();
    const due = exchange?.firstDue(Date.now());
    if (!exchange || !due) return false;
    const ways = await this.waysOf(exchange, due);
    const done = await this.ports.inTurn((current, nowMs) => {
      // Another alarm may have been faster, and the exchange may be another one by now.
      if (current === exchange && current.isHeld(due)) current.takeDue(due, ways, nowMs);
      return ok(undefined);
    });
    if (done.ok) await done.turn.done;
    return done.ok;
  }

  private async waysOf(exchange: Exchange, due: Due): Promise<Ways> {
    const looked = exchange.look(due.batch);
    // It was written by this exchange, so it can be read; if not, it does not stop all that comes after it.
    if (!looked.ok) return { shares: [], failed: [[0, countOf(due.rows.map(({ count }) => [0, count]))]] };
    const { scanned, step } = looked.value;
    const resolution = await this.ports.fanOut.resolve(scanned, step, due.mustRoute);
    const failed = resolution.failed.filter(({ code }) => code !== "unroutable");
    return { shares: resolution.shares(), failed: failed.flatMap(({ messages }) => messages) };
  }
}
