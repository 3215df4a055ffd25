/**
 * One exchange. The shell wires the core to time, storage, other objects and the alarm, and decides nothing about
 * messages.
 *
 * Calls become jobs of the turn's one transaction. What a turn brings for subscribers is pushed to the hubs after it,
 * and a publish is confirmed when its queues have answered and the hubs of its turn have it. When a transition throws,
 * the transaction is rolled back and the core is opened again from storage by the next call.
 */
import { DurableObject } from "cloudflare:workers";
import kernels from "../../wasm/build/millrace.wasm";
import type { Env } from "../env.ts";
import { refuseAlternate, refuseRedeclare } from "../exchange/config-rules.ts";
import { ConfirmBuilder } from "../exchange/confirm.ts";
import { drawEpoch } from "../exchange/context.ts";
import { Exchange, type PublishPlan, type QueueShares } from "../exchange/exchange.ts";
import type { Turn } from "../exchange/history.ts";
import { mergePresence } from "../exchange/presence.ts";
import type { Resolution } from "../exchange/resolution.ts";
import { shareOf } from "../exchange/shares.ts";
import type { Scanned } from "../exchange/step.ts";
import type {
  Binding,
  BindingView,
  Destination,
  ExchangeInfo,
  ExplainAnswer,
  ExplainCommand,
  PresenceAnswer,
  PresenceDelta,
  ReplayAnswer,
  ReplayCommand,
  RouteConfirm,
  RoutePublishCommand,
  RouteStep,
} from "../protocol/exchange-commands.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import type { Attachment, ExchangeApi } from "../protocol/exchange-rpc.ts";
import { LIMITS } from "../protocol/limits.ts";
import { splitObjectName } from "../protocol/names.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { NamespaceApi } from "../protocol/rpc.ts";
import { WasmBatchCodec } from "../protocol/wasm-batch-codec.ts";
import { WasmMatcher } from "../routing/wasm-matcher.ts";
import { EXCHANGE_MIGRATIONS } from "../storage/exchange-schema.ts";
import { SqlExchangeStores } from "../storage/exchange-stores.ts";
import { migrate } from "../storage/migrations.ts";
import { Sql } from "../storage/sql.ts";
import { Alarm } from "./alarm.ts";
import { ExchangeHubs } from "./exchange-hubs.ts";
import { FanOut } from "./exchange-fan-out.ts";
import { GroupCommit } from "./group-commit.ts";
import { Outbound } from "./outbound.ts";
import { exchangeOf, namespaceOf } from "./peers.ts";

/** Stateless, so all objects of the isolate share it. */
const codec = new WasmBatchCodec(kernels);
const PARTS = { codec, makeMatcher: () => new WasmMatcher(kernels), random: Math.random };

/** Delayed batches routed in one alarm; the next alarm goes on. */
const DUE_MAX = 50;

/** What the jobs of one turn wait for after its commit. */
interface TurnPushes {
  done: Promise<void>;
}

