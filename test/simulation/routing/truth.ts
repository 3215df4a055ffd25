/** What really became events: noted where the exchange's core numbers them, and believed once the turn is stored. */
import { Exchange } from "../../../src/exchange/exchange.ts";
import type { Turn } from "../../../src/exchange/history.ts";
import type { Scanned } from "../../../src/exchange/step.ts";
import { readRecord } from "../../../src/protocol/record.ts";

export interface TrueEvent {
  readonly exchange: string;
  readonly epoch: string;
  readonly offset: number;
  readonly id: string;
  readonly topic: string;
  readonly isEmpty: boolean;
}

class Numbering {
  readonly epoch: string;
  readonly events: TrueEvent[] = [];

  constructor(epoch: string) {
    this.epoch = epoch;
  }
}

export class Truth {
  private readonly exchanges = new Map<string, Numbering[]>();
  private tentative: TrueEvent[] = [];
  /** Messages of which a publisher was told that all went well. */
  readonly confirmed = new Set<string>();

  note(exchange: string, epoch: string, after: number, turn: readonly Scanned[]): void {
    let offset = after;
    for (const { batch, table } of turn) {
      for (let i = 0; i < table.count; i++) {
        const { correlationId: id = "", routingKey: topic = "", body } = readRecord(batch, table.offset(i));
        this.tentative.push({ exchange, epoch, offset: ++offset, id, topic, isEmpty: body.length === 0 });
      }
    }
  }

  /** The transaction in which the last ones were noted is over. */
  committed(isStored: boolean): void {
    const noted = this.tentative;
    this.tentative = [];
    if (!isStored) return;
    for (const event of noted) this.numbering(event.exchange, event.epoch).events.push(event);
  }

  /** An exchange woke: its numbering may be a new one, after all that were before. */
  woke(exchange: string, epoch: string): void {
    this.numbering(exchange, epoch);
  }

  private numbering(exchange: string, epoch: string): Numbering {
    const numberings = this.exchanges.get(exchange) ?? [];
    this.exchanges.set(exchange, numberings);
    let numbering = numberings.find((one) => one.epoch === epoch);
    if (numbering === undefined) numberings.push((numbering = new Numbering(epoch)));
    return numbering;
  }

  event(exchange: string, epoch: string, offset: number): TrueEvent | null {
    const events = this.events(exchange, epoch);
    const first = events[0]?.offset ?? 0;
    return events[offset - first] ?? null;
  }

  events(exchange: string, epoch: string): readonly TrueEvent[] {
    return this.exchanges.get(exchange)?.find((one) => one.epoch === epoch)?.events ?? [];
  }

  /** All after a place, in the order in which they came to be. */
  after(exchange: string, epoch: string, offset: number): TrueEvent[] {
    const numberings = this.exchanges.get(exchange) ?? [];
    const place = numberings.findIndex((one) => one.epoch === epoch);
    const here = (numberings[place]?.events ?? []).filter((event) => event.offset > offset);
    return [...here, ...numberings.slice(place + 1).flatMap(({ events }) => events)];
  }

  /** Which numbering came first. */
  age(exchange: string, epoch: string): number {
    return (this.exchanges.get(exchange) ?? []).findIndex((one) => one.epoch === epoch);
  }

  /** The numbering that is the present one. */
  epoch(exchange: string): string | null {
    return this.exchanges.get(exchange)?.at(-1)?.epoch ?? null;
  }

  last(exchange: string): TrueEvent | null {
    return (
      this.exchanges
        .get(exchange)
        ?.findLast(({ events }) => events.length > 0)
        ?.events.at(-1) ?? null
    );
  }
}

/** The function it returns ends it. */
export function observe(truth: Truth): () => void {
  const core = Exchange.prototype as { endTurn: (this: Exchange, nowMs: number) => Turn[] };
  const { endTurn } = core;
  core.endTurn = function (nowMs) {
    const { turn } = this as unknown as { turn: readonly Scanned[] };
    const [epoch = "", offset = ""] = this.position.split(":");
    truth.note(this.stored.exchange, epoch, Number(offset), [...turn]);
    return endTurn.call(this, nowMs);
  };
  const makes = Exchange as {
    open: (this: void, ...args: Parameters<typeof Exchange.open>) => Exchange | null;
  };
  const { open } = makes;
  makes.open = (stores, parts) => {
    const exchange = open(stores, parts);
    if (exchange !== null) truth.woke(exchange.stored.exchange, exchange.epoch);
    return exchange;
  };
  return () => {
    makes.open = open;
    core.endTurn = endTurn;
  };
}
