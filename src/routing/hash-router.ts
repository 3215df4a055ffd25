/**
 * consistent-hash: each message goes to one destination (rendezvous.ts). A destination takes part with the highest weight
 * among its bindings, those whose filter does not accept the message left out; without any it does not take part.
 *
 * At most LIMITS.destinationsMax scores for each message: 4 million for the largest batch, a quarter of a second.
 */
import { assert } from "../protocol/assert.ts";
import type { RecordTable } from "../protocol/batch.ts";
import type { ExchangeConfig } from "../protocol/exchange-config.ts";
import { readCorrelationId, readHeaders } from "../protocol/record.ts";
import { FilterIndex, PART_MAX } from "./filter-index.ts";
import { hashBytes, hashHeader, hashText, score, wins, type Hash } from "../protocol/rendezvous.ts";
import { parseWeight } from "./weight.ts";
import { hasBit, type KindRouter, type RouteHits, type RouterBinding } from "./routes.ts";

interface Contender {
  readonly destination: number;
  readonly name: string;
  readonly hash: Hash;
  /** How many bindings without a filter there are of each weight. */
  readonly open: Map<number, number>;
  /** The highest weight of `open`, 0 when there is none. */
  openWeight: number;
  bindings: number;
}

/** Of one message. At first nobody, with a score below all others. */
interface Winner {
  readonly name: string;
  readonly destination: number;
  readonly score: number;
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
    for (let first = 0; first < table.count; first += PART_MAX) {
      const count = Math.min(PART_MAX, table.count - first);
      const weights = this.weigh(batch, table, first, count);
      const keys = Array.from({ length: count }, (_, i) => this.hash(batch, table, first + i));
      const winners: Winner[] = keys.map(() => ({ name: "", destination: -1, score: 0 }));
      for (const contender of this.contenders.values()) {
        contend(contender, weights.get(contender.destination) ?? null, keys, winners);
      }
      for (const [i, { destination }] of winners.entries()) {
        if (destination >= 0) hits.add(destination, first + i);
      }
    }
  }

  /** For destinations that have filters which accept: their weight for each message of the part. */
  private weigh(
    batch: Uint8Array,
    table: RecordTable,
    first: number,
    count: number,
  ): Map<number, Uint8Array> {
    const weights = new Map<number, Uint8Array>();
    if (this.filters.size === 0) return weights;
    this.filters.load(batch, table, first, count);
    this.filters.forEachAccepted((binding, bits) => {
      const { openWeight, destination } = this.contenders.get(binding.destination)!;
      const weight = weightOf(binding);
      if (weight <= openWeight) return;
      const own = weights.get(destination) ?? new Uint8Array(count).fill(openWeight);
      for (let i = 0; i < count; i++) if (own[i]! < weight && hasBit(bits, i)) own[i] = weight;
      weights.set(destination, own);
    });
    return weights;
  }

  private hash(batch: Uint8Array, table: RecordTable, index: number): Hash {
    switch (this.hashOn) {
      case "routingKey":
        return hashBytes(batch, table.routingKeyOffset(index), table.routingKeySize(index));
      case "orderingKey":
        return hashBytes(batch, table.keyOffset(index), table.keySize(index));
      case "correlationId":
        return hashText(readCorrelationId(batch, table.offset(index)) ?? "");
      default: {
        const headers = readHeaders(batch, table.offset(index)) ?? {};
        const { header } = this.hashOn;
        return hashHeader(Object.hasOwn(headers, header) ? headers[header] : undefined);
      }
    }
  }

  private contenderOf({ destination, name }: RouterBinding): Contender {
    let contender = this.contenders.get(destination);
    if (contender === undefined) {
      const hash = hashText(name);
      contender = { destination, name, hash, open: new Map(), openWeight: 0, bindings: 0 };
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

/** Puts a contender in the place of those whose keys it wins. */
function contend(
  contender: Contender,
  weights: Uint8Array | null,
  keys: readonly Hash[],
  winners: Winner[],
): void {
  const { name, destination, hash, openWeight } = contender;
  for (let i = 0; i < keys.length; i++) {
    const weight = weights === null ? openWeight : weights[i]!;
    if (weight === 0) continue;
    const reached = score(keys[i]!, hash, weight);
    const winner = winners[i]!;
    // Most lose, and cost no object.
    if (reached < winner.score) continue;
    const challenger = { name, destination, score: reached };
    if (wins(challenger, winner)) winners[i] = challenger;
  }
}