export class ExchangeObject extends DurableObject<Env> implements ExchangeApi {
  private readonly sql: Sql;
  private readonly group: GroupCommit;
  private readonly fanOut: FanOut;
  private readonly hubs: ExchangeHubs;
  private readonly outbound: Outbound;
  private stores: SqlExchangeStores;
  /** Null until the first call after a wake, and after a transition that threw. */
  private exchange: Exchange | null = null;
  private turn: TurnPushes = { done: Promise.resolve() };
  private inFlightBytes = 0;
  private readonly alarmClock: Alarm;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage.sql, EXCHANGE_MIGRATIONS);
    this.alarmClock = new Alarm(ctx.storage);
    this.sql = new Sql(ctx.storage.sql);
    this.stores = new SqlExchangeStores(this.sql);
    this.group = new GroupCommit((run) => this.flush(run));
    const { namespace, name } = splitObjectName(this.name);
    this.fanOut = new FanOut({ env, codec, namespace, exchange: name, gone: (one) => this.forget(one) });
    this.hubs = new ExchangeHubs({
      env,
      namespace,
      exchange: name,
      fanOut: this.fanOut,
      detach: (hub) =>
        this.whenDeclared((exchange) => ok(exchange.detach(hub))).then(() => this.goIfAbandoned()),
      waitUntil: (work) => ctx.waitUntil(work),
    });
    this.outbound = new Outbound({
      env,
      namespace,
      garbage: null,
      open: () => this.open(),
      inTurn: (run) => this.group.add(run),
    });
  }

  // Declaring

  async declare(config: ExchangeConfig): Promise<Result<{ created: boolean; info: ExchangeInfo }>> {
    const missing = await this.checkAlternate(config);
    if (missing) return missing;
    const known = this.open();
    if (known) {
      return refuseRedeclare(known.config, config) ?? ok({ created: false, info: known.inspect(Date.now()) });
    }
    const { name } = splitObjectName(this.name);
    const registered = await this.catalogue.registerExchange(name);
    return registered.ok ? this.create(config) : registered;
  }

  private create(config: ExchangeConfig): Result<{ created: boolean; info: ExchangeInfo }> {
    // Another declare may have come in between.
    const known = this.open();
    const createdMs = Date.now();
    if (known)
      return refuseRedeclare(known.config, config) ?? ok({ created: false, info: known.inspect(createdMs) });
    const { namespace, name: exchange } = splitObjectName(this.name);
    const origin = crypto.getRandomValues(new Uint32Array(1))[0]! * 256 + 1;
    const epoch = drawEpoch(Math.random);
    this.stores.writeExchange({ exchange, namespace, origin, createdMs, epoch, wasUsed: false, config });
    return ok({ created: true, info: this.open()!.inspect(createdMs) });
  }

  async update(changes: Partial<ExchangeConfig>): Promise<Result<ExchangeInfo>> {
    const missing = await this.checkAlternate(changes);
    if (missing) return missing;
    return this.whenDeclared((exchange, nowMs) => exchange.update(changes, nowMs));
  }

  private async checkAlternate({ alternate }: Partial<ExchangeConfig>): Promise<Refusal | null> {
    if (alternate === undefined || alternate === null) return null;
    const refused = refuseAlternate(splitObjectName(this.name).name, alternate);
    if (refused) return refused;
    const found = await this.catalogue.hasExchange(alternate);
    if (!found.ok) return found;
    return found.value
      ? null
      : refuse("destination_missing", `alternate: there is no exchange "${alternate}"`);
  }

  async inspect(): Promise<Result<ExchangeInfo>> {
    return this.look((exchange, nowMs) => ok(exchange.inspect(nowMs)));
  }

  async remove(options: { ifUnused: boolean }): Promise<Result<{ bindings: number; delayed: number }>> {
    const exchange = this.open();
    const { name } = splitObjectName(this.name);
    if (!exchange) {
      // A declare may have been cut short between the catalogue and here.
      await this.catalogue.unregisterExchange(name);
      return this.notFound();
    }
    const { bindings, hubs, delayed, moving } = exchange.inspect(Date.now());
    if (options.ifUnused && bindings + hubs > 0) {
      return refuse(
        "exchange_in_use",
        `the exchange has ${bindings} bindings and ${hubs} hubs with subscribers`,
      );
    }
    if (moving > 0)
      return refuse("exchange_in_use", `${moving} messages are on their way to queues; try again`);
    await this.unbindEverywhere(name);
    const destinations = exchange.destinations();
    const attached = exchange.hubs();
    this.ctx.storage.transactionSync(() => this.stores.clear());
    this.exchange = null;
    this.hubs.tellDeleted(attached);
    await Promise.all(destinations.map((one) => this.catalogue.forgetBinding(name, one)));
    await this.catalogue.unregisterExchange(name);
    await this.unbindEverywhere(name);
    return ok({ bindings, delayed });
  }

  /** Other exchanges that lead here lose their bindings first. */
  private async unbindEverywhere(name: string): Promise<void> {
    const { namespace } = splitObjectName(this.name);
    const bound = await this.catalogue.boundTo({ exchange: name });
    if (!bound.ok) return;
    const others = bound.value.filter((other) => other !== name);
    await Promise.all(
      others.map((other) => exchangeOf(this.env, namespace, other).unbindAll({ exchange: name })),
    );
  }

  private async goIfAbandoned(): Promise<void> {
    if (this.open()?.isAbandoned === true) await this.remove({ ifUnused: true });
  }

  // Bindings

  async bind(binding: Binding): Promise<Result<{ created: boolean; binding: BindingView }>> {
    if (!this.open()) return this.notFound();
    const { name } = splitObjectName(this.name);
    const noted = await this.catalogue.noteBinding(name, binding.destination);
    if (!noted.ok) return noted;
    const bound = await this.whenDeclared((exchange) => exchange.bind(binding));
    if (!bound.ok) await this.forgetUnbound(binding.destination);
    return bound;
  }

  async unbind(id: number): Promise<Result<BindingView>> {
    const unbound = await this.whenDeclared((exchange) => exchange.unbind(id));
    if (unbound.ok) await this.forgetUnbound(unbound.value.destination);
    await this.goIfAbandoned();
    return unbound;
  }

  private async forgetUnbound(destination: Destination): Promise<void> {
    if (this.open()?.leadsTo(destination) === true) return;
    await this.catalogue.forgetBinding(splitObjectName(this.name).name, destination);
  }

  async unbindAll(destination: Destination): Promise<Result<{ bindings: number }>> {
    if (!this.open()) return ok({ bindings: 0 });
    const bindings = await this.whenDeclared((exchange) => ok(exchange.unbindAll(destination)));
    if (!bindings.ok) return bindings;
    await this.forgetUnbound(destination);
    await this.goIfAbandoned();
    return ok({ bindings: bindings.value });
  }

  /** A destination turned out not to exist: what leads there leads nowhere. */
  private async forget(destination: Destination): Promise<void> {
    if (this.open()?.leadsTo(destination) === true) await this.unbindAll(destination);
  }

  async bindings(options: {
    after: number;
    limit: number;
  }): Promise<Result<{ bindings: BindingView[]; after?: number }>> {
    return this.look((exchange) => ok(exchange.bindingsPage(options.after, options.limit)));
  }

  async explain(command: ExplainCommand): Promise<Result<ExplainAnswer>> {
    return this.look((exchange) => ok(exchange.explain(command)));
  }

  // Messages

  async publish(command: RoutePublishCommand): Promise<Result<RouteConfirm>> {
    if (!this.open()) return this.notFound();
    const bytes = command.batch.byteLength;
    if (this.inFlightBytes + bytes > LIMITS.exchangeInFlightBytesMax) {
      return refuse("exchange_busy", "the exchange waits for its destinations", { retryAfterMs: 1_000 });
    }
    this.inFlightBytes += bytes;
    try {
      const planned = await this.inTurn((exchange, nowMs) => exchange.publish(command, nowMs));
      return planned.ok ? ok(await this.carryOut(planned.value, planned.turn, command)) : planned;
    } finally {
      this.inFlightBytes -= bytes;
    }
  }

  async publishAll(commands: readonly RoutePublishCommand[]): Promise<Result<RouteConfirm>[]> {
    return Promise.all(commands.map((command) => this.publish(command)));
  }

  private async carryOut(
    plan: PublishPlan,
    turn: TurnPushes,
    command: RoutePublishCommand,
  ): Promise<RouteConfirm> {
    const count = plan.places.concat(plan.delayed).reduce((sum, [, length]) => sum + length, 0);
    const confirm = new ConfirmBuilder(count, plan.places, plan.delayed);
    if (plan.now !== null) {
      const { now } = plan;
      const resolution = await this.fanOut.resolve(now, plan.step, false);
      for (const failure of resolution.failed) confirm.fail(failure);
      const source = command.source ?? "client";
      await Promise.all(
        resolution.shares().map(async ({ queue, messages }) => {
          const batch = shareOf(codec, now.batch, now.table, messages);
          const refused = await this.fanOut.toQueue(queue, { batch, source });
          if (refused === null) confirm.took(messages);
          else if (refused !== "gone") confirm.refused(queue, messages, refused);
        }),
      );
    }
    await turn.done;
    return confirm.confirm(command.mandatory ?? false, this.open()?.position ?? "");
  }

  async step(batch: Uint8Array, options: { isQuiet: boolean }): Promise<Result<RouteStep>> {
    if (!this.open()) return this.notFound();
    const step = await this.inTurn((exchange) => exchange.step(batch, options.isQuiet));
    if (!step.ok) return step;
    await step.turn.done;
    return ok(step.value);
  }

  async acceptMoved(command: {
    from: string;
    number: number;
    batch: Uint8Array;
  }): Promise<Result<{ accepted: number; isDone: boolean }>> {
    const { from, number, batch } = command;
    const looked = this.look((exchange) =>
      exchange.hasMoved(from, number) ? ok(null) : exchange.look(batch),
    );
    if (!looked.ok) return looked;
    if (looked.value === null) return ok({ accepted: 0, isDone: true });
    const { scanned, step } = looked.value;
    const shares = await this.sharesOf(scanned, step, false);
    if (!shares.ok) return shares;
    const taken = await this.inTurn((exchange, nowMs) =>
      exchange.takeMoved(from, number, scanned, shares.value, nowMs),
    );
    if (!taken.ok) return taken;
    await taken.turn.done;
    return ok({ accepted: scanned.table.count, isDone: true });
  }

  /** All queues that a held batch goes to; a refusal when an exchange on the way can't say. */
  private async sharesOf(scanned: Scanned, step: RouteStep, isQuiet: boolean): Promise<Result<QueueShares>> {
    const resolution: Resolution = await this.fanOut.resolve(scanned, step, isQuiet);
    const failure = resolution.failed.find(({ code }) => code !== "unroutable");
    return failure === undefined ? ok(resolution.shares()) : refuse("unavailable", failure.detail);
  }

  // Subscribers

  async attach(hub: string): Promise<Result<Attachment>> {
    this.hubs.noteAttach(hub);
    return this.whenDeclared((exchange, nowMs) => exchange.attach(hub, nowMs));
  }

  async detach(hub: string): Promise<Result<void>> {
    const detached = await this.whenDeclared((exchange) => ok(exchange.detach(hub)));
    if (!detached.ok) return detached;
    await this.goIfAbandoned();
    return ok(undefined);
  }

  async replay(command: ReplayCommand): Promise<Result<ReplayAnswer>> {
    return this.look((exchange, nowMs) => ok(exchange.replay(command, nowMs)));
  }

  async presence(pattern: string): Promise<Result<PresenceAnswer>> {
    const { name } = splitObjectName(this.name);
    const exchange = this.open();
    if (!exchange) return this.notFound();
    const answers = await this.hubs.askPresence(exchange.hubs(), pattern);
    return ok(mergePresence(name, answers));
  }

  async reportPresence(delta: PresenceDelta): Promise<Result<void>> {
    const exchange = this.open();
    if (!exchange) return this.notFound();
    if (exchange.config.presence) await this.hubs.tellPresence(exchange.hubs(), delta);
    return ok(undefined);
  }

  // Time

  /** Repeatable: alarms come at least once. */
  override async alarm(): Promise<void> {
    this.alarmClock.rang();
    if (!this.open()) return;
    await this.group.add(() => this.open()?.tick(Date.now()));
    for (let i = 0; i < DUE_MAX && (await this.routeDue()); i++);
    await this.outbound.carryMoves();
    await this.goIfAbandoned();
  }

  /** False when nothing is due. */
  private async routeDue(): Promise<boolean> {
    const exchange = this.open();
    const row = exchange?.firstDue(Date.now());
    if (!exchange || !row) return false;
    const looked = exchange.look(row.batch);
    const shares = looked.ok
      ? await this.sharesOf(looked.value.scanned, looked.value.step, row.mustRoute)
      : looked;
    const done = await this.inTurn((current, nowMs) => {
      if (looked.ok && shares.ok) current.takeDue(row, looked.value.scanned, shares.value, nowMs);
      else current.postponeDue(row, nowMs);
      return ok(undefined);
    });
    if (done.ok) await done.turn.done;
    return done.ok;
  }

  // One turn

  get name(): string {
    const { name } = this.ctx.id;
    if (name === undefined) throw new Error("an exchange's object is addressed by name only");
    return name;
  }

  /** Rows read and written by this instance so far, as they are billed. For measuring. */
  rows(): { read: number; written: number } {
    return { read: this.sql.rowsRead, written: this.sql.rowsWritten };
  }

  private get catalogue(): NamespaceApi {
    return namespaceOf(this.env, splitObjectName(this.name).namespace);
  }

  private notFound(): Refusal {
    return refuse(
      "exchange_not_found",
      `exchange: there is no exchange "${splitObjectName(this.name).name}"`,
    );
  }

  /** The exchange in memory; opened from storage after a wake, when hubs may lack what was stored last. */
  private open(): Exchange | null {
    if (this.exchange) return this.exchange;
    this.exchange = Exchange.open(this.stores, PARTS);
    if (this.exchange) this.hubs.resume(this.exchange);
    return this.exchange;
  }

  private look<T>(run: (exchange: Exchange, nowMs: number) => Result<T>): Result<T> {
    const exchange = this.open();
    return exchange ? run(exchange, Date.now()) : this.notFound();
  }

  private whenDeclared<T>(run: (exchange: Exchange, nowMs: number) => Result<T>): Promise<Result<T>> {
    return this.group.add(() => this.look(run));
  }

  /** As whenDeclared, with what the turn's pushes come to. */
  private inTurn<T>(
    run: (exchange: Exchange, nowMs: number) => Result<T>,
  ): Promise<Refusal | { ok: true; value: T; turn: TurnPushes }> {
    return this.group.add(() => {
      const answer = this.look(run);
      return answer.ok ? { ...answer, turn: this.turn } : answer;
    });
  }

  private flush(run: () => void): void {
    const turn: TurnPushes = { done: Promise.resolve() };
    this.turn = turn;
    let turns: Turn[] = [];
    this.transition((nowMs) => {
      run();
      turns = this.exchange?.endTurn(nowMs) ?? [];
    });
    if (this.exchange && turns.length > 0) turn.done = this.hubs.push(this.exchange, turns);
    this.alarmClock.keep([this.exchange?.nextWakeMs() ?? null], Date.now());
  }

  /** All of it is stored or nothing. After a throw neither the core nor what stores remember can be trusted. */
  private transition(run: (nowMs: number) => void): void {
    try {
      this.ctx.storage.transactionSync(() => run(Date.now()));
    } catch (error) {
      this.exchange = null;
      this.stores = new SqlExchangeStores(this.sql);
      throw error;
    }
  }
}
