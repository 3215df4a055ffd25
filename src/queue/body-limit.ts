// How large a message's body may be.
import { FIELD, type RecordTable } from "../protocol/batch.ts";
import type { PublishCommand } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { QueueConfig } from "../protocol/queue-config.ts";
import { referencedBytes } from "../protocol/referenced-bytes.ts";
import { refuse, type Refusal } from "../protocol/result.ts";

/** A queue with a limit of its own takes no referenced body: those are all over the inline limit. */
export function refuseBodies(
  { bodyBytesMax: max }: QueueConfig,
  { batch, bodyBytes = 0 }: PublishCommand,
  table: RecordTable,
): Refusal | null {
  if (max >= LIMITS.bodyBytesMax) return null;
  for (let i = 0; i < table.count; i++) {
    const isReference = (table.flags(i) & FIELD.bodyReference) !== 0;
    const bytes = isReference
      ? referencedBytes(batch, table.offset(i))
      : Math.max(table.bodySize(i), bodyBytes);
    if (bytes > max) {
      return refuse("body_too_large", `record ${i}: body has ${bytes} bytes, this queue takes ${max}`, {
        bytesMax: max,
      });
    }
  }
  return null;
}
