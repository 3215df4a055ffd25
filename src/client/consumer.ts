/** Takes messages from one queue over one socket, hands them to a handler, and settles them by its outcome. */
import type { ServerFrame, ClientFrame, CancelReason } from "../protocol/frames.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { Clock } from "./clock.ts";
import { leaseMsOf, messagesOfDelivery } from "./delivery.ts";
import { asError, errorOfRefusal, isMillraceError, MillraceError } from "./errors.ts";
import { Fifo } from "./fifo.ts";
import { DRAIN_OPTIONS, refuseUnknown, unknownOption } from "./known-options.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import {
  ACK,
  CONSUME_OPTIONS,
  isPromiseLike,
  outcomeOf,
  type ConsumeOptions,
  type Handler,
} from "./handler.ts";
import { DeadLetter, Retry, type Message, type Outcome, type Settler } from "./message.ts";
import { Settlements } from "./settlements.ts";
import type { BrokerSocket, ConnectionState, SocketOwner } from "./socket.ts";

/** What a consumer needs of its client. */
export interface ConsumerPorts {
  readonly clock: Clock;
  readonly heartbeatMs: number;
  readonly drainTimeoutMs: number;
  readonly connect: (owner: SocketOwner) => BrokerSocket;
  readonly fetchBody: (reference: string) => Promise<Uint8Array>;
  readonly stateChanged: SocketOwner["stateChanged"];
  readonly ended: (consumer: Consumer) => void;
}

export class Consumer implements SocketOwner, Settler {
  /** Resolves when the broker has taken it for the first time. */
  readonly ready: Promise<void>;
  /** Resolves when the consumer has ended as asked, and rejects with what else ended it. */
  readonly closed: Promise<void>;
  private readonly handler: Handler;
  private readonly options: ConsumeOptions;
  private readonly ports: ConsumerPorts;
  private readonly socket: BrokerSocket;
  private readonly leases: LeaseKeeper;
  private readonly settlements: Settlements;
  private readonly credit: number;
  private readonly concurrency: number;
  private readonly pending = new Fifo<Message>();
  private runningCount = 0;
  /** Messages whose handlers run and may still take long: those that only wait for their settlement are not here. */
  private readonly working = new Set<Message>();
  private isConsuming = false;
  private wasConsuming = false;
  private isDraining = false;
  private isEnded = false;
  private isProceedDue = false;
  private cancelLinger: (() => void) | null = null;
  private cancelDrainTimer: () => void = () => undefined;
  private readonly becameReady = Promise.withResolvers<void>();
  private readonly hasEnded = Promise.withResolvers<void>();

  /** @internal Made by `queue.consume`. */
  constructor(handler: Handler, options: ConsumeOptions, ports: ConsumerPorts) {
    refuseUnknown(options, CONSUME_OPTIONS);
    this.handler = handler;
    this.options = options;
    this.ports = ports;
    this.credit = Math.min(options.credit ?? LIMITS.creditDefault, LIMITS.creditMax);
    this.concurrency = options.concurrency ?? this.credit;
    this.ready = this.becameReady.promise;
    this.closed = this.hasEnded.promise;
    // Whoever does not look at them is told by `onError`.
    this.ready.catch(() => undefined);
    this.closed.catch(() => undefined);
    const isRenewing = options.autoExtend !== false;
    this.leases = new LeaseKeeper(ports.clock, isRenewing ? (lease) => this.renew(lease) : null);
    this.settlements = new Settlements({
      send: (ref, settlements) => this.send({ type: "settle", ref, settlements }),
      refused: (lease, run, error) => {
        this.leases.lost(lease, run, error);
        this.report(error);
      },
    });
    this.socket = ports.connect(this);
    this.socket.connect();
  }

  /**
   * No new deliveries; waits for the handlers, settles, and ends. After `timeoutMs` (default: the client's) it ends
   * with `timeout`, and what is unsettled goes back to the queue.
   */
  drain(options: { timeoutMs?: number } = {}): Promise<void> {
    const unknown = unknownOption(options, DRAIN_OPTIONS);
    if (unknown !== null) return Promise.reject(unknown);
    if (!this.isDraining && !this.isEnded) {
      this.isDraining = true;
      if (this.isConsuming && this.socket.isOpen) this.send({ type: "drain" });
      this.cancelDrainTimer = this.ports.clock.after(options.timeoutMs ?? this.ports.drainTimeoutMs, () =>
        this.stop(new MillraceError("timeout", "handlers did not end in time")),
      );
      this.proceed();
    }
    return this.closed;
  }

