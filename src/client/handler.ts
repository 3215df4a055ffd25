/** The handler of a consumer: what it may be told, and what its outcome means for the message. */
import type { CancelReason } from "../protocol/frames.ts";
import { asError } from "./errors.ts";
import type { Known } from "./known-options.ts";
import { DeadLetter, Retry, type HandlerContext, type Message, type Outcome } from "./message.ts";

/**
 * Returning acks the message. Throwing rejects it with the error's text, which counts as a failure and follows the
 * queue's retry policy; `throw new Retry()` gives it back uncounted, `throw new DeadLetter(reason)` ends it at once.
 * A message that the handler settled itself is left alone.
 */
export type Handler = (message: Message, context: HandlerContext) => unknown;

export interface ConsumeOptions {
  /** Messages held here unsettled, those that wait for the handler included. Default 20; at most 4,096. */
  readonly credit?: number;
  /** Handlers at a time. Default: the credit. */
  readonly concurrency?: number;
  /** How long the broker waits for a settlement or renewal. 1 s to 12 h; default: the queue's. */
  readonly leaseMs?: number;
  /** -100 to 100, default 0: consumers of a higher one are served first. */
  readonly priority?: number;
  /** Refused with `consumer_exclusive` if the queue has another consumer; keeps all others out. */
  readonly exclusive?: boolean;
  /** A name for people, in leases and logs. Default: the broker makes one up. */
  readonly name?: string;
  /** Renews the leases of messages that are not settled yet, until the consumer ends. Default true. */
  readonly autoExtend?: boolean;
  /** `manual`: returning from the handler settles nothing; call `message.ack()` yourself. Default `auto`. */
  readonly ack?: "auto" | "manual";
  /** How long a settlement waits for company while others are being worked on. Default 5. */
  readonly settleLingerMs?: number;
  /**
   * What a handler threw (Retry and DeadLetter apart), a settlement the broker refused (`lease_lost`), or what ended
   * the consumer. It must not throw.
   */
  readonly onError?: (error: Error, message?: Message) => void;
  /** The broker ended the consumer; `closed` follows. */
  readonly onCancel?: (reason: CancelReason) => void;
}

export const CONSUME_OPTIONS: Known<ConsumeOptions> = {
  credit: true,
  concurrency: true,
  leaseMs: true,
  priority: true,
  exclusive: true,
  name: true,
  autoExtend: true,
  ack: true,
  settleLingerMs: true,
  onError: true,
  onCancel: true,
};

export const ACK: Outcome = { verdict: "ack" };

/** The broker keeps 1,024 bytes of it. */
const ERROR_CHARACTERS_MAX = 1_024;

export function outcomeOf(thrown: unknown): Outcome {
  if (thrown instanceof Retry) {
    return thrown.delayMs === undefined ? { verdict: "nack" } : { verdict: "nack", delayMs: thrown.delayMs };
  }
  const error = failureText(thrown);
  return thrown instanceof DeadLetter
    ? { verdict: "reject", dead: true, error }
    : { verdict: "reject", error };
}

/** What is told about something that was thrown. */
export function failureText(thrown: unknown): string {
  const { name, message } = asError(thrown);
  const isNamed = !(thrown instanceof DeadLetter) && name !== "Error";
  return (isNamed ? `${name}: ${message}` : message).slice(0, ERROR_CHARACTERS_MAX).toWellFormed();
}

export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
