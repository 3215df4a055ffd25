/**
 * Puts together what a batch comes to over all exchanges that it reaches: level by level, each exchange once for each
 * message. So loops end, and a queue that is reached by two ways gets a message once.
 */
import type { SequenceRun } from "../protocol/commands.ts";
import type { RouteFailure, RouteStep } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { indexesOf } from "../protocol/runs.ts";
import { IndexSet } from "./indexes.ts";

export interface ExchangeShare {
  readonly exchange: string;
  readonly messages: readonly SequenceRun[];
}

export class Resolution {
  private readonly count: number;
  private readonly queues = new Map<string, IndexSet>();
  /** What each exchange has been given. */
  private readonly visited = new Map<string, IndexSet>();
  private waiting = new Map<string, IndexSet>();
  private depth = 0;
  readonly failed: RouteFailure[] = [];

  /** `root` has been given all `count` messages. */
  constructor(root: string, count: number) {
    this.count = count;
    const all = new IndexSet(count);
    all.addRuns([[0, count]]);
    this.visited.set(root, all);
  }

  /** What an exchange made of its share. Its indexes count within the share, so the share tells which they are. */
  add(step: RouteStep, share?: readonly SequenceRun[]): void {
    const places = share === undefined ? null : [...indexesOf(share)];
    const real = (index: number): number => (places === null ? index : places[index]!);
    for (const { queue, messages } of step.queues) {
      const set = this.setOf(this.queues, queue);
      for (const index of indexesOf(messages)) set.add(real(index));
    }
    for (const { exchange, messages } of step.exchanges) {
      const seen = this.visited.get(exchange);
      for (const index of indexesOf(messages)) {
        if (seen?.has(real(index))) continue;
        this.setOf(this.waiting, exchange).add(real(index));
      }
    }
  }

  /** The exchanges to ask next, with what is new to each; empty when all is known. */
  nextLevel(): ExchangeShare[] {
    const level = [...this.waiting].map(([exchange, set]) => ({ exchange, messages: set.runs() }));
    this.waiting = new Map();
    if (level.length === 0) return level;
    this.depth++;
    const room = this.depth > LIMITS.exchangeDepthMax ? 0 : LIMITS.exchangesVisitedMax - this.visited.size;
    const known = level.filter(({ exchange }) => this.visited.has(exchange));
    const fresh = level.filter(({ exchange }) => !this.visited.has(exchange));
    const asked =
      this.depth > LIMITS.exchangeDepthMax ? [] : [...known, ...fresh.slice(0, Math.max(0, room))];
    for (const share of level.filter((one) => !asked.includes(one))) this.refuse(share);
    for (const { exchange, messages } of asked) this.setOf(this.visited, exchange).addRuns(messages);
    return asked;
  }

  private refuse({ exchange, messages }: ExchangeShare): void {
    this.failed.push({
      destination: { exchange },
      code: "unroutable",
      detail: `exchanges: a message visits at most ${LIMITS.exchangesVisitedMax}, ${LIMITS.exchangeDepthMax} in a row`,
      messages,
    });
  }

  /** Each queue with its messages. */
  shares(): { queue: string; messages: SequenceRun[] }[] {
    return [...this.queues].map(([queue, set]) => ({ queue, messages: set.runs() }));
  }

  private setOf(sets: Map<string, IndexSet>, name: string): IndexSet {
    let set = sets.get(name);
    if (set === undefined) sets.set(name, (set = new IndexSet(this.count)));
    return set;
  }
}
