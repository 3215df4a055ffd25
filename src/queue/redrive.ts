/**
 * Bringing dead messages back. A dead message lies either in a dead-letter queue, as an ordinary message with a
 * death record, or in the queue it died in, in state dead. Both are found by one filter. A dry run only counts;
 * a real run is a task that goes on in steps, so that it can be paced and stopped and survives eviction.
 */
import { FIELD } from "../protocol/batch.ts";
import type { DeathRecord, RedriveCommand, RedriveFilter, RedriveStatus } from "../protocol/commands.ts";
import { moveTarget } from "../protocol/move-target.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { lanesFrom } from "./browse.ts";
import { idAt, keyAt, recordAt, type QueueContext } from "./context.ts";
import { deathOf, movedRecord } from "./dead-letter.ts";
import { LANE_SPAN } from "./lane.ts";
import { ownsKey } from "./partition.ts";
import { putReturn, removeMessage } from "./remove.ts";
import type { Segment } from "./segments.ts";
import { segmentStates } from "./states.ts";
import { RETURN_STATE, type ReturnRow, type TaskRow } from "./stores.ts";

/** Messages looked at in one step. */
const STEP_SCAN_MAX = 2_000;
const STEP_MOVE_MAX = 500;
/** Messages a dry run looks at: it answers at once, so it can't go on for ever. */
const DRY_SCAN_MAX = 200_000;
const STEP_MS = 100;

interface Candidate {
  readonly segment: Segment;
  readonly index: number;
  readonly row: ReturnRow | null;
  readonly resume: Place;
}

/** Where a scan goes on: a segment and an index, or a sequence among the rows of messages dead in their place. */
interface Place {
  readonly segment: number;
  readonly index: number;
}

const DEAD_ROWS = -1;
const START: Place = { segment: 0, index: 0 };

export function startRedrive(
  queue: QueueContext,
  command: RedriveCommand,
  nowMs: number,
): Result<RedriveStatus> {
  if (command.all === true && command.to === undefined) {
    return refuse("bad_request", "all: needs to, for what never died comes from nowhere");
  }
  const total = movable(queue);
  const { to, ratePerSecond } = command;
  if (command.dryRun) {
    let scanned = 0;
    let matched = 0;
    for (const candidate of candidates(queue, START, command.all === true)) {
      if (scanned === DRY_SCAN_MAX) break;
      scanned++;
      if (matches(queue, candidate, command.filter)) matched++;
      if (matched === command.limit) break;
    }
    const counts = { scanned, matched, moved: 0, startedMs: nowMs, total };
    return ok({ task: null, state: "dry_run", ...counts, ...asked({ to, ratePerSecond }) });
  }
  if (command.alone === true && queue.stores.work.runningTasks().length > 0) {
    return refuse(
      "redrive_running",
      "a redrive of this queue is going on; it must end or be cancelled first",
    );
  }
  const task: TaskRow = {
    task: command.task ?? queue.ledger.now.nextTask,
    command,
    state: "running",
    ...START,
    endSequence: queue.ledger.now.nextSequence,
    scanned: 0,
    matched: 0,
    moved: 0,
    nextMs: nowMs,
    startedMs: nowMs,
    total,
  };
  queue.ledger.now.nextTask = Math.max(queue.ledger.now.nextTask, task.task + 1);
  queue.ledger.isDirty = true;
  const begun = stepTask(queue, task, nowMs);
  queue.stores.work.putTask(begun);
  return ok(statusOf(begun));
}

export function redriveStatus(queue: QueueContext, task: number): Result<RedriveStatus> {
  const row = queue.stores.work.task(task);
  return row === null ? refuse("task_not_found", `task: there is no redrive ${task}`) : ok(statusOf(row));
}

/** The newest first. */
export function lastRedrives(queue: QueueContext, limit: number): RedriveStatus[] {
  return queue.stores.work.lastTasks(limit).map(statusOf);
}

function statusOf(row: TaskRow): RedriveStatus {
  const { task, state, failure, scanned, matched, moved, startedMs, total, command } = row;
  const counts = { scanned, matched, moved, startedMs, total };
  return { task, state, ...(failure === undefined ? {} : { failure }), ...counts, ...asked(command) };
}

