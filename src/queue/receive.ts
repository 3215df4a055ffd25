// Taking what is ready, by a receiver without a socket.
import type { Delivery, ReceiveCommand } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import { isOverdue, tick } from "./clock-work.ts";
import type { Consumers } from "./consumers.ts";
import { configOf, type QueueContext } from "./context.ts";
import { deliveryOf, DELIVERY_BYTES_MAX, EMPTY_DELIVERY, grant } from "./grant.ts";
import { mayDeliver } from "./partition.ts";
import { Picker } from "./pick.ts";

export function receive(
  queue: QueueContext,
  consumers: Consumers,
  command: ReceiveCommand,
  nowMs: number,
): Result<Delivery> {
  const clockMs = queue.ledger.tickClock(nowMs);
  // What is back by now may be had now, though the alarm has not rung yet.
  if (isOverdue(queue, clockMs)) tick(queue, nowMs);
  const again = repeat(queue, command, clockMs);
  if (again !== null) return ok(again);
  if (command.isRepeatOnly === true || !mayDeliver(queue)) return ok(nothing(queue));
  const other = consumers.keptBy(queue, command.consumer);
  if (other !== null && other.isExclusive) {
    return refuse("consumer_exclusive", `consumer ${other.name} has the queue for itself`);
  }
  if (other !== null) return ok(nothing(queue));
  if (queue.leases.openCount >= LIMITS.leasedMax) {
    return refuse("too_many_leases", `${LIMITS.leasedMax} messages of this queue are out unsettled`);
  }
  const picks = new Picker(queue, command.max, DELIVERY_BYTES_MAX, clockMs).run();
  if (picks.length === 0) return ok(nothing(queue));
  const holder = {
    consumer: command.consumer,
    subject: command.subject ?? "",
    consumerId: 0,
    attemptId: command.attemptId ?? null,
    leaseMs: command.leaseMs ?? configOf(queue).leaseMs,
  };
  return ok(grant(queue, picks, holder, clockMs));
}

function nothing(queue: QueueContext): Delivery {
  const { receiveWaitMs: waitMs } = configOf(queue);
  return waitMs === 0 ? EMPTY_DELIVERY : { ...EMPTY_DELIVERY, waitMs };
}

/** What a receive with the same attempt id was given, while nothing of it has changed. */
function repeat(queue: QueueContext, command: ReceiveCommand, nowMs: number): Delivery | null {
  if (command.attemptId === undefined) return null;
  for (const lease of queue.leases.active.values()) {
    const isSame = lease.attemptId === command.attemptId && lease.consumer === command.consumer;
    const isUntouched = lease.open === lease.outcomes.length && lease.untils.size === 0;
    if (isSame && isUntouched && lease.untilMs > nowMs) return deliveryOf(queue, lease);
  }
  return null;
}
