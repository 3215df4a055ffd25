/**
 * One object of the platform: its storage, its alarm, its sockets, and its present stay in memory. Calls reach it and
 * are answered as tasks of the loop; between any two tasks it may be thrown out.
 */
import { NodeSql } from "../../support/node-sql.ts";
import type { Random } from "../random.ts";
import type { RoutingFaults } from "./faults.ts";
import type { Loop } from "./loop.ts";
import { currentLife, type Life } from "./platform.ts";
import type { ServerSocket } from "./sockets.ts";

export type Kind = "queue" | "exchange" | "hub" | "namespace";

type Method = (...args: unknown[]) => Promise<unknown>;

/** An object of one of the broker's classes. */
export type Instance = Record<string, Method>;

export interface HostPorts {
  readonly loop: Loop;
  readonly random: Random;
  readonly faults: () => RoutingFaults;
  readonly say: (line: string) => void;
  make(host: Host, state: unknown, life: Life): Instance;
  /** A transaction went through (or was rolled back), with what was noted of it. */
  committed(host: Host, isStored: boolean): void;
}

export class StorageFault extends Error {}

/** How long a call waits for an object that never answers. */
const HANG_MS = 600_000;

export class Host {
  readonly kind: Kind;
  readonly name: string;
  readonly sockets = new Set<ServerSocket>();
  /** Neither answers nor does anything. */
  isVanished = false;
  /** Calls that came to it while it was vanished. */
  lostCalls = 0;
  private readonly ports: HostPorts;
  private readonly sql = new NodeSql();
  private life: (Life & { instance: Instance }) | null = null;
  private alarmMs: number | null = null;
  private cancelAlarm: () => void = () => undefined;
  private isRinging = false;
  private statementsLeft = Number.POSITIVE_INFINITY;

  constructor(kind: Kind, name: string, ports: HostPorts) {
    this.kind = kind;
    this.name = name;
    this.ports = ports;
  }

  get label(): string {
    return `${this.kind} ${this.name}`;
  }

  get isAwake(): boolean {
    return this.life !== null;
  }

  /** The object's own fields, for a look inside. */
  get instance(): unknown {
    return this.life?.instance ?? null;
  }

  // Calls

  /** `caller` null: a client, who is never evicted. */
  call(caller: Life | null, method: string, args: unknown[]): Promise<unknown> {
    const { loop, random } = this.ports;
    const faults = this.ports.faults();
    const sent = structuredClone(args);
    return new Promise((resolve, reject) => {
      const answer = (run: () => void): void => {
        loop.later(this.latency(), () => {
          if (caller?.isOver !== true) run();
        });
      };
      const fail = (reason: Error): void => answer(() => reject(reason));
      if (random.chance(faults.callLost)) return fail(new Error("the call was lost"));
      loop.later(this.latency(), () => {
        if (this.isVanished) {
          this.lostCalls++;
          loop.later(HANG_MS, () => caller?.isOver !== true && reject(new Error("no answer")));
          return;
        }
        this.serve(method, sent, answer, resolve, fail);
      });
    });
  }

  private serve(
    method: string,
    args: unknown[],
    answer: (run: () => void) => void,
    resolve: (value: unknown) => void,
    fail: (reason: Error) => void,
  ): void {
    const { random } = this.ports;
    const life = this.wake();
    life.open.add(fail);
    const settle = (run: () => void): void => {
      if (life.isOver) return;
      life.open.delete(fail);
      if (random.chance(this.ports.faults().answerLost)) fail(new Error("the answer was lost"));
      else run();
    };
    this.run(life, method, args).then(
      (value) => {
        const copy = structuredClone(value);
        settle(() => answer(() => resolve(copy)));
      },
      (error: unknown) => settle(() => fail(error instanceof Error ? error : new Error(String(error)))),
    );
  }

  private run(life: Life & { instance: Instance }, method: string, args: unknown[]): Promise<unknown> {
    const call = (): Promise<unknown> =>
      currentLife.run(life, () => {
        const found = life.instance[method];
        if (found === undefined) throw new Error(`${this.label} has no ${method}`);
        return found.apply(life.instance, args);
      });
    return life.gate === null ? call() : life.gate.then(call);
  }

  private latency(): number {
    return this.ports.faults().latency(this.ports.random);
  }

  // Memory

  private wake(): Life & { instance: Instance } {
    if (this.life !== null) return this.life;
    const life: Life = { isOver: false, open: new Set(), gate: null };
    const instance = currentLife.run(life, () => this.ports.make(this, this.state(life), life));
    this.life = Object.assign(life, { instance });
    return this.life;
  }

  /** Out of memory at once: who waits for an answer gets an error. Its sockets hibernate, unless they are lost too. */
  evict(sockets: "hibernate" | "lose"): void {
    const { life } = this;
    if (sockets === "lose") {
      for (const socket of this.sockets) socket.peer?.lose(true);
      this.sockets.clear();
    }
    if (life === null) return;
    this.life = null;
    life.isOver = true;
    for (const fail of life.open) fail(new Error("the object was reset"));
    if (this.isRinging) this.ringLater(0);
    this.isRinging = false;
  }

  /** Nothing is left of it. */
  empty(): void {
    this.evict("lose");
    this.cancelAlarm();
    this.alarmMs = null;
    this.dropTables();
  }

