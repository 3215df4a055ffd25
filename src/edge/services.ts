// What the edge is given by the composition root. It sees interfaces only: never an object's class, never env.
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import type { BatchCodec } from "../protocol/batch.ts";
import type { ExchangeApi, HubApi } from "../protocol/exchange-rpc.ts";
import type { Log } from "../protocol/gateway.ts";
import type { Claims, NamespaceApi, QueueApi } from "../protocol/rpc.ts";
import type { Identity } from "./identity.ts";
import type { IsolateMemory } from "./isolate-memory.ts";

/** A bucket for bodies over the inline limit; an R2 bucket is one. */
export interface BodyStore {
  put(key: string, body: ReadableStream | Uint8Array): Promise<unknown>;
  get(key: string): Promise<StoredBody | null>;
  delete(key: string): Promise<void>;
}

export interface StoredBody {
  /** Bytes. */
  readonly size: number;
  readonly body: ReadableStream;
  arrayBuffer(): Promise<ArrayBuffer>;
}

export interface EdgeServices {
  /** A fresh stub per call: one that has thrown stays broken. */
  readonly queue: (namespace: string, queue: string) => QueueApi;
  readonly exchange: (namespace: string, exchange: string) => ExchangeApi;
  readonly hub: (namespace: string, hub: string) => HubApi;
  readonly namespace: (namespace: string) => NamespaceApi;
  readonly codec: BatchCodec;
  readonly identity: Identity;
  /** Null when no bucket is bound. */
  readonly bodies: BodyStore | null;
  /** The start page, which shares its address with gateways. */
  readonly site: (request: Request) => Promise<Response>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly log: Log;
}

export interface EdgeEnv {
  readonly Bindings: EdgeServices;
  readonly Variables: { readonly claims: Claims; readonly memory: IsolateMemory };
}

export type EdgeApp = OpenAPIHono<EdgeEnv>;
export type EdgeContext = Context<EdgeEnv>;
export type EdgeMiddleware = MiddlewareHandler<EdgeEnv>;
