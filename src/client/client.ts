/// <reference lib="esnext.disposable" preserve="true" />
/** The client: what all its queues and exchanges share. `connect` makes it; nothing is sent before one is used. */
import { parseName } from "../protocol/names.ts";
import { BACKOFF_OPTIONS, type BackoffOptions } from "./backoff.ts";
import { systemClock, type Clock } from "./clock.ts";
import { Consumer } from "./consumer.ts";
import { errorOfRefusal, isMillraceError, MillraceError } from "./errors.ts";
import type { ConsumeOptions, Handler } from "./handler.ts";
import { Http, resolveToken, type FetchFunction, type TokenSource } from "./http.ts";
import { DRAIN_OPTIONS, refuseUnknown, type Known } from "./known-options.ts";
import { Publisher } from "./publisher.ts";
import { PUBLISHER_OPTIONS, type PublisherOptions } from "./publisher-options.ts";
import type { MessageBody } from "./outgoing.ts";
import { Queue } from "./queue.ts";
import { Reach } from "./reach.ts";
import { RequestContext } from "./request-context.ts";
import { call, type CallOptions, type Reply } from "./calls.ts";
import type { Exchange } from "./exchange.ts";
import type { EventStream } from "./event-stream.ts";
import { Service, type RequestHandler, type ServeOptions } from "./service.ts";
import { SessionSide } from "./session-side.ts";
import type { EventHandler, SubscribeOptions } from "./subscription-options.ts";
import type { Subscription } from "./subscription.ts";
import {
  BrokerSocket,
  type ConnectionState,
  type Frame,
  type SocketOwner,
  type WebSocketConstructor,
} from "./socket.ts";

export interface ConnectionChange {
  /** Absent for the session, which all exchanges and calls share. */
  readonly queue?: string;
  readonly role: "publisher" | "consumer" | "session";
  /** `waiting`: lost, and tried again in `retryInMs`. `closed`: asked to, or given up for `error`. */
  readonly state: ConnectionState;
  readonly error?: MillraceError;
  readonly retryInMs?: number;
}

export interface ConnectOptions {
  /** Where the broker is, such as `https://broker.example.com`. */
  readonly url: string;
  /** A token, or what gets one: it is asked for every connection and request, so a short-lived one may be renewed. */
  readonly token?: TokenSource | undefined;
  /** For connecting, for an HTTP request, for a confirm, and for a drain. Default 30,000. */
  readonly timeoutMs?: number;
  /** A `ping` over each socket this often; a silent one is lost after twice that. Default 25,000. */
  readonly heartbeatMs?: number;
  /**
   * Default: 250 ms, doubled up to 30 s, with full jitter, for ever. At most 5 s while a publish, a request, a consumer or a
   * subscription waits, and at once when another socket of the client has connected, or the browser says `online`.
   */
  readonly reconnect?: Partial<BackoffOptions>;
  /** How messages are gathered, held and sent. */
  readonly publisher?: PublisherOptions;
  readonly onConnectionChange?: (change: ConnectionChange) => void;
  /** Default: the platform's. */
  readonly fetch?: FetchFunction;
  readonly WebSocket?: WebSocketConstructor;
  readonly clock?: Clock;
}

const CONNECT_OPTIONS: Known<ConnectOptions> = {
  url: true,
  token: true,
  timeoutMs: true,
  heartbeatMs: true,
  reconnect: true,
  publisher: true,
  onConnectionChange: true,
  fetch: true,
  WebSocket: true,
  clock: true,
};

/** Throws `bad_request` when the url is none, or the platform has no WebSocket and none is given. */
export function connect(options: ConnectOptions): Client {
  return new Client(options);
}

export class Client {
  private readonly options: ConnectOptions;
  private readonly clock: Clock;
  private readonly timeoutMs: number;
  private readonly baseUrl: string;
  private readonly http: Http;
  private readonly reach = new Reach();
  private readonly context = new RequestContext();
  private readonly publishers = new Map<string, Publisher>();
  private readonly consumers = new Set<Consumer>();
  private readonly services = new Set<Service>();
  private readonly sessionSide: SessionSide;
  private isClosed = false;

