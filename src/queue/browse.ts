// Looking at messages without touching them, and walking over those that wait.
import type {
  MessageHandle,
  MessageState,
  MessageView,
  PeekCommand,
  PeekPage,
} from "../protocol/commands.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { idAt, recordAt, type QueueContext } from "./context.ts";
import { deathOf } from "./dead-letter.ts";
import { firstSequenceOf, LANE_SPAN, segmentId } from "./lane.ts";
import { locate } from "./remove.ts";
import type { Segment } from "./segments.ts";
import { segmentStates, type SegmentStates } from "./states.ts";
import { RETURN_STATE, type ReturnState } from "./stores.ts";

/** Segments that one peek reads, so that looking for a rare state in a long queue stays bounded. */
const PEEK_SEGMENTS_MAX = 64;
/** And the body bytes that one page carries. */
const PEEK_BYTES_MAX = 4_000_000;

/** A page of messages in a state. A page may be short, even empty, and still have a cursor to go on with. */
export function peek(queue: QueueContext, command: PeekCommand, nowMs: number): Result<PeekPage> {
  if (command.state === "dead") return peekDead(queue, command, nowMs);
  if (command.state === "leased") return peekLeased(queue, command, nowMs);
  const start = parseCursor(command.cursor);
  if (start === null) return refuse("bad_request", "cursor: not one that a peek of this queue gave");
  const messages: MessageView[] = [];
  let read = 0;
  let bytes = 0;
  for (const lane of lanesFrom(queue, start.segment)) {
    const ceiling = (lane + 1) * LANE_SPAN;
    let id = queue.stores.segments.atOrAbove(Math.max(start.segment, lane * LANE_SPAN), ceiling);
    while (id !== null) {
      if (read++ === PEEK_SEGMENTS_MAX) return ok({ messages, cursor: `${id}.0` });
      const segment = queue.segments.get(id);
      const states = segmentStates(queue, segment);
      for (let i = id === start.segment ? start.index : 0; i < segment.count; i++) {
        if (states.of(i, nowMs) !== command.state) continue;
        if (messages.length === command.limit || bytes > PEEK_BYTES_MAX)
          return ok({ messages, cursor: `${id}.${i}` });
        bytes += segment.table.size(i);
        messages.push(viewOf(queue, segment, i, states, nowMs));
      }
      id = queue.stores.segments.atOrAbove(id + 1, ceiling);
    }
  }
  return ok({ messages });
}

/** Dead messages are few beside a long queue, and have rows of their own. The cursor is `0.` and a sequence. */
function peekDead(queue: QueueContext, command: PeekCommand, nowMs: number): Result<PeekPage> {
  const after = Number(/^0\.(\d{1,16})$/.exec(command.cursor ?? "0.0")?.[1] ?? Number.NaN);
  if (Number.isNaN(after)) return refuse("bad_request", "cursor: not one that a peek of this state gave");
  const rows = queue.stores.returns.inState(RETURN_STATE.dead, after, command.limit);
  const messages = rows.map((row) => {
    const segment = queue.segments.get(row.segment);
    return viewOf(queue, segment, row.index, segmentStates(queue, segment), nowMs);
  });
  const last = rows.at(-1);
  return ok(
    last && rows.length === command.limit ? { messages, cursor: `0.${last.sequence}` } : { messages },
  );
}

function peekLeased(queue: QueueContext, command: PeekCommand, nowMs: number): Result<PeekPage> {
  const after = Number(/^0\.(\d{1,16})$/.exec(command.cursor ?? "0.0")?.[1] ?? Number.NaN);
  if (Number.isNaN(after)) return refuse("bad_request", "cursor: not one that a peek of this state gave");
  const open = [...queue.leases.openIn()]
    .map(({ run, index }) => ({
      segment: run.segment,
      index,
      sequence: firstSequenceOf(run.segment) + index,
    }))
    .filter(({ sequence }) => sequence > after)
    .sort((a, b) => a.sequence - b.sequence);
  const page = open.slice(0, command.limit);
  const messages = page.map(({ segment: id, index }) => {
    const segment = queue.segments.get(id);
    return viewOf(queue, segment, index, segmentStates(queue, segment), nowMs);
  });
  return ok(open.length > page.length ? { messages, cursor: `0.${page.at(-1)!.sequence}` } : { messages });
}

function parseCursor(cursor: string | undefined): { segment: number; index: number } | null {
  if (cursor === undefined) return { segment: 0, index: 0 };
  const match = /^(\d{1,16})\.(\d{1,4})$/.exec(cursor);
  return match ? { segment: Number(match[1]), index: Number(match[2]) } : null;
}

