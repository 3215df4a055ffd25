/**
 * The exchange: every transition of it, each of which ran or did not. Time and chance are arguments, storage is a
 * port, and nothing here waits or calls another object: the shell asks the other exchanges and queues, and comes back
 * with what they said.
 *
 * The shell opens a transaction, calls one or more transitions, then `endTurn`, and closes the transaction. If anything
 * throws, the transaction is rolled back and this object is thrown away and opened again from storage.
 */
import type { SequenceRun } from "../protocol/commands.ts";
import type {
  Binding,
  BindingView,
  Destination,
  ExchangeInfo,
  ExplainAnswer,
  ExplainCommand,
  HubPush,
  ReplayAnswer,
  ReplayCommand,
  ReplayPage,
  ReplayRest,
  RoutePublishCommand,
  RouteStep,
} from "../protocol/exchange-commands.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import type { Attachment } from "../protocol/exchange-rpc.ts";
import { moveSender, type Move } from "../protocol/move-target.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { explain } from "../routing/explain.ts";
import { Bindings } from "./bindings.ts";
import { configOf, refuseChanges } from "./config-rules.ts";
import { drawEpoch, openContext, openEvents, type ExchangeContext, type ExchangeParts } from "./context.ts";
import { firstDue, isHeld, takeKnown, type Due, type QueueShares, type Ways } from "./due.ts";
import { hasDelays, hold, holdStranded, lacksRoom, moveToQueues, splitDelayed } from "./held.ts";
import { isNumbered, type Turn } from "./history.ts";
import { countOf, runsOf, shareOf } from "../protocol/runs.ts";
import { IndexSet } from "./indexes.ts";
import { inspect } from "./inspect.ts";
import { replay, replayPage } from "./replay.ts";
import { markSharedBodies } from "./shared-bodies.ts";
import { appendEvents, routeStep, type Scanned } from "./step.ts";
import { dueTargets, movesTo, postpone } from "../queue/outgoing.ts";
import { withOwnKeys } from "../queue/publishers.ts";
import type { OutboxRow } from "../queue/stores.ts";
import type { ExchangeStores, HubLease, StoredExchange } from "./stores.ts";

/** What a publish comes to before queues are called. */
export interface PublishPlan {
  /** The messages that go out now, and where they are in the batch that was published; null when all are delayed. */
  readonly now: Scanned | null;
  readonly places: readonly SequenceRun[];
  readonly delayed: readonly SequenceRun[];
  readonly step: RouteStep;
}

export class Exchange {
  private readonly context: ExchangeContext;
  private readonly stores: ExchangeStores;
  private readonly parts: ExchangeParts;
  /** Events of this turn, not yet numbered. */
  private turn: Scanned[] = [];

  private constructor(context: ExchangeContext, stores: ExchangeStores, parts: ExchangeParts) {
    this.context = context;
    this.stores = stores;
    this.parts = parts;
  }

  /** The stored exchange, or null when none was declared. */
  static open(stores: ExchangeStores, parts: ExchangeParts): Exchange | null {
    const context = openContext(stores, parts);
    return context && new Exchange(context, stores, parts);
  }

  get stored(): StoredExchange {
    return this.context.stored;
  }

  get config(): ExchangeConfig {
    return configOf(this.context);
  }

  inspect(nowMs: number): ExchangeInfo {
    return inspect(this.context, nowMs);
  }

  /** Where events keep their place changes when history begins or ends: numbers begin anew, under a new epoch. */
  update(changes: Partial<ExchangeConfig>, nowMs: number): Result<ExchangeInfo> {
    const refused = refuseChanges(this.config, changes);
    if (refused) return refused;
    const { context, stores, parts } = this;
    const config = { ...this.config, ...changes };
    if (isNumbered(config) === context.history.isKept) {
      this.store({ config });
      context.history.configure(config);
      context.lastValues.configure(config);
    } else {
      this.store({ config, epoch: drawEpoch(parts.random) });
      stores.history.clear();
      stores.lastValues.clear();
      Object.assign(context, openEvents(context.stored, stores, parts));
    }
    if (changes.hashOn !== undefined) {
      context.bindings = new Bindings(config, stores.bindings, stores.counters, parts);
    }
    return ok(this.inspect(nowMs));
  }

  private store(changes: Partial<StoredExchange>): void {
    this.context.stored = { ...this.context.stored, ...changes };
    this.stores.writeExchange(this.context.stored);
  }

  // Bindings

  bind(binding: Binding): Result<{ created: boolean; binding: BindingView }> {
    const bound = this.context.bindings.bind(binding);
    if (bound.ok) this.noteUse();
    return bound;
  }

  /** Whether the destination is still led to by another binding. */
  leadsTo(destination: Destination): boolean {
    return this.context.bindings.leadsTo(destination);
  }

  unbind(id: number): Result<BindingView> {
    const binding = this.context.bindings.unbind(id);
    return binding === null ? refuse("binding_not_found", `binding: there is no ${id}`) : ok(binding);
  }

