/**
 * An exchange in plain Node: the real core on the real stores over an in-memory SQLite, with a clock that is a number.
 * Each call is one transaction and one turn, as in the object's shell; `evict` throws everything in memory away.
 * The queues it leads to exist only as names: what they would get is in `plan.step` and in the outbox.
 */
import { expect, it } from "vitest";
import { Exchange, type PublishPlan } from "../../src/exchange/exchange.ts";
import type { Turn } from "../../src/exchange/history.ts";
import type { MessageRecord } from "../../src/protocol/batch.ts";
import type {
  Binding,
  BindingView,
  EventBatch,
  ExchangeInfo,
  ReplayAnswer,
  ReplayCommand,
  RoutePublishCommand,
} from "../../src/protocol/exchange-commands.ts";
import { EXCHANGE_DEFAULTS, type ExchangeConfig } from "../../src/protocol/exchange-config.ts";
import { readRecord } from "../../src/protocol/record.ts";
import { indexesOf } from "../../src/protocol/runs.ts";
import type { Refusal, Result } from "../../src/protocol/result.ts";
import { LinearMatcher } from "../../src/routing/linear-matcher.ts";
import type { OutboxRow } from "../../src/queue/stores.ts";
import { EXCHANGE_MIGRATIONS } from "../../src/storage/exchange-schema.ts";
import { SqlExchangeStores } from "../../src/storage/exchange-stores.ts";
import { migrate } from "../../src/storage/migrations.ts";
import { Sql } from "../../src/storage/sql.ts";
import { NodeSql } from "./node-sql.ts";
import { wasmCodec } from "./queue-harness.ts";
import { must } from "./queue-lives.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** `topic=body`, or a record whose body may be given as text. */
export type Told = string | (Partial<MessageRecord> & { readonly text?: string });

export interface ExchangeOptions {
  readonly config?: Partial<ExchangeConfig>;
  readonly startMs?: number;
}

export class ExchangeHarness {
  readonly codec = wasmCodec();
  readonly sql = new NodeSql();
  /** Counts the rows that the stores read and write. */
  readonly counted = new Sql(this.sql.storage);
  stores = new SqlExchangeStores(this.counted);
  nowMs: number;
  /** What the last step brought for the hubs. */
  turns: Turn[] = [];
  private exchange: Exchange | null = null;
  private draws = 0;

  constructor({ config, startMs = 1_000_000 }: ExchangeOptions = {}) {
    this.nowMs = startMs;
    migrate(this.sql.storage, EXCHANGE_MIGRATIONS);
    this.stores.writeExchange({
      exchange: "e",
      namespace: "test",
      origin: 4_242,
      createdMs: startMs,
      epoch: 77,
      wasUsed: false,
      config: { ...EXCHANGE_DEFAULTS, ...config },
    });
  }

  /** One turn and its commit, all or nothing. */
  run<T>(work: (exchange: Exchange, nowMs: number) => T): T {
    try {
      return this.sql.transaction(() => {
        const exchange = this.open();
        const value = work(exchange, this.nowMs);
        this.turns = exchange.endTurn(this.nowMs);
        return value;
      });
    } catch (error) {
      this.evict();
      throw error;
    }
  }

  private open(): Exchange {
    if (this.exchange) return this.exchange;
    // Every draw is another number, so that two epochs never meet.
    const random = (): number => (++this.draws * 0.618_033) % 1;
    const parts = { codec: this.codec, makeMatcher: () => new LinearMatcher(), random };
    const exchange = Exchange.open(this.stores, parts);
    if (!exchange) throw new Error("the exchange is not stored");
    return (this.exchange = exchange);
  }

  evict(): void {
    this.exchange = null;
    this.stores = new SqlExchangeStores(this.counted);
  }

  batch(...told: Told[]): Uint8Array {
    const records = told.map((one): MessageRecord => {
      if (typeof one === "string") {
        const [routingKey = "", body = ""] = one.split("=");
        return { routingKey, body: encoder.encode(body) };
      }
      const { text, ...fields } = one;
      return { body: encoder.encode(text ?? ""), ...fields };
    });
    // Only what was in a queue before has an id.
    const source = records.some(({ id }) => id !== undefined) ? "broker" : "client";
    return must(this.codec.encode(records, { origin: 0, firstSequence: 0, timeMs: 0 }, source));
  }

  publish(...told: Told[]): PublishPlan {
    return must(this.tryPublish({ batch: this.batch(...told) }));
  }

  tryPublish(command: RoutePublishCommand): Result<PublishPlan> {
    return this.run((exchange, nowMs) => exchange.publish(command, nowMs));
  }