  /** Ends at once. Settled messages are told to the broker; the others go back, not counted as failed. */
  cancel(): Promise<void> {
    this.stop(null);
    return this.closed;
  }

  /** @internal */
  stop(error: MillraceError | null): void {
    if (this.isEnded) return;
    if (this.socket.isOpen) {
      this.settlements.flush();
      this.send({ type: "cancel" });
    }
    this.end(error);
  }

  // ---- the messages' settler

  settle(message: Message, outcome: Outcome): Promise<void> {
    if (this.isEnded) return Promise.reject(new MillraceError("closed", "the consumer has ended"));
    return new Promise((resolve, reject) => {
      this.settlements.add(message, outcome, (error) => (error === null ? resolve() : reject(error)));
      if (outcome.verdict !== "extend") {
        this.leases.settled(message);
        this.working.delete(message);
      }
      this.proceedSoon();
    });
  }

  // ---- the socket's owner

  /** Its application waits for messages. */
  readonly isAwaited = true;

  opened(): void {
    // Settlements first: the broker must know what is done before it gives the rest to anyone, us included.
    this.settlements.resend();
    this.settlements.flush();
    if (this.isDraining) {
      this.proceed();
      return;
    }
    const { name, leaseMs, priority, exclusive } = this.options;
    this.isConsuming = true;
    this.send({
      type: "consume",
      format: "binary",
      credit: this.credit,
      heartbeatMs: Math.min(Math.max(this.ports.heartbeatMs, 1_000), 600_000),
      ...(name === undefined ? {} : { consumer: name }),
      ...(leaseMs === undefined ? {} : { leaseMs }),
      ...(priority === undefined ? {} : { priority }),
      ...(exclusive === undefined ? {} : { exclusive }),
    });
  }

  received(frame: ServerFrame, payload: Uint8Array): void {
    if (frame.type === "deliver") {
      const messages = messagesOfDelivery(frame, payload, this);
      this.leases.add(frame.lease, frame.untilMs, this.options.leaseMs ?? leaseMsOf(frame), messages);
      for (const message of messages) this.pending.push(message);
      this.proceed();
    } else if (frame.type === "settled" && frame.ref !== null) {
      this.settlements.answered(frame.ref, frame.results);
      this.proceed();
    } else if (frame.type === "consuming") {
      this.wasConsuming = true;
      this.becameReady.resolve();
    } else if (frame.type === "drained") {
      this.isConsuming = false;
      this.proceed();
    } else if (frame.type === "cancelled") this.cancelled(frame.reason);
    else if (frame.type === "error") this.refused(frame.ref, errorOfRefusal(frame));
  }

  lost(error: MillraceError): void {
    this.isConsuming = false;
    // The broker gives all of it to others, so what has not begun must not begin, and what runs is told.
    this.pending.takeAll();
    this.leases.abandonAll(error);
    this.proceed();
  }

  failed(error: MillraceError): void {
    this.end(error);
  }

  stateChanged(state: ConnectionState, error?: MillraceError, retryInMs?: number): void {
    this.ports.stateChanged(state, error, retryInMs);
  }

  // ---- inside

  private send(frame: ClientFrame): void {
    this.socket.send(JSON.stringify(frame));
  }

  private refused(ref: number | null, error: MillraceError): void {
    if (ref !== null && this.settlements.failed(ref, error)) {
      this.report(error);
      this.proceed();
    } else if (error.code === "not_consuming" && this.isDraining) {
      // The broker ended the consumer just before we asked for it.
      this.isConsuming = false;
      this.proceed();
    } else if (error.code === "consumer_exclusive" && !this.wasConsuming) this.end(error);
    // After a lost connection, the one that holds the queue may be our own ghost: it goes in time. And a token that
    // ran out may be replaced; if it is not, the next handshake says so for good.
    else if (error.retry || error.code === "unauthenticated") this.socket.restart(error);
    else this.end(error);
  }

