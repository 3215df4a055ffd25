// Every kind of exchange, with the linear matcher and with the trie, held against reading each binding on its own.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MessageRecord, RecordTable } from "../../../src/protocol/batch.ts";
import type { Binding, BindingView } from "../../../src/protocol/exchange-commands.ts";
import type { ExchangeKind } from "../../../src/protocol/exchange-config.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { readCorrelationId, readHeaders, readRecord } from "../../../src/protocol/record.ts";
import { TypeScriptBatchCodec } from "../../../src/protocol/typescript-batch-codec.ts";
import { explain } from "../../../src/routing/explain.ts";
import { filterMatches } from "../../../src/routing/headers-filter.ts";
import { LinearMatcher } from "../../../src/routing/linear-matcher.ts";
import { checkBinding, createRouter, type Router, type RouterBinding } from "../../../src/routing/router.ts";
import { matches } from "../../../src/routing/topic.ts";
import { WasmMatcher } from "../../../src/routing/wasm-matcher.ts";
import { goodRecord } from "../../support/record-arbitrary.ts";
import {
  bindingOf,
  commandOf,
  hashOn,
  KINDS,
  messageWith,
  Numbers,
} from "../../support/routing-arbitrary.ts";
import { fuzzRun } from "../../support/seed.ts";
import { loadWasmModule } from "../../support/wasm-module.ts";

const run = fuzzRun(500);
const codec = new TypeScriptBatchCodec();
const MATCHERS = {
  linear: () => new LinearMatcher(),
  wasm: () => new WasmMatcher(loadWasmModule()),
};

function batchOf(messages: readonly MessageRecord[]): { batch: Uint8Array; table: RecordTable } {
  const batch = codec.encode(messages, { origin: 0, firstSequence: 0, timeMs: 0 }, "broker");
  if (!batch.ok) throw new Error(batch.detail);
  const table = codec.scan(batch.value, "broker");
  if (!table.ok) throw new Error(table.detail);
  return { batch: batch.value, table: table.value };
}

/** For each destination, the indexes of its messages. */
function routed(router: Router, messages: readonly MessageRecord[]): Record<number, number[]> {
  const { batch, table } = batchOf(messages);
  const found = router.route(batch, table);
  expect([...found.destinations]).toEqual([...new Set(found.destinations)].sort((a, b) => a - b));
  return Object.fromEntries(found.destinations.map((number, k) => [number, [...found.messages[k]!]]));
}

function takes(kind: ExchangeKind, { key, headers }: Binding, message: MessageRecord): boolean {
  const { routingKey = "" } = message;
  if (headers !== null && !filterMatches(headers, message.headers ?? {})) return false;
  return kind === "direct" ? key === routingKey : kind !== "topic" || matches(key, routingKey);
}

/** Destinations by message, turned over into messages by destination. */
function byDestination(all: readonly (readonly number[])[]): Record<number, number[]> {
  const result: Record<number, number[]> = {};
  for (const [index, numbers] of all.entries()) {
    for (const number of new Set(numbers)) (result[number] ??= []).push(index);
  }
  return result;
}

/** What is left after each binding was added, and those marked taken out again, in between and at the end. */
function build(
  router: Router,
  bindings: readonly (readonly [Binding, boolean])[],
  numbers: Numbers,
): BindingView[] {
  const left: BindingView[] = [];
  const leaving: RouterBinding[] = [];
  for (const [i, [binding, leaves]] of bindings.entries()) {
    const view = { id: i + 1, ...binding };
    expect(router.add(numbers.binding(view)).ok).toBe(true);
    if (leaves) leaving.push(numbers.binding(view));
    else left.push(view);
    if (i % 3 === 0) for (const gone of leaving.splice(0)) router.remove(gone);
  }
  for (const gone of leaving) router.remove(gone);
  return left;
}

describe.each(["linear", "wasm"] as const)(
  `routers with the %s matcher, FUZZ_SEED=${run.seed}`,
  (matcher) => {
    it.each(KINDS.filter((kind) => kind !== "consistent-hash"))(
      "find what each binding takes: %s",
      (kind) => {
        const property = fc.property(
          fc.array(fc.tuple(bindingOf(kind), fc.boolean()), { maxLength: 20 }),
          fc.array(messageWith(true), { minLength: 1, maxLength: 12 }),
          (bindings, messages) => {
            const numbers = new Numbers();
            const router = createRouter(kind, "routingKey", MATCHERS[matcher]);
            const left = build(router, bindings, numbers);
            const expected = messages.map((message) =>
              left.filter((binding) => takes(kind, binding, message)).map((binding) => numbers.of(binding)),
            );
            expect(routed(router, messages)).toEqual(byDestination(expected));
            for (const view of left) router.remove(numbers.binding(view));
            expect(routed(router, messages)).toEqual({});
          },
        );
        fc.assert(property, run);
      },
    );
  },
);

