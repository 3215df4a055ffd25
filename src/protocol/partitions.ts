/**
 * How a queue is spread over partitions, and how numbers tell which partition they are of: callers and objects have to
 * agree on both. Stored and sent: never change.
 */
import { hashText, score, type Hash } from "./rendezvous.ts";
import { LIMITS } from "./limits.ts";

/** Sequences of each partition. LIMITS.partitionsMax times this is the span that a segment's id has for them. */
const SEQUENCES = 2 ** 42;

const LEASE_NOISE = 2 ** 15;

/** The first sequence of a partition. */
export function firstSequenceIn(partition: number): number {
  return partition * SEQUENCES + 1;
}

export function partitionOfSequence(sequence: number): number {
  return Math.floor(sequence / SEQUENCES);
}

/**
 * The lease's number │ 5 bits of the partition │ 15 random bits: lease ids rise, and a consumer can't settle another's
 * delivery by counting. `random` is from 0 to below 1.
 */
export function leaseId(number: number, partition: number, random: number): number {
  return (number * LIMITS.partitionsMax + partition) * LEASE_NOISE + Math.floor(random * LEASE_NOISE);
}

/** Which of its partition's leases it is, counted from 1. */
export function numberOfLease(lease: number): number {
  return Math.floor(lease / (LEASE_NOISE * LIMITS.partitionsMax));
}

/** By the sequence in an id that `messageId` made; 0 for any other id. */
export function partitionOfId(id: string): number {
  const sequence = /^[0-9a-z]+-([0-9a-z]{1,10})$/.exec(id)?.[1];
  return sequence === undefined ? 0 : partitionOfSequence(Number.parseInt(sequence, 36));
}

export function partitionOfLease(lease: number): number {
  return Math.floor(lease / LEASE_NOISE) % LIMITS.partitionsMax;
}

const contenders: readonly Hash[] = Array.from({ length: LIMITS.partitionsMax }, (_, partition) =>
  hashText(String(partition)),
);

/** The partition that a key belongs to. One partition more takes over only the keys that it wins. */
export function ownerOf(key: Hash, partitions: number): number {
  let owner = 0;
  let best = 0;
  for (let partition = 0; partition < partitions; partition++) {
    const reached = score(key, contenders[partition]!, 1);
    if (reached <= best) continue;
    owner = partition;
    best = reached;
  }
  return owner;
}