  private cancelled(reason: CancelReason): void {
    if (reason === "heartbeat_lost" || reason === "token_expired") {
      this.socket.restart(new MillraceError("disconnected", `the broker ended the consumer: ${reason}`));
      return;
    }
    this.options.onCancel?.(reason);
    this.end(
      reason === "queue_deleted" ? new MillraceError("queue_not_found", "the queue was deleted") : null,
    );
  }

  private renew(lease: number): void {
    if (!this.socket.isOpen) return;
    this.settlements.extendLease(lease, this.options.leaseMs);
    this.settlements.flush();
  }

  /** For calls out of a handler: running the next one inside it would nest without bound. */
  private proceedSoon(): void {
    if (this.isProceedDue) return;
    this.isProceedDue = true;
    queueMicrotask(() => {
      this.isProceedDue = false;
      this.proceed();
    });
  }

  /** Does whatever may be done now: starts handlers, sends settlements, ends a drain. */
  private proceed(): void {
    if (this.isEnded) return;
    while (this.runningCount < this.concurrency) {
      const message = this.pending.shift();
      if (message === undefined) break;
      // Its lease may have been lost while it waited.
      if (message.isOpen) this.handle(message);
    }
    const isIdle = this.runningCount === 0 && this.pending.size === 0;
    this.flush(this.working.size === 0);
    if (this.isDraining && isIdle && !this.isConsuming && this.settlements.isEmpty && this.leases.isEmpty) {
      this.end(null);
    }
  }

  /**
   * Settlements go out when nothing else is being worked on (then nothing more would come to join them), when half the credit is done (so that the broker sends
   * more before we run dry), or when they have waited their linger.
   */
  private flush(isNow: boolean): void {
    if (this.settlements.gathered === 0 || !this.socket.isOpen) return;
    if (isNow || this.settlements.gathered * 2 >= this.credit) {
      this.cancelLinger?.();
      this.cancelLinger = null;
      this.settlements.flush();
    } else {
      this.cancelLinger ??= this.ports.clock.after(this.options.settleLingerMs ?? 5, () => {
        this.cancelLinger = null;
        this.flush(true);
      });
    }
  }

  private handle(message: Message): void {
    this.runningCount++;
    this.working.add(message);
    let result: unknown;
    try {
      result = message.bodyReference === null ? this.handler(message, message) : this.fetchAndHandle(message);
    } catch (error) {
      this.finish(message, outcomeOf(error), error);
      return;
    }
    if (!isPromiseLike(result)) {
      this.finish(message, ACK);
      return;
    }
    result.then(
      () => {
        this.finish(message, ACK);
        this.proceed();
      },
      (error: unknown) => {
        this.finish(message, outcomeOf(error), error);
        this.proceed();
      },
    );
  }

  private async fetchAndHandle(message: Message): Promise<void> {
    let body: Uint8Array;
    try {
      body = await this.ports.fetchBody(message.bodyReference!);
    } catch (error) {
      // The store being away is not the message's fault; a body that is gone is.
      if (!isMillraceError(error) || !error.retry) throw error;
      this.report(error, message);
      throw new Retry({ reason: error.message });
    }
    message.setBody(body);
    await this.handler(message, message);
  }

  private finish(message: Message, outcome: Outcome, error?: unknown): void {
    this.runningCount--;
    this.working.delete(message);
    const isThrown = outcome !== ACK;
    if (isThrown && !(error instanceof Retry) && !(error instanceof DeadLetter))
      this.report(asError(error), message);
    if (this.isEnded || (!isThrown && this.options.ack === "manual")) return;
    if (!message.markSettled(outcome.verdict)) return;
    this.settlements.add(message, outcome);
    this.leases.settled(message);
  }

  private report(error: Error, message?: Message): void {
    this.options.onError?.(error, message);
  }

  private end(error: MillraceError | null): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.cancelDrainTimer();
    this.cancelLinger?.();
    const reason = error ?? new MillraceError("closed", "the consumer has ended");
    this.pending.takeAll();
    this.leases.abandonAll(reason);
    this.settlements.close(reason);
    this.socket.close();
    this.ports.ended(this);
    this.becameReady.reject(reason);
    if (error === null) this.hasEnded.resolve();
    else {
      this.report(error);
      this.hasEnded.reject(error);
    }
  }
}
