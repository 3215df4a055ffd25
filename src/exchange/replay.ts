/**
 * What a subscriber gets of the past, and the verdict on it: `complete` when every event since its position that
 * matches is there, `gap` when some may be lost. It is never told `complete` on a guess.
 */
import type { BatchCodec, MessageRecord, RecordTable } from "../protocol/batch.ts";
import type {
  EventBatch,
  GapReason,
  Recovery,
  ReplayAnswer,
  ReplayCommand,
  ReplayPage,
  ReplayRest,
} from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { readRecord, readText } from "../protocol/record.ts";
import { assert } from "../protocol/assert.ts";
import { matches } from "../routing/topic.ts";
import type { History } from "./history.ts";
import { runsOf } from "../protocol/runs.ts";
import type { LastValues } from "./last-values.ts";
import type { HistoryRow } from "./stores.ts";

/** Events looked at for one subscriber, whether they match or not. */
const SCAN_EVENTS_MAX = 100_000;
/** Events in one batch of the answer. */
const BATCH_EVENTS_MAX = 500;
const BATCH_BYTES_MAX = 512 * 1024;
const TIME_BYTES = 8;

export interface Past {
  readonly history: History;
  readonly lastValues: LastValues;
  readonly codec: BatchCodec;
  readonly nowMs: number;
}

interface PastEvent {
  readonly offset: number;
  /** What it takes in a batch, with its time. */
  readonly bytes: number;
  readonly record: MessageRecord;
}

/** Reads `<epoch>:<offset>`; the form has been checked. */
export function parsePosition(position: string): { epoch: number; offset: number } {
  const [epoch = "", offset = ""] = position.split(":");
  return { epoch: Number.parseInt(epoch, 36), offset: Number(offset) };
}

/** `pageBytes`: as in ExchangeApi. */
export function replay(past: Past, command: ReplayCommand, pageBytes = Infinity): ReplayAnswer {
  const { history } = past;
  const snapshot = command.lastValues === true ? lastValuesOf(past, command.pattern) : NOTHING;
  const found =
    command.since === undefined ? lastOf(past, command) : since(past, command.since, command.pattern);
  return {
    epoch: history.epochText,
    offset: history.offset,
    ...(snapshot.isWhole ? verdictOf(found) : { recovery: "gap", reason: "too_much" }),
    ...pageOf(past, snapshot.events, found.events, pageBytes, history.offset),
  };
}

/** What the pages before had no room for, as it is now: a last value that was replaced comes live. */
export function replayPage(past: Past, pattern: string, rest: ReplayRest, pageBytes: number): ReplayPage {
  const { history, nowMs } = past;
  const { epoch, offset, snapshotAfter, after, until } = rest;
  const isLost = epoch !== history.epochText || (after < until && after + 1 < history.earliestOffset(nowMs));
  if (isLost) return { isLost, snapshot: [], events: [] };
  const snapshot =
    snapshotAfter === undefined ? [] : lastValuesOf(past, pattern, snapshotAfter, offset).events;
  return pageOf(past, snapshot, eventsUpTo(past, rest, pattern, pageBytes), pageBytes, offset, until);
}

/** In the order of the offsets: enough for a page, and one more, which tells that there is more. */
function eventsUpTo(
  past: Past,
  { after, until }: ReplayRest,
  pattern: string,
  pageBytes: number,
): PastEvent[] {
  const events: PastEvent[] = [];
  let bytes = 0;
  for (let from = after + 1; from <= until && bytes <= pageBytes;) {
    const row = past.history.rowAt(from);
    if (row === null) break;
    for (const event of eventsOf(past, row, from, until + 1, pattern)) {
      bytes += event.bytes;
      events.push(event);
    }
    from = row.first + row.count;
  }
  return events;
}

/** `until`: the last event that may be told; absent: the last of these. */
function pageOf(
  past: Past,
  snapshot: readonly PastEvent[],
  events: readonly PastEvent[],
  pageBytes: number,
  offset: number,
  until = events.at(-1)?.offset ?? 0,
): ReplayPage {
  const values = fitting(snapshot, pageBytes);
  const valuesLeft = values.length < snapshot.length;
  const room = pageBytes - values.reduce((sum, { bytes }) => sum + bytes, 0);
  const told = valuesLeft || (values.length > 0 && room <= 0) ? [] : fitting(events, room);
  const after = told.at(-1)?.offset ?? (events[0]?.offset ?? until + 1) - 1;
  const page = { snapshot: batchesOf(past, values), events: batchesOf(past, told) };
  if (!valuesLeft && after >= until) return page;
  const rest = { epoch: past.history.epochText, offset, after, until };
  const snapshotAfter = values.at(-1)?.offset ?? 0;
  return { ...page, rest: valuesLeft ? { ...rest, snapshotAfter } : rest };
}

/** As many as fit, and one at least. */
function fitting(events: readonly PastEvent[], bytesMax: number): readonly PastEvent[] {
  let bytes = 0;
  const end = events.findIndex((event, index) => (bytes += event.bytes) > bytesMax && index > 0);
  return end === -1 ? events : events.slice(0, end);
}

function verdictOf({ recovery, reason }: Found): Pick<ReplayAnswer, "recovery" | "reason"> {
  return reason === undefined ? { recovery } : { recovery, reason };
}

interface Selection {
  readonly events: PastEvent[];
  /** Nothing that matches was left out. */
  readonly isWhole: boolean;
}
const NOTHING: Selection = { events: [], isWhole: true };

