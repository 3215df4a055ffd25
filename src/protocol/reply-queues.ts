// The queues that messages want their replies in.
import { BATCH_HEADER_BYTES, FIELD, RECORD_HEADER_BYTES, type BatchCodec } from "./batch.ts";
import { isInbox } from "./inbox.ts";
import { NAME_PATTERN } from "./names.ts";
import { readRecord } from "./record.ts";

/**
 * Each once, inboxes left out: those prove themselves. What is no batch names none, and is refused where it is scanned. The
 * batch that names none, which is the usual one, is not scanned for it.
 */
export function replyQueuesOf(codec: BatchCodec, batch: Uint8Array): ReadonlySet<string> {
  const queues = new Set<string>();
  if (!hasReplyTo(batch)) return queues;
  const scanned = codec.scan(batch, "broker");
  if (!scanned.ok) return queues;
  const table = scanned.value;
  for (let i = 0; i < table.count; i++) {
    if ((table.flags(i) & FIELD.replyTo) === 0) continue;
    const { replyTo = "" } = readRecord(batch, table.offset(i));
    // What is no name is carried, and nothing is sent there.
    if (!isInbox(replyTo) && NAME_PATTERN.test(replyTo)) queues.add(replyTo);
  }
  return queues;
}

/** By the records' heads alone. Of bytes that are none, whatever comes out. */
function hasReplyTo(batch: Uint8Array): boolean {
  let at = BATCH_HEADER_BYTES;
  while (at + RECORD_HEADER_BYTES <= batch.length) {
    if (((batch[at + 4]! | (batch[at + 5]! << 8)) & FIELD.replyTo) !== 0) return true;
    const size = batch[at]! + batch[at + 1]! * 2 ** 8 + batch[at + 2]! * 2 ** 16 + batch[at + 3]! * 2 ** 24;
    at += 4 + size;
  }
  return false;
}
