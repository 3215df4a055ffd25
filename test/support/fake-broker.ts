// The app over objects that only remember what they were asked, and answer what a test tells them to.
import type { EdgeApp, EdgeServices, BodyStore } from "../../src/edge/services.ts";
import { createApp } from "../../src/edge/app.ts";
import { Identity } from "../../src/edge/identity.ts";
import { SqsGateway } from "../../src/gateways/sqs/gateway.ts";
import type { MessageRecord } from "../../src/protocol/batch.ts";
import type { PublishCommand } from "../../src/protocol/commands.ts";
import type { ExchangeApi, HubApi } from "../../src/protocol/exchange-rpc.ts";
import { readRecord } from "../../src/protocol/record.ts";
import { ok, refuse } from "../../src/protocol/result.ts";
import type { NamespaceApi, QueueApi } from "../../src/protocol/rpc.ts";
import { TypeScriptBatchCodec } from "../../src/protocol/typescript-batch-codec.ts";

export interface Call {
  /** `<namespace>/<name>` of a queue, an exchange or a hub; or the namespace alone. */
  readonly object: string;
  readonly method: string;
  readonly input: readonly unknown[];
}

type Answers<T> = { readonly [K in keyof T]?: T[K] };

export const codec = new TypeScriptBatchCodec();

export interface FakeOptions {
  readonly queue?: Answers<QueueApi>;
  readonly exchange?: Answers<ExchangeApi>;
  readonly hub?: Answers<HubApi>;
  readonly namespace?: Answers<NamespaceApi>;
  readonly secret?: string;
  readonly publicKey?: string;
  readonly bodies?: BodyStore;
  readonly nowMs?: () => number;
}

export class FakeBroker {
  readonly calls: Call[] = [];
  readonly logged: { event: string; [fact: string]: unknown }[] = [];
  private readonly app: EdgeApp = createApp([new SqsGateway()]);
  private readonly services: EdgeServices;

  constructor(options: FakeOptions = {}) {
    const namespace: Answers<NamespaceApi> = {
      registerQueue: async () => ok({ isNew: true }),
      unregisterQueue: async () => ok(undefined),
      revokedTokens: async () => ok([]),
      ...options.namespace,
    };
    this.services = {
      queue: (space, queue) => this.stub<QueueApi>(`${space}/${queue}`, options.queue ?? {}),
      exchange: (space, exchange) => this.stub<ExchangeApi>(`${space}/${exchange}`, options.exchange ?? {}),
      hub: (space, hub) => this.stub<HubApi>(`${space}/${hub}`, options.hub ?? {}),
      namespace: (space) => this.stub<NamespaceApi>(space, namespace),
      codec,
      identity: new Identity({ secret: options.secret, publicKey: options.publicKey }),
      bodies: options.bodies ?? null,
      site: async () => new Response("the start page"),
      now: options.nowMs ?? (() => Date.now()),
      log: (_level, event, facts) => this.logged.push({ ...facts, event }),
    };
  }

  /** Methods without an answer refuse as an object would for a queue that is not there. */
  private stub<T extends object>(object: string, answers: Answers<T>): T {
    const get =
      (_target: object, method: string) =>
      async (...input: unknown[]): Promise<unknown> => {
        this.calls.push({ object, method, input });
        const answer = (answers as Record<string, ((...input: unknown[]) => unknown) | undefined>)[method];
        return answer === undefined ? refuse("queue_not_found", "queue: is not there") : answer(...input);
      };
    return new Proxy({}, { get }) as T;
  }

  async request(
    method: string,
    path: string,
    init: RequestInit = {},
    origin = "http://127.0.0.1:8787",
  ): Promise<Response> {
    return this.app.fetch(new Request(new URL(path, origin), { ...init, method }), this.services);
  }

  json(method: string, path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return this.request(method, path, {
      body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", ...headers },
    });
  }

  /** The records of the first publish. */
  published(): MessageRecord[] {
    const [command] = this.inputs("publish")[0] as [PublishCommand];
    const table = codec.scan(command.batch, "broker");
    if (!table.ok) throw new Error(table.detail);
    return Array.from({ length: table.value.count }, (_, i) =>
      readRecord(command.batch, table.value.offset(i)),
    );
  }

  /** The inputs of the calls of one method. */
  inputs(method: string): readonly (readonly unknown[])[] {
    return this.calls.filter((call) => call.method === method).map((call) => call.input);
  }
}

export interface ProblemBody {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly [member: string]: unknown;
}

export async function problemOf(response: Response): Promise<ProblemBody> {
  const body = await response.json<ProblemBody>();
  if (body.status !== response.status) throw new Error(`status ${response.status}: ${JSON.stringify(body)}`);
  return body;
}
