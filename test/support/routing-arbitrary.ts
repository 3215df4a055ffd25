// Bindings and messages of small alphabets, so that they meet often.
import * as fc from "fast-check";
import type { HeaderValue, MessageRecord } from "../../src/protocol/batch.ts";
import type { Binding, BindingView, ExplainCommand } from "../../src/protocol/exchange-commands.ts";
import type { ExchangeConfig, ExchangeKind } from "../../src/protocol/exchange-config.ts";
import type { RouterBinding } from "../../src/routing/router.ts";
import { destinationKey } from "../../src/routing/explain.ts";

export const KINDS: readonly ExchangeKind[] = ["direct", "fanout", "topic", "headers", "consistent-hash"];

export const hashOn: fc.Arbitrary<ExchangeConfig["hashOn"]> = fc.constantFrom<ExchangeConfig["hashOn"]>(
  "routingKey",
  "orderingKey",
  "correlationId",
  { header: "a" },
  { header: "__proto__" },
);

const name = fc.constantFrom("a", "b", "c", "__proto__", "toString");
const plain = fc.constantFrom<HeaderValue>(1, 0, -0, "1", "", "x", true, false);
const headers = <T>(value: fc.Arbitrary<T>, minLength: number) =>
  fc
    .array(fc.tuple(name, value), { minLength, maxLength: 4 })
    .map((entries): Record<string, T> => Object.fromEntries(entries));

const filter = fc.record({
  match: fc.constantFrom("all" as const, "any" as const),
  headers: headers(fc.oneof(plain, fc.constant(null)) as fc.Arbitrary<string | number | boolean | null>, 1),
});

const words = (alphabet: string[], maxLength: number) =>
  fc.array(fc.constantFrom(...alphabet), { maxLength }).map((some) => some.join("."));
const pattern = words(["a", "b", "é", "*", "#", ""], 4).filter((text) => text.split("#").length <= 3);
const topic = words(["a", "b", "é", "*", "#", ""], 4);

const KEYS: Record<ExchangeKind, fc.Arbitrary<string>> = {
  direct: topic,
  fanout: topic,
  topic: pattern,
  headers: topic,
  "consistent-hash": fc.constantFrom("", "1", "2", "7", "100"),
};

const destination = fc.oneof(
  fc.constantFrom("q", "r", "s").map((queue) => ({ queue })),
  fc.constantFrom("q", "r").map((exchange) => ({ exchange })),
);

export function bindingOf(kind: ExchangeKind): fc.Arbitrary<Binding> {
  const filters = kind === "headers" ? filter : fc.option(filter, { nil: null });
  return fc.record({ destination, key: KEYS[kind], headers: filters });
}

/** Bytes among the headers only where they are asked for: an explain has none. */
export function messageWith(bytes: boolean): fc.Arbitrary<MessageRecord> {
  const value = bytes ? fc.oneof(plain, fc.uint8Array({ maxLength: 2 })) : plain;
  const key = fc.constantFrom("a", "b", "é".repeat(100), "x".repeat(255));
  return fc.record(
    {
      routingKey: topic,
      orderingKey: key,
      priority: fc.constant(3),
      delayMs: fc.constant(0),
      ttlMs: fc.constant(9),
      dedupId: key,
      correlationId: key,
      replyTo: key,
      headers: headers(value, 0),
      body: fc.constant(new Uint8Array(3)),
    },
    { requiredKeys: ["body"] },
  );
}

export function commandOf(message: MessageRecord): ExplainCommand {
  const { routingKey = "", headers, orderingKey, correlationId } = message;
  return {
    routingKey,
    ...(headers === undefined ? {} : { headers }),
    ...(orderingKey === undefined ? {} : { orderingKey }),
    ...(correlationId === undefined ? {} : { correlationId }),
  };
}

/** Numbers destinations in the order in which they are first met. */
export class Numbers {
  private readonly byName = new Map<string, number>();

  binding(view: BindingView): RouterBinding {
    return { ...view, name: destinationKey(view.destination), destination: this.of(view) };
  }

  of({ destination }: Binding): number {
    const name = destinationKey(destination);
    const number = this.byName.get(name) ?? this.byName.size;
    this.byName.set(name, number);
    return number;
  }
}
