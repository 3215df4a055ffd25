/** One delivery of one message, as a handler sees it, and the ways to end it. */
import { messageId, type MessageRecord } from "../protocol/batch.ts";
import type { Settlement } from "../protocol/commands.ts";
import { Content } from "./content.ts";
import { MillraceError } from "./errors.ts";
import { refuseUnknown, unknownOption, type Known } from "./known-options.ts";

/** A settlement of one message; the settler adds which. */
export type Outcome = Pick<Settlement, "verdict" | "delayMs" | "leaseMs" | "dead" | "late" | "error">;

/** Carries out what a message's methods ask for. A consumer does it over its socket, a queue over HTTP. */
export interface Settler {
  settle(message: Message, outcome: Outcome): Promise<void>;
}

const NACK_OPTIONS: Known<{ delayMs?: number }> = { delayMs: true };
const RETRY_OPTIONS: Known<{ delayMs?: number; reason?: string }> = { delayMs: true, reason: true };
const REJECT_OPTIONS: Known<{ error?: string; delayMs?: number; dead?: boolean }> = {
  error: true,
  delayMs: true,
  dead: true,
};

/** Throw it from a handler to give the message back without counting a failure. */
export class Retry extends Error {
  override readonly name = "Retry";
  /** How long it waits before it is delivered again. Absent: the queue's `nackDelayMs`. */
  readonly delayMs?: number;

  constructor(options: { delayMs?: number; reason?: string } = {}) {
    refuseUnknown(options, RETRY_OPTIONS);
    super(options.reason ?? "asked to try again");
    if (options.delayMs !== undefined) this.delayMs = options.delayMs;
  }
}

/** Throw it from a handler when trying again is of no use: the message is dead at once, for this reason. */
export class DeadLetter extends Error {
  override readonly name = "DeadLetter";
}

/** What the messages of one run share. */
export interface MessageSource {
  readonly lease: number;
  readonly origin: number;
  readonly timeMs: number;
  readonly attempt: number;
  readonly failures: number;
  readonly firstSentMs: number;
  /** Decodes the record at `offset`. Asked once, when a field is first read. */
  readonly read: (offset: number) => MessageRecord;
}

/** What a handler gets beside the message. */
export interface HandlerContext {
  /**
   * Aborts when the work is in vain: the connection was lost, so that the broker gives the message to another, or
   * its lease ended. The reason is a MillraceError.
   */
  readonly signal: AbortSignal;
}

const decoder = new TextDecoder();

export class Message extends Content implements HandlerContext {
  /** Its number in this queue. */
  readonly sequence: number;
  private readonly source: MessageSource;
  private readonly offset: number;
  private readonly settler: Settler;
  private fetchedBody: Uint8Array | null = null;
  private abort: AbortController | null = null;
  private abortReason: MillraceError | null = null;
  private settledAs: Outcome["verdict"] | null = null;
  private lostBy: MillraceError | null = null;

  constructor(source: MessageSource, sequence: number, offset: number, settler: Settler) {
    super();
    this.source = source;
    this.sequence = sequence;
    this.offset = offset;
    this.settler = settler;
  }

  /** Names the delivery, together with `sequence`. */
  get lease(): number {
    return this.source.lease;
  }
  /** How often it was handed to a consumer, this time included. */
  get attempt(): number {
    return this.source.attempt;
  }
  /** How many of those failed: rejected, lease run out, consumer lost. */
  get failures(): number {
    return this.source.failures;
  }
  /** When it was first handed to anyone, in ms since 1970 by the broker's clock. */
  get firstSentMs(): number {
    return this.source.firstSentMs;
  }

  protected override read(): MessageRecord {
    return this.source.read(this.offset);
  }

  /** The id its publisher was told. It stays the same when the message moves to a dead-letter queue and back. */
  get id(): string {
    return this.record.id ?? messageId(this.source.origin, this.sequence);
  }
  /** When it was accepted, in ms since 1970 by the broker's clock. */
  get timeMs(): number {
    return this.record.timeMs ?? this.source.timeMs;
  }
  override get body(): Uint8Array {
    return this.fetchedBody ?? this.record.body;
  }

