// Other objects, by the interfaces they are known by. A stub offers what its class does, but its type is not the same.
import kernels from "../../wasm/build/millrace.wasm";
import { Layouts } from "../partitions/layouts.ts";
import { WholeQueue } from "../partitions/whole-queue.ts";
import { WasmBatchCodec } from "../protocol/wasm-batch-codec.ts";
import { drawMark } from "./queue-socket.ts";
import type { Env } from "../env.ts";
import type { ExchangeApi, HubApi } from "../protocol/exchange-rpc.ts";
import { objectName, partitionName } from "../protocol/names.ts";
import type { NamespaceApi, PartitionApi, QueueApi } from "../protocol/rpc.ts";
import { platformRandom } from "./chance.ts";

/** One of each for all objects of the isolate. */
const layouts = new Layouts();
const codec = new WasmBatchCodec(kernels);

export function namespaceOf(env: Env, namespace: string): NamespaceApi {
  return env.NAMESPACES.getByName(namespace);
}

export function partitionOf(env: Env, namespace: string, queue: string, partition: number): PartitionApi {
  return env.QUEUES.getByName(partitionName(namespace, queue, partition)) as unknown as PartitionApi;
}

/** A queue, on however many objects it lies. */
export function queueOf(env: Env, namespace: string, queue: string): QueueApi {
  return new WholeQueue({
    name: objectName(namespace, queue),
    part: (partition) => partitionOf(env, namespace, queue, partition),
    layouts,
    codec,
    random: platformRandom,
    drawMark,
  });
}

export function exchangeOf(env: Env, namespace: string, exchange: string): ExchangeApi {
  return env.EXCHANGES.getByName(objectName(namespace, exchange)) as unknown as ExchangeApi;
}

export function hubOf(env: Env, namespace: string, hub: string): HubApi {
  return env.HUBS.getByName(objectName(namespace, hub));
}
