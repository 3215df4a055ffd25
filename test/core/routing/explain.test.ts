import { describe, expect, it } from "vitest";
import type { BindingView, ExplainCommand, HeadersFilter } from "../../../src/protocol/exchange-commands.ts";
import type { ExchangeKind } from "../../../src/protocol/exchange-config.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { destinationKey, explain } from "../../../src/routing/explain.ts";

function bindings(...some: [queue: string, key: string, headers?: HeadersFilter][]): BindingView[] {
  return some.map(([queue, key, headers = null], i) => ({
    id: i + 1,
    destination: { queue },
    key,
    headers,
  }));
}

const eu: HeadersFilter = { match: "all", headers: { region: "eu" } };

/** `[id, matches, why]` in the order of the answer. */
function told(kind: ExchangeKind, some: BindingView[], command: Partial<ExplainCommand>) {
  const answer = explain({ kind, hashOn: "routingKey" }, some, { routingKey: "", ...command });
  return answer.bindings.map(({ binding, matches, why }) => [binding.id, matches, why]);
}

describe("an explanation", () => {
  it("of a direct exchange compares keys", () => {
    const some = bindings(["q", "b"], ["r", "a"], ["s", "a", eu], ["t", "b", eu]);
    expect(told("direct", some, { routingKey: "a", headers: { region: "us" } })).toEqual([
      [2, true, 'the key is "a"'],
      [1, false, 'key "a" is not "b"'],
      [3, false, 'header "region": is "us", not "eu"'],
      [4, false, 'key "a" is not "b"'],
    ]);
  });

  it("of a topic exchange names the word", () => {
    const some = bindings(["q", "orders.us"], ["r", "orders.*", eu]);
    expect(told("topic", some, { routingKey: "orders.eu", headers: { region: "eu" } })).toEqual([
      [2, true, "every word fits; the headers fit"],
      [1, false, 'word 2: "eu" is not "us"'],
    ]);
  });

  it("of exchanges that read no key names the header", () => {
    expect(told("headers", bindings(["q", "", eu]), {})).toEqual([[1, false, 'header "region": is missing']]);
    expect(told("fanout", bindings(["q", "a"], ["r", "", eu]), { headers: { region: "eu" } })).toEqual([
      [1, true, "fanout reads no key"],
      [2, true, "fanout reads no key; the headers fit"],
    ]);
  });

  it("of a consistent-hash exchange tells weights", () => {
    const some = bindings(["q", ""], ["r", "100"], ["q", "2"], ["s", "100", eu]);
    expect(told("consistent-hash", some, { routingKey: "a" })).toEqual([
      [2, true, "weight 100: chosen"],
      [1, false, "weight 1: not chosen"],
      [3, false, "weight 2: not chosen"],
      [4, false, 'header "region": is missing'],
    ]);
    expect(told("consistent-hash", bindings(["q", ""], ["q", "2"]), {})).toEqual([
      [2, true, "weight 2: chosen"],
      [1, false, "weight 1: not chosen"],
    ]);
    expect(told("consistent-hash", bindings(["s", "7", eu]), { headers: { region: "eu" } })).toEqual([
      [1, true, "weight 7: chosen; the headers fit"],
    ]);
    expect(told("consistent-hash", bindings(["s", "7", eu]), {})).toEqual([
      [1, false, 'header "region": is missing'],
    ]);
  });

  it("tells each destination once, queues and exchanges apart", () => {
    const some: BindingView[] = [
      ...bindings(["q", "a"], ["q", "#"], ["r", "b"]),
      { id: 4, destination: { exchange: "q" }, key: "*", headers: null },
    ];
    const answer = explain({ kind: "topic", hashOn: "routingKey" }, some, { routingKey: "a" });
    expect(answer.destinations).toEqual([{ queue: "q" }, { exchange: "q" }]);
    expect(answer.bindingsTotal).toBe(4);
    // Hashed by consistent-hash, so these never change.
    expect(destinationKey({ queue: "q" })).toBe("queue:q");
    expect(destinationKey({ exchange: "q" })).toBe("exchange:q");
  });

  it("tells of so many bindings and no more, those that match first, and of all destinations", () => {
    const many = bindings(
      ...Array.from({ length: LIMITS.explainMax + 5 }, (_, i): [string, string] => [`q${i}`, "b"]),
      ["last", "a"],
    );
    const answer = explain({ kind: "direct", hashOn: "routingKey" }, many, { routingKey: "a" });
    expect(answer.bindings).toHaveLength(LIMITS.explainMax);
    expect(answer.bindings[0]).toMatchObject({ matches: true, binding: { destination: { queue: "last" } } });
    expect(answer.bindingsTotal).toBe(LIMITS.explainMax + 6);
    const all = explain({ kind: "fanout", hashOn: "routingKey" }, many, { routingKey: "a" });
    expect(all.destinations).toHaveLength(LIMITS.explainMax + 6);
  });
});
