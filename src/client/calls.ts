/** Requests to whoever consumes a queue, and their replies. */
import { BATCH_HEADER_BYTES, type MessageRecord, UNSTAMPED } from "../protocol/batch.ts";
import { LIMITS } from "../protocol/limits.ts";
import { readRecord } from "../protocol/record.ts";
import type { SessionServerFrame } from "../protocol/session-frames.ts";
import { TypeScriptBatchCodec } from "../protocol/typescript-batch-codec.ts";
import { Content } from "./content.ts";
import { recordOfJson } from "./delivery.ts";
import { errorOfRefusal, MillraceError } from "./errors.ts";
import { refuseUnknown, type Known } from "./known-options.ts";
import { recordOf, type MessageBody, type PublishOptions } from "./outgoing.ts";
import type { Session } from "./session.ts";

export interface CallOptions extends Omit<
  PublishOptions,
  "correlationId" | "replyTo" | "ttlMs" | "delayMs" | "dedupId"
> {
  /** From the call to the reply; the request expires with it. Default 30,000; at most 300,000. */
  readonly timeoutMs?: number;
  /** Stops waiting: the call rejects with the signal's reason. A request that was sent may still be carried out. */
  readonly signal?: AbortSignal;
}

export const CALL_OPTIONS: Known<CallOptions> = {
  routingKey: true,
  orderingKey: true,
  priority: true,
  cancelKey: true,
  contentType: true,
  headers: true,
  timeoutMs: true,
  signal: true,
};

/** What a responder sent back. */
export class Reply extends Content {
  private readonly decode: () => MessageRecord;

  /** @internal */
  constructor(decode: () => MessageRecord) {
    super();
    this.decode = decode;
  }

  protected override read(): MessageRecord {
    return this.decode();
  }
}

const codec = new TypeScriptBatchCodec();

/** A batch of one. Throws `bad_batch` or `body_too_large`. */
export function batchOf(record: MessageRecord): Uint8Array {
  const encoded = codec.encode([record], UNSTAMPED, "client");
  if (!encoded.ok) throw errorOfRefusal(encoded);
  return encoded.value;
}

/**
 * A call that was sent is never sent again: the reply reaches the session's inbox over a later connection, too. One that
 * was not, for want of a connection, is sent over the next one with what is left of its time.
 */
export async function call(
  session: Session,
  queue: string,
  body: MessageBody,
  options: CallOptions,
): Promise<Reply> {
  refuseUnknown(options, CALL_OPTIONS);
  const { timeoutMs = LIMITS.callTimeoutMsDefault, signal, ...fields } = options;
  const payload = batchOf(recordOf(body, fields));
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    let forget = (): void => undefined;
    const abort = (): void => {
      forget();
      // The reason is what the caller gave; fetch rejects with it, too.
      reject(signal?.reason as Error);
    };
    signal?.addEventListener("abort", abort, { once: true });
    forget = session.ask({
      frame: (ref, leftMs) => ({ type: "call", ref, queue, timeoutMs: Math.ceil(leftMs) }),
      payload,
      timeoutMs: Math.min(timeoutMs, LIMITS.callTimeoutMsMax),
      whenLost: "wait",
      done: (result) => {
        signal?.removeEventListener("abort", abort);
        if (result instanceof MillraceError) reject(result);
        else if (result.frame.type === "reply") settle(result.frame, result.payload, resolve, reject);
      },
    });
  });
}

function settle(
  frame: Extract<SessionServerFrame, { type: "reply" }>,
  bytes: Uint8Array,
  resolve: (reply: Reply) => void,
  reject: (error: MillraceError) => void,
): void {
  const { error } = frame;
  const [json] = frame.messages ?? [];
  if (error !== undefined) reject(new MillraceError("responder_failed", error, { facts: { error } }));
  else if (json !== undefined) resolve(new Reply(() => recordOfJson(json)));
  else resolve(new Reply(() => readRecord(bytes, BATCH_HEADER_BYTES)));
}
