/**
 * Publishes to one queue: gathers messages into batches, keeps a few batches in flight over one socket, and makes
 * sure that none is lost or accepted twice. Who may wait here, and how long, is PublishBuffer's; what is on the
 * wire is Pipeline's; this file joins them to the socket and the clock.
 */
import { encodeBinaryFrame, type ServerFrame } from "../protocol/frames.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { Clock } from "./clock.ts";
import { Backoff } from "./backoff.ts";
import { errorOfRefusal, MillraceError } from "./errors.ts";
import { refuseUnknown } from "./known-options.ts";
import {
  OUTGOING_MESSAGE,
  PUBLISH_OPTIONS,
  type MessageBody,
  type OutgoingMessage,
  type Published,
  type PublishOptions,
} from "./outgoing.ts";
import { blamesOne, Pipeline, type Batch } from "./pipeline.ts";
import { entryOf, PublishBuffer, type Entry } from "./publish-buffer.ts";
import type { PublisherOptions } from "./publisher-options.ts";
import type { BrokerSocket, ConnectionState, SocketOwner } from "./socket.ts";

/** Bytes that the platform may hold unsent before we stop handing it more. */
const SOCKET_BUFFER_BYTES_MAX = 4 * 1024 ** 2;
const SOCKET_BUFFER_POLL_MS = 10;
const RETRY_BACKOFF = { baseMs: 100, maxMs: 5_000, attemptsMax: Infinity };

export class Publisher implements SocketOwner {
  private readonly clock: Clock;
  private readonly socket: BrokerSocket;
  private readonly buffer: PublishBuffer;
  private readonly pipeline: Pipeline;
  private readonly backoff: Backoff;
  private readonly lingerMs: number;
  private readonly timeoutMs: number;
  private readonly report: SocketOwner["stateChanged"];
  /** Some message has waited its linger: send what is there as soon as the pipeline takes it. */
  private isDue = false;
  private cancelLinger: (() => void) | null = null;
  private cancelSweep: (() => void) | null = null;
  /** Set while we wait after a refusal, or for the platform's send buffer to drain. */
  private cancelPause: (() => void) | null = null;
  private lastError: MillraceError | null = null;
  private closedBy: MillraceError | null = null;
  private flushWaiters: (() => void)[] = [];

  constructor(
    options: PublisherOptions & { timeoutMs: number },
    clock: Clock,
    connect: (owner: SocketOwner) => BrokerSocket,
    report: SocketOwner["stateChanged"],
  ) {
    this.clock = clock;
    this.report = report;
    this.timeoutMs = options.timeoutMs;
    this.lingerMs = options.lingerMs ?? 5;
    this.buffer = new PublishBuffer({
      messagesMax: options.bufferMessagesMax ?? 10_000,
      bytesMax: options.bufferBytesMax ?? 16 * 1024 ** 2,
      whenFull: options.whenFull ?? "wait",
    });
    this.pipeline = new Pipeline(clock, {
      messagesMax: Math.min(options.batchMessagesMax ?? 500, LIMITS.recordsMax),
      bytesMax: Math.min(options.batchBytesMax ?? 256 * 1024, LIMITS.batchBytesMax),
      batchesMax: Math.min(options.batchesInFlightMax ?? 8, 8),
    });
    this.backoff = new Backoff(RETRY_BACKOFF, () => clock.random());
    this.socket = connect(this);
  }

  publish(body: MessageBody, options: PublishOptions): Promise<Published> {
    return new Promise((resolve, reject) => {
      refuseUnknown(options, PUBLISH_OPTIONS);
      this.offer(
        entryOf(body, options, this.deadlineMs(), (result) => {
          if (result instanceof MillraceError) reject(result);
          else resolve(result);
        }),
      );
    });
  }

  /** Null when there is no room now; nothing was taken then. */
  tryPublish(body: MessageBody, options: PublishOptions): Promise<Published> | null {
    return this.buffer.hasRoom ? this.publish(body, options) : null;
  }

