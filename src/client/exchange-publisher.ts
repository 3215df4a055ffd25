/**
 * Publishes to one exchange over the session. What one turn published travels as one batch; the confirm says for each
 * message where it went. An exchange knows no producers, so a batch in doubt is not sent again, except for messages
 * whose `dedupId` lets every queue tell that it has them.
 */
import { UNSTAMPED } from "../protocol/batch.ts";
import type { RouteConfirm, RouteFailure } from "../protocol/exchange-commands.ts";
import type { SequenceRun } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { TypeScriptBatchCodec } from "../protocol/typescript-batch-codec.ts";
import { Backoff } from "./backoff.ts";
import { errorOfRefusal, MillraceError } from "./errors.ts";
import type { RouteOptions } from "./exchange.ts";
import { refuseUnknown, type Known } from "./known-options.ts";
import { PUBLISH_OPTIONS, type MessageBody } from "./outgoing.ts";
import { blamesOne } from "./pipeline.ts";
import { entryOf, PublishBuffer, type Entry } from "./publish-buffer.ts";
import type { PublisherOptions } from "./publisher-options.ts";
import type { Session, SessionPart } from "./session.ts";

export interface Routed {
  /** How many queues hold the message now. A message on a delay counts 0: the exchange holds it until it is due. */
  readonly matched: number;
  readonly delayed: boolean;
  /** Where the exchange's events stood after it, `<epoch>:<offset>`: what a subscription gives as `since`. */
  readonly position: string;
}

/** Some queues did not take the message. The others have it, and so have the subscribers. The code is the first one's. */
export class RouteError extends MillraceError {
  readonly failures: readonly Pick<RouteFailure, "destination" | "code" | "detail">[];
  /** How many queues hold it. */
  readonly matched: number;

  constructor(failures: readonly RouteFailure[], matched: number) {
    const [{ destination, code, detail } = NO_FAILURE] = failures;
    const name = "queue" in destination ? `queue ${destination.queue}` : `exchange ${destination.exchange}`;
    super(code, `${name}: ${detail}`, { facts: { matched, failed: failures.length } });
    this.failures = failures.map((failure) => ({
      destination: failure.destination,
      code: failure.code,
      detail: failure.detail,
    }));
    this.matched = matched;
  }
}

const NO_FAILURE = { destination: { queue: "" }, code: "internal", detail: "" } as const;

const { routingKey: _topic, ...PUBLISH_FIELDS } = PUBLISH_OPTIONS;
const ROUTE_OPTIONS: Known<RouteOptions> = { ...PUBLISH_FIELDS, mandatory: true };

interface RouteEntry extends Entry<Routed> {
  readonly isMandatory: boolean;
}

const SOCKET_BUFFER_BYTES_MAX = 4 * 1024 ** 2;
const SOCKET_BUFFER_POLL_MS = 10;
const RETRY_BACKOFF = { baseMs: 100, maxMs: 5_000, attemptsMax: Infinity };

export class ExchangePublisher implements SessionPart {
  private readonly exchange: string;
  private readonly session: Session;
  private readonly options: PublisherOptions;
  private readonly buffer: PublishBuffer<Routed, RouteEntry>;
  private readonly codec = new TypeScriptBatchCodec();
  private readonly backoff: Backoff;
  private readonly batchesMax: number;
  private inFlight = 0;
  /** Below the option's while a message that spoils its batch is looked for. */
  private messagesMax: number;
  private isPumpDue = false;
  private cancelPause: (() => void) | null = null;
  private cancelSweep: (() => void) | null = null;
  private flushWaiters: (() => void)[] = [];

