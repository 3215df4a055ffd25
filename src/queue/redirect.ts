/**
 * Dead letters on their way to a queue or an exchange that has gone follow the queue to where its dead letters go now.
 * Redriven messages don't: where they go was said when they were redriven.
 */
import { readRecord } from "../protocol/record.ts";
import type { MessageRecord } from "../protocol/batch.ts";
import type { DeathRecord } from "../protocol/commands.ts";
import { moveTarget, type Move } from "../protocol/move-target.ts";
import { configOf, type QueueContext } from "./context.ts";

/** Whether the move was led elsewhere; it is under a new number then, for the new target has not seen the lower ones. */
export function redirectDead(queue: QueueContext, { number, target, batch }: Move): boolean {
  const { deadLetter } = configOf(queue);
  if (deadLetter === null || moveTarget(deadLetter) === target) return false;
  const records = recordsOf(queue, batch);
  const deaths = records.map((record) => deathHere(queue, record));
  if (deaths.includes(null)) return false;
  // Told twice that the target has gone: the move was led elsewhere already, or arrived after all.
  if (!queue.stores.work.removeOutbox(number)) return true;
  for (const [i, { routingKey: _earlier, ...record }] of records.entries()) {
    const routingKey = deadLetter.routingKey ?? deaths[i]!.routingKey;
    queue.outgoing.add(moveTarget(deadLetter), {
      ...record,
      ...(routingKey === undefined ? {} : { routingKey }),
    });
  }
  return true;
}

function recordsOf(queue: QueueContext, batch: Uint8Array): MessageRecord[] {
  const table = queue.codec.scan(batch, "broker");
  if (!table.ok) throw new Error(`an outbox row can't be read: ${table.detail}`);
  return Array.from({ length: table.value.count }, (_, i) => readRecord(batch, table.value.offset(i)));
}

/** How it died in this queue; null: it was redriven, or never died. */
function deathHere(queue: QueueContext, { death }: MessageRecord): DeathRecord | null {
  if (death === undefined) return null;
  const told = JSON.parse(death) as DeathRecord;
  return told.redrivenMs === undefined && told.queue === queue.stored.queue ? told : null;
}