interface Found {
  readonly recovery: Recovery;
  readonly reason?: GapReason;
  readonly events: PastEvent[];
}

function since(past: Past, position: string, pattern: string): Found {
  const { history } = past;
  const { epoch, offset } = parsePosition(position);
  const earliest = history.earliestOffset(past.nowMs);
  if (epoch === history.epoch && offset === history.offset) return { recovery: "complete", events: [] };
  const reason = gapSince(past, epoch, offset, earliest);
  const from = reason === "new_epoch" ? earliest : Math.max(earliest, offset + 1);
  const scan = scanFrom(past, from, pattern);
  if (reason !== null) return { recovery: "gap", reason, events: scan.events };
  return scan.isWhole
    ? { recovery: "complete", events: scan.events }
    : { recovery: "gap", reason: "too_much", events: scan.events };
}

function gapSince({ history }: Past, epoch: number, offset: number, earliest: number): GapReason | null {
  if (epoch !== history.epoch || offset > history.offset) return "new_epoch";
  if (offset + 1 >= earliest) return null;
  return history.eventsMax === 0 ? "no_history" : "expired";
}

/** The newest events that fit the bounds: a subscriber that missed too much wants the end, not the beginning. */
function scanFrom(past: Past, from: number, pattern: string): Selection {
  return scanBack(past, from, pattern, LIMITS.replayEventsMax);
}

function lastOf(past: Past, { last, pattern }: ReplayCommand): Found {
  if (last === undefined) return { recovery: "fresh", events: [] };
  const { events, isWhole } = scanBack(past, past.history.earliestOffset(past.nowMs), pattern, last);
  const isAll = isWhole || events.length === last;
  return isAll ? { recovery: "fresh", events } : { recovery: "gap", reason: "too_much", events };
}

/** From the end back to `from`: at most `eventsMax` that match. */
function scanBack(past: Past, from: number, pattern: string, eventsMax: number): Selection {
  const events: PastEvent[] = [];
  let bytes = 0;
  let scanned = 0;
  for (let end = past.history.offset + 1; end > from;) {
    const row = past.history.rowBefore(end);
    if (row === null) break;
    const found = eventsOf(past, row, from, end, pattern);
    for (const event of found.toReversed()) {
      bytes += event.bytes;
      if (events.length >= eventsMax || bytes > LIMITS.replayBytesMax)
        return { events: events.reverse(), isWhole: false };
      events.push(event);
    }
    scanned += row.count;
    if (scanned >= SCAN_EVENTS_MAX && row.first > from) return { events: events.reverse(), isWhole: false };
    end = row.first;
  }
  return { events: events.reverse(), isWhole: true };
}

function eventsOf(past: Past, row: HistoryRow, from: number, end: number, pattern: string): PastEvent[] {
  const scanned = past.codec.scan(row.bytes, "broker");
  assert(scanned.ok, "a batch of the history is damaged");
  const table = scanned.value;
  const events: PastEvent[] = [];
  for (let i = 0; i < table.count; i++) {
    const offset = row.first + i;
    if (offset < from || offset >= end) continue;
    if (!matches(pattern, readText(row.bytes, table.routingKeyOffset(i), table.routingKeySize(i)))) continue;
    events.push(eventOf(row, table, i, offset));
  }
  return events;
}

function eventOf(
  row: { readonly bytes: Uint8Array; readonly timeMs: number },
  table: RecordTable,
  index: number,
  offset: number,
): PastEvent {
  const record = readRecord(row.bytes, table.offset(index));
  const bytes = table.size(index) + TIME_BYTES;
  return { offset, bytes, record: { ...record, timeMs: record.timeMs ?? row.timeMs } };
}

/** In the order of their offsets: those behind `after`, up to `until`. */
function lastValuesOf(past: Past, pattern: string, after = 0, until = Infinity): Selection {
  let isWhole = true;
  const events: PastEvent[] = [];
  let bytes = 0;
  for (const row of past.lastValues.all()) {
    if (row.offset <= after || row.offset > until || !matches(pattern, row.topic)) continue;
    const scanned = past.codec.scan(row.bytes, "broker");
    assert(scanned.ok, "a last value is damaged");
    const event = eventOf(row, scanned.value, 0, row.offset);
    bytes += event.bytes;
    if (events.length >= LIMITS.replayEventsMax || bytes > LIMITS.replayBytesMax) {
      isWhole = false;
      break;
    }
    events.push(event);
  }
  return { events: events.sort((a, b) => a.offset - b.offset), isWhole };
}

/** Few batches, whatever the rows were: a subscriber pays for frames. */
function batchesOf(past: Past, events: readonly PastEvent[]): EventBatch[] {
  const parts: PastEvent[][] = [];
  let bytes = 0;
  for (const event of events) {
    const part = parts.at(-1);
    bytes += event.bytes;
    if (part === undefined || part.length >= BATCH_EVENTS_MAX || bytes > BATCH_BYTES_MAX) {
      parts.push([event]);
      bytes = event.bytes;
    } else part.push(event);
  }
  return parts.map((part) => ({
    batch: encode(past, part),
    offsets: runsOf(part.map(({ offset }) => offset)),
  }));
}

function encode({ codec, history }: Past, part: readonly PastEvent[]): Uint8Array {
  const header = { origin: history.epoch, firstSequence: part[0]!.offset, timeMs: 0 };
  const batch = codec.encode(
    part.map(({ record }) => record),
    header,
    "broker",
  );
  assert(batch.ok, "events of the past can't be encoded");
  return batch.value;
}
