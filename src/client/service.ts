/** Answers the requests of a queue: a consumer whose handler's result goes back to whoever asked. */
import { LIMITS } from "../protocol/limits.ts";
import type { QueueConfig } from "../protocol/queue-config.ts";
import { batchOf } from "./calls.ts";
import type { Clock } from "./clock.ts";
import type { Consumer } from "./consumer.ts";
import { asError, isMillraceError } from "./errors.ts";
import { DRAIN_OPTIONS, refuseUnknown, type Known } from "./known-options.ts";
import { failureText, type ConsumeOptions, type Handler } from "./handler.ts";
import { DeadLetter, Retry, type HandlerContext, type Message } from "./message.ts";
import { recordOf, type MessageBody, type PublishOptions } from "./outgoing.ts";
import { blamesOne } from "./pipeline.ts";
import type { Session } from "./session.ts";

const ANSWER_OPTIONS: Known<Answer["options"]> = { headers: true, contentType: true, ttlMs: true };

/** A reply with more than a body: `return new Answer(body, { headers })`. */
export class Answer {
  readonly body: MessageBody;
  readonly options: Pick<PublishOptions, "headers" | "contentType" | "ttlMs">;

  constructor(body: MessageBody, options: Answer["options"] = {}) {
    refuseUnknown(options, ANSWER_OPTIONS);
    this.body = body;
    this.options = options;
  }
}

/**
 * What it returns, or resolves with, is the reply; nothing is an empty one. Throwing replies with the error's text, and
 * the caller's call rejects with `responder_failed`; the request is done with that. `throw new Retry()` gives it back for
 * another try, `throw new DeadLetter(reason)` ends it without a reply.
 */
export type RequestHandler = (
  request: Message,
  context: HandlerContext,
) => MessageBody | Answer | undefined | void | Promise<MessageBody | Answer | undefined | void>;

export interface ServeOptions extends Pick<
  ConsumeOptions,
  "leaseMs" | "priority" | "name" | "autoExtend" | "onError" | "onCancel"
> {
  /** Handlers at a time, and requests held here. Default 20. */
  readonly concurrency?: number;
  /**
   * Makes the queue first, with REQUEST_QUEUE and these on top; rejects with `queue_exists` when it is another. Absent:
   * makes it when it is missing, and else takes it as it is. False: it must be there.
   */
  readonly declare?: Partial<QueueConfig> | false;
}

const SERVE_OPTIONS: Known<ServeOptions> = {
  leaseMs: true,
  priority: true,
  name: true,
  autoExtend: true,
  onError: true,
  onCancel: true,
  concurrency: true,
  declare: true,
};

/** A queue of requests: each is tried once more when its consumer is lost, and none outlives its caller. */
export const REQUEST_QUEUE: Partial<QueueConfig> = {
  maxFailures: 1,
  retry: { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 },
  nackDelayMs: 100,
  ttlMs: LIMITS.callTimeoutMsMax,
};

export interface ServicePorts {
  readonly clock: Clock;
  readonly session: Session;
  readonly declare: (config: Partial<QueueConfig>) => Promise<unknown>;
  readonly consume: (handler: Handler, options: ConsumeOptions) => Consumer;
}

/** An inbox's address begins with it, and no queue's name does. */
const INBOX_PREFIX = "~";

export class Service {
  /** Resolves when it takes requests, so that a call finds it; rejects with what keeps it from that. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended as asked, and rejects with what else ended it. */
  readonly closed: Promise<void>;
  private readonly handler: RequestHandler;
  private readonly options: ServeOptions;
  private readonly ports: ServicePorts;
  private readonly brokerTime: BrokerTime;
  private consumer: Consumer | null = null;
  private isEnded = false;

  /** @internal Made by `client.serve`. */
  constructor(handler: RequestHandler, options: ServeOptions, ports: ServicePorts) {
    refuseUnknown(options, SERVE_OPTIONS);
    this.handler = handler;
    this.options = options;
    this.ports = ports;
    this.brokerTime = new BrokerTime(ports.clock);
    const started = this.declare().then(() => this.start());
    this.ready = started.then(() => this.consumer?.ready);
    this.closed = started.then(() => this.consumer?.closed);
    // Whoever does not look at them is told by `onError`; what ends a consumer, the consumer tells.
    started.catch((error: unknown) => this.options.onError?.(asError(error)));
    this.ready.catch(() => undefined);
    this.closed.catch(() => undefined);
  }