  constructor(exchange: string, session: Session, options: PublisherOptions) {
    this.exchange = exchange;
    this.session = session;
    this.options = options;
    this.messagesMax = this.batchMessagesMax;
    this.batchesMax = options.batchesInFlightMax ?? 4;
    this.backoff = new Backoff(RETRY_BACKOFF, () => session.clock.random());
    this.buffer = new PublishBuffer({
      messagesMax: options.bufferMessagesMax ?? 10_000,
      bytesMax: options.bufferBytesMax ?? 16 * 1024 ** 2,
      whenFull: options.whenFull ?? "wait",
    });
    session.add(this);
  }

  private get batchMessagesMax(): number {
    return Math.min(this.options.batchMessagesMax ?? 500, LIMITS.recordsMax);
  }
  private get batchBytesMax(): number {
    return Math.min(this.options.batchBytesMax ?? 256 * 1024, LIMITS.batchBytesMax);
  }
  private get timeoutMs(): number {
    return this.options.timeoutMs ?? this.session.timeoutMs;
  }

  publish(topic: string, body: MessageBody, given: RouteOptions): Promise<Routed> {
    return new Promise((resolve, reject) => {
      refuseUnknown(given, ROUTE_OPTIONS);
      const { mandatory = false, ...options } = given;
      this.session.connect();
      const deadlineMs = this.session.clock.now() + this.timeoutMs;
      const done: Entry<Routed>["done"] = (result) => {
        if (result instanceof MillraceError) reject(result);
        else resolve(result);
      };
      const entry = entryOf<Routed>(body, { ...options, routingKey: topic }, deadlineMs, done);
      this.buffer.add({ ...entry, isMandatory: mandatory });
      this.armSweep();
      this.pumpSoon();
    });
  }

  /** Resolves when every message given so far is confirmed or rejected. */
  flush(): Promise<void> {
    if (this.buffer.openCount === 0) return Promise.resolve();
    return new Promise((resolve) => this.flushWaiters.push(resolve));
  }

  // ---- the session's part

  get isAwaited(): boolean {
    return this.buffer.openCount > 0;
  }

  opened(): void {
    this.pump();
  }

  failed(error: MillraceError): void {
    for (const cancel of [this.cancelPause, this.cancelSweep]) cancel?.();
    this.cancelPause = this.cancelSweep = null;
    this.buffer.rejectAll(error);
    this.settle();
  }

  // ---- inside

  /** At the end of the turn, so that what is published in it goes together. */
  private pumpSoon(): void {
    if (this.isPumpDue) return;
    this.isPumpDue = true;
    queueMicrotask(() => {
      this.isPumpDue = false;
      this.pump();
    });
  }

  private pump(): void {
    while (this.session.isOpen && this.cancelPause === null && this.buffer.waitingCount > 0) {
      if (this.inFlight >= this.batchesMax) return;
      if (this.session.bufferedBytes > SOCKET_BUFFER_BYTES_MAX) return this.pause(SOCKET_BUFFER_POLL_MS);
      const entries = this.buffer.take(
        this.messagesMax,
        this.batchBytesMax,
        (entry, first) => entry.isMandatory === first.isMandatory,
      );
      const encoded = this.codec.encode(
        entries.map((entry) => entry.record),
        UNSTAMPED,
        "client",
      );
      if (encoded.ok) this.send(entries, encoded.value);
      else this.weedOut(entries);
    }
  }

  private send(entries: readonly RouteEntry[], batch: Uint8Array): void {
    const mandatory = entries[0]!.isMandatory;
    this.inFlight++;
    this.session.ask({
      frame: (ref) => ({
        type: "publish",
        ref,
        exchange: this.exchange,
        ...(mandatory ? { mandatory } : {}),
      }),
      payload: batch,
      timeoutMs: Math.max(1, entries[0]!.deadlineMs - this.session.clock.now()),
      whenLost: "reject",
      done: (result) => {
        this.inFlight--;
        if (result instanceof MillraceError) this.refused(entries, result);
        else if (result.frame.type === "routed") this.confirmed(entries, result.frame);
        this.settle();
        this.pump();
      },
    });
  }