  /** One result for each message, in their order: what was published, or why it was not. Never rejects. */
  publishMany(messages: readonly OutgoingMessage[]): Promise<(Published | MillraceError)[]> {
    return new Promise((resolve, reject) => {
      const results: (Published | MillraceError)[] = [];
      let openCount = messages.length;
      if (openCount === 0) resolve(results);
      const deadlineMs = this.deadlineMs();
      // All are read before the first is taken: a malformed one rejects the call, and nothing was published.
      let entries: Entry[];
      try {
        entries = messages.map((message, index) => {
          refuseUnknown(message, OUTGOING_MESSAGE);
          return entryOf(message.body, message, deadlineMs, (result) => {
            results[index] = result;
            if (--openCount === 0) resolve(results);
          });
        });
      } catch (error) {
        reject(error);
        return;
      }
      for (const entry of entries) this.offer(entry);
    });
  }

  /** Resolves when the buffer has room. */
  whenRoom(): Promise<void> {
    return this.buffer.whenRoom();
  }

  /** Resolves when every message given so far is confirmed or rejected. Does not wait for the linger. */
  flush(): Promise<void> {
    if (this.buffer.openCount === 0) return Promise.resolve();
    this.isDue = true;
    this.pump();
    return new Promise((resolve) => this.flushWaiters.push(resolve));
  }

  /** Rejects what is not confirmed. */
  close(error: MillraceError): void {
    this.closedBy ??= error;
    this.socket.close();
    this.giveUp(error);
  }

  // ---- the socket's owner

  get isAwaited(): boolean {
    return this.buffer.openCount > 0;
  }

  opened(): void {
    this.pump();
  }

  received(frame: ServerFrame): void {
    if (frame.type === "confirm" && frame.ref !== null) {
      this.pipeline.confirm(frame.ref, frame, this.buffer);
      this.lastError = null;
      this.backoff.reset();
    } else if (frame.type === "error") {
      const error = errorOfRefusal(frame);
      this.lastError = error;
      if (frame.ref === null) return;
      // Whether these two stored anything is open; they cost the connection, and the same batch is sent again.
      if (error.code === "internal" || error.code === "unavailable") this.socket.restart(error);
      else this.pipeline.refuse(frame.ref, error);
    } else return;
    this.judge();
    this.settle();
    this.pump();
  }

  lost(error: MillraceError): void {
    this.lastError = error;
    this.pipeline.connectionLost();
  }

  failed(error: MillraceError): void {
    this.giveUp(error);
  }

  stateChanged(state: ConnectionState, error?: MillraceError, retryInMs?: number): void {
    this.report(state, error, retryInMs);
  }

  // ---- inside

  private deadlineMs(): number {
    return this.clock.now() + this.timeoutMs;
  }

  private offer(entry: Entry): void {
    if (this.closedBy !== null) entry.done(this.closedBy);
    else if (this.buffer.add(entry)) this.gather();
    else this.armSweep();
  }

  private gather(): void {
    this.armSweep();
    this.socket.connect();
    if (this.pipeline.isFull(this.buffer.waitingCount, this.buffer.waitingBytes)) this.pump();
    else if (this.cancelLinger === null && !this.isDue) {
      const run = (): void => {
        this.cancelLinger = null;
        this.isDue = true;
        this.pump();
      };
      // With nothing in flight there is nothing to gather for: what comes meanwhile has company while this is under way.
      if (this.lingerMs > 0 && !this.pipeline.isIdle)
        this.cancelLinger = this.clock.after(this.lingerMs, run);
      else {
        this.cancelLinger = () => undefined;
        queueMicrotask(run);
      }
    }
  }

