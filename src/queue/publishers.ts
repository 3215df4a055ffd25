/**
 * Whose the names are that a publisher chooses. Dedup ids and producers are its subject's, so that nobody else can
 * silence it by using them first, unless the queue says that they are everyone's. Cancel keys are everyone's, unless the
 * publisher's grant says that they are its own.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { assert } from "../protocol/assert.ts";
import {
  FIELD,
  UNSTAMPED,
  type BatchCodec,
  type MessageRecord,
  type RecordTable,
} from "../protocol/batch.ts";
import type { Publisher } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { bareKey, isOwnKey, ownerIn } from "../protocol/own-keys.ts";
import type { QueueConfig } from "../protocol/queue-config.ts";
import { readCancelKey, readRecord } from "../protocol/record.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";

/** 80 bits: more than anyone finds another subject for. */
const SCOPE_DIGITS = 20;

const encoder = new TextEncoder();

function digest(text: string): string {
  return bytesToHex(sha256(encoder.encode(text)));
}

/** Makes names a subject's own: texts that are nobody else's, and no longer than texts may be. */
function ownNames(subject: string): (name: string) => string {
  const owner = `own:${digest(subject).slice(0, SCOPE_DIGITS)}:`;
  return (name) => owned(owner, name);
}
function owned(owner: string, name: string): string {
  const whole = `${owner}${name}`;
  // Three bytes is what a unit of UTF-16 takes at the most.
  const fits = whole.length * 3 <= LIMITS.textBytesMax || encoder.encode(whole).length <= LIMITS.textBytesMax;
  return fits ? whole : `${owner.slice(0, -1)}#${digest(name)}`;
}

const asItIs = (name: string): string => name;

type Sharing = Pick<QueueConfig, "dedupAcrossSubjects">;

/** How this publisher's dedup ids are stored. What is stored as it is counts for everyone. */
export function dedupNames({ dedupAcrossSubjects }: Sharing, publisher?: Publisher): (id: string) => string {
  return publisher === undefined || dedupAcrossSubjects ? asItIs : ownNames(publisher.subject);
}

/** A dedup id as an exchange keeps it in a message that it holds. */
export function heldDedupNames(publisher?: Publisher): (id: string) => string {
  return publisher === undefined ? asItIs : ownNames(publisher.subject);
}

/** How this one is stored where it comes from an exchange that held it: the same as if it had come at once. */
export function heldDedupName({ dedupAcrossSubjects }: Sharing, held: string, inScope: string): string {
  const owner = ownerIn(held);
  return dedupAcrossSubjects || owner === "" ? inScope : owned(owner, inScope);
}

/** The batch with its dedup ids as its publishers gave them. */
export function withBareDedupIds(
  codec: BatchCodec,
  given: { readonly batch: Uint8Array; readonly table: RecordTable },
): Result<{ batch: Uint8Array; table: RecordTable }> {
  const records = Array.from({ length: given.table.count }, (_, i) => {
    const record = readRecord(given.batch, given.table.offset(i));
    const { id, dedupId } = record;
    return id !== undefined || dedupId === undefined ? record : { ...record, dedupId: bareKey(dedupId) };
  });
  return encodedAnew(codec, records);
}

/** How a producer of this publisher is stored. No name has an `@`. */
export function producerName({ dedupAcrossSubjects }: Sharing, id: string, publisher?: Publisher): string {
  return publisher === undefined || dedupAcrossSubjects ? id : `${id}@${publisher.subject}`;
}

/** A cancel key as it is stored. */
export function cancelKeyOf(key: string, publisher?: Publisher): string {
  return publisher?.hasOwnKeys === true ? ownNames(publisher.subject)(key) : key;
}

/** The batch with its publisher's own cancel keys; the same batch where it has none. */
export function withOwnKeys(
  codec: BatchCodec,
  given: { readonly batch: Uint8Array; readonly table: RecordTable },
  publisher?: Publisher,
): Result<{ batch: Uint8Array; table: RecordTable }> {
  const { batch, table } = given;
  if ((table.allFlags() & FIELD.cancelKey) === 0) return ok(given);
  if (publisher?.hasOwnKeys !== true) return refuseForeignKeys(batch, table) ?? ok(given);
  const own = ownNames(publisher.subject);
  const records = Array.from({ length: table.count }, (_, i) => {
    const record = readRecord(batch, table.offset(i));
    return record.cancelKey === undefined ? record : { ...record, cancelKey: own(record.cancelKey) };
  });
  return encodedAnew(codec, records);
}

/** What only the broker may set was looked at when the batch came. Refused where it is too large with what was added. */
function encodedAnew(
  codec: BatchCodec,
  records: readonly MessageRecord[],
): Result<{ batch: Uint8Array; table: RecordTable }> {
  const encoded = codec.encode(records, UNSTAMPED, "broker");
  if (!encoded.ok) return encoded;
  const scanned = codec.scan(encoded.value, "broker");
  assert(scanned.ok, "a batch just made is damaged");
  return ok({ batch: encoded.value, table: scanned.value });
}

function refuseForeignKeys(batch: Uint8Array, table: RecordTable): Refusal | null {
  for (let i = 0; i < table.count; i++) {
    const key = readCancelKey(batch, table.offset(i));
    if (key === null || !isOwnKey(key)) continue;
    return refuse("forbidden", `record ${i}: cancelKey: has the form of one that is a publisher's own`);
  }
  return null;
}