  private confirmed(entries: readonly RouteEntry[], confirm: RouteConfirm): void {
    this.backoff.reset();
    this.messagesMax = Math.min(this.batchMessagesMax, this.messagesMax * 2);
    entries.forEach((entry, index) => {
      const matched = confirm.matched[index] ?? 0;
      const failures = confirm.failed.filter(({ messages }) => holds(messages, index));
      if (failures.length > 0) this.buffer.reject(entry, new RouteError(failures, matched));
      else if (entry.isMandatory && holds(confirm.returned, index)) {
        const detail = `exchange ${this.exchange}: no binding leads "${entry.record.routingKey}" to a queue`;
        this.buffer.reject(entry, new MillraceError("unroutable", detail));
      } else {
        const delayed = holds(confirm.delayed, index);
        this.buffer.resolve(entry, { matched, delayed, position: confirm.position });
      }
    });
  }

  private refused(entries: readonly RouteEntry[], error: MillraceError): void {
    if (blamesOne(error) && entries.length > 1) {
      this.messagesMax = Math.ceil(entries.length / 2);
      this.buffer.putBack(entries);
    } else if (IN_DOUBT.has(error.code)) {
      const [again, lost] = [[] as RouteEntry[], [] as RouteEntry[]];
      for (const entry of entries) (entry.record.dedupId === undefined ? lost : again).push(entry);
      this.buffer.putBack(again);
      const { facts } = error;
      const unknown = new MillraceError(error.code, "sent, and not confirmed", {
        facts: { ...facts, outcome: "unknown" },
        cause: error,
      });
      for (const entry of lost) this.buffer.reject(entry, unknown);
    } else if (error.retry && error.code !== "timeout") {
      this.buffer.putBack(entries);
      const hinted = error.facts["retryAfterMs"];
      this.pause(typeof hinted === "number" ? hinted : (this.backoff.next() ?? 0));
    } else for (const entry of entries) this.buffer.reject(entry, error);
  }

  /** One message against the format would cost its whole batch: each is tried alone, and only the bad are rejected. */
  private weedOut(entries: readonly RouteEntry[]): void {
    const good: RouteEntry[] = [];
    for (const entry of entries) {
      const alone = this.codec.encode([entry.record], UNSTAMPED, "client");
      if (alone.ok) good.push(entry);
      else this.buffer.reject(entry, errorOfRefusal(alone));
    }
    if (good.length === entries.length) this.messagesMax = Math.ceil(entries.length / 2);
    this.buffer.putBack(good);
    this.settle();
  }

  private pause(ms: number): void {
    this.cancelPause?.();
    this.cancelPause = this.session.clock.after(ms, () => {
      this.cancelPause = null;
      this.pump();
    });
  }

  private armSweep(): void {
    const deadlineMs = this.buffer.deadlineMs();
    if (this.cancelSweep !== null || deadlineMs === null) return;
    this.cancelSweep = this.session.clock.after(Math.max(0, deadlineMs - this.session.clock.now()), () => {
      this.cancelSweep = null;
      const detail = `not published within ${this.timeoutMs} ms`;
      const facts = { outcome: "not_published" };
      this.buffer.expire(this.session.clock.now(), new MillraceError("timeout", detail, { facts }));
      this.settle();
      this.armSweep();
    });
  }

  /** After messages left the buffer: lets in those that waited for room, and tells who waits for the last one. */
  private settle(): void {
    if (this.buffer.admit()) this.pumpSoon();
    if (this.buffer.openCount > 0 || this.flushWaiters.length === 0) return;
    const waiters = this.flushWaiters;
    this.flushWaiters = [];
    for (const resolve of waiters) resolve();
  }
}

/** After these a batch may have been published or not. */
const IN_DOUBT = new Set<string>(["disconnected", "internal", "unavailable"]);

function holds(runs: readonly SequenceRun[], index: number): boolean {
  return runs.some(([first, count]) => first <= index && index < first + count);
}
