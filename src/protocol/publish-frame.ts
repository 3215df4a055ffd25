// What a publish frame carries, whichever socket it comes over.
import { UNSTAMPED } from "./batch.ts";
import type { BatchCodec } from "./batch.ts";
import type { PublishCommand } from "./commands.ts";
import { recordsFromJson, type MessageJson } from "./message-json.ts";
import { ok, refuse, type Result } from "./result.ts";

interface PublishHead {
  readonly messages?: readonly MessageJson[];
  readonly producer?: string;
  readonly sequence?: number;
}

/** The frame's batch: its payload, or its messages encoded. It has one or the other. */
export function batchOfFrame(
  codec: BatchCodec,
  { messages }: PublishHead,
  payload: Uint8Array,
): Result<Uint8Array> {
  if (payload.byteLength > 0 && messages !== undefined) {
    return refuse("bad_request", "messages: the frame has a batch already; send one or the other");
  }
  if (payload.byteLength > 0) return ok(payload);
  if (messages === undefined || messages.length === 0) {
    return refuse("bad_request", "messages: a publish needs messages, or a batch as the frame's payload");
  }
  const records = recordsFromJson(messages);
  return records.ok ? codec.encode(records.value, UNSTAMPED, "client") : records;
}

/** What a command has beside its batch, to be spread into it. */
export function stampOfFrame(
  { producer, sequence }: PublishHead,
  { known, span }: PartHead = {},
): Pick<PublishCommand, "producer" | "known"> {
  const stamp =
    producer === undefined || sequence === undefined
      ? {}
      : { producer: { id: producer, sequence, ...(span === undefined ? {} : { span }) } };
  return { ...stamp, ...(known === undefined ? {} : { known }) };
}

/** Of a publish that is a part of one to several partitions: PublishCommand.known, ProducerStamp.span. */
export interface PartHead {
  readonly known?: number;
  readonly span?: number;
}

/** What the edge says of a part of a publish, beside what its client said. */
export function takePart(head: unknown): { head: unknown; part: PartHead } {
  if (typeof head !== "object" || head === null || !("part" in head)) return { head, part: {} };
  const { part, ...rest } = head;
  return { head: rest, part: part as PartHead };
}
