/**
 * The globals of workerd as the objects use them, driven by a loop. Installed for the length of one history; clock and
 * chance are the process's own otherwise.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Random } from "../random.ts";
import type { Loop } from "./loop.ts";
import { SocketPair } from "./sockets.ts";

/** One stay of an object in memory. */
export interface Life {
  isOver: boolean;
  /** Calls of others that it has not answered. */
  readonly open: Set<(reason: Error) => void>;
  /** While it is set, events wait. */
  gate: Promise<void> | null;
}

/** Whose code runs: it follows each promise, so that an object that is gone stays gone. */
export const currentLife = new AsyncLocalStorage<Life>();

interface Driver {
  readonly loop: Loop;
  readonly random: Random;
  readonly say: (line: string) => void;
}

let driver: Driver | null = null;

// The objects take hold of these functions when they are loaded, so what stands behind them changes, not they.
const own = { random: Math.random, now: Date.now };
Math.random = () => (driver === null ? own.random() : driver.random.next());
Date.now = () => (driver === null ? own.now() : driver.loop.nowMs);

class PlainResponse {
  readonly status: number;
  readonly webSocket: unknown;

  constructor(_body: unknown, init: { status?: number; webSocket?: unknown } = {}) {
    this.status = init.status ?? 200;
    this.webSocket = init.webSocket ?? null;
  }

  static json(_value: unknown, init: { status?: number } = {}): PlainResponse {
    return new PlainResponse(null, init);
  }
}

/** Pings are answered by the hosts. */
class PingPong {
  readonly request: string;

  constructor(request: string) {
    this.request = request;
  }
}

function wait(ms: number, options: { signal?: AbortSignal } = {}): Promise<void> {
  const { loop } = driver!;
  const life = currentLife.getStore();
  return new Promise((resolve, reject) => {
    const cancel = loop.later(ms, () => {
      if (life?.isOver !== true) resolve();
    });
    options.signal?.addEventListener("abort", () => {
      cancel();
      reject(new Error("aborted"));
    });
  });
}

const STAND_INS = {
  scheduler: { wait },
  setTimeout: (run: () => void, ms: number): void => void wait(ms).then(run),
  crypto: {
    getRandomValues(array: Uint32Array): Uint32Array {
      for (let i = 0; i < array.length; i++) array[i] = Math.floor(Math.random() * 2 ** 32);
      return array;
    },
  },
  WebSocketPair: SocketPair,
  WebSocketRequestResponsePair: PingPong,
  Response: PlainResponse,
  console: {
    ...console,
    warn: (text: string, facts: unknown) => driver?.say(`! ${text} ${JSON.stringify(facts)}`),
    error: (text: string, facts: unknown) => driver?.say(`!! ${text} ${JSON.stringify(facts)}`),
  },
};

/** The function it returns puts everything back. */
export function install(next: Driver): () => void {
  const before = Object.keys(STAND_INS).map(
    (name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const,
  );
  driver = next;
  for (const [name, value] of Object.entries(STAND_INS)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  return () => {
    driver = null;
    for (const [name, descriptor] of before) {
      if (descriptor === undefined) delete (globalThis as Record<string, unknown>)[name];
      else Object.defineProperty(globalThis, name, descriptor);
    }
  };
}
