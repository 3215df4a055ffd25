// Other objects, by the interfaces they are known by. A stub offers what its class does, but its type is not the same.
import type { Env } from "../env.ts";
import type { ExchangeApi, HubApi } from "../protocol/exchange-rpc.ts";
import { objectName } from "../protocol/names.ts";
import type { NamespaceApi, QueueApi } from "../protocol/rpc.ts";

export function namespaceOf(env: Env, namespace: string): NamespaceApi {
  return env.NAMESPACES.getByName(namespace);
}

export function queueOf(env: Env, namespace: string, queue: string): QueueApi {
  return env.QUEUES.getByName(objectName(namespace, queue)) as unknown as QueueApi;
}

export function exchangeOf(env: Env, namespace: string, exchange: string): ExchangeApi {
  return env.EXCHANGES.getByName(objectName(namespace, exchange)) as unknown as ExchangeApi;
}

export function hubOf(env: Env, namespace: string, hub: string): HubApi {
  return env.HUBS.getByName(objectName(namespace, hub));
}
