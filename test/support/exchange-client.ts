// Exchanges as tests inside workerd speak to them: declared, bound, published to, and the queues that get it.
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { ExchangeObject } from "../../src/objects/exchange-object.ts";
import type { MessageRecord } from "../../src/protocol/batch.ts";
import type {
  Binding,
  BindingView,
  Destination,
  RouteConfirm,
} from "../../src/protocol/exchange-commands.ts";
import { EXCHANGE_DEFAULTS, type ExchangeConfig } from "../../src/protocol/exchange-config.ts";
import { deliveryToJson, type DeliveredJson } from "../../src/protocol/message-json.ts";
import type { Result } from "../../src/protocol/result.ts";
import { batchOf, codec, must, type QueueStub } from "./queue-client.ts";

export type ExchangeStub = ReturnType<typeof env.EXCHANGES.getByName>;

const encoder = new TextEncoder();

export function exchangeStub(exchange: string): ExchangeStub {
  return env.EXCHANGES.getByName(`test/${exchange}`);
}

export async function declareExchange(
  exchange: string,
  config: Partial<ExchangeConfig> = {},
): Promise<ExchangeStub> {
  const stub = exchangeStub(exchange);
  must(await stub.declare({ ...EXCHANGE_DEFAULTS, ...config }));
  return stub;
}

/** `queue`, or `>exchange`. */
export function destinationOf(to: string): Destination {
  return to.startsWith(">") ? { exchange: to.slice(1) } : { queue: to };
}

export async function bind(
  stub: ExchangeStub,
  to: string,
  key = "#",
  headers: Binding["headers"] = null,
): Promise<BindingView> {
  return must(await stub.bind({ destination: destinationOf(to), key, headers })).binding;
}

/** A message as `topic=body`, or as a record. */
export type Told = string | Partial<MessageRecord>;

export function told(...messages: readonly Told[]): Uint8Array {
  return batchOf(
    ...messages.map((one): Partial<MessageRecord> => {
      if (typeof one !== "string") return one;
      const [routingKey = "", body = ""] = one.split("=");
      return { routingKey, body: encoder.encode(body) };
    }),
  );
}

export async function publish(stub: ExchangeStub, ...messages: readonly Told[]): Promise<RouteConfirm> {
  return must(await tryPublish(stub, ...messages));
}

export function tryPublish(stub: ExchangeStub, ...messages: readonly Told[]): Promise<Result<RouteConfirm>> {
  return stub.publish({ batch: told(...messages), mandatory: true }) as Promise<Result<RouteConfirm>>;
}

/** Takes what is ready in a queue, and settles it. */
export async function taken(stub: QueueStub): Promise<DeliveredJson[]> {
  const all: DeliveredJson[] = [];
  for (;;) {
    const delivery = must(await stub.receive({ consumer: "t", max: 4_096 }));
    const messages = deliveryToJson(delivery, codec);
    if (messages.length === 0) return all;
    all.push(...messages);
    must(await stub.settle([{ lease: delivery.lease, verdict: "ack" }]));
  }
}

export async function bodiesIn(stub: QueueStub): Promise<(string | undefined)[]> {
  return (await taken(stub)).map(({ body }) => body);
}

/** As the queue's: what the alarm does, waited for. */
export async function runExchangeAlarm(stub: ExchangeStub): Promise<void> {
  await runInDurableObject(stub, (object: ExchangeObject) => object.alarm());
}

export async function exchangeRows(stub: ExchangeStub): Promise<{ read: number; written: number }> {
  return runInDurableObject(stub, (object: ExchangeObject) => object.rows());
}
