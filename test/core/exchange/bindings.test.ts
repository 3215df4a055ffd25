// Bindings: which are the same, how many there may be, and what goes when they go.
import { describe, expect, it } from "vitest";
import { Bindings } from "../../../src/exchange/bindings.ts";
import type { Binding, BindingView, HeadersFilter } from "../../../src/protocol/exchange-commands.ts";
import { EXCHANGE_DEFAULTS } from "../../../src/protocol/exchange-config.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { LinearMatcher } from "../../../src/routing/linear-matcher.ts";
import { expectRefused, inBothLives, ways, type ExchangeHarness } from "../../support/exchange-harness.ts";
import { wasmCodec } from "../../support/queue-harness.ts";
import { must } from "../../support/queue-lives.ts";

const Q = { queue: "q" };

function filter(headers: HeadersFilter["headers"], match: "all" | "any" = "all"): HeadersFilter {
  return { match, headers };
}

function tryBind(e: ExchangeHarness, binding: Partial<Binding>) {
  return e.run((exchange) => exchange.bind({ destination: Q, key: "", headers: null, ...binding }));
}

function ids(e: ExchangeHarness): number[] {
  return e.run((exchange) => exchange.bindingsPage(0, 999)).bindings.map(({ id }) => id);
}

describe("binding", () => {
  it("is refused when all patterns together have more words than one topic may have to be led along", () => {
    const config = { ...EXCHANGE_DEFAULTS, kind: "topic" } as const;
    // As many of the longest pattern as fit, all but one word.
    const long = Array.from({ length: 127 }, () => "*").join(".");
    const count = Math.floor(LIMITS.patternWordsMax / 127);
    const all: BindingView[] = Array.from({ length: count }, (_, id) => ({
      id,
      destination: Q,
      key: long,
      headers: filter({ n: id }),
    }));
    const store = { all: () => all, put: () => undefined, remove: () => undefined };
    const counters = { read: () => count, write: () => undefined };
    const bindings = new Bindings(config, store, counters, {
      codec: wasmCodec(),
      makeMatcher: () => new LinearMatcher(),
    });
    const rest = LIMITS.patternWordsMax - count * 127;
    const words = (size: number): string => Array.from({ length: size }, () => "a").join(".");
    expectRefused(
      bindings.bind({ destination: Q, key: words(rest + 1), headers: null }),
      "too_many_bindings",
    );
    must(bindings.bind({ destination: Q, key: words(rest), headers: null }));
    expectRefused(bindings.bind({ destination: Q, key: "b", headers: null }), "too_many_bindings");
    bindings.unbind(0);
    must(bindings.bind({ destination: Q, key: "b", headers: null }));
  });

  inBothLives("the same again finds what is there", (make) => {
    const e = make();
    expect(must(tryBind(e, { key: "a.*" }))).toMatchObject({ created: true, binding: { id: 1 } });
    expect(must(tryBind(e, { key: "a.*" }))).toMatchObject({ created: false, binding: { id: 1 } });
    expect(ways(e.publish("a.b=1"))).toEqual(["q:0"]);
    expect(must(e.run((exchange) => exchange.unbind(1)))).toEqual({
      id: 1,
      destination: Q,
      key: "a.*",
      headers: null,
    });
    expect(ways(e.publish("a.b=1"))).toEqual([]);
  });

  inBothLives("is told apart by destination, key and filter, whatever the order of the headers", (make) => {
    const e = make();
    const different: Partial<Binding>[] = [
      {},
      { key: "k" },
      { destination: { exchange: "q" } },
      { headers: filter({ a: 1, b: "x" }) },
      { headers: filter({ a: 1, b: "x" }, "any") },
      { headers: filter({ a: "1", b: "x" }) },
      { headers: filter({ a: null, b: "x" }) },
      { headers: filter({ a: 1 }) },
    ];
    for (const binding of different) expect(must(tryBind(e, binding)).created).toBe(true);
    expect(must(tryBind(e, { headers: filter({ b: "x", a: 1 }) }))).toMatchObject({
      created: false,
      binding: { id: 4 },
    });
    expect(ids(e)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  inBothLives("is refused where the kind can't read it, and leaves nothing behind", (make) => {
    const topic = make();
    expectRefused(tryBind(topic, { key: "#.#.#" }), "bad_request");
    const headers = make({ config: { kind: "headers" } });
    expectRefused(tryBind(headers, {}), "bad_request");
    const hash = make({ config: { kind: "consistent-hash" } });
    expectRefused(tryBind(hash, { key: "101" }), "bad_request");
    for (const e of [topic, headers, hash]) expect(e.info().bindings).toBe(0);
  });

  inBothLives("gives no id twice, not even that of a binding that is gone", (make) => {
    const e = make();
    const { id } = e.bind({ destination: Q });
    must(e.run((exchange) => exchange.unbind(id)));
    expectRefused(
      e.run((exchange) => exchange.unbind(id)),
      "binding_not_found",
    );
    expect(e.bind({ destination: Q }).id).toBe(id + 1);
  });

  inBothLives("lists page by page, in the order in which they were made", (make) => {
    const e = make();
    for (const key of ["c", "a", "b"]) e.bind({ destination: Q, key });
    const page = (after: number, limit: number) => e.run((exchange) => exchange.bindingsPage(after, limit));
    expect(page(0, 2)).toMatchObject({ bindings: [{ key: "c" }, { key: "a" }], after: 2 });
    expect(page(2, 2).bindings).toMatchObject([{ key: "b" }]);
    expect(page(2, 1)).not.toHaveProperty("after");
  });
});

describe("unbinding", () => {
  inBothLives("leaves what other bindings lead to the same queue", (make) => {
    const e = make();
    e.bind({ destination: Q, key: "a" });
    e.bind({ destination: Q, key: "b" });
    must(e.run((exchange) => exchange.unbind(1)));
    expect(e.run((exchange) => exchange.leadsTo(Q))).toBe(true);
    expect(ways(e.publish("a=1", "b=2"))).toEqual(["q:1"]);
  });

  inBothLives("everything of one destination spares the exchange of its name", (make) => {
    const e = make();
    for (const key of ["a", "b"]) {
      e.bind({ destination: Q, key });
      e.bind({ destination: { exchange: "q" }, key });
    }
    expect(e.run((exchange) => exchange.unbindAll(Q))).toBe(2);
    expect(e.run((exchange) => exchange.unbindAll(Q))).toBe(0);
    expect(e.run((exchange) => exchange.leadsTo(Q))).toBe(false);
    expect(ways(e.publish("a=1", "b=2"))).toEqual([">q:0,1"]);
  });

  inBothLives("lets another destination take the place, and none of the messages", (make) => {
    const e = make();
    for (const queue of ["q", "r", "s"]) e.bind({ destination: { queue }, key: queue });
    e.run((exchange) => exchange.unbindAll({ queue: "r" }));
    e.bind({ destination: { queue: "t" }, key: "t" });
    expect(ways(e.publish("q=", "r=", "s=", "t="))).toEqual(["q:0", "s:2", "t:3"]);
    expect(e.run((exchange) => exchange.destinations())).toHaveLength(3);
  });
});

describe("the number of bindings", () => {
  const queueOf = (id: number, queues: number) => ({ queue: `q${id % queues}` });
  const many = (count: number, queues: number): BindingView[] =>
    Array.from({ length: count }, (_, i) => ({
      id: i + 1,
      destination: queueOf(i, queues),
      key: `k${i}`,
      headers: null,
    }));

  /** Over stores that hold so many already. */
  function holding(bindings: BindingView[]): { bindings: Bindings; put: BindingView[] } {
    const put: BindingView[] = [];
    const store = { all: () => bindings, put: (one: BindingView) => put.push(one), remove: () => undefined };
    const counters = { read: () => bindings.length, write: () => undefined };
    const parts = { codec: wasmCodec(), makeMatcher: () => new LinearMatcher() };
    return { bindings: new Bindings({ ...EXCHANGE_DEFAULTS, kind: "direct" }, store, counters, parts), put };
  }

  it("has a bound, and those that are there are still found", () => {
    const { bindings, put } = holding(many(LIMITS.bindingsMax, 10));
    const fresh = { destination: queueOf(0, 10), key: "new", headers: null };
    expectRefused(bindings.bind(fresh), "too_many_bindings");
    expect(must(bindings.bind({ ...fresh, key: "k0" })).created).toBe(false);
    bindings.unbind(1);
    expect(must(bindings.bind(fresh)).created).toBe(true);
    expectRefused(bindings.bind({ ...fresh, key: "newer" }), "too_many_bindings");
    expect(put).toHaveLength(1);
  });

  it("is bounded in destinations too; another binding to a known one is not another", () => {
    const { bindings } = holding(many(LIMITS.destinationsMax, LIMITS.destinationsMax));
    const other = { destination: { queue: "other" }, key: "k", headers: null };
    expectRefused(bindings.bind(other), "too_many_bindings");
    expectRefused(bindings.bind({ ...other, destination: { exchange: "q0" } }), "too_many_bindings");
    expect(must(bindings.bind({ ...other, destination: { queue: "q0" } })).created).toBe(true);
    bindings.unbindAll({ queue: "q1" });
    expect(must(bindings.bind(other)).created).toBe(true);
  });
});

describe("an exchange that may go by itself", () => {
  inBothLives("goes only after it was used, when nothing is left", (make) => {
    const e = make({ config: { autoDelete: true } });
    const isAbandoned = (): boolean => e.run((exchange) => exchange.isAbandoned);
    expect(isAbandoned()).toBe(false);
    e.bind({ destination: Q });
    expect(isAbandoned()).toBe(false);
    must(e.run((exchange, nowMs) => exchange.attach("7", nowMs)));
    e.run((exchange) => exchange.unbindAll(Q));
    expect(isAbandoned()).toBe(false);
    e.run((exchange) => exchange.detach("7"));
    expect(isAbandoned()).toBe(true);
  });

  inBothLives("stays while it holds a message, on a delay or on its way", (make) => {
    const e = make({ config: { autoDelete: true } });
    const isAbandoned = (): boolean => e.run((exchange) => exchange.isAbandoned);
    e.bind({ destination: Q, key: "#" });
    e.publish({ routingKey: "a", delayMs: 5 });
    e.acceptMoved("d", 1, "a=dead");
    e.run((exchange) => exchange.unbindAll(Q));
    expect(isAbandoned()).toBe(false);
    expect(e.carried()).toHaveLength(1);
    expect(isAbandoned()).toBe(false);
    e.advance(5);
    expect(isAbandoned()).toBe(true);
  });

  inBothLives("never goes unless it was declared so", (make) => {
    const e = make();
    e.bind({ destination: Q });
    e.run((exchange) => exchange.unbindAll(Q));
    expect(e.run((exchange) => exchange.isAbandoned)).toBe(false);
  });
});
