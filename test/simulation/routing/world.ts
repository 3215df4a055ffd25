// Exchanges, queues, hubs and their clients in one process, and what everyone outside them knows.
import { connect, type Client } from "../../../src/client/client.ts";
import type { Clock } from "../../../src/client/clock.ts";
import type { WebSocketConstructor } from "../../../src/client/socket.ts";
import type { ExplainCommand } from "../../../src/protocol/exchange-commands.ts";
import { EXCHANGE_DEFAULTS, type ExchangeConfig } from "../../../src/protocol/exchange-config.ts";
import { QUEUE_DEFAULTS, type QueueConfig } from "../../../src/protocol/queue-config.ts";
import { wasmCodec } from "../../support/queue-harness.ts";
import type { Random } from "../random.ts";
import { Cluster } from "./cluster.ts";
import type { RoutingFaults } from "./faults.ts";
import type { Arrival } from "./holdings.ts";
import { Loop } from "./loop.ts";
import { RoutingModel } from "./model.ts";
import { install } from "./platform.ts";
import { drawShape, type Shape } from "./shape.ts";
import { ClientSocket } from "./sockets.ts";
import { observe, Truth } from "./truth.ts";
import type { Watcher } from "./watcher.ts";

/** A message from its publish on. */
export interface Sent {
  readonly id: string;
  readonly exchange: string;
  readonly message: ExplainCommand;
  readonly delayMs: number;
  readonly publisher: string;
  readonly order: number;
  readonly isMandatory: boolean;
  readonly start: number;
  end: number;
  outcome: "pending" | "confirmed" | "refused" | "unknown";
  /** With `confirmed`: how many queues took it, and what did not. */
  matched: number;
  failed: readonly string[];
  isReturned: boolean;
  isDelayed: boolean;
}

export class RoutingWorld {
  readonly shape: Shape;
  readonly loop: Loop;
  readonly cluster: Cluster;
  readonly codec = wasmCodec();
  readonly model = new RoutingModel();
  readonly truth = new Truth();
  readonly sent = new Map<string, Sent>();
  readonly watchers: Watcher[] = [];
  readonly clients = new Map<string, Client>();
  readonly history: string[] = [];
  /** What consumers were given, by queue. */
  readonly taken = new Map<string, Map<string, Arrival>>();
  /** When messages may have died, and in which queue. */
  readonly died = new Map<string, { queue: string; tick: number }[]>();
  /** Until when what was asked in vain may still be carried out: by the names of its things. */
  readonly haunted = new Map<string, number>();
  /** Names of things that someone is changing just now. */
  readonly busy = new Set<string>();
  faults: RoutingFaults;
  /** What went wrong where no step could hear of it. */
  failure: unknown = null;
  published = 0;
  /** Nobody is slow any more. */
  isQuiet = false;
  private readonly random: Random;
  private readonly restore: () => void;
  private readonly sockets = new Map<string, ClientSocket>();

  constructor(random: Random, setup: Random, faults: RoutingFaults) {
    this.random = random;
    this.faults = faults;
    this.shape = drawShape(setup);
    this.loop = new Loop(random);
    const say = (line: string): void => this.say(line);
    const uninstall = install({ loop: this.loop, random, say });
    const unobserve = observe(this.truth);
    const unhandled = (error: unknown): void => this.fail(error);
    process.on("unhandledRejection", unhandled);
    this.restore = () => {
      process.off("unhandledRejection", unhandled);
      unobserve();
      uninstall();
    };
    this.cluster = new Cluster({
      loop: this.loop,
      random,
      hubs: this.shape.hubs,
      faults: () => this.faults,
      say,
      committed: (host, isStored) => {
        if (host.kind === "exchange") this.truth.committed(isStored);
      },
    });
  }

  say(line: string): void {
    this.history.push(`${this.loop.nowMs - 1_700_000_000_000} ${line}`);
  }

  fail(error: unknown): void {
    this.failure ??= error;
  }

  /** Lets some things happen. */
  async run(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) {
      if (!(await this.loop.step(this.loop.nowMs + 2_000))) return;
      if (this.failure !== null) throw this.failure;
    }
  }

  async runFor(ms: number): Promise<void> {
    await this.loop.runFor(ms);
    if (this.failure !== null) throw this.failure;
  }

  /** The clock goes on by itself: what was due meanwhile is late. */
  jump(ms: number): void {
    this.say(`the clock jumps ${ms} ms`);
    this.loop.nowMs += ms;
  }

  /** Starts something that goes on while other things happen; `name` is its alone meanwhile. False: it is taken. */
  start(name: string, work: () => Promise<void>): boolean {
    if (this.busy.has(name)) return false;
    this.busy.add(name);
    work().then(
      () => this.busy.delete(name),
      (error: unknown) => this.fail(error),
    );
    return true;
  }

  client(name: string): Client {
    let client = this.clients.get(name);
    if (client === undefined) {
      this.cluster.admit(name);
      client = connect({
        url: `http://${name}`,
        clock: this.clock(),
        fetch: () => Promise.reject(new Error("no HTTP here")),
        WebSocket: this.socketConstructor(name),
        timeoutMs: 20_000,
        publisher: { timeoutMs: 20_000 },
      });
      this.clients.set(name, client);
    }
    return client;
  }

  private clock(): Clock {
    let ids = 0;
    return {
      now: () => this.loop.nowMs,
      after: (delayMs, run) => this.loop.later(delayMs, run),
      random: () => this.random.next(),
      id: () => `id-${++ids}`,
    };
  }

  private socketConstructor(name: string): WebSocketConstructor {
    const make = (url: string, protocols: readonly string[]): ClientSocket => {
      const socket = new ClientSocket(this.cluster, url, protocols);
      this.sockets.set(name, socket);
      return socket;
    };
    return function (url: string, protocols: readonly string[]) {
      return make(url, protocols);
    } as unknown as WebSocketConstructor;
  }

  cut(name: string, isSilent: boolean): void {
    this.say(`${name} is cut off${isSilent ? " silently" : ""}`);
    this.sockets.get(name)?.lose(isSilent);
  }

  exchangeConfig(name: string): ExchangeConfig {
    return { ...EXCHANGE_DEFAULTS, ...this.shape.exchanges.get(name) };
  }

  queueConfig(name: string): QueueConfig {
    return { ...QUEUE_DEFAULTS, maxFailures: 1_000, ...this.shape.queues.get(name) };
  }

  close(): void {
    for (const client of this.clients.values()) client.close();
    this.cluster.close();
    this.restore();
  }
}
