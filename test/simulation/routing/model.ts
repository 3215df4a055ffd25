/**
 * A naive model of where messages go: which exchanges, queues and bindings there are, as far as those who ask for them
 * can know. What is being made or taken away may count or not; what was there all the time must.
 */
import type { Binding, BindingView, ExplainCommand } from "../../../src/protocol/exchange-commands.ts";
import type { ExchangeConfig } from "../../../src/protocol/exchange-config.ts";
import { explain } from "../../../src/routing/explain.ts";

/** From when to when something may be there, and within that, from when to when it surely is. */
export class Span {
  readonly from: number;
  surelyFrom = Number.POSITIVE_INFINITY;
  surelyUntil = Number.POSITIVE_INFINITY;
  until = Number.POSITIVE_INFINITY;

  constructor(from: number) {
    this.from = from;
  }

  isMade(tick: number): void {
    this.surelyFrom = Math.min(this.surelyFrom, tick);
  }
  isGoing(tick: number): void {
    this.surelyUntil = Math.min(this.surelyUntil, tick);
  }
  isGone(tick: number): void {
    this.isGoing(tick);
    this.until = Math.min(this.until, tick);
  }
  /** Whether it may be there at some moment of a time. */
  may(from: number, until: number): boolean {
    return this.from <= until && this.until >= from;
  }
  /** Whether it is there all the time. */
  must(from: number, until: number): boolean {
    return this.surelyFrom <= from && this.surelyUntil >= until;
  }
}

export interface ModelBinding extends Binding {
  readonly from: string;
  readonly span: Span;
  /** Once it is known. */
  id: number | null;
}

export interface ModelExchange {
  readonly config: ExchangeConfig;
  readonly spans: Span[];
}

export interface Reach {
  readonly must: Set<string>;
  readonly may: Set<string>;
  readonly mustExchanges: Set<string>;
  readonly mayExchanges: Set<string>;
}

export class RoutingModel {
  private tick = 0;
  readonly exchanges = new Map<string, ModelExchange>();
  readonly queues = new Map<string, Span[]>();
  readonly bindings: ModelBinding[] = [];

  now(): number {
    return ++this.tick;
  }

  /** What is there, for all that is known. */
  current(spans: readonly Span[] | undefined): Span | null {
    return spans?.findLast(({ until }) => until === Number.POSITIVE_INFINITY) ?? null;
  }

  bindingsOf(end: {
    readonly from?: string;
    readonly queue?: string;
    readonly exchange?: string;
  }): ModelBinding[] {
    return this.bindings.filter(({ from, destination, span }) => {
      if (span.until !== Number.POSITIVE_INFINITY) return false;
      if (end.from !== undefined && from !== end.from) return false;
      if (end.queue !== undefined) return "queue" in destination && destination.queue === end.queue;
      return (
        end.exchange === undefined || ("exchange" in destination && destination.exchange === end.exchange)
      );
    });
  }

  /** The queues and exchanges that a message reaches which is published to `root` some time from `start` to `end`. */
  reach(root: string, message: ExplainCommand, start: number, end: number): Reach {
    const isThere = (spans: readonly Span[] | undefined): boolean =>
      spans?.some((span) => span.must(start, end)) ?? false;
    const isPossible = (spans: readonly Span[] | undefined): boolean =>
      spans?.some((span) => span.may(start, end)) ?? false;
    const walk = (isSure: boolean): { queues: Set<string>; exchanges: Set<string> } => {
      const exists = isSure ? isThere : isPossible;
      const queues = new Set<string>();
      const exchanges = new Set<string>();
      const waiting = [root];
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        if (exchanges.has(name) || !exists(this.exchanges.get(name)?.spans)) continue;
        exchanges.add(name);
        for (const destination of this.ways(name, message, start, end, isSure)) {
          if ("exchange" in destination) waiting.push(destination.exchange);
          else if (exists(this.queues.get(destination.queue))) queues.add(destination.queue);
        }
      }
      return { queues, exchanges };
    };
    const must = walk(true);
    const may = walk(false);
    return { must: must.queues, may: may.queues, mustExchanges: must.exchanges, mayExchanges: may.exchanges };
  }

  private ways(
    name: string,
    message: ExplainCommand,
    start: number,
    end: number,
    isSure: boolean,
  ): Binding["destination"][] {
    const { config } = this.exchanges.get(name)!;
    const all = this.bindings.filter(({ from, span }) => from === name && span.may(start, end));
    const sure = all.filter(({ span }) => span.must(start, end));
    const matchedBy = (some: readonly ModelBinding[]): Binding["destination"][] => {
      const views = some.map((one, i): BindingView => ({ ...one, id: i + 1 }));
      return [...explain(config, views, message).destinations];
    };
    const mayMatch = matchedBy(all);
    let ways = mayMatch;
    if (config.kind === "consistent-hash" && sure.length < all.length) {
      // Any of those whose filter lets it through may be the one.
      ways = isSure ? [] : all.flatMap((one) => matchedBy([one]));
    } else if (isSure) ways = matchedBy(sure);
    const { alternate } = config;
    const isStranded = isSure ? mayMatch.length === 0 : matchedBy(sure).length === 0;
    return alternate !== null && isStranded ? [...ways, { exchange: alternate }] : ways;
  }
}