  /** @internal Use `connect`. */
  constructor(options: ConnectOptions) {
    refuseUnknown(options, CONNECT_OPTIONS);
    refuseUnknown(options.reconnect ?? {}, BACKOFF_OPTIONS, "reconnect.");
    refuseUnknown(options.publisher ?? {}, PUBLISHER_OPTIONS, "publisher.");
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.timeoutMs = options.timeoutMs ?? 30_000;
    if (!URL.canParse(options.url) || !/^https?:/.test(options.url)) {
      throw new MillraceError("bad_request", `url: "${options.url}" is not an http or https address`);
    }
    this.baseUrl = options.url.replace(/\/+$/, "");
    const fetchFunction: FetchFunction = options.fetch ?? ((url, init) => fetch(url, init));
    this.http = new Http({
      baseUrl: this.baseUrl,
      token: options.token,
      timeoutMs: this.timeoutMs,
      fetch: fetchFunction,
      clock: this.clock,
      reached: () => this.reach.reached(),
    });
    this.sessionSide = new SessionSide({
      http: this.http,
      context: this.context,
      publisher: { timeoutMs: this.timeoutMs, ...options.publisher },
      clock: this.clock,
      timeoutMs: this.timeoutMs,
      connect: (owner, resume) => {
        const url = `${this.baseUrl.replace(/^http/, "ws")}${SESSION_PATH}`;
        return this.socket(url, owner, [SESSION_PATH], resume);
      },
      stateChanged: this.reporter({ role: "session" }),
    });
  }

  /** Throws `bad_name`. */
  queue(name: string): Queue {
    return new Queue(nameOf("queue", name), {
      http: this.http,
      publisher: () => this.publisher(name),
      consume: (handler, options) => this.consume(name, handler, options),
    });
  }

  /** A page of the namespace's queues, by name. */
  queues(
    options: { prefix?: string; limit?: number; after?: string } = {},
  ): Promise<{ queues: string[]; after?: string }> {
    return this.http.json("GET", "/v1/queues", { query: { ...options }, repeatable: true });
  }

  /** Throws `bad_name`. */
  exchange(name: string): Exchange {
    return this.sessionSide.exchange(name);
  }

  /** A page of the namespace's exchanges, by name. */
  exchanges(
    options: { prefix?: string; limit?: number; after?: string } = {},
  ): Promise<{ exchanges: string[]; after?: string }> {
    return this.http.json("GET", "/v1/exchanges", { query: { ...options }, repeatable: true });
  }

  /** The same as `client.exchange(options.exchange).subscribe(…)`. */
  subscribe(pattern: string, handler: EventHandler, options: ExchangeSubscribeOptions): Subscription;
  subscribe(pattern: string, options: ExchangeSubscribeOptions): EventStream;
  subscribe(
    pattern: string,
    first: EventHandler | ExchangeSubscribeOptions,
    second?: ExchangeSubscribeOptions,
  ): Subscription | EventStream {
    const { exchange: name = "", ...options } = (typeof first === "function" ? second : first) ?? {};
    const exchange = this.exchange(name);
    return typeof first === "function"
      ? exchange.subscribe(pattern, first, options)
      : exchange.subscribe(pattern, options);
  }

  /**
   * Asks whoever consumes the queue, and resolves with the reply. Rejects with `no_responders` at once when nobody does,
   * `responder_failed` with the responder's words, `timeout` (`facts.outcome` says whether it may have been carried out),
   * `disconnected` when the way back for the reply was lost, `queue_full`, `forbidden` …
   *
   * A connection that breaks meanwhile is no matter: the reply waits for the client up to a minute. For answers that
   * must not be lost with this process, publish to the queue with `replyTo` naming a queue of yours, and consume that.
   */
  async call(queue: string, body: MessageBody, options: CallOptions = {}): Promise<Reply> {
    return call(this.sessionSide.session, nameOf("queue", queue), body, options);
  }

  /**
   * Answers the requests of a queue: of `call`, and of messages published with `replyTo`. See RequestHandler for what its
   * outcome means, and ServeOptions. A request whose time is over is skipped, one without `replyTo` is not answered.
   */
  serve(queue: string, handler: RequestHandler, options: ServeOptions = {}): Service {
    if (this.isClosed) throw new MillraceError("closed", "the client is closed");
    const requests = this.queue(queue);
    const service = new Service(handler, options, {
      clock: this.clock,
      session: this.sessionSide.session,
      declare: (config) => requests.declare(config),
      consume: (consumer, consumeOptions) => requests.consume(consumer, consumeOptions),
    });
    this.services.add(service);
    const forget = (): void => void this.services.delete(service);
    service.closed.then(forget, forget);
    return service;
  }

