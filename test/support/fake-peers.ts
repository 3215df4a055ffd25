/**
 * Exchanges, hubs, queues and the catalogue as other objects meet them, played by the test. They take the place of the real ones in an
 * object's environment: call it inside the object (`runInDurableObject`). It lasts until the object is evicted, or
 * `restorePeers` is called.
 */
import type { Env } from "../../src/env.ts";
import type { ExchangeApi, HubApi } from "../../src/protocol/exchange-rpc.ts";
import type { NamespaceApi, QueueApi } from "../../src/protocol/rpc.ts";

type Peer = "EXCHANGES" | "HUBS" | "NAMESPACES" | "QUEUES";

const undo: (() => void)[] = [];

/** Call it after each test. */
export function restorePeers(): void {
  for (const one of undo.splice(0)) one();
}

export function fakeHubs(object: object, hub: (name: string) => Partial<HubApi>): void {
  replace(object, "HUBS", hub);
}

export function fakeExchanges(object: object, exchange: (name: string) => Partial<ExchangeApi>): void {
  replace(object, "EXCHANGES", exchange);
}

export function fakeQueues(object: object, queue: (name: string) => Partial<QueueApi>): void {
  replace(object, "QUEUES", queue);
}

export function fakeNamespaces(object: object, namespace: (name: string) => Partial<NamespaceApi>): void {
  replace(object, "NAMESPACES", namespace);
}

/** Names are given without their namespace. */
function replace(object: object, peer: Peer, make: (name: string) => object): void {
  const { env } = object as { env: Record<Peer, Env[Peer]> };
  const before = env[peer];
  undo.push(() => {
    env[peer] = before;
  });
  const getByName = (name: string): object => make(name.slice(name.indexOf("/") + 1));
  env[peer] = { getByName } as unknown as Env[Peer];
}