  /** No new requests; waits for the handlers and their replies, and ends. Rejects with `timeout` as a consumer's drain. */
  async drain(options: { timeoutMs?: number } = {}): Promise<void> {
    refuseUnknown(options, DRAIN_OPTIONS);
    this.isEnded = true;
    await this.consumer?.drain(options);
  }

  /** Ends at once: requests whose handlers run go back to the queue. */
  async stop(): Promise<void> {
    this.isEnded = true;
    await this.consumer?.cancel();
  }

  private async declare(): Promise<void> {
    const { declare } = this.options;
    if (declare === false) return;
    try {
      await this.ports.declare({ ...REQUEST_QUEUE, ...declare });
    } catch (error) {
      // Without a word on how it should be, any queue will do, and one that consumes may not be allowed to ask.
      const isFine =
        declare === undefined &&
        (isMillraceError(error, "queue_exists") || isMillraceError(error, "forbidden"));
      if (!isFine) throw error;
    }
  }

  private start(): void {
    if (this.isEnded) return;
    const { concurrency = LIMITS.creditDefault, declare: _declare, ...options } = this.options;
    // No more than are worked on: a request that waits here could be answered elsewhere.
    this.consumer = this.ports.consume((request, context) => this.handle(request, context), {
      ...options,
      credit: concurrency,
      concurrency,
      settleLingerMs: 0,
    });
  }

  private async handle(request: Message, context: HandlerContext): Promise<void> {
    this.brokerTime.learn(request);
    // Nobody waits for it any more; returning acks it.
    if (request.ttlMs !== undefined && request.timeMs + request.ttlMs <= this.brokerTime.now()) return;
    let answer: MessageBody | Answer | undefined | void;
    try {
      answer = await this.handler(request, context);
    } catch (error) {
      if (error instanceof Retry || error instanceof DeadLetter || context.signal.aborted) throw error;
      this.options.onError?.(asError(error), request);
      await this.reply(request, new Answer(""), errorText(error));
      return;
    }
    await this.reply(request, answer instanceof Answer ? answer : new Answer(answer ?? ""));
  }

  /** Resolves when the reply is where it should be, or nobody waits for it. Until then the request is not acked. */
  private async reply(request: Message, answer: Answer, error?: string): Promise<void> {
    const { replyTo: to, correlationId = request.id } = request;
    if (to === undefined) return;
    // Sent again after a lost connection: a requester takes the first reply, a queue is told that it is the same.
    const dedupId = to.startsWith(INBOX_PREFIX) ? {} : { dedupId: `re:${request.id}` };
    const words = error === undefined ? {} : { error };
    try {
      const payload = batchOf(recordOf(answer.body, { ...answer.options, ...dedupId, correlationId }));
      await this.ports.session.request(
        (ref) => ({ type: "reply", ref, to, correlationId, ...words }),
        payload,
      );
    } catch (failure) {
      if (isMillraceError(failure, "requester_gone")) return;
      if (!isMillraceError(failure) || failure.retry || failure.code === "closed") throw failure;
      // Working on it once more would not bring the reply there either.
      if (error !== undefined || !blamesOne(failure)) throw new DeadLetter(`reply: ${failure.message}`);
      // The reply itself is at fault, such as one that is too large: that is an answer, too.
      this.options.onError?.(failure, request);
      await this.reply(request, new Answer(""), errorText(failure));
    }
  }
}

/** As many bytes of it as a reply may have. */
function errorText(thrown: unknown): string {
  const bytes = new TextEncoder().encode(failureText(thrown) || "failed");
  if (bytes.length <= LIMITS.errorBytesMax) return new TextDecoder().decode(bytes);
  // A character that was cut in half is left out whole.
  return new TextDecoder().decode(bytes.subarray(0, LIMITS.errorBytesMax)).replace(/\uFFFD+$/, "");
}

/**
 * The broker's clock, as far as deliveries tell. A message that is handed out for the first time was handed out just now
 * by that clock; the quickest one so far tells most exactly by how much ours differs.
 */
class BrokerTime {
  private readonly clock: Clock;
  private aheadMs = Infinity;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  learn({ attempt, firstSentMs }: Message): void {
    if (attempt === 1) this.aheadMs = Math.min(this.aheadMs, this.clock.now() - firstSentMs);
  }

  now(): number {
    return this.clock.now() - (this.aheadMs === Infinity ? 0 : this.aheadMs);
  }
}
