/**
 * Messages as JSON, for people and for clients without the batch format (PROTOCOL §4). Pure: the edge and the
 * queue's object both turn batches into JSON and back with these, once.
 */
import type { MessageState } from "./commands.ts";

/** A header's value in JSON; bytes are `{ "base64": "…" }`. */
export type HeaderJson = string | number | boolean | { readonly base64: string };

/** What a publisher sends. Exactly one of body (text), json (any value) and bodyBase64; none means an empty body. */
export interface MessageJson {
  readonly routingKey?: string;
  readonly orderingKey?: string;
  readonly priority?: number;
  readonly delayMs?: number;
  readonly ttlMs?: number;
  readonly dedupId?: string;
  readonly cancelKey?: string;
  readonly correlationId?: string;
  readonly replyTo?: string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, HeaderJson>>;
  readonly body?: string;
  /** Encoded as JSON; contentType becomes application/json unless given. */
  readonly json?: unknown;
  readonly bodyBase64?: string;
}

/** What a consumer gets. `body` when it is UTF-8, else `bodyBase64`. */
export interface DeliveredJson extends Omit<MessageJson, "json" | "delayMs"> {
  readonly id: string;
  readonly sequence: number;
  /** Settles this message: `<lease>-<sequence>` in base 36. */
  readonly receipt: string;
  readonly attempt: number;
  readonly failures: number;
  readonly timeMs: number;
  readonly firstSentMs: number;
  readonly leaseUntilMs: number;
  /** A DeathRecord, on dead letters. */
  readonly death?: unknown;
  /** The body lies in a bucket; over HTTP the edge fetches it, over a socket the client does (PROTOCOL §5.9). */
  readonly bodyReference?: string;
}

export interface ViewJson extends Omit<
  DeliveredJson,
  "receipt" | "attempt" | "firstSentMs" | "leaseUntilMs"
> {
  readonly state: MessageState;
}

export function formatReceipt(lease: number, sequence: number): string {
  return `${lease.toString(36)}-${sequence.toString(36)}`;
}

export function parseReceipt(receipt: string): { lease: number; sequence: number } | null {
  const match = /^([0-9a-z]{1,11})-([0-9a-z]{1,11})$/.exec(receipt);
  if (!match) return null;
  const lease = Number.parseInt(match[1]!, 36);
  const sequence = Number.parseInt(match[2]!, 36);
  return Number.isSafeInteger(lease) && Number.isSafeInteger(sequence) ? { lease, sequence } : null;
}
