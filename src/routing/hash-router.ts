/**
 * consistent-hash: each message goes to one destination (rendezvous.ts). A destination takes part with the highest weight
 * among its bindings, those whose filter does not accept the message left out; without any it does not take part.
 *
 * At most LIMITS.destinationsMax scores for each message: 4 million for the largest batch, a quarter of a second.
 */
import { assert } from "../protocol/assert.ts";
import type { RecordTable } from "../protocol/batch.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import { readCorrelationId } from "../protocol/record.ts";
import { FilterIndex } from "./filter-index.ts";
import { hashBytes, hashHeader, hashText, parseWeight, score, wins, type Hash } from "./rendezvous.ts";
import { BatchHeaders, type KindRouter, type RouteHits, type RouterBinding } from "./routes.ts";

interface Contender {
  readonly destination: number;
  readonly name: string;
  readonly hash: Hash;
  /** How many bindings without a filter there are of each weight. */
  readonly open: Map<number, number>;
  /** The highest weight of `open`, 0 when there is none. */
  openWeight: number;
  /** For the message at hand. */
  weight: number;
  bindings: number;
}

export class HashRouter implements KindRouter {
  private readonly hashOn: ExchangeConfig["hashOn"];
  private readonly contenders = new Map<number, Contender>();
  private readonly filters = new FilterIndex();

  constructor(hashOn: ExchangeConfig["hashOn"]) {
    this.hashOn = hashOn;
  }

  add(binding: RouterBinding): void {
    const contender = this.contenderOf(binding);
    contender.bindings++;
    if (binding.headers === null) countWeight(contender, weightOf(binding), 1);
    else this.filters.add(binding);
  }

  remove(binding: RouterBinding): void {
    const contender = this.contenders.get(binding.destination);
    assert(contender !== undefined, "a binding is removed that was never added");
    if (binding.headers === null) countWeight(contender, weightOf(binding), -1);
    else this.filters.remove(binding);
    if (--contender.bindings === 0) this.contenders.delete(binding.destination);
  }

  route(batch: Uint8Array, table: RecordTable, hits: RouteHits): void {
    const headers = new BatchHeaders(batch, table);
    const contenders = [...this.contenders.values()];
    for (let i = 0; i < table.count; i++) {
      this.weigh(contenders, i, headers);
      const winner = winnerOf(contenders, this.hash(batch, table, i, headers));
      if (winner !== null) hits.add(winner.destination, i);
    }
  }

  private weigh(contenders: readonly Contender[], index: number, headers: BatchHeaders): void {
    for (const contender of contenders) contender.weight = contender.openWeight;
    if (this.filters.size === 0) return;
    this.filters.lookAt(headers.of(index));
    this.filters.forEachAccepted((binding) => {
      const contender = this.contenders.get(binding.destination)!;
      contender.weight = Math.max(contender.weight, weightOf(binding));
    });
  }

  private hash(batch: Uint8Array, table: RecordTable, index: number, headers: BatchHeaders): Hash {
    switch (this.hashOn) {
      case "routingKey":
        return hashBytes(batch, table.routingKeyOffset(index), table.routingKeySize(index));
      case "orderingKey":
        return hashBytes(batch, table.keyOffset(index), table.keySize(index));
      case "correlationId":
        return hashText(readCorrelationId(batch, table.offset(index)) ?? "");
      default: {
        const values = headers.of(index);
        const { header } = this.hashOn;
        return hashHeader(Object.hasOwn(values, header) ? values[header] : undefined);
      }
    }
  }

  private contenderOf({ destination, name }: RouterBinding): Contender {
    let contender = this.contenders.get(destination);
    if (contender === undefined) {
      const hash = hashText(name);
      contender = { destination, name, hash, open: new Map(), openWeight: 0, weight: 0, bindings: 0 };
      this.contenders.set(destination, contender);
    }
    assert(contender.name === name, "a destination's number stands for two names");
    return contender;
  }
}

function weightOf({ key }: RouterBinding): number {
  const weight = parseWeight(key);
  assert(weight.ok, "a binding's weight was not checked");
  return weight.value;
}

function countWeight(contender: Contender, weight: number, change: 1 | -1): void {
  const count = (contender.open.get(weight) ?? 0) + change;
  assert(count >= 0, "a binding is removed that was never added");
  if (count > 0) contender.open.set(weight, count);
  else contender.open.delete(weight);
  contender.openWeight = Math.max(0, ...contender.open.keys());
}

function winnerOf(contenders: readonly Contender[], key: Hash): Contender | null {
  let winner: Contender | null = null;
  let highest = 0;
  for (const contender of contenders) {
    if (contender.weight === 0) continue;
    const reached = score(key, contender.hash, contender.weight);
    if (
      winner === null ||
      wins({ score: reached, name: contender.name }, { score: highest, name: winner.name })
    ) {
      winner = contender;
      highest = reached;
    }
  }
  return winner;
}
