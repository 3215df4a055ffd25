/** A delivery as messages. Nothing of a record is decoded here: only where each begins is found. */
import { BATCH_HEADER_BYTES, readBatchHeader, type MessageRecord } from "../protocol/batch.ts";
import type { DeliverHead } from "../protocol/frames.ts";
import { parseReceipt, type DeliveredJson, type MessageJson } from "../protocol/message-json.ts";
import { readRecord } from "../protocol/record.ts";
import { MillraceError } from "./errors.ts";
import { Message, type Settler } from "./message.ts";
import { bytesOfBase64 } from "./outgoing.ts";

export function messagesOfDelivery(head: DeliverHead, payload: Uint8Array, settler: Settler): Message[] {
  const messages: Message[] = [];
  let end = 0;
  for (const run of head.runs ?? []) {
    const batch = payload.subarray(end, end + run.bytes);
    end += run.bytes;
    const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
    const { origin, firstSequence, timeMs, count } = readBatchHeader(batch);
    const { attempt, failures, firstSentMs } = run;
    const read = (offset: number): MessageRecord => readRecord(batch, offset);
    const source = { lease: head.lease, origin, timeMs, attempt, failures, firstSentMs, read };
    let offset = BATCH_HEADER_BYTES;
    for (let i = 0; i < count; i++) {
      messages.push(new Message(source, firstSequence + i, offset, settler));
      offset += 4 + view.getUint32(offset, true);
    }
  }
  return messages;
}

/**
 * How long the delivery's lease is, by the broker's clock alone: a message handed out for the first time was handed
 * out when the lease began. Null when all were handed out before.
 */
export function leaseMsOf(head: DeliverHead): number | null {
  const fresh = head.runs?.find((run) => run.attempt === 1);
  return fresh === undefined ? null : head.untilMs - fresh.firstSentMs;
}

/** A message that came as JSON, over HTTP. */
export function messageOfJson(json: DeliveredJson, settler: Settler): Message {
  const receipt = parseReceipt(json.receipt);
  if (receipt === null) throw new MillraceError("internal", `"${json.receipt}" is not a receipt`);
  const { lease, sequence } = receipt;
  const { timeMs, attempt, failures, firstSentMs } = json;
  const read = (): MessageRecord => recordOfJson(json);
  return new Message(
    { lease, origin: 0, timeMs, attempt, failures, firstSentMs, read },
    sequence,
    0,
    settler,
  );
}

/** A message that the broker told as JSON. */
export type TextMessage = Omit<MessageJson, "json"> & Partial<Pick<DeliveredJson, "id" | "timeMs" | "death">>;

export function recordOfJson(json: TextMessage): MessageRecord {
  const { id, timeMs, routingKey, orderingKey, priority, ttlMs, dedupId, cancelKey, correlationId } = json;
  const { replyTo, contentType, headers, death, body, bodyBase64 } = json;
  const fields = {
    id,
    timeMs,
    routingKey,
    orderingKey,
    priority,
    ttlMs,
    dedupId,
    cancelKey,
    correlationId,
    replyTo,
    contentType,
    headers:
      headers === undefined
        ? undefined
        : Object.fromEntries(
            Object.entries(headers).map(([name, value]) => [
              name,
              typeof value === "object" ? bytesOfBase64(value.base64) : value,
            ]),
          ),
    death: death === undefined ? undefined : JSON.stringify(death),
  };
  const present = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  const bytes = bodyBase64 === undefined ? new TextEncoder().encode(body ?? "") : bytesOfBase64(bodyBase64);
  return { ...present, body: bytes };
}
