/**
 * The end of a turn: what its transitions changed is written, in as few rows as tell it. A turn that publishes writes its
 * segments, and a lease of all of one lies in the segment's row. Any other change is in the snapshot, which rides on a lease's
 * row or has one of its own.
 */
import { forgetIds } from "./carried-ids.ts";
import type { QueueContext } from "./context.ts";

export function commit(queue: QueueContext, nowMs: number): void {
  const { ledger, leases, segments, stores } = queue;
  queue.outgoing.commit(queue, nowMs);
  segments.commit((segment) => {
    if (segment.isDelayed) stores.timers.removeDelayed(segment.id);
    if (segment.mayExpire) stores.timers.removeExpiry(segment.id);
    forgetIds(queue, segment);
  });
  const placed = leases.place(stores.segments);
  for (const [segment, atMs] of queue.expiries)
    // What is out does not die of age. It is written when it comes back.
    if (!leases.isInPlace(segment) && segments.find(segment) !== null) stores.timers.putExpiry(segment, atMs);
  queue.expiries.clear();
  stores.segments.write();
  ledger.spillProducers(stores.identities);
  ledger.now.vacant = [...stores.segments.vacant];
  leases.noteInPlace(ledger);
  if (leases.commit(stores.leases, ledger)) return;
  // Cursors that moved are told by the leases in place, for which they moved.
  if (!ledger.isDirty && (!ledger.hasHandedOut || placed > 0)) return;
  const { version, json } = ledger.save();
  stores.leases.writeSnapshot(version, json);
}
