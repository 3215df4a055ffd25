// The composition root: what the platform binds meets the app and the objects.
import kernels from "../wasm/build/millrace.wasm";
import { createApp } from "./edge/app.ts";
import { Identity } from "./edge/identity.ts";
import type { EdgeApp, EdgeServices } from "./edge/services.ts";
import type { Env } from "./env.ts";
import type { ExchangeApi } from "./protocol/exchange-rpc.ts";
import { SqsGateway } from "./gateways/sqs/gateway.ts";
import { queueOf } from "./objects/peers.ts";
import { objectName } from "./protocol/names.ts";
import { WasmBatchCodec } from "./protocol/wasm-batch-codec.ts";

export { ExchangeObject } from "./objects/exchange-object.ts";
export { HubObject } from "./objects/hub-object.ts";
export { NamespaceObject } from "./objects/namespace-object.ts";
export { QueueObject } from "./objects/queue-object.ts";

const codec = new WasmBatchCodec(kernels);

/** One of each per isolate: env does not change while an isolate lives. */
let services: EdgeServices | undefined;
let app: EdgeApp | undefined;

// A stub offers what its class does; the edge knows it by the protocol's interface.
function servicesOf(env: Env): EdgeServices {
  return {
    queue: (namespace, queue) => queueOf(env, namespace, queue),
    exchange: (namespace, exchange) =>
      env.EXCHANGES.getByName(objectName(namespace, exchange)) as unknown as ExchangeApi,
    hub: (namespace, hub) => env.HUBS.getByName(objectName(namespace, hub)),
    namespace: (namespace) => env.NAMESPACES.getByName(namespace),
    codec,
    identity: new Identity({ secret: env.MILLRACE_SECRET, publicKey: env.MILLRACE_PUBLIC_KEY }),
    bodies: env.BODIES ?? null,
    site: (request) => env.ASSETS.fetch(request),
    now: () => Date.now(),
    log: (level, event, facts) => console[level](JSON.stringify({ event, ...facts })),
  };
}

function appOf({ MILLRACE_SQS_AT_ONCE }: Env): EdgeApp {
  return createApp([new SqsGateway({ isAtOnce: MILLRACE_SQS_AT_ONCE === "true" })]);
}

export default {
  fetch: (request, env, context) =>
    (app ??= appOf(env)).fetch(request, (services ??= servicesOf(env)), context),
} satisfies ExportedHandler<Env>;
