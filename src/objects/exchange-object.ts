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
import { Exchange } from "../exchange/exchange.ts";
import type { Turn } from "../exchange/history.ts";
import { mergePresence } from "../exchange/presence.ts";
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
  ReplayPage,
  ReplayRest,
  RouteConfirm,
  RoutePublishCommand,
  RouteStep,
} from "../protocol/exchange-commands.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import type { Attachment, ExchangeApi } from "../protocol/exchange-rpc.ts";
import type { MovedCommand, MovesTaken } from "../protocol/move-target.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import { WasmBatchCodec } from "../protocol/wasm-batch-codec.ts";
import { GrowingMatcher } from "../routing/growing-matcher.ts";
import { WasmMatcher } from "../routing/wasm-matcher.ts";
import { EXCHANGE_MIGRATIONS } from "../storage/exchange-schema.ts";
import { SqlExchangeStores } from "../storage/exchange-stores.ts";
import { Sql } from "../storage/sql.ts";
import { platformRandom } from "./chance.ts";
import { Alarm } from "./alarm.ts";
import { ExchangeBindings } from "./exchange-bindings.ts";
import { ExchangeCatalogue } from "./exchange-catalogue.ts";
import { FanOut } from "./exchange-fan-out.ts";
import { ExchangeHubs } from "./exchange-hubs.ts";
import { ExchangeLifecycle } from "./exchange-lifecycle.ts";
import { ExchangeMessages, type TurnPushes } from "./exchange-messages.ts";
import { GroupCommit } from "./group-commit.ts";
import { Outbound } from "./outbound.ts";

/** Stateless, so all objects of the isolate share it. */
const codec = new WasmBatchCodec(kernels);
const PARTS = {
  codec,
  makeMatcher: () => new GrowingMatcher(() => new WasmMatcher(kernels)),
  random: platformRandom,
};