  /**
   * The end of a graceful shutdown: consumers, services and subscriptions take no more and finish what they have, what
   * handlers published is confirmed, calls are answered, then all is closed. Consumers first, because their handlers
   * publish. Rejects when one of them did not end well, after `timeoutMs` (default: the client's) at the latest;
   * everything is closed then, too.
   */
  async drain(options: { timeoutMs?: number } = {}): Promise<void> {
    refuseUnknown(options, DRAIN_OPTIONS);
    const ending = [...this.services, ...this.consumers].map((one) => one.drain(options));
    const drained = await Promise.allSettled([...ending, this.sessionSide.drain(options)]);
    await Promise.all([...this.publishers.values()].map((publisher) => publisher.flush()));
    await this.sessionSide.flush(options.timeoutMs ?? this.timeoutMs);
    this.close();
    const failed = drained.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  /** Closes at once: messages that are not confirmed reject with `closed`, deliveries go back to their queues. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const error = new MillraceError("closed", "the client was closed");
    for (const consumer of this.consumers) consumer.stop(null);
    for (const service of this.services) service.stop().catch(() => undefined);
    for (const publisher of this.publishers.values()) publisher.close(error);
    this.sessionSide.close(error);
    this.http.close();
  }

  /** `await using client = connect(…)` drains at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  private publisher(queue: string): Publisher {
    this.context.check();
    let publisher = this.publishers.get(queue);
    if (publisher === undefined) {
      if (this.isClosed) throw new MillraceError("closed", "the client is closed");
      const options = { ...this.options.publisher };
      publisher = new Publisher(
        { ...options, timeoutMs: options.timeoutMs ?? this.timeoutMs },
        this.clock,
        (owner) => this.queueSocket(queue, owner),
        this.reporter({ queue, role: "publisher" }),
      );
      this.publishers.set(queue, publisher);
    }
    return publisher;
  }

  private consume(queue: string, handler: Handler, options: ConsumeOptions): Consumer {
    this.context.check();
    if (this.isClosed) throw new MillraceError("closed", "the client is closed");
    const path = `/v1/queues/${encodeURIComponent(queue)}/bodies`;
    const consumer = new Consumer(handler, options, {
      clock: this.clock,
      heartbeatMs: this.heartbeatMs,
      drainTimeoutMs: this.timeoutMs,
      connect: (owner) => this.queueSocket(queue, owner),
      fetchBody: (reference) =>
        this.http.bytes("GET", `${path}/${encodeURIComponent(reference)}`, { repeatable: true }),
      stateChanged: this.reporter({ queue, role: "consumer" }),
      ended: (ended) => this.consumers.delete(ended),
    });
    this.consumers.add(consumer);
    return consumer;
  }

  private get heartbeatMs(): number {
    return this.options.heartbeatMs ?? 25_000;
  }

  private queueSocket(queue: string, owner: SocketOwner): BrokerSocket {
    const path = `/v1/queues/${encodeURIComponent(queue)}`;
    const url = `${this.baseUrl.replace(/^http/, "ws")}${path}/socket`;
    return this.socket(url, owner, [`${path}/socket`, path]);
  }

  /** @param paths what `explain` asks when the handshake fails */
  private socket<F extends Frame>(
    url: string,
    owner: SocketOwner<F>,
    paths: readonly string[],
    resume: () => string | null = () => null,
  ): BrokerSocket<F> {
    const WebSocket =
      this.options.WebSocket ?? (globalThis as unknown as { WebSocket?: WebSocketConstructor }).WebSocket;
    if (WebSocket === undefined) throw new MillraceError("bad_request", "this platform has no WebSocket");
    const { baseMs = 250, maxMs = 30_000, attemptsMax = Infinity } = this.options.reconnect ?? {};
    return new BrokerSocket(
      {
        url,
        resume,
        WebSocket,
        token: () => resolveToken(this.options.token),
        explain: () => this.explain(paths),
        clock: this.clock,
        connectTimeoutMs: this.timeoutMs,
        heartbeatMs: this.heartbeatMs,
        reconnect: { baseMs, maxMs, attemptsMax },
        reach: this.reach,
      },
      owner,
    );
  }

  /**
   * Asks over HTTP, where a refusal has words. `upgrade_required` means that nothing is wrong with the caller; then it
   * may be the queue, which a caller who may only publish can't ask about.
   */
  private async explain([socketPath, queuePath]: readonly string[]): Promise<MillraceError | null> {
    for (const path of [socketPath, queuePath]) {
      if (path === undefined) return null;
      try {
        await this.http.bytes("GET", path);
      } catch (error) {
        if (!isMillraceError(error) || error.retry) return null;
        const isExpected = error.code === (path === queuePath ? "forbidden" : "upgrade_required");
        if (!isExpected) return error;
      }
    }
    return null;
  }

  private reporter(who: Pick<ConnectionChange, "queue" | "role">): SocketOwner["stateChanged"] {
    return (state, error, retryInMs) =>
      this.options.onConnectionChange?.({
        ...who,
        state,
        ...(error === undefined ? {} : { error }),
        ...(retryInMs === undefined ? {} : { retryInMs }),
      });
  }
}

const SESSION_PATH = "/v1/socket";

export interface ExchangeSubscribeOptions extends SubscribeOptions {
  readonly exchange: string;
}

function nameOf(field: string, name: string): string {
  const parsed = parseName(field, name);
  if (!parsed.ok) throw errorOfRefusal(parsed);
  return name;
}