/** What of the command a status tells again. */
function asked({
  to,
  ratePerSecond,
}: {
  to?: string | undefined;
  ratePerSecond?: number | undefined;
}): Pick<RedriveStatus, "to" | "ratePerSecond"> {
  return {
    ...(to === undefined ? {} : { to }),
    ...(ratePerSecond === undefined ? {} : { ratePerSecond }),
  };
}

/** Messages that wait or are dead here. */
function movable({ ledger: { now }, leases }: QueueContext): number {
  return now.messages - now.parked - leases.openCount;
}

export function cancelRedrive(queue: QueueContext, task: number): Result<RedriveStatus> {
  const row = queue.stores.work.task(task);
  if (row?.state === "running") queue.stores.work.putTask({ ...row, state: "cancelled" });
  return redriveStatus(queue, task);
}

export function stepTasks(queue: QueueContext, nowMs: number): void {
  for (const task of queue.stores.work.runningTasks()) {
    if (task.nextMs <= nowMs) queue.stores.work.putTask(stepTask(queue, task, nowMs));
  }
}

function stepTask(queue: QueueContext, task: TaskRow, nowMs: number): TaskRow {
  const { ratePerSecond, limit, filter } = task.command;
  const perStep =
    ratePerSecond === undefined ? STEP_MOVE_MAX : Math.max(1, Math.floor((ratePerSecond * STEP_MS) / 1_000));
  const moveMax = Math.min(perStep, STEP_MOVE_MAX, (limit ?? Number.POSITIVE_INFINITY) - task.moved);
  let { scanned, matched, moved } = task;
  const endMoved = moved + moveMax;
  let scansLeft = STEP_SCAN_MAX;
  for (const candidate of candidates(queue, task, task.command.all === true)) {
    const { segment, index, resume } = candidate;
    if (scansLeft-- === 0 || moved === endMoved) {
      const isDone = limit !== undefined && moved >= limit;
      // One message a step at the least, so a rate below ten a second means a longer wait.
      const waitMs = ratePerSecond === undefined ? 0 : Math.ceil((perStep * 1_000) / ratePerSecond);
      const state = isDone ? "done" : "running";
      return { ...task, ...resume, state, scanned, matched, moved, nextMs: nowMs + waitMs };
    }
    // What was redriven into this very queue, or died since, is not looked at again.
    if (segment.first + index >= task.endSequence) continue;
    scanned++;
    if (!matches(queue, candidate, filter)) continue;
    matched++;
    if (redriveOne(queue, candidate, task.command, nowMs)) moved++;
  }
  return { ...task, state: "done", scanned, matched, moved };
}

/**
 * Messages that may be redriven, from a place on: those with a death record, then those dead in their place. Not the
 * other way round: what comes back to its place may have a death record too, and must not be met again.
 */
function* candidates(queue: QueueContext, from: Place, all: boolean): Generator<Candidate> {
  if (from.segment !== DEAD_ROWS) {
    for (const lane of lanesFrom(queue, from.segment)) {
      const ceiling = (lane + 1) * LANE_SPAN;
      let [head] = queue.stores.segments.heads(Math.max(from.segment, lane * LANE_SPAN), ceiling, 1);
      while (head) {
        if (all || (head.flags & FIELD.death) !== 0)
          yield* waiting(queue, head.id, head.id === from.segment ? from.index : 0, all);
        [head] = queue.stores.segments.heads(head.id + 1, ceiling, 1);
      }
    }
  }
  yield* deadInPlace(queue, from.segment === DEAD_ROWS ? from.index : 0);
}

function* deadInPlace(queue: QueueContext, afterSequence: number): Generator<Candidate> {
  let after = afterSequence;
  for (;;) {
    const rows = queue.stores.returns.inState(RETURN_STATE.dead, after, 200);
    if (rows.length === 0) return;
    for (const row of rows) {
      const resume = { segment: DEAD_ROWS, index: row.sequence - 1 };
      yield { segment: queue.segments.get(row.segment), index: row.index, row, resume };
      after = row.sequence;
    }
  }
}