  bind(binding: Partial<Binding> & Pick<Binding, "destination">): BindingView {
    return must(this.run((exchange) => exchange.bind({ key: "", headers: null, ...binding }))).binding;
  }

  /** Moves the clock and does what the alarm would. What is due goes to the queues that this exchange itself knows. */
  advance(ms: number): void {
    this.nowMs += ms;
    this.run((exchange, nowMs) => exchange.tick(nowMs));
    while (this.routeDue());
  }

  routeDue(): boolean {
    return this.run((exchange, nowMs) => {
      const due = exchange.firstDue(nowMs);
      if (due === null) return false;
      const { step } = must(exchange.look(due.batch));
      exchange.takeDue(due, { shares: step.queues, failed: [] }, nowMs);
      return true;
    });
  }

  /** Dead letters of a queue, as the shell takes them. Null: this move was taken before. */
  acceptMoved(from: string, number: number, ...told: Told[]): Refusal | "taken" | null {
    const batch = this.batch(...told);
    return this.run((exchange, nowMs) => {
      if (exchange.hasMoved(from, number)) return null;
      const { scanned, step } = must(exchange.look(batch));
      const taken = exchange.takeMoved(from, number, scanned, step.queues, nowMs);
      return taken.ok ? "taken" : taken;
    });
  }

  /** The move that may go next. */
  firstMove(): OutboxRow | null {
    return this.run((exchange, nowMs) => {
      const [target] = exchange.dueTargets(nowMs);
      return target === undefined ? null : exchange.movesTo(target, nowMs)[0]!;
    });
  }

  /** Takes off the outbox what may go now. */
  carried(): OutboxRow[] {
    const rows: OutboxRow[] = [];
    for (;;) {
      const row = this.firstMove();
      if (row === null) return rows;
      rows.push(row);
      this.run((exchange) => exchange.moved(row));
    }
  }

  update(changes: Partial<ExchangeConfig>): ExchangeInfo {
    return must(this.run((exchange, nowMs) => exchange.update(changes, nowMs)));
  }

  info(): ExchangeInfo {
    return this.run((exchange, nowMs) => exchange.inspect(nowMs));
  }

  replay(command: Partial<ReplayCommand> = {}): ReplayAnswer {
    return this.run((exchange, nowMs) => exchange.replay({ pattern: "#", ...command }, nowMs));
  }

  position(): string {
    return this.run((exchange) => exchange.position);
  }

  wakeMs(): number | null {
    return this.run((exchange) => exchange.nextWakeMs());
  }

  records(batch: Uint8Array): MessageRecord[] {
    const table = must(this.codec.scan(batch, "broker"));
    return Array.from({ length: table.count }, (_, i) => readRecord(batch, table.offset(i)));
  }

  bodies(batch: Uint8Array): string[] {
    return this.records(batch).map(({ body }) => decoder.decode(body));
  }

  /** `offset:body` of what was told of the past. */
  told(batches: readonly EventBatch[]): string[] {
    return batches.flatMap(({ batch, offsets }) => {
      const all = [...indexesOf(offsets)];
      return this.bodies(batch).map((body, i) => `${all[i]}:${body}`);
    });
  }

  /** The events since a position (`<epoch>:<offset>`), and the verdict. */
  since(position: string, pattern = "#"): { verdict: string; events: string[] } {
    const answer = this.replay({ since: position, pattern });
    const { recovery, reason } = answer;
    return { verdict: reason ?? recovery, events: this.told(answer.events) };
  }
}

/** Every step is the last one before an eviction. */
export class EvictedExchange extends ExchangeHarness {
  override run<T>(work: (exchange: Exchange, nowMs: number) => T): T {
    const value = super.run(work);
    this.evict();
    return value;
  }
}

export type MakeExchange = (options?: ExchangeOptions) => ExchangeHarness;

/** A scenario in one life of the object, and with the object evicted after every step: nothing told may differ. */
export function inBothLives(claim: string, scenario: (make: MakeExchange) => void): void {
  it(claim, () => scenario((options) => new ExchangeHarness(options)));
  it(`${claim}, evicted after every step`, () => scenario((options) => new EvictedExchange(options)));
}

/** Where a publish goes, as `queue:<indexes>` and `>exchange:<indexes>`. */
export function ways({ step }: PublishPlan): string[] {
  const all = [
    ...step.queues.map(({ queue, messages }) => `${queue}:${[...indexesOf(messages)].join()}`),
    ...step.exchanges.map(({ exchange, messages }) => `>${exchange}:${[...indexesOf(messages)].join()}`),
  ];
  return all.sort();
}

export function expectRefused(result: Result<unknown>, code: Refusal["code"]): void {
  expect(result).toMatchObject({ ok: false, code });
}
