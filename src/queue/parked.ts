// What an operator does with a key that stopped.
import { ok, refuse, type Result } from "../protocol/result.ts";
import type { QueueContext } from "./context.ts";
import { bury } from "./dead-letter.ts";
import { drainKey } from "./fail.ts";
import { putReturn } from "./remove.ts";
import { RETURN_STATE } from "./stores.ts";

/** Frees a key: its message is tried again with its failures forgiven, or dies, alone or with its whole line. */
export function resumeKey(
  queue: QueueContext,
  key: string,
  action: "retry" | "skip" | "drain",
  nowMs: number,
): Result<{ messages: number }> {
  const parked = queue.stores.returns.parkedOf(key);
  if (parked.length === 0) return refuse("message_not_found", `key: "${key}" has no parked message`);
  let messages = parked.length;
  for (const row of parked) {
    const segment = queue.segments.get(row.segment);
    if (action === "retry") {
      const back = {
        ...row,
        state: RETURN_STATE.ready,
        failures: 0,
        redrives: row.redrives + 1,
        death: null,
      };
      putReturn(queue, row, back, segment);
    } else {
      bury(queue, segment, row.index, { reason: row.death?.reason ?? "failed", nowMs });
      if (action === "drain") messages += drainKey(queue, key, row.sequence, nowMs);
    }
  }
  queue.keys.offer(queue, key);
  return ok({ messages });
}
