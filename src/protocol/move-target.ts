/**
 * How an outbox names where a message goes, and how its sender is named there. A queue is its bare name; an exchange
 * has a prefix with a colon, which can't be in a name, so the two never stand for one another.
 */
import type { Destination } from "./exchange-commands.ts";

const EXCHANGE_PREFIX = "exchange:";

/** A batch on its way, as its target sees it. Numbers rise for each target. */
export interface MoveBatch {
  readonly number: number;
  readonly batch: Uint8Array;
}

/** As the one who carries it needs to know it. */
export interface Move extends MoveBatch {
  /** As moveTarget() wrote it. */
  readonly target: string;
  readonly tries: number;
}

/** Moves of one sender, in their order. */
export interface MovedCommand {
  /** As moveSender() wrote it. */
  readonly from: string;
  readonly moves: readonly MoveBatch[];
}

export interface MovesTaken {
  /** Messages that are here now because of this call. */
  readonly accepted: number;
  /** Moves, from the first on, that were taken whole, now or before. */
  readonly done: number;
}

export function moveTarget(destination: Destination): string {
  return "queue" in destination ? destination.queue : `${EXCHANGE_PREFIX}${destination.exchange}`;
}

export function readMoveTarget(target: string): Destination {
  return target.startsWith(EXCHANGE_PREFIX)
    ? { exchange: target.slice(EXCHANGE_PREFIX.length) }
    : { queue: target };
}

/**
 * The name under which a target remembers the last number it took. The origin tells this sender from an earlier one
 * of its name, whose numbers the target may remember.
 */
export function moveSender(sender: Destination, origin: number | string): string {
  return `${moveTarget(sender)}#${origin}`;
}