export function lanesFrom(queue: QueueContext, segment: number): number[] {
  const lanes = queue.ledger.lanes().sort((a, b) => a - b);
  return lanes.filter((lane) => (lane + 1) * LANE_SPAN > segment);
}

export function find(queue: QueueContext, handle: MessageHandle, nowMs: number): Result<MessageView> {
  const found = locate(queue, handle);
  if (found === null) {
    const shown = "id" in handle ? `id: ${handle.id}` : `cancelKey: ${handle.cancelKey}`;
    return refuse("message_not_found", `${shown} is not in this queue`);
  }
  return ok(viewOf(queue, found.segment, found.index, segmentStates(queue, found.segment), nowMs));
}

export function viewOf(
  queue: QueueContext,
  segment: Segment,
  index: number,
  states: SegmentStates,
  nowMs: number,
): MessageView {
  const record = recordAt(segment, index);
  const { id: _id, timeMs, delayMs: _delay, ttlMs: _ttl, death, priority: _priority, ...fields } = record;
  const row = states.row(index);
  const lease = states.lease(index);
  const state: MessageState = states.of(index, nowMs) ?? "ready";
  const dueMs =
    row?.state === RETURN_STATE.waiting ? row.availableMs : segment.isDelayed ? segment.rankMs(index) : null;
  const expiresMs = segment.expiresMs(index);
  return {
    ...fields,
    id: idAt(queue, segment, index),
    sequence: segment.first + index,
    state,
    timeMs: timeMs ?? segment.timeMs,
    priority: segment.table.priority(index),
    attempts: row?.attempts ?? (lease === null ? 0 : 1),
    failures: row?.failures ?? 0,
    bodyBytes: segment.table.bodySize(index),
    ...(dueMs !== null && state === "delayed" ? { dueMs } : {}),
    ...(expiresMs === null ? {} : { expiresMs }),
    ...(lease === null ? {} : { consumer: lease.consumer, leaseUntilMs: lease.untilMs }),
    ...(row === null ? {} : { log: row.log }),
    ...(death === undefined && !row?.death ? {} : { death: deathOf(queue, record, segment, row) }),
  };
}

interface Found {
  readonly segment: Segment;
  readonly index: number;
}

/** Messages that wait, the first published first: those nobody took and those that came back. */
export function* oldestWaiting(queue: QueueContext): Generator<Found> {
  const rows = [RETURN_STATE.ready, RETURN_STATE.waiting, RETURN_STATE.parked];
  const heads = [
    ...rows.map((state) => returnedIn(queue, state)),
    ...queue.ledger.lanes().map((lane) => waitingFrom(queue, lane)),
  ];
  const next = heads.map((head) => head.next());
  let last = 0;
  for (;;) {
    let oldest = -1;
    for (let i = 0; i < next.length; i++) {
      const one = next[i]!;
      if (one.done) continue;
      const best = oldest === -1 ? undefined : next[oldest]!;
      if (!best || best.done || sequenceOf(one.value) < sequenceOf(best.value)) oldest = i;
    }
    const found = next[oldest];
    if (!found || found.done) return;
    // A lane that is walked from its start finds those that came back once more.
    if (sequenceOf(found.value) > last) {
      last = sequenceOf(found.value);
      yield found.value;
    }
    next[oldest] = heads[oldest]!.next();
  }
}

function* returnedIn(queue: QueueContext, state: ReturnState): Generator<Found> {
  for (let after = 0; ;) {
    const rows = queue.stores.returns.inState(state, after, 200);
    for (const row of rows) yield { segment: queue.segments.get(row.segment), index: row.index };
    if (rows.length < 200) return;
    after = rows.at(-1)!.sequence;
  }
}

function sequenceOf(place: Found): number {
  return place.segment.first + place.index;
}

/** Messages of a lane that nobody took yet. In a FIFO queue those in line are behind the cursor, so all is walked. */
function* waitingFrom(queue: QueueContext, lane: number): Generator<Found> {
  const cursor = queue.ledger.now.blocked > 0 || (lane & 1) === 1 ? 0 : queue.ledger.cursor(lane);
  const ceiling = (lane + 1) * LANE_SPAN;
  const below = queue.stores.segments.atOrBelow(segmentId(lane, cursor), lane * LANE_SPAN);
  let id = below ?? queue.stores.segments.atOrAbove(segmentId(lane, cursor), ceiling);
  while (id !== null) {
    const segment = queue.segments.find(id);
    if (segment !== null) {
      const states = segmentStates(queue, segment);
      for (let i = Math.max(0, cursor - segment.first); i < segment.count; i++) {
        const state = states.of(i, queue.ledger.now.clockMs);
        if (state === "ready" || state === "delayed" || state === "parked") yield { segment, index: i };
      }
    }
    id = queue.stores.segments.atOrAbove(id + 1, ceiling);
  }
}