describe(`routers, FUZZ_SEED=${run.seed}`, () => {
  it.each(KINDS)("do what explain tells: %s", (kind) => {
    const property = fc.property(
      hashOn,
      fc.array(fc.tuple(bindingOf(kind), fc.boolean()), { maxLength: 12 }),
      fc.array(messageWith(false), { minLength: 1, maxLength: 8 }),
      (hashOn, bindings, messages) => {
        const numbers = new Numbers();
        const router = createRouter(kind, hashOn, MATCHERS.linear);
        const left = build(router, bindings, numbers);
        const expected = messages.map((message) => {
          const answer = explain({ kind, hashOn }, left, commandOf(message));
          const matching = answer.bindings.filter((one) => one.matches).map((one) => one.binding);
          const told = answer.destinations.map((destination) => numbers.of({ ...left[0]!, destination }));
          expect(new Set(told)).toEqual(new Set(matching.map((binding) => numbers.of(binding))));
          expect(new Set(told).size).toBe(told.length);
          return told;
        });
        expect(routed(router, messages)).toEqual(byDestination(expected));
      },
    );
    fc.assert(property, run);
  });

  it.each(KINDS)("do the same for large batches as for each message alone: %s", (kind) => {
    const property = fc.property(
      hashOn,
      fc.array(bindingOf(kind), { minLength: 1, maxLength: 12 }),
      fc.array(messageWith(true), { minLength: 3, maxLength: 5 }),
      (hashOn, bindings, some) => {
        const numbers = new Numbers();
        const router = createRouter(kind, hashOn, MATCHERS.linear);
        build(
          router,
          bindings.map((binding) => [binding, false] as const),
          numbers,
        );
        // 37 and the parts' size have no common divisor, so a part that is taken for another shows.
        const messages = Array.from({ length: 1_100 }, (_, i) => some[(i % 37) % some.length]!);
        const alone = some.map((message) => Object.keys(routed(router, [message])).map(Number));
        const expected = messages.map((_, i) => alone[(i % 37) % some.length]!);
        expect(routed(router, messages)).toEqual(byDestination(expected));
      },
    );
    fc.assert(property, { ...run, numRuns: Math.ceil(run.numRuns / 50) });
  });

  it("ask the matcher in parts when many patterns have filters", () => {
    const router = createRouter("topic", "routingKey", MATCHERS.wasm);
    // 3,000 patterns that all match, so that at most 349 messages are asked for at once.
    const patterns = Array.from({ length: 3_000 }, (_, i) =>
      [...Array(12).keys()].map((bit) => ((i >> bit) & 1 ? "*" : "a")).join("."),
    );
    for (const [id, key] of patterns.entries()) {
      const headers = { match: "all" as const, headers: { n: id % 700 } };
      expect(router.add({ id, destination: id % 1_000, name: `queue:${id % 1_000}`, key, headers }).ok).toBe(
        true,
      );
    }
    const routingKey = Array(12).fill("a").join(".");
    const messages = Array.from({ length: 800 }, (_, n) => ({
      routingKey,
      headers: { n },
      body: new Uint8Array(),
    }));
    const expected = messages.map((_, n) =>
      patterns
        .map((_, id) => id)
        .filter((id) => id % 700 === n)
        .map((id) => id % 1_000),
    );
    expect(routed(router, messages)).toEqual(byDestination(expected));
  });

  it("read fields of a record as readRecord does", () => {
    const property = fc.property(fc.array(goodRecord, { minLength: 1, maxLength: 3 }), (records) => {
      const { batch, table } = batchOf(records);
      for (let i = 0; i < table.count; i++) {
        const record = readRecord(batch, table.offset(i));
        expect(readHeaders(batch, table.offset(i))).toEqual(record.headers ?? null);
        expect(readCorrelationId(batch, table.offset(i))).toBe(record.correlationId ?? null);
      }
    });
    fc.assert(property, run);
  });

  it("hold bindings to what the caller promises", () => {
    const binding = { id: 1, destination: 0, name: "queue:q", key: "a", headers: null };
    const router = createRouter("direct", "routingKey", MATCHERS.linear);
    expect(() => router.remove(binding)).toThrow();
    expect(() => router.add({ ...binding, destination: LIMITS.destinationsMax })).toThrow("out of range");
    expect(router.add(binding)).toEqual({ ok: true, value: undefined });
  });
});

describe("a binding", () => {
  const filter = { match: "all", headers: { a: 1 } } as const;
  const refused = (detail: string) => ({ ok: false, code: "bad_request", detail });

  it.each<[ExchangeKind, string]>([
    ["direct", "#.#.#"],
    ["fanout", "anything"],
    ["topic", "a.*.#"],
    ["topic", ""],
    ["consistent-hash", ""],
    ["consistent-hash", "1"],
    ["consistent-hash", "100"],
  ])("of kind %s may have the key %j, with a filter or without", (kind, key) => {
    expect(checkBinding(kind, key, null).ok).toBe(true);
    expect(checkBinding(kind, key, filter).ok).toBe(true);
  });

  it("of kind headers needs a filter, and a filter names a header", () => {
    expect(checkBinding("headers", "a", filter).ok).toBe(true);
    expect(checkBinding("headers", "", null)).toEqual(
      refused("headers: is missing; bindings of an exchange of kind headers need a filter"),
    );
    for (const kind of KINDS) {
      const empty = { match: "all", headers: {} } as const;
      expect(checkBinding(kind, "1", empty)).toEqual(refused("headers: must name a header"));
      expect(createRouter(kind, "routingKey", MATCHERS.linear).add({ ...bad, headers: empty }).ok).toBe(
        false,
      );
    }
  });

  it("of kind topic has a pattern for its key", () => {
    expect(checkBinding("topic", "#.#.#", null)).toEqual(refused('key: has more than 2 words "#"'));
    expect(createRouter("topic", "routingKey", MATCHERS.linear).add({ ...bad, key: "#.#.#" }).ok).toBe(false);
  });

  it.each(["0", "101", "1.5", "-1", "01", " 1", "1e1", "a", "1000"])(
    "of kind consistent-hash has no weight %j",
    (key) => {
      expect(checkBinding("consistent-hash", key, null)).toEqual(
        refused("key: must be the binding's weight, a whole number from 1 to 100"),
      );
    },
  );
});

const bad = { id: 1, destination: 0, name: "queue:q", key: "1", headers: null };