  unbindAll(destination: Destination): number {
    return this.context.bindings.unbindAll(destination);
  }

  bindingsPage(after: number, limit: number): { bindings: BindingView[]; after?: number } {
    return this.context.bindings.page(after, limit);
  }

  /** Every destination, each once. */
  destinations(): Destination[] {
    return this.context.bindings.destinations();
  }

  explain(command: ExplainCommand): ExplainAnswer {
    const { kind, hashOn, alternate } = this.config;
    const answer = explain({ kind, hashOn }, [...this.context.bindings.all()], command);
    return answer.destinations.length > 0 || alternate === null ? answer : { ...answer, alternate };
  }

  /** Whether it may go by itself: it has been used, and nothing is left. */
  get isAbandoned(): boolean {
    const { stored, bindings, hubs } = this.context;
    if (!stored.config.autoDelete || !stored.wasUsed) return false;
    return bindings.size === 0 && hubs.size === 0 && !this.holdsMessages;
  }

  /** Messages that would be lost with the exchange. */
  get holdsMessages(): boolean {
    return this.stores.outbox.nextOutboxMs() !== null || this.stores.delayed.nextDueMs() !== null;
  }

  /** Dead letters that lead nowhere yet: they have no other place than here. */
  get strandedCount(): number {
    return this.stores.delayed.strandedCount();
  }

  private noteUse(): void {
    if (!this.context.stored.wasUsed) this.store({ wasUsed: true });
  }

  // Messages

  /** Takes a publish: delayed messages are held, the others become events and are told their ways. */
  publish(command: RoutePublishCommand, nowMs: number): Result<PublishPlan> {
    const { config, context } = this;
    if (config.internal)
      return refuse("exchange_internal", "exchange: is internal; publish to one that leads here");
    const scanned = this.scan(command.batch, command.source ?? "client");
    if (!scanned.ok) return scanned;
    const owned = withOwnKeys(context.codec, scanned.value, command.publisher);
    if (!owned.ok) return owned;
    const { batch, table } = owned.value;
    const all: SequenceRun[] = [[0, table.count]];
    if (!hasDelays(table)) return ok(this.planNow(owned.value, all, []));
    const { delayed, others } = splitDelayed(table);
    if (delayed.length > 0) {
      const refused = lacksRoom(context, batch.length);
      if (refused) return refused;
      hold(context, batch, table, delayed, nowMs, command.publisher);
    }
    if (others.length === 0) {
      return ok({ now: null, places: [], delayed, step: { queues: [], exchanges: [] } });
    }
    const now = this.rescan(shareOf(context.codec, batch, table, others));
    return ok(this.planNow(now, others, delayed));
  }

  private planNow(
    now: Scanned,
    places: readonly SequenceRun[],
    delayed: readonly SequenceRun[],
  ): PublishPlan {
    // Routed before it is numbered: numbering may write over the batch's header in place.
    const step = this.route(now);
    this.turn.push(now);
    return { now, places, delayed, step };
  }

  /** For an exchange that leads here. Quiet: its events have been told before. */
  step(batch: Uint8Array, isQuiet: boolean): Result<RouteStep> {
    const scanned = this.scan(batch, "broker");
    if (!scanned.ok) return scanned;
    const step = this.route(scanned.value);
    if (!isQuiet) this.turn.push(scanned.value);
    return ok(step);
  }

  /** What another object's batch would come to, with nothing done yet. */
  look(batch: Uint8Array): Result<{ scanned: Scanned; step: RouteStep }> {
    const scanned = this.scan(batch, "broker");
    if (!scanned.ok) return scanned;
    const { queues, exchanges } = routeStep(this.context, scanned.value);
    return ok({ scanned: scanned.value, step: { queues, exchanges } });
  }

  /** The ways of messages that go now. */
  private route(scanned: Scanned): RouteStep {
    const { unroutable, ...step } = routeStep(this.context, scanned);
    this.context.unroutable += unroutable;
    return step;
  }

  /** Whether a move was taken already. */
  hasMoved(from: string, number: number): boolean {
    return number <= this.stores.inbound.inbound(from).number;
  }

  /** Dead letters, once all their ways are known. What leads nowhere is held until it does. */
  takeMoved(
    from: string,
    number: number,
    scanned: Scanned,
    shares: QueueShares,
    nowMs: number,
  ): Result<void> {
    if (this.hasMoved(from, number)) return ok(undefined);
    const refused = lacksRoom(this.context, scanned.batch.length);
    if (refused) return refused;
    this.stores.inbound.putInbound(from, number, null);
    this.send(scanned, shares, true, nowMs);
    this.turn.push(scanned);
    return ok(undefined);
  }

  firstDue(nowMs: number): Due | null {
    return firstDue(this.context, nowMs);
  }

