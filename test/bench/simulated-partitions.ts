/**
 * SIMULATED: partitions of one queue on machines of their own, which one thread can't show. Publishers keep some
 * batches on their way at all times, the more the more partitions there are. A batch is split by rendezvous hashing of its keys, as in production; a partition
 * takes one turn after the other, each with all the shares that came meanwhile, for as long as was measured here; the
 * batch is done when its last share is. The network takes no time.
 */
import { ownerOf } from "../../src/protocol/partitions.ts";
import { hashText } from "../../src/protocol/rendezvous.ts";
import { Random } from "../simulation/random.ts";
import { printTable } from "./report.ts";

const KEYS = 1_000;
/** For each partition. */
const IN_FLIGHT = 64;
const BATCHES = 6_000;

/** In µs. */
export interface Service {
  /** A turn: the transaction, and what is done once for all that it gathers. */
  readonly turn: number;
  readonly frame: number;
  readonly each: number;
}

/** A load, and how many times the throughput of one partition it has with more of them. */
export interface SpeedUp {
  readonly load: string;
  readonly points: readonly { readonly partitions: number; readonly times: number }[];
}

/** Messages that a batch leaves with each partition. */
type Split = () => number[];

interface Load {
  readonly name: string;
  readonly batch: number;
  /** How often each key comes; null: no keys, and whole batches go to a partition drawn for each. */
  readonly weights: readonly number[] | null;
}

const EVEN = Array.from({ length: KEYS }, () => 1);
const ZIPF = EVEN.map((_, i) => 1 / (i + 1));
const LOADS: readonly Load[] = [
  { name: "no keys, by 100", batch: 100, weights: null },
  { name: "even keys, by 1,000", batch: 1_000, weights: EVEN },
  { name: "Zipf keys, by 1,000", batch: 1_000, weights: ZIPF },
  { name: "even keys, by 100", batch: 100, weights: EVEN },
];

export function simulateSpeedUp(counts: readonly number[], service: Service): SpeedUp[] {
  const speedUps = LOADS.map((load): SpeedUp => {
    const alone = rate(1, load, service);
    const points = counts.map((partitions) => ({
      partitions,
      times: rate(partitions, load, service) / alone,
    }));
    return { load: load.name, points };
  });
  const { turn, frame, each } = service;
  console.log(`\nSIMULATED, partitions on machines of their own: times the throughput of one`);
  console.log(
    `  ${IN_FLIGHT} batches on their way for each partition, ${KEYS} keys; per message: publish to ack`,
  );
  console.log(
    `  µs of a partition: ${turn.toFixed(0)} a turn, ${frame.toFixed(0)} a frame, ${each.toFixed(1)} a message`,
  );
  printTable(
    ["partitions", ...speedUps.map(({ load }) => load)],
    counts.map((partitions, i) => [
      String(partitions),
      ...speedUps.map(({ points }) => `${points[i]!.times.toFixed(2)} ×`),
    ]),
  );
  return speedUps;
}

/** Messages in a µs. */
function rate(partitions: number, { batch, weights }: Load, service: Service): number {
  const split = weights === null ? unkeyed(partitions, batch) : keyed(partitions, batch, weights);
  return (BATCHES * batch) / finishMicros(partitions, split, service);
}

function unkeyed(partitions: number, batch: number): Split {
  const random = new Random(11);
  return () => {
    const shares = Array.from({ length: partitions }, () => 0);
    shares[random.between(0, partitions - 1)] = batch;
    return shares;
  };
}

function keyed(partitions: number, batch: number, weights: readonly number[]): Split {
  const random = new Random(12);
  const owners = weights.map((_, key) => ownerOf(hashText(`key-${key}`), partitions));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const sums: number[] = [];
  let sum = 0;
  for (const weight of weights) sums.push((sum += weight / total));
  return () => {
    const shares = Array.from({ length: partitions }, () => 0);
    for (let i = 0; i < batch; i++) shares[owners[placeOf(sums, random.next())]!]!++;
    return shares;
  };
}

/** The first sum above `at`. */
function placeOf(sums: readonly number[], at: number): number {
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle]! > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

interface Part {
  waiting: { batch: number; messages: number }[];
  turn: { batch: number; messages: number }[];
  /** When its turn ends; infinite while it is idle. */
  endsAt: number;
}

/** When all batches are done. */
function finishMicros(partitions: number, split: Split, { turn, frame, each }: Service): number {
  const parts = Array.from({ length: partitions }, (): Part => ({
    waiting: [],
    turn: [],
    endsAt: Number.POSITIVE_INFINITY,
  }));
  const sharesLeft: number[] = [];
  let now = 0;
  const publish = (): void => {
    const batch = sharesLeft.length;
    const shares = split();
    sharesLeft.push(shares.filter((messages) => messages > 0).length);
    for (const [i, messages] of shares.entries())
      if (messages > 0) parts[i]!.waiting.push({ batch, messages });
  };
  const begin = (part: Part): void => {
    if (part.waiting.length === 0 || part.endsAt !== Number.POSITIVE_INFINITY) return;
    [part.turn, part.waiting] = [part.waiting, []];
    const messages = part.turn.reduce((sum, share) => sum + share.messages, 0);
    part.endsAt = now + turn + frame * part.turn.length + each * messages;
  };
  for (let i = 0; i < IN_FLIGHT * partitions; i++) publish();
  for (const part of parts) begin(part);
  for (let done = 0; done < BATCHES;) {
    const next = parts.reduce((first, part) => (part.endsAt < first.endsAt ? part : first));
    now = next.endsAt;
    next.endsAt = Number.POSITIVE_INFINITY;
    for (const { batch } of next.turn) {
      if (--sharesLeft[batch]! > 0) continue;
      done++;
      publish();
    }
    for (const part of parts) begin(part);
  }
  return now;
}
