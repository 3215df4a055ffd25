/**
 * Acks that wait for one another. Each turn that settles writes a snapshot; those that are gathered share one. They are
 * answered when they are stored, so a consumer that hears nothing may ack again, and a crash redelivers.
 */
import type { Settlement } from "../protocol/commands.ts";
import type { Consumer } from "./consumers.ts";
import { configOf, type QueueContext } from "./context.ts";

/** 0: not at all. Only acks wait, and only while the consumer can be given more: else they are what it waits for. */
export function ackWaitMs(
  queue: QueueContext,
  consumer: Consumer | null,
  settlements: readonly Settlement[],
): number {
  const { ackDelayMs } = configOf(queue);
  if (ackDelayMs === 0 || consumer === null || consumer.isDraining) return 0;
  const hasRoom = queue.leases.openBy(consumer.id) < consumer.credit;
  return hasRoom && settlements.every(({ verdict }) => verdict === "ack") ? ackDelayMs : 0;
}