  /** Sends all that may be sent now: first what has to be repeated, then new batches. */
  private pump(): void {
    if (!this.socket.isOpen || this.cancelPause !== null) return;
    for (;;) {
      if (this.socket.bufferedBytes > SOCKET_BUFFER_BYTES_MAX) {
        this.pause(SOCKET_BUFFER_POLL_MS);
        return;
      }
      const batch = this.pipeline.next(this.buffer, this.isDue || this.pipeline.isIdle);
      if (batch === null) break;
      this.send(batch);
      if (!this.socket.isOpen) return;
    }
    if (this.buffer.waitingCount === 0) this.isDue = false;
    this.settle();
  }

  private send(batch: Batch): void {
    const ref = this.pipeline.sent(batch);
    const { producer } = this.pipeline;
    this.socket.send(
      encodeBinaryFrame({ type: "publish", ref, producer, sequence: batch.sequence }, batch.bytes),
    );
  }

  /** Acts on the refusal of the oldest batch, if it has one. Pipeline says what a refusal means for the others. */
  private judge(): void {
    const refused = this.pipeline.takeRefused(this.buffer);
    if (refused === null) return;
    const { error, batch } = refused;
    if (error.retry) {
      const hinted = error.facts["retryAfterMs"];
      this.pause(typeof hinted === "number" ? hinted : (this.backoff.next() ?? 0));
    } else if (blamesOne(error) && batch.entries.length > 1) {
      this.pipeline.narrow(batch.entries.length);
    } else {
      for (const entry of batch.entries) this.buffer.reject(entry, error);
    }
    this.isDue = true;
    this.sweep();
  }

  private pause(ms: number): void {
    this.cancelPause?.();
    this.cancelPause = this.clock.after(ms, () => {
      this.cancelPause = null;
      this.pump();
    });
  }

  private armSweep(): void {
    if (this.cancelSweep !== null) return;
    const deadlineMs = this.earliestMs();
    if (deadlineMs === null) return;
    this.cancelSweep = this.clock.after(Math.max(0, deadlineMs - this.clock.now()), () => {
      this.cancelSweep = null;
      this.sweep();
    });
  }

  private earliestMs(): number | null {
    const inFlight = this.pipeline.deadlineMs();
    const waiting = this.buffer.deadlineMs();
    if (inFlight === null || waiting === null) return inFlight ?? waiting;
    return Math.min(inFlight, waiting);
  }

  /** Rejects the messages whose time is over. Those on the wire stay in the pipeline: see Pipeline. */
  private sweep(): void {
    const nowMs = this.clock.now();
    const why = this.lastError === null ? "" : ` (last: ${this.lastError.message})`;
    const more = this.lastError === null ? {} : { cause: this.lastError };
    const inTime = `within ${this.timeoutMs} ms${why}`;
    this.buffer.expire(
      nowMs,
      new MillraceError("timeout", `not published ${inTime}`, {
        ...more,
        facts: { outcome: "not_published" },
      }),
    );
    const isSilent = this.pipeline.expire(
      nowMs,
      new MillraceError("timeout", `not confirmed ${inTime}`, { ...more, facts: { outcome: "unknown" } }),
      this.buffer,
    );
    if (isSilent) this.socket.restart(new MillraceError("timeout", "the broker did not confirm in time"));
    this.settle();
    this.armSweep();
  }

  private giveUp(error: MillraceError): void {
    for (const cancel of [this.cancelLinger, this.cancelSweep, this.cancelPause]) cancel?.();
    this.cancelLinger = this.cancelSweep = this.cancelPause = null;
    this.isDue = false;
    this.pipeline.rejectAll(error, this.buffer);
    this.buffer.rejectAll(error);
    this.settle();
  }

  /** After messages left the buffer: lets in those that waited for room, and tells who waits for the last one. */
  private settle(): void {
    if (this.buffer.admit()) this.gather();
    if (this.buffer.openCount > 0 || this.flushWaiters.length === 0) return;
    const waiters = this.flushWaiters;
    this.flushWaiters = [];
    for (const resolve of waiters) resolve();
  }
}