  close(): void {
    this.evict("lose");
    this.cancelAlarm();
    this.sql.close();
  }

  // Sockets

  async open(headers: Readonly<Record<string, string>>): Promise<ServerSocket | null> {
    if (this.isVanished) return null;
    const request = { headers: { get: (name: string) => headers[name] ?? null } };
    const life = this.wake();
    const response = (await this.run(life, "fetch", [request])) as {
      webSocket: { server: ServerSocket } | null;
    };
    return response.webSocket?.server ?? null;
  }

  toServer(socket: ServerSocket, data: string | ArrayBuffer): void {
    if (this.isVanished || !this.sockets.has(socket)) return;
    if (data === "ping") {
      socket.pingMs = this.ports.loop.nowMs;
      if (!socket.isClosed) socket.send("pong");
    } else this.event("webSocketMessage", [socket, data]);
  }

  closed(socket: ServerSocket, code: number): void {
    if (!this.sockets.delete(socket)) return;
    socket.isClosed = true;
    if (!this.isVanished) this.event("webSocketClose", [socket, code]);
  }

  private event(method: string, args: unknown[]): void {
    this.run(this.wake(), method, args).catch((error: unknown) => {
      this.ports.say(`${this.label} ${method} threw ${String(error)}`);
    });
  }

  // The alarm

  private ringLater(delayMs: number): void {
    const { loop, random } = this.ports;
    this.cancelAlarm();
    const lateMs = random.chance(this.ports.faults().alarmLate) ? random.between(1, 20_000) : 0;
    this.cancelAlarm = loop.later(delayMs + lateMs, () => this.ring());
  }

  private ring(): void {
    if (this.isVanished || this.isRinging) return this.ringLater(1_000);
    const { random } = this.ports;
    const life = this.wake();
    this.isRinging = true;
    const isTwice = random.chance(this.ports.faults().alarmTwice);
    if (!isTwice) this.alarmMs = null;
    const done = (retryMs: number | null): void => {
      if (life.isOver) return;
      this.isRinging = false;
      if (retryMs !== null) this.ringLater(retryMs);
      else if (this.alarmMs !== null) this.ringLater(this.alarmMs - this.ports.loop.nowMs);
    };
    this.run(life, "alarm", []).then(
      () => done(isTwice ? 1 : null),
      (error: unknown) => {
        this.ports.say(`${this.label} alarm threw ${String(error)}`);
        done(2_000);
      },
    );
  }

  // What the object sees of the platform

  private state(life: Life): unknown {
    const { loop } = this.ports;
    return {
      id: { name: this.kind === "namespace" ? this.name : `sim/${this.name}` },
      storage: {
        sql: { exec: (query: string, ...values: never[]) => this.exec(query, values) },
        transactionSync: <T>(run: () => T): T => this.transaction(run),
        setAlarm: async (ms: number): Promise<void> => {
          this.alarmMs = ms;
          if (!this.isRinging) this.ringLater(ms - loop.nowMs);
        },
        getAlarm: async (): Promise<number | null> => this.alarmMs,
        deleteAlarm: async (): Promise<void> => {
          this.alarmMs = null;
          this.cancelAlarm();
        },
        deleteAll: async (): Promise<void> => this.dropTables(),
      },
      blockConcurrencyWhile: (work: () => Promise<void>): Promise<void> => {
        const gate = work().then(() => {
          if (life.gate === gate) life.gate = null;
        });
        life.gate = gate;
        return gate;
      },
      waitUntil: (work: Promise<unknown>): void => {
        work.catch((error: unknown) => this.ports.say(`${this.label} in vain: ${String(error)}`));
      },
      acceptWebSocket: (socket: ServerSocket): void => void this.sockets.add(socket),
      getWebSockets: (): ServerSocket[] => [...this.sockets],
      setWebSocketAutoResponse: (): void => undefined,
      getWebSocketAutoResponseTimestamp: (socket: ServerSocket): Date | null =>
        socket.pingMs === null ? null : new Date(socket.pingMs),
    };
  }

  private exec(query: string, values: never[]): unknown {
    if (this.statementsLeft-- <= 0) throw new StorageFault("the storage failed");
    return this.sql.storage.exec(query, ...values);
  }

  private transaction<T>(run: () => T): T {
    if (this.sql.isInTransaction) return this.sql.transaction(run);
    const { random } = this.ports;
    const isFailing = random.chance(this.ports.faults().rollback);
    if (isFailing) this.statementsLeft = random.between(0, 12);
    let isStored = false;
    try {
      const value = this.sql.transaction(() => {
        const done = run();
        if (isFailing) throw new StorageFault("the storage failed at the end");
        return done;
      });
      isStored = true;
      return value;
    } finally {
      this.statementsLeft = Number.POSITIVE_INFINITY;
      this.ports.committed(this, isStored);
    }
  }

  /** A look into its storage; nothing when it has no such table. */
  rows<Row extends Record<string, SqlStorageValue>>(query: string): Row[] {
    try {
      return this.sql.storage.exec<Row>(query).toArray();
    } catch {
      return [];
    }
  }

  private dropTables(): void {
    const tables = this.sql.storage
      .exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
      )
      .toArray();
    for (const { name } of tables) this.sql.storage.exec(`DROP TABLE "${name}"`);
  }
}
