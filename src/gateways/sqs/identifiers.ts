/**
 * What SQS calls things by: queue URLs, ARNs, message ids, sequence numbers and receipt handles. All of them are made of
 * what the broker calls the same things by, and nothing is remembered for them.
 */
import { md5 } from "@noble/hashes/legacy.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import {
  fromBase64,
  formatReceipt,
  parseReceipt,
  toBase64,
  type Receipt,
} from "../../protocol/message-json.ts";
import { readText } from "../../protocol/utf8.ts";

/** Every namespace is one account to its callers, and always this one: which namespace it is the access key tells. */
export const ACCOUNT = "000000000000";
export const REGION_DEFAULT = "us-east-1";
export const FIFO_SUFFIX = ".fifo";

/** In SQS the name alone tells. */
export function isFifo(queue: string): boolean {
  return queue.endsWith(FIFO_SUFFIX);
}

/** `origin`: that of the request, so that the URL leads back the way the caller came. */
export function queueUrl(origin: string, queue: string): string {
  return `${origin}/${ACCOUNT}/${queue}`;
}

/** The queue is the last part of its URL. Host and account are not looked at: proxies and scripts have their own. */
export function queueOfUrl(url: string): string {
  const path = URL.parse(url)?.pathname ?? url;
  return path.split("/").at(-1) ?? "";
}

export function arnOf(region: string, queue: string): string {
  return `arn:aws:sqs:${region}:${ACCOUNT}:${queue}`;
}

/** Null when it is no ARN of a queue. Region and account are not looked at, as in URLs. */
export function queueOfArn(arn: string): string | null {
  return /^arn:aws[a-z-]*:sqs:[a-z0-9-]*:\d*:([A-Za-z0-9._-]+)$/.exec(arn)?.[1] ?? null;
}

/** A message's id in the form of a UUID (RFC 9562, version 8): origin and sequence, or the hash of another id. */
export function messageUuid(id: string): string {
  const parts = /^([0-9a-z]{1,8})-([0-9a-z]{1,10})$/.exec(id);
  const origin = parts ? Number.parseInt(parts[1]!, 36) : Number.NaN;
  const sequence = parts ? Number.parseInt(parts[2]!, 36) : Number.NaN;
  if (!(origin < 2 ** 40 && sequence < 2 ** 48)) return uuid(bytesToHex(md5(utf8ToBytes(id))));
  const high = origin.toString(16).padStart(10, "0");
  const low = sequence.toString(16).padStart(12, "0");
  return uuid(`${high}000${low.slice(0, 3)}0${low.slice(3)}000000`);
}

/** 32 hex digits, two of which give way to version and variant. */
function uuid(hex: string): string {
  const groups = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`];
  return [...groups, hex.slice(20, 32)].join("-");
}

/** Twenty digits that rise with the sequence. */
export function sequenceNumber(sequence: number): string {
  return `1${String(sequence).padStart(19, "0")}`;
}

/** A receipt, and the origin of its queue: what is left of an earlier queue of the name is nothing to a later one. */
export interface Handle extends Receipt {
  readonly origin?: number;
}

export function receiptHandle(
  queue: string,
  { origin, ...receipt }: Required<Pick<Handle, "origin">> & Receipt,
): string {
  return toBase64(utf8ToBytes(`${queue} ${formatReceipt(receipt)} ${origin.toString(36)}`));
}

/** Null when it is no handle of this queue's. Those of an earlier version have no origin. */
export function readReceiptHandle(queue: string, handle: string): Handle | null {
  const bytes = fromBase64(handle);
  const text = bytes === null ? "" : readText(bytes, 0, bytes.length);
  const [from, receipt = "", origin = "", more] = text.split(" ");
  const read =
    from === queue && more === undefined && /^[0-9a-z]{0,11}$/.test(origin) ? parseReceipt(receipt) : null;
  if (read === null || origin === "") return read;
  return { ...read, origin: Number.parseInt(origin, 36) };
}