  /** See HandlerContext. Made when first asked for. */
  get signal(): AbortSignal {
    if (this.abort === null) {
      this.abort = new AbortController();
      if (this.abortReason !== null) this.abort.abort(this.abortReason);
    }
    return this.abort.signal;
  }

  /** Whether one of ack, nack and reject was called. */
  get isSettled(): boolean {
    return this.settledAs !== null;
  }

  /**
   * Done; the message is gone. Each of these resolves when the broker has stored it, and rejects with `lease_lost`
   * when the message is not ours any more. None needs to be awaited: a failure also goes to the consumer's `onError`.
   */
  ack(): Promise<void> {
    return this.settle({ verdict: "ack" });
  }
  /** Gives it back, not failed: it returns to its place after `delayMs` (default: the queue's `nackDelayMs`). */
  nack(options: { delayMs?: number } = {}): Promise<void> {
    const unknown = unknownOption(options, NACK_OPTIONS);
    if (unknown !== null) return handled(Promise.reject(unknown));
    return this.settle({ verdict: "nack", ...options });
  }
  /**
   * Failed: counts, and waits as the queue's retry policy says (or `delayMs`); dead when its failures run out, at
   * once with `dead`. The first 1,024 bytes of `error` are kept with the message.
   */
  reject(options: { error?: string; delayMs?: number; dead?: boolean } = {}): Promise<void> {
    const unknown = unknownOption(options, REJECT_OPTIONS);
    if (unknown !== null) return handled(Promise.reject(unknown));
    return this.settle({ verdict: "reject", ...options });
  }
  /** The lease runs `leaseMs` from now (default: the queue's). */
  extend(leaseMs?: number): Promise<void> {
    return handled(
      this.settler.settle(
        this,
        leaseMs === undefined ? { verdict: "extend" } : { verdict: "extend", leaseMs },
      ),
    );
  }

  private settle(outcome: Outcome): Promise<void> {
    if (this.lostBy !== null) return handled(Promise.reject(this.lostBy));
    if (this.settledAs !== null) {
      if (this.settledAs === outcome.verdict) return Promise.resolve();
      const detail = `message ${this.id} was settled before, with ${this.settledAs}`;
      return handled(Promise.reject(new MillraceError("already_settled", detail)));
    }
    this.settledAs = outcome.verdict;
    return handled(this.settler.settle(this, outcome));
  }

  /** @internal Marks it settled without a promise to wait for; false when it was settled before. */
  markSettled(verdict: Outcome["verdict"]): boolean {
    if (!this.isOpen) return false;
    this.settledAs = verdict;
    return true;
  }
  /** @internal Neither settled nor lost. */
  get isOpen(): boolean {
    return this.settledAs === null && this.lostBy === null;
  }
  /** @internal */
  get isAbandoned(): boolean {
    return this.abortReason !== null;
  }
  /** @internal The broker said that the lease is lost: nothing can be settled any more. */
  lose(error: MillraceError): void {
    this.lostBy = error;
    this.abandon(error);
  }
  /** @internal The work is likely in vain, but a settlement may still count. */
  abandon(reason: MillraceError): void {
    if (this.abortReason !== null) return;
    this.abortReason = reason;
    this.abort?.abort(reason);
  }
  /** @internal The reference to a body that lies elsewhere, until `setBody`. */
  get bodyReference(): string | null {
    return this.record.bodyReference === true && this.fetchedBody === null
      ? decoder.decode(this.record.body)
      : null;
  }
  /** @internal */
  setBody(body: Uint8Array): void {
    this.fetchedBody = body;
  }
}

/** Failures are told elsewhere too, so a promise nobody waits for is no reason to end the process. */
function handled(promise: Promise<void>): Promise<void> {
  promise.catch(() => undefined);
  return promise;
}