  isHeld(due: Due): boolean {
    return isHeld(this.context, due);
  }

  /** Held messages that are due, once their ways are known. What can't be told its ways is tried again later. */
  takeDue(due: Due, ways: Ways, nowMs: number): void {
    const going = takeKnown(this.context, due, ways, nowMs);
    if (going === null) return;
    const scanned = this.rescan(going.batch);
    this.send(scanned, going.shares, due.mustRoute, nowMs);
    // Dead letters became events when they came.
    if (!due.mustRoute) this.turn.push(scanned);
  }

  private send({ batch, table }: Scanned, shares: QueueShares, mustRoute: boolean, nowMs: number): void {
    const marked = markSharedBodies(this.context, { batch, table }, shares);
    moveToQueues(this.context, marked.batch, marked.table, shares, nowMs);
    const routed = new IndexSet(table.count);
    for (const { messages } of shares) routed.addRuns(messages);
    if (routed.count === table.count) return;
    const stranded = runsOf(routed.missing(table.count));
    if (mustRoute) holdStranded(this.context, batch, table, stranded, nowMs);
    else this.context.unroutable += countOf(stranded);
  }

  private scan(batch: Uint8Array, source: "client" | "broker"): Result<Scanned> {
    const scanned = this.context.codec.scan(batch, source);
    return scanned.ok ? ok({ batch, table: scanned.value }) : scanned;
  }

  private rescan(batch: Uint8Array): Scanned {
    const scanned = this.scan(batch, "broker");
    if (!scanned.ok) throw new Error(`a share of a valid batch is refused: ${scanned.detail}`);
    return scanned.value;
  }

  /** Numbers and keeps the turn's events. Must be called before the transaction closes. */
  endTurn(nowMs: number): Turn[] {
    const { turn } = this;
    this.turn = [];
    return turn.length === 0 ? [] : appendEvents(this.context, turn, nowMs);
  }

  // The outbox

  /** How the queues it moves messages to know it. */
  get sender(): string {
    const { exchange, origin } = this.context.stored;
    return moveSender({ exchange }, origin);
  }

  dueTargets(nowMs: number): string[] {
    return dueTargets(this.stores.outbox, nowMs);
  }

  movesTo(target: string, nowMs: number): OutboxRow[] {
    return movesTo(this.stores.outbox, target, nowMs);
  }

  /** The target has this move and all before it. */
  moved({ target, number }: Move): void {
    this.stores.outbox.removeOutboxTo(target, number);
  }

  moveFailed(row: Move, nowMs: number): boolean {
    postpone(this.stores.outbox, row, nowMs);
    return false;
  }

  // Subscribers

  get position(): string {
    const { history } = this.context;
    return `${history.epochText}:${history.offset}`;
  }

  get epoch(): string {
    return this.context.history.epochText;
  }

  hubs(): string[] {
    return this.context.hubs.names();
  }

  attachments(): Pick<HubLease, "hub" | "attachment">[] {
    return this.context.hubs.attachments();
  }

  attach(hub: string, nowMs: number): Result<Attachment> {
    const attached = this.context.hubs.attach(hub, nowMs);
    if (!attached.ok) return attached;
    this.noteUse();
    const { epochText: epoch, offset } = this.context.history;
    const { presence } = this.config;
    return ok({ ...attached.value, epoch, offset, presence });
  }

  /** With an attachment: only if it is still that one. */
  detach(hub: string, attachment?: number): boolean {
    return this.context.hubs.detach(hub, attachment);
  }

  replay(command: ReplayCommand, nowMs: number, pageBytes?: number): ReplayAnswer {
    return replay({ ...this.context, nowMs }, command, pageBytes);
  }

  page(pattern: string, rest: ReplayRest, pageBytes: number, nowMs: number): ReplayPage {
    return replayPage({ ...this.context, nowMs }, pattern, rest, pageBytes);
  }

  markPushed(offset: number): void {
    this.context.history.markPushed(offset);
  }

  /** After a wake: stored events that a hub may not have. Null when some of them are not kept any more. */
  unpushed(): Omit<HubPush, "attachment">[] | null {
    const rows = this.context.history.unpushed();
    if (rows === null) return null;
    const { exchange } = this.context.stored;
    return rows.map(({ first, bytes }) => ({ exchange, epoch: this.epoch, first, batch: bytes }));
  }

  // Time

  /** Takes away what time has ended. What is due is asked for with `firstDue`. */
  tick(nowMs: number): void {
    this.context.hubs.dropLapsed(nowMs);
    this.context.history.trimAll(nowMs);
  }

  nextWakeMs(): number | null {
    const { hubs, history } = this.context;
    const times = [
      hubs.nextLapseMs(),
      history.nextTrimMs(),
      this.stores.delayed.nextDueMs(),
      this.stores.outbox.nextOutboxMs(),
    ].filter((ms) => ms !== null);
    return times.length === 0 ? null : Math.min(...times);
  }
}