function* waiting(queue: QueueContext, id: number, from: number, all: boolean): Generator<Candidate> {
  const segment = queue.segments.find(id);
  if (segment === null) return;
  const states = segmentStates(queue, segment);
  for (let index = from; index < segment.count; index++) {
    if (!all && !isDeadLetter(segment, index)) continue;
    if (states.of(index, queue.ledger.now.clockMs) !== "ready") continue;
    yield { segment, index, row: states.row(index), resume: { segment: id, index } };
  }
}

/** What was redriven is alive again, although it still tells how it died. */
function isDeadLetter(segment: Segment, index: number): boolean {
  if ((segment.table.flags(index) & FIELD.death) === 0) return false;
  const { redrivenMs } = JSON.parse(recordAt(segment, index).death!) as DeathRecord;
  return redrivenMs === undefined;
}

function matches(queue: QueueContext, { segment, index, row }: Candidate, filter: RedriveFilter): boolean {
  const record = recordAt(segment, index);
  const death = deathOf(queue, record, segment, row);
  const headers = Object.entries(filter.headers ?? {});
  const {
    ids,
    reason,
    queue: from,
    routingKey,
    orderingKey,
    diedBeforeMs,
    diedAfterMs,
    errorIncludes,
  } = filter;
  return (
    (ids === undefined || ids.includes(idAt(queue, segment, index))) &&
    (reason === undefined || death.reason === reason) &&
    (from === undefined || death.queue === from) &&
    (routingKey === undefined || (death.routingKey ?? record.routingKey) === routingKey) &&
    (orderingKey === undefined || record.orderingKey === orderingKey) &&
    (diedBeforeMs === undefined || death.atMs <= diedBeforeMs) &&
    (diedAfterMs === undefined || death.atMs >= diedAfterMs) &&
    (errorIncludes === undefined || (death.log.at(-1)?.error ?? "").includes(errorIncludes)) &&
    headers.every(
      ([name, text]) =>
        record.headers !== undefined &&
        Object.hasOwn(record.headers, name) &&
        String(record.headers[name]) === text,
    )
  );
}

function redriveOne(
  queue: QueueContext,
  { segment, index, row }: Candidate,
  command: RedriveCommand,
  nowMs: number,
): boolean {
  const record = recordAt(segment, index);
  const isDeadHere = row?.state === RETURN_STATE.dead;
  const death = deathOf(queue, record, segment, row);
  const target = command.to ?? (isDeadHere ? queue.stored.queue : death.queue);
  if (target === queue.stored.queue && ownsKey(queue, keyAt(queue, segment, index))) {
    if (!isDeadHere) return false;
    returnToPlace(queue, segment, index, row, nowMs);
    return true;
  }
  const hasDied = isDeadHere || record.death !== undefined;
  // The operator has looked at it: the hop budget starts again, and the redrive is counted.
  const redriven = { ...death, hops: 0, redrives: death.redrives + 1, redrivenMs: nowMs };
  queue.outgoing.add(
    moveTarget({ queue: target }),
    movedRecord(queue, segment, index, record, hasDied ? redriven : null, death.routingKey),
  );
  removeMessage(queue, segment, index, "keep");
  queue.ledger.now.totals.redriven++;
  return true;
}

function returnToPlace(
  queue: QueueContext,
  segment: Segment,
  index: number,
  row: ReturnRow,
  nowMs: number,
): void {
  const key = keyAt(queue, segment, index);
  const back = {
    ...row,
    state: RETURN_STATE.ready,
    failures: 0,
    redrives: row.redrives + 1,
    key,
    death: null,
  };
  putReturn(queue, row, back, segment);
  const expiresMs = segment.expiresMs(index);
  if (expiresMs === null) return;
  queue.stores.timers.putExpiry(segment.id, Math.max(expiresMs, nowMs));
  // Its time may be over: it dies again as soon as this tick's work is done.
  if (expiresMs <= nowMs) queue.hasMoreWork = true;
}
