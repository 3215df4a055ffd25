/**
 * The shipped Worker and its objects, with counters around them: what they do is not touched. Rows come from the cursors
 * of each object's storage, calls from the stubs that callers get, frames and alarms from the objects' own handlers.
 * One isolate holds all of it, so the counters are one object. `GET /counters` tells them.
 */
import * as shipped from "../../../src/worker.ts";
import type { Env } from "../../../src/env.ts";
import { noCounts } from "../counters.ts";

const COUNTERS_PATH = "/counters";

const counts = noCounts();
/** Objects at work: how many things they have to answer, and since when. */
const busy = new Map<string, { depth: number; sinceMs: number }>();

async function during<T>(object: string, work: () => T | Promise<T>): Promise<T> {
  const own = busy.get(object) ?? { depth: 0, sinceMs: 0 };
  busy.set(object, own);
  if (own.depth++ === 0) own.sinceMs = Date.now();
  try {
    return await work();
  } finally {
    if (--own.depth === 0) {
      counts.activeMs += Date.now() - own.sinceMs;
      busy.delete(object);
    }
  }
}

/** A cursor knows its rows when it has been read. That is so when the next statement begins, at the latest. */
let lastCursor: { cursor: SqlStorageCursor<Record<string, SqlStorageValue>>; place: string } | null = null;

function settleCursor(): void {
  if (lastCursor === null) return;
  const { cursor, place } = lastCursor;
  lastCursor = null;
  counts.rowsRead += cursor.rowsRead;
  countWritten(place, cursor.rowsWritten);
}

function countWritten(place: string, rows: number): void {
  if (rows === 0) return;
  counts.rowsWritten += rows;
  counts.rowsWrittenBy[place] = (counts.rowsWrittenBy[place] ?? 0) + rows;
}

const TABLE = /\b(?:INTO|UPDATE|FROM|TABLE|INDEX)\s+(?:IF NOT EXISTS\s+)?(\w+)/i;

function countStorage(storage: DurableObjectStorage, kind: string): void {
  const { sql } = storage;
  const exec = sql.exec.bind(sql);
  const setAlarm = storage.setAlarm.bind(storage);
  Object.defineProperty(sql, "exec", {
    value: (query: string, ...values: SqlStorageValue[]) => {
      settleCursor();
      const cursor = exec(query, ...values);
      lastCursor = { cursor, place: `${kind} ${TABLE.exec(query)?.[1] ?? query}` };
      return cursor;
    },
  });
  Object.defineProperty(storage, "setAlarm", {
    value: (time: number | Date, options?: DurableObjectSetAlarmOptions) => {
      counts.alarmsSet++;
      countWritten(`${kind} alarm`, 1);
      return setAlarm(time, options);
    },
  });
}

type Namespaces = "QUEUES" | "NAMESPACES" | "EXCHANGES" | "HUBS";

/** A stub whose calls are counted. Each is a request of its own: the broker keeps no session to an object open. */
function countCalls(stub: object, object: string): object {
  return new Proxy(stub, {
    get(target, method) {
      const found: unknown = Reflect.get(target, method);
      if (typeof found !== "function") return found;
      return (...given: unknown[]): unknown => {
        if (method === "fetch") counts.fetches++;
        else counts.calls++;
        return during(object, () => Reflect.apply(found, target, given) as unknown);
      };
    },
  });
}

function countNamespace<T extends object>(namespace: T, kind: string): T {
  return new Proxy(namespace, {
    get(target, property) {
      const found: unknown = Reflect.get(target, property);
      if (typeof found !== "function") return found;
      if (property !== "getByName") return found.bind(target) as unknown;
      return (name: string): object =>
        countCalls((target as unknown as DurableObjectNamespace).getByName(name), `${kind} ${name}`);
    },
  });
}

const countedEnvs = new WeakMap<Env, Env>();

function countEnv(env: Env): Env {
  const known = countedEnvs.get(env);
  if (known !== undefined) return known;
  const names: Namespaces[] = ["QUEUES", "NAMESPACES", "EXCHANGES", "HUBS"];
  const counted = { ...env };
  for (const name of names) Object.assign(counted, { [name]: countNamespace(env[name], name) });
  countedEnvs.set(env, counted);
  return counted;
}

interface Handlers {
  alarm?(info?: AlarmInvocationInfo): void | Promise<void>;
  webSocketMessage?(socket: WebSocket, data: string | ArrayBuffer): void | Promise<void>;
}
type ObjectClass = new (ctx: DurableObjectState, env: Env) => Handlers;

function counting(shippedClass: unknown, kind: Namespaces): ObjectClass {
  const Shipped = shippedClass as ObjectClass;
  return class extends Shipped {
    private readonly object: string;

    constructor(ctx: DurableObjectState, env: Env) {
      counts.wakes++;
      countStorage(ctx.storage, kind);
      super(ctx, countEnv(env));
      this.object = `${kind} ${ctx.id.name}`;
    }

    override alarm(info?: AlarmInvocationInfo): Promise<void> {
      counts.alarms++;
      return during(this.object, () => super.alarm?.(info));
    }

    override webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): Promise<void> {
      counts.frames++;
      return during(this.object, () => super.webSocketMessage?.(socket, data));
    }
  };
}

export const QueueObject = counting(shipped.QueueObject, "QUEUES");
export const NamespaceObject = counting(shipped.NamespaceObject, "NAMESPACES");
export const ExchangeObject = counting(shipped.ExchangeObject, "EXCHANGES");
export const HubObject = counting(shipped.HubObject, "HUBS");

export default {
  fetch(request, env, context) {
    if (new URL(request.url).pathname === COUNTERS_PATH) {
      settleCursor();
      return Response.json(counts);
    }
    counts.workerRequests++;
    return shipped.default.fetch(request, countEnv(env), context);
  },
} satisfies ExportedHandler<Env>;
