/**
 * The end of a message that was not acked. With a dead-letter target it goes there, with its id, its times and the
 * log of its attempts. Without one it stays here in state dead, unless a declared policy (time to live, overflow)
 * says that it may be dropped.
 */
import type { AttemptLogEntry, DeathReason, DeathRecord } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { MessageRecord } from "../protocol/batch.ts";
import { moveTarget } from "../protocol/move-target.ts";
import { configOf, idAt, recordAt, type QueueContext } from "./context.ts";
import { putReturn, removeMessage, returnRow } from "./remove.ts";
import type { Segment } from "./segments.ts";
import { RETURN_STATE, type History, type ReturnRow } from "./stores.ts";

export interface Death {
  readonly reason: DeathReason;
  readonly nowMs: number;
  /** What is known of the message's attempts when it comes from a lease; else its return row tells. */
  readonly history?: History;
  readonly note?: string;
}

const NO_HISTORY: History = { attempts: 0, failures: 0, firstSentMs: 0, log: [] };

export function bury(queue: QueueContext, segment: Segment, index: number, death: Death): void {
  const { totals } = queue.ledger.now;
  const row = queue.stores.returns.get(segment.first + index);
  const history = death.history ?? row ?? NO_HISTORY;
  if (death.reason === "expired") totals.expired++;
  const record = recordAt(segment, index);
  const earlier = record.death === undefined ? null : (JSON.parse(record.death) as DeathRecord);
  const hops = (earlier?.hops ?? 0) + 1;
  const { deadLetter: target, onExpiry } = configOf(queue);
  const mayDrop = target === null && (death.reason === "expired" || death.reason === "overflow");
  if (mayDrop || (death.reason === "expired" && onExpiry === "drop")) {
    removeMessage(queue, segment, index, "delete");
    totals.dropped++;
    return;
  }
  if (target !== null && hops <= LIMITS.hopsMax) {
    const redrives = (earlier?.redrives ?? 0) + (row?.redrives ?? 0);
    const told = tellDeath(queue, segment, record, death, history, hops, redrives);
    queue.outgoing.add(
      moveTarget(target),
      movedRecord(queue, segment, index, record, told, target.routingKey),
    );
    removeMessage(queue, segment, index, "keep");
    totals.deadLettered++;
    return;
  }
  keepDead(queue, segment, index, row, history, death);
}

/** Leaves a message here in state dead: visible, never delivered, until it is redriven or purged. */
function keepDead(
  queue: QueueContext,
  segment: Segment,
  index: number,
  row: ReturnRow | null,
  history: History,
  death: Death,
): void {
  const { reason, nowMs: atMs, note } = death;
  const dead: ReturnRow = {
    ...returnRow(segment, index, history, row),
    state: RETURN_STATE.dead,
    availableMs: 0,
    // A dead message holds no key back: what follows in its key goes on.
    key: null,
    death: { reason, atMs, ...(note === undefined ? {} : { note }) },
  };
  if (queue.ledger.now.blocked > 0) queue.keys.lines.leave(queue, segment, index);
  putReturn(queue, row, dead, segment);
  if (row?.key) queue.keys.offer(queue, row.key);
}

/** The record it came with; of a message that died here, what its row tells. */
export function deathOf(
  queue: QueueContext,
  record: MessageRecord,
  segment: Segment,
  row: ReturnRow | null,
): DeathRecord {
  const earlier = record.death === undefined ? null : (JSON.parse(record.death) as DeathRecord);
  if (earlier !== null && (row === null || row.death === null)) return earlier;
  const { attempts = 0, failures = 0, log = [], redrives = 0 } = row ?? {};
  return {
    reason: row?.death?.reason ?? "failed",
    queue: queue.stored.queue,
    atMs: row?.death?.atMs ?? 0,
    publishedMs: record.timeMs ?? segment.timeMs,
    attempts,
    failures,
    log,
    hops: earlier?.hops ?? 0,
    redrives: (earlier?.redrives ?? 0) + redrives,
    ...(record.routingKey === undefined ? {} : { routingKey: record.routingKey }),
    ...(record.ttlMs === undefined ? {} : { ttlMs: record.ttlMs }),
    ...(row?.death?.note === undefined ? {} : { note: row.death.note }),
  };
}

/** The record as it arrives in another queue: same id and time; delay and time to live are over. */
export function movedRecord(
  queue: QueueContext,
  segment: Segment,
  index: number,
  record: MessageRecord,
  death: DeathRecord | null,
  routingKey?: string,
): MessageRecord {
  const { delayMs: _delay, ttlMs: _ttl, death: _death, ...rest } = record;
  return {
    ...rest,
    id: idAt(queue, segment, index),
    timeMs: record.timeMs ?? segment.timeMs,
    ...(routingKey === undefined ? {} : { routingKey }),
    ...(death === null ? {} : { death: fitDeath(death) }),
  };
}

function tellDeath(
  queue: QueueContext,
  segment: Segment,
  record: MessageRecord,
  death: Death,
  history: History,
  hops: number,
  redrives: number,
): DeathRecord {
  return {
    reason: death.reason,
    queue: queue.stored.queue,
    atMs: death.nowMs,
    publishedMs: record.timeMs ?? segment.timeMs,
    attempts: history.attempts,
    failures: history.failures,
    log: history.log,
    hops,
    redrives,
    ...(record.routingKey === undefined ? {} : { routingKey: record.routingKey }),
    ...(record.ttlMs === undefined ? {} : { ttlMs: record.ttlMs }),
    ...(death.note === undefined ? {} : { note: death.note }),
  };
}

/** Drops the oldest attempts until the account fits its field. */
function fitDeath(death: DeathRecord): string {
  const encoder = new TextEncoder();
  for (let from = 0; ; from++) {
    const text = JSON.stringify(from === 0 ? death : { ...death, log: death.log.slice(from) });
    if (encoder.encode(text).length <= LIMITS.deathBytesMax || from >= death.log.length) return text;
  }
}

/** Adds an attempt to a log, bounded. */
export function logAttempt(log: readonly AttemptLogEntry[], entry: AttemptLogEntry): AttemptLogEntry[] {
  const bounded =
    entry.error === undefined ? entry : { ...entry, error: cutText(entry.error, LIMITS.errorBytesMax) };
  return [...log, bounded].slice(-LIMITS.attemptLogMax);
}

function cutText(text: string, bytesMax: number): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= bytesMax) return text;
  // A character cut in two becomes U+FFFD, which is dropped.
  return new TextDecoder().decode(bytes.subarray(0, bytesMax)).replace(/\uFFFD+$/, "");
}
