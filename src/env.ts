// What wrangler.toml and the deployment's secrets bind.
import type { ExchangeObject } from "./objects/exchange-object.ts";
import type { HubObject } from "./objects/hub-object.ts";
import type { NamespaceObject } from "./objects/namespace-object.ts";
import type { QueueObject } from "./objects/queue-object.ts";

export interface Env {
  readonly QUEUES: DurableObjectNamespace<QueueObject>;
  readonly NAMESPACES: DurableObjectNamespace<NamespaceObject>;
  readonly EXCHANGES: DurableObjectNamespace<ExchangeObject>;
  readonly HUBS: DurableObjectNamespace<HubObject>;
  /** The start page and the reference. */
  readonly ASSETS: Fetcher;
  /** Bodies over the inline limit. Without it they are refused. */
  readonly BODIES?: R2Bucket;
  /** Signs tokens (HS256), at least 32 bytes. Without it and without a public key only loopback is served. */
  readonly MILLRACE_SECRET?: string;
  /** "true": over SQS a queue may be purged as often as one likes, and a deleted queue's name is free at once. */
  readonly MILLRACE_SQS_AT_ONCE?: string;
  /** Verifies tokens (EdDSA): an Ed25519 public key as JWK, in JSON. */
  readonly MILLRACE_PUBLIC_KEY?: string;
}
