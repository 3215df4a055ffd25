/**
 * Redriven messages whose target has gone come back to the queue that they left, behind what is there, and can be received and
 * redriven again. The redrive that led them there fails: it leaves the rest where it is. Those that died in this very queue stay
 * on their way, since here they would be alive.
 */
import { readRecord } from "../protocol/record.ts";
import { UNSTAMPED, type MessageRecord } from "../protocol/batch.ts";
import type { DeathRecord } from "../protocol/commands.ts";
import { readMoveTarget, type Move } from "../protocol/move-target.ts";
import { acceptAll } from "./accept.ts";
import type { QueueContext } from "./context.ts";

/** Tasks that are looked through for the one that a move comes from. */
const TASKS_MAX = 20;

/** Whether the move is none any more. */
export function takeBack(queue: QueueContext, { number, target, batch }: Move, nowMs: number): boolean {
  const destination = readMoveTarget(target);
  const records = recordsOf(queue, batch).map((record) => asBefore(queue, record));
  if (!("queue" in destination) || records.includes(null)) return false;
  const encoded = queue.codec.encode(records as MessageRecord[], UNSTAMPED, "broker");
  if (!encoded.ok) return false;
  // Told twice that the target has gone: they are back already.
  if (!queue.stores.work.hasOutbox(number)) return true;
  const [taken] = acceptAll(queue, [{ batch: encoded.value }], nowMs, { isMoved: true });
  // There is no room for them now: they wait on their way.
  if (!taken!.ok) return false;
  queue.stores.work.removeOutbox(number);
  failRedrives(queue, destination.queue, records.length);
  return true;
}

function recordsOf(queue: QueueContext, batch: Uint8Array): MessageRecord[] {
  const table = queue.codec.scan(batch, "broker");
  if (!table.ok) throw new Error(`an outbox row can't be read: ${table.detail}`);
  return Array.from({ length: table.value.count }, (_, i) => readRecord(batch, table.value.offset(i)));
}

/** The message as it was before it was redriven; null: it was not, or it died here. */
function asBefore(queue: QueueContext, record: MessageRecord): MessageRecord | null {
  if (record.death === undefined) return record;
  const { redrivenMs, ...death } = JSON.parse(record.death) as DeathRecord;
  if (redrivenMs === undefined || death.queue === queue.stored.queue) return null;
  return { ...record, death: JSON.stringify({ ...death, redrives: death.redrives - 1 }) };
}

/**
 * Those under way that lead there, and the newest if it has ended. One that brings each message back to where it died fails only
 * if it was to be alone; others lose what can't be brought back, and go on.
 */
function failRedrives(queue: QueueContext, target: string, count: number): void {
  const { work } = queue.stores;
  const tasks = work.lastTasks(TASKS_MAX).filter(({ command: { to = target } }) => to === target);
  const origin = tasks.find(({ state }) => state !== "cancelled");
  for (const task of tasks) {
    const isOrigin = task === origin;
    const fails = task.command.to !== undefined || task.command.alone === true;
    if (!isOrigin && (task.state !== "running" || !fails)) continue;
    const moved = isOrigin ? Math.max(0, task.moved - count) : task.moved;
    work.putTask({
      ...task,
      moved,
      ...(fails ? { state: "failed" as const, failure: "queue_not_found" as const } : {}),
    });
  }
}
