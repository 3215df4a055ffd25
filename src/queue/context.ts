// What the parts of a queue share. One context is one queue in memory; it is thrown away when a transition fails.
import type { BatchCodec, MessageRecord } from "../protocol/batch.ts";
import { FIELD, messageId } from "../protocol/batch.ts";
import { readRecord, readText } from "../protocol/record.ts";
import { firstSequenceIn, numberOfLease } from "../protocol/partitions.ts";
import type { QueueConfig } from "../protocol/queue-config.ts";
import { KeyLines } from "./key-lines.ts";
import { rowInPlace, type LeaseInPlace } from "./lease-in-place.ts";
import { Leases } from "./leases.ts";
import { Ledger } from "./ledger.ts";
import { Outgoing } from "./outgoing.ts";
import { Retention } from "./retention.ts";
import { Segments, type Segment } from "./segments.ts";
import type { LeaseRow, QueueStores, StoredQueue } from "./stores.ts";

export interface QueueContext {
  readonly stores: QueueStores;
  readonly codec: BatchCodec;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly ledger: Ledger;
  readonly segments: Segments;
  readonly leases: Leases;
  readonly keys: KeyLines;
  readonly outgoing: Outgoing;
  readonly retention: Retention;
  /** When the first message dies of age of segments that this turn wrote. Not stored for those that go out whole. */
  readonly expiries: Map<number, number>;
  stored: StoredQueue;
  /** A bound was reached before the work was done: the shell calls again at once. */
  hasMoreWork: boolean;
}

export function openContext(
  stores: QueueStores,
  codec: BatchCodec,
  random: () => number,
): QueueContext | null {
  stores.forget();
  const stored = stores.readQueue();
  if (stored === null) return null;
  const segments = new Segments(stores.segments, codec);
  const ledger = new Ledger(firstSequenceIn(stored.partition?.index ?? 0));
  const leases = new Leases();
  const saved = stores.leases.readAll();
  const unsaved = ledger.restore(saved.snapshot, stores.segments);
  leases.restore([...saved.leases, ...inPlace(stores, ledger, unsaved)], ledger.now.endedInPlace, segments);
  const keys = new KeyLines();
  const outgoing = new Outgoing();
  const retention = new Retention();
  const queue = {
    stores,
    codec,
    random,
    ledger,
    segments,
    leases,
    keys,
    outgoing,
    retention,
    expiries: new Map<number, number>(),
    stored,
    hasMoreWork: false,
  };
  if (stored.config.fifo) keys.restore(queue);
  retention.restore(queue);
  return queue;
}

/** Leases that lie in the rows of their segments: those that the snapshot knows, and those of later segments. */
function inPlace(stores: QueueStores, ledger: Ledger, unsaved: readonly string[]): LeaseRow[] {
  const saved = ledger.now.inPlace.map((id) => stores.segments.heads(id, id + 1, 1)[0]?.lease);
  const leases = [...saved, ...unsaved].filter((lease) => typeof lease === "string");
  const rows = leases.map((lease) => rowInPlace(JSON.parse(lease) as LeaseInPlace));
  for (const { lease } of rows)
    ledger.now.nextLease = Math.max(ledger.now.nextLease, numberOfLease(lease) + 1);
  return rows;
}

export function configOf(queue: QueueContext): QueueConfig {
  return queue.stored.config;
}

export function recordAt(segment: Segment, index: number): MessageRecord {
  return readRecord(segment.bytes, segment.table.offset(index));
}

/** The ordering key of a message where it counts: in a FIFO queue. */
export function keyAt(queue: QueueContext, segment: Segment, index: number): string | null {
  if (!queue.stored.config.fifo || (segment.table.flags(index) & FIELD.orderingKey) === 0) return null;
  return readText(segment.bytes, segment.table.keyOffset(index), segment.table.keySize(index));
}

export function idAt(queue: QueueContext, segment: Segment, index: number): string {
  if ((segment.table.flags(index) & FIELD.id) !== 0) return recordAt(segment, index).id!;
  return messageId(queue.stored.origin, segment.first + index);
}
