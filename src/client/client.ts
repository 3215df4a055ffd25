/** The client: what all its queues share. `connect` makes it; nothing is sent before a queue is used. */
import { parseName } from "../protocol/names.ts";
import type { BackoffOptions } from "./backoff.ts";
import { systemClock, type Clock } from "./clock.ts";
import { Consumer } from "./consumer.ts";
import { errorOfRefusal, isMillraceError, MillraceError } from "./errors.ts";
import type { ConsumeOptions, Handler } from "./handler.ts";
import { Http, resolveToken, type FetchFunction, type TokenSource } from "./http.ts";
import { Publisher } from "./publisher.ts";
import type { PublisherOptions } from "./publisher-options.ts";
import { Queue } from "./queue.ts";
import { QueueSocket, type ConnectionState, type SocketOwner, type WebSocketConstructor } from "./socket.ts";

export interface ConnectionChange {
  readonly queue: string;
  readonly role: "publisher" | "consumer";
  /** `waiting`: lost, and tried again in `retryInMs`. `closed`: asked to, or given up for `error`. */
  readonly state: ConnectionState;
  readonly error?: MillraceError;
  readonly retryInMs?: number;
}

export interface ConnectOptions {
  /** Where the broker is, such as `https://broker.example.com`. */
  readonly url: string;
  /** A token, or what gets one: it is asked for every connection and request, so a short-lived one may be renewed. */
  readonly token?: TokenSource;
  /** For connecting, for an HTTP request, for a confirm, and for a drain. Default 30,000. */
  readonly timeoutMs?: number;
  /** A `ping` over each socket this often; a silent one is lost after twice that. Default 25,000. */
  readonly heartbeatMs?: number;
  /** Default: 250 ms, doubled up to 30 s, with full jitter, for ever. */
  readonly reconnect?: Partial<BackoffOptions>;
  /** How messages are gathered, held and sent. */
  readonly publisher?: PublisherOptions;
  readonly onConnectionChange?: (change: ConnectionChange) => void;
  /** Default: the platform's. */
  readonly fetch?: FetchFunction;
  readonly WebSocket?: WebSocketConstructor;
  readonly clock?: Clock;
}

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
  private readonly publishers = new Map<string, Publisher>();
  private readonly consumers = new Set<Consumer>();
  private isClosed = false;

  /** @internal Use `connect`. */
  constructor(options: ConnectOptions) {
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
    });
  }

  /** Throws `bad_name`. */
  queue(name: string): Queue {
    const parsed = parseName("queue", name);
    if (!parsed.ok) throw errorOfRefusal(parsed);
    return new Queue(name, {
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

  /**
   * The end of a graceful shutdown: consumers take no more and finish what they have, what handlers published is
   * confirmed, then all is closed. Consumers first, because their handlers publish. Rejects when a consumer did not
   * end well; everything is closed then, too.
   */
  async drain(options: { timeoutMs?: number } = {}): Promise<void> {
    const drained = await Promise.allSettled([...this.consumers].map((consumer) => consumer.drain(options)));
    await Promise.all([...this.publishers.values()].map((publisher) => publisher.flush()));
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
    for (const publisher of this.publishers.values()) publisher.close(error);
    this.http.close();
  }

  /** `await using client = connect(…)` drains at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  private publisher(queue: string): Publisher {
    let publisher = this.publishers.get(queue);
    if (publisher === undefined) {
      if (this.isClosed) throw new MillraceError("closed", "the client is closed");
      const options = { ...this.options.publisher };
      publisher = new Publisher(
        { ...options, timeoutMs: options.timeoutMs ?? this.timeoutMs },
        this.clock,
        (owner) => this.socket(queue, owner),
        this.reporter(queue, "publisher"),
      );
      this.publishers.set(queue, publisher);
    }
    return publisher;
  }

  private consume(queue: string, handler: Handler, options: ConsumeOptions): Consumer {
    if (this.isClosed) throw new MillraceError("closed", "the client is closed");
    const path = `/v1/queues/${encodeURIComponent(queue)}/bodies`;
    const consumer = new Consumer(handler, options, {
      clock: this.clock,
      heartbeatMs: this.heartbeatMs,
      drainTimeoutMs: this.timeoutMs,
      connect: (owner) => this.socket(queue, owner),
      fetchBody: (reference) =>
        this.http.bytes("GET", `${path}/${encodeURIComponent(reference)}`, { repeatable: true }),
      stateChanged: this.reporter(queue, "consumer"),
      ended: (ended) => this.consumers.delete(ended),
    });
    this.consumers.add(consumer);
    return consumer;
  }

  private get heartbeatMs(): number {
    return this.options.heartbeatMs ?? 25_000;
  }

  private socket(queue: string, owner: SocketOwner): QueueSocket {
    const WebSocket =
      this.options.WebSocket ?? (globalThis as unknown as { WebSocket?: WebSocketConstructor }).WebSocket;
    if (WebSocket === undefined) throw new MillraceError("bad_request", "this platform has no WebSocket");
    const path = `/v1/queues/${encodeURIComponent(queue)}`;
    const { baseMs = 250, maxMs = 30_000, attemptsMax = Infinity } = this.options.reconnect ?? {};
    return new QueueSocket(
      {
        url: `${this.baseUrl.replace(/^http/, "ws")}${path}/socket`,
        WebSocket,
        token: () => resolveToken(this.options.token),
        explain: () => this.explain(path),
        clock: this.clock,
        connectTimeoutMs: this.timeoutMs,
        heartbeatMs: this.heartbeatMs,
        reconnect: { baseMs, maxMs, attemptsMax },
      },
      owner,
    );
  }

  /**
   * Asks over HTTP, where a refusal has words. `upgrade_required` means that nothing is wrong with the caller; then it
   * may be the queue, which a caller who may only publish can't ask about.
   */
  private async explain(queuePath: string): Promise<MillraceError | null> {
    for (const path of [`${queuePath}/socket`, queuePath]) {
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

  private reporter(queue: string, role: ConnectionChange["role"]): SocketOwner["stateChanged"] {
    return (state, error, retryInMs) =>
      this.options.onConnectionChange?.({
        queue,
        role,
        state,
        ...(error === undefined ? {} : { error }),
        ...(retryInMs === undefined ? {} : { retryInMs }),
      });
  }
}