export class ExchangeObject extends DurableObject<Env> implements ExchangeApi {
  private readonly sql: Sql;
  private readonly alarmClock: Alarm;
  private readonly catalogue: ExchangeCatalogue;
  private readonly lifecycle: ExchangeLifecycle;
  private readonly bindingsOf: ExchangeBindings;
  private readonly messages: ExchangeMessages;
  private readonly group: GroupCommit;
  private readonly fanOut: FanOut;
  private readonly hubs: ExchangeHubs;
  private readonly outbound: Outbound;
  private stores: SqlExchangeStores;
  /** Null until the first call after a wake, and after a transition that threw. */
  private exchange: Exchange | null = null;
  private turn: TurnPushes = { done: Promise.resolve() };

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.alarmClock = new Alarm(ctx.storage);
    this.sql = new Sql(ctx.storage.sql, [], EXCHANGE_MIGRATIONS);
    this.stores = new SqlExchangeStores(this.sql);
    this.group = new GroupCommit((run) => this.flush(run));
    this.catalogue = new ExchangeCatalogue(env, this.name);
    const { catalogue } = this;
    const { namespace, exchange } = catalogue;
    const open = (): Exchange | null => this.open();
    const notFound = (): Refusal => this.notFound();
    const whenDeclared: ExchangeObject["whenDeclared"] = (run) => this.whenDeclared(run);
    const goIfAbandoned = (): Promise<void> => this.lifecycle.goIfAbandoned();
    this.lifecycle = new ExchangeLifecycle({
      catalogue,
      open,
      notFound,
      whenDeclared,
      stores: () => this.stores,
      erase: (gone) => this.erase(gone),
      wipe: () => this.wipe(),
    });
    this.bindingsOf = new ExchangeBindings({ catalogue, open, notFound, whenDeclared, goIfAbandoned });
    const gone = (destination: Destination): Promise<void> => this.bindingsOf.gone(destination);
    this.fanOut = new FanOut({ env, codec, namespace, exchange, gone });
    this.hubs = new ExchangeHubs({
      env,
      namespace,
      exchange,
      fanOut: this.fanOut,
      detach: async (hub, attachment) => {
        const detached = await whenDeclared((current) => ok(current.detach(hub, attachment)));
        await goIfAbandoned();
        return detached.ok && detached.value;
      },
      waitUntil: (work) => ctx.waitUntil(work),
    });
    this.messages = new ExchangeMessages({
      codec,
      storage: ctx.storage,
      fanOut: this.fanOut,
      open,
      notFound,
      look: (run) => this.look(run),
      inTurn: (run) => this.inTurn(run),
    });
    this.outbound = new Outbound({
      env,
      namespace,
      garbage: null,
      open: () => this.open(),
      inTurn: (run) => this.group.add(run),
    });
  }

  // The exchange as a whole

  async declare(config: ExchangeConfig): Promise<Result<{ created: boolean; info: ExchangeInfo }>> {
    return this.lifecycle.declare(config);
  }

  async update(changes: Partial<ExchangeConfig>): Promise<Result<ExchangeInfo>> {
    return this.lifecycle.update(changes);
  }

  async inspect(): Promise<Result<ExchangeInfo>> {
    return this.look((exchange, nowMs) => ok(exchange.inspect(nowMs)));
  }

  async remove({ ifUnused }: { ifUnused: boolean }): Promise<Result<{ bindings: number; delayed: number }>> {
    return this.lifecycle.remove({ ifUnused });
  }

  private erase(exchange: Exchange): void {
    const hubs = exchange.hubs();
    this.ctx.storage.transactionSync(() => this.stores.clear());
    this.exchange = null;
    // What stores remember is of the exchange that was.
    this.stores = new SqlExchangeStores(this.sql);
    this.hubs.tellDeleted(hubs);
  }

  /** Other events wait while the storage is wiped. */
  private async wipe(): Promise<void> {
    await this.alarmClock.delete();
    await this.ctx.storage.deleteAll();
    this.sql.forget();
  }

  // Bindings

  async bind(binding: Binding): Promise<Result<{ created: boolean; binding: BindingView }>> {
    return this.bindingsOf.bind(binding);
  }

  async unbind(id: number): Promise<Result<BindingView>> {
    return this.bindingsOf.unbind(id);
  }

  async unbindAll(destination: Destination): Promise<Result<{ bindings: number }>> {
    return this.bindingsOf.unbindAll(destination);
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
    return this.messages.publish(command);
  }

  async publishAll(commands: readonly RoutePublishCommand[]): Promise<Result<RouteConfirm>[]> {
    return Promise.all(commands.map((command) => this.messages.publish(command)));
  }

  async step(batch: Uint8Array, options: { isQuiet: boolean }): Promise<Result<RouteStep>> {
    return this.messages.step(batch, options);
  }

  async acceptMoves(command: MovedCommand): Promise<Result<MovesTaken>> {
    return this.messages.acceptMoves(command);
  }

  // Subscribers

  async attach(hub: string): Promise<Result<Attachment>> {
    this.hubs.noteAttach(hub);
    return this.whenDeclared((exchange, nowMs) => exchange.attach(hub, nowMs));
  }

  async detach(hub: string): Promise<Result<void>> {
    const detached = await this.whenDeclared((exchange) => ok(exchange.detach(hub)));
    if (!detached.ok) return detached;
    await this.lifecycle.goIfAbandoned();
    return ok(undefined);
  }

  async replay(command: ReplayCommand, pageBytes?: number): Promise<Result<ReplayAnswer>> {
    return this.look((exchange, nowMs) => ok(exchange.replay(command, nowMs, pageBytes)));
  }

  async replayPage(pattern: string, rest: ReplayRest, pageBytes: number): Promise<Result<ReplayPage>> {
    return this.look((exchange, nowMs) => ok(exchange.page(pattern, rest, pageBytes, nowMs)));
  }

  async presence(pattern: string): Promise<Result<PresenceAnswer>> {
    const exchange = this.open();
    if (!exchange) return this.notFound();
    if (!exchange.config.presence) {
      return refuse("bad_request", "presence: the exchange tells nobody who subscribes; set it to true");
    }
    const answers = await this.hubs.askPresence(exchange.hubs(), pattern);
    return ok(mergePresence(this.catalogue.exchange, answers));
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
    await this.messages.routeAllDue();
    await this.outbound.carryMoves();
    await this.lifecycle.goIfAbandoned();
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

  private notFound(): Refusal {
    return refuse("exchange_not_found", `exchange: there is no exchange "${this.catalogue.exchange}"`);
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
    // Whoever waits for it hears of its failure, but may not wait yet.
    turn.done.catch(() => undefined);
    this.alarmClock.keep([this.exchange?.nextWakeMs() ?? null], Date.now());
  }

  /** All of it is stored or nothing. After a throw neither the core nor what stores remember can be trusted. */
  private transition(run: (nowMs: number) => void): void {
    try {
      this.ctx.storage.transactionSync(() => run(Date.now()));
    } catch (error) {
      this.exchange = null;
      this.sql.forget();
      this.stores = new SqlExchangeStores(this.sql);
      throw error;
    }
  }
}
