// Giving back what consumers hold: they went, or never got it.
import type { QueueContext } from "./context.ts";
import { endDelivery } from "./fail.ts";
import { openMessages } from "./leases.ts";

/** How a consumer went: `lost` charges the oldest message it held with a failure. */
export type Departure = "released" | "lost" | "restarted";

/** Gives back what a consumer's socket held. */
export function releaseConsumer(
  queue: QueueContext,
  consumerId: number,
  how: Departure,
  nowMs: number,
): void {
  const clockMs = queue.ledger.tickClock(nowMs);
  let isOldest = how === "lost";
  for (const lease of queue.leases.active.values()) {
    if (lease.consumerId !== consumerId) continue;
    for (const message of openMessages(lease)) {
      const outcome = how === "released" ? "released" : "consumer_lost";
      endDelivery(queue, message, {
        outcome,
        nowMs: clockMs,
        isFailure: isOldest,
        ...(isOldest ? {} : { delayMs: 0 }),
      });
      isOldest = false;
    }
  }
}

/** Gives back deliveries that never left: they are no attempt that failed. */
export function releaseLeases(queue: QueueContext, leases: readonly number[], nowMs: number): void {
  const clockMs = queue.ledger.tickClock(nowMs);
  const ending = { outcome: "released", nowMs: clockMs, isFailure: false, delayMs: 0 } as const;
  for (const id of leases) {
    const lease = queue.leases.active.get(id);
    for (const message of lease ? openMessages(lease) : []) endDelivery(queue, message, ending);
  }
}

/** Consumers that hold something; 0 stands for all who have no socket. */
export function holdersOf(queue: QueueContext): ReadonlySet<number> {
  return new Set([...queue.leases.active.values()].map((lease) => lease.consumerId));
}
