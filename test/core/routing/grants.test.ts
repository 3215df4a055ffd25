import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Destination } from "../../../src/protocol/exchange-commands.ts";
import type { ExchangeKind } from "../../../src/protocol/exchange-config.ts";
import type { Claims, Grant, GrantVerb } from "../../../src/protocol/rpc.ts";
import {
  allowsName,
  allowsTopic,
  lacksBindGrant,
  lacksGrant,
  lacksTopicGrant,
  managesAll,
  mayBind,
  rateOf,
  rightsEndMs,
  scopeEndMs,
  subscriptionScope,
} from "../../../src/routing/grants.ts";
import { covers, matches } from "../../../src/routing/topic.ts";
import { fuzzRun } from "../../support/seed.ts";

const NOW = 1_000_000;
const run = fuzzRun(1_000);

function grant(verb: GrantVerb, pattern: string, more: Partial<Grant> = {}): Grant {
  return { verb, pattern, ...more };
}
const claims = (grants: readonly Grant[]): Claims => ({ namespace: "acme", subject: "w", grants });
const forbidden = (detail: string) => ({ ok: false, code: "forbidden", detail });

describe("a grant over names", () => {
  it.each([
    ["orders", "orders", true],
    ["orders", "orders.eu", false],
    ["orders.*", "orders.eu", true],
    ["orders.*", "orders", false],
    ["orders.*", "orders.eu.fast", false],
    ["orders.#", "orders", true],
    ["orders.#", "orders.eu.fast", true],
    ["orders.#", "ordersx", false],
    ["#", "anything.at.all", true],
    ["*", "one", true],
    ["*", "one.two", false],
    ["#.fast", "orders.eu.fast", true],
    ["#.fast", "fast", true],
    ["orders.#.fast", "orders.fast", true],
    ["*.#.*", "one", false],
    ["Orders", "orders", false],
  ])("%s over %s: %s", (pattern, name, allowed) => {
    expect(allowsName([grant("consume", pattern)], ["consume"], name, NOW)).toBe(allowed);
  });

  it("counts only for its verb", () => {
    const grants = [grant("publish", "orders.#"), grant("consume", "mail")];
    expect(allowsName(grants, ["publish"], "orders.eu", NOW)).toBe(true);
    expect(allowsName(grants, ["consume"], "orders.eu", NOW)).toBe(false);
    expect(allowsName(grants, ["manage", "consume"], "mail", NOW)).toBe(true);
    expect(allowsName([], ["publish"], "mail", NOW)).toBe(false);
  });

  it("is none when it names an exchange", () => {
    const grants = [grant("manage", "#", { exchange: "orders" })];
    expect(allowsName(grants, ["manage"], "orders", NOW)).toBe(false);
    expect(managesAll(grants, NOW)).toBe(false);
    expect(managesAll([grant("manage", "#")], NOW)).toBe(true);
    expect(managesAll([grant("manage", "#.#"), grant("consume", "#")], NOW)).toBe(false);
  });

  it("ends at its own time", () => {
    const grants = [grant("manage", "#", { expiresMs: NOW })];
    expect(allowsName(grants, ["manage"], "mail", NOW - 1)).toBe(true);
    expect(allowsName(grants, ["manage"], "mail", NOW)).toBe(false);
    expect(managesAll(grants, NOW - 1)).toBe(true);
    expect(managesAll(grants, NOW)).toBe(false);
  });

  it("is missed by name", () => {
    expect(lacksGrant(claims([grant("manage", "mail")]), ["manage"], "mail", NOW)).toBeNull();
    expect(lacksGrant(claims([]), ["publish", "manage"], "mail", NOW)).toEqual(
      forbidden('token: has no grant to publish or manage "mail"'),
    );
  });

  it("tells when what it gives ends", () => {
    const grants = [
      grant("publish", "mail", { expiresMs: NOW + 5 }),
      grant("publish", "#", { expiresMs: NOW + 9 }),
      grant("consume", "mail", { expiresMs: NOW + 7 }),
      grant("consume", "other"),
      grant("manage", "mail", { expiresMs: NOW }),
    ];
    expect(rightsEndMs(grants, ["publish"], "mail", NOW)).toBe(NOW + 9);
    expect(rightsEndMs(grants, ["publish", "consume", "manage"], "mail", NOW)).toBe(NOW + 7);
    expect(rightsEndMs(grants, ["consume"], "other", NOW)).toBeNull();
    expect(rightsEndMs(grants, ["manage"], "mail", NOW)).toBeNull();
  });
});

describe("a grant over topics", () => {
  it("holds in every exchange, or in the one that it names", () => {
    const grants = [grant("publish", "orders.*"), grant("publish", "#", { exchange: "log" })];
    expect(allowsTopic(grants, "publish", "events", "orders.eu", NOW)).toBe(true);
    expect(allowsTopic(grants, "publish", "events", "mail", NOW)).toBe(false);
    expect(allowsTopic(grants, "publish", "log", "mail", NOW)).toBe(true);
    expect(allowsTopic(grants, "subscribe", "log", "mail", NOW)).toBe(false);
    expect(allowsTopic(grants, "publish", "events", "", NOW)).toBe(false);
    expect(allowsTopic(grants, "publish", "log", "", NOW)).toBe(true);
    const ending = [grant("publish", "#", { exchange: "log", expiresMs: NOW })];
    expect(allowsTopic(ending, "publish", "log", "mail", NOW - 1)).toBe(true);
    expect(allowsTopic(ending, "publish", "log", "mail", NOW)).toBe(false);
  });

  it("is missed by topic and exchange", () => {
    const some = claims([grant("publish", "orders.*")]);
    expect(lacksTopicGrant(some, "publish", "events", "orders.eu", NOW)).toBeNull();
    expect(lacksTopicGrant(some, "publish", "events", "mail", NOW)).toEqual(
      forbidden('token: has no grant to publish "mail" in "events"'),
    );
  });
});

describe(`a subscription's scope, FUZZ_SEED=${run.seed}`, () => {
  const scope = (patterns: readonly string[], pattern: string) =>
    subscriptionScope(
      patterns.map((one) => grant("subscribe", one)),
      "events",
      pattern,
      NOW,
    );

  it("is what both the grants and the pattern match", () => {
    expect(scope(["orders.eu.*"], "orders.eu.#")).toEqual({ kind: "filtered", patterns: ["orders.eu.*"] });
    expect(scope(["orders.#"], "orders.eu.#")).toEqual({ kind: "all" });
    expect(scope(["mail.#"], "orders.eu.#")).toEqual({ kind: "none" });
    expect(scope([], "#")).toEqual({ kind: "none" });
    expect(scope(["b.*", "a", "b.*", "c.x"], "#")).toEqual({
      kind: "filtered",
      patterns: ["a", "b.*", "c.x"],
    });
  });

  it("comes from live subscribe grants over that exchange alone", () => {
    const grants = [
      grant("publish", "#"),
      grant("subscribe", "#", { exchange: "other" }),
      grant("subscribe", "#", { expiresMs: NOW }),
      grant("subscribe", "a", { exchange: "events", expiresMs: NOW + 4 }),
      grant("subscribe", "b", { expiresMs: NOW + 3 }),
      grant("subscribe", "c"),
    ];
    expect(subscriptionScope(grants, "events", "#", NOW)).toEqual({
      kind: "filtered",
      patterns: ["a", "b", "c"],
    });
    expect(scopeEndMs(grants, "events", NOW)).toBe(NOW + 3);
    expect(scopeEndMs(grants, "events", NOW + 4)).toBeNull();
  });

  it("lets a topic through exactly when a grant allows it", () => {
    const word = fc.constantFrom("a", "b", "*", "#", "");
    const pattern = fc
      .array(word, { maxLength: 3 })
      .filter((words) => words.filter((one) => one === "#").length <= 2)
      .map((words) => words.join("."));
    const topic = fc.array(fc.constantFrom("a", "b", "c", ""), { maxLength: 4 }).map((all) => all.join("."));
    const property = fc.property(
      fc.array(pattern, { maxLength: 4 }),
      pattern,
      fc.array(topic, { maxLength: 20 }),
      (patterns, wanted, topics) => {
        const grants = patterns.map((one) => grant("subscribe", one));
        const found = scope(patterns, wanted);
        for (const one of topics.filter((any) => matches(wanted, any))) {
          const passes =
            found.kind === "all" ||
            (found.kind === "filtered" && found.patterns.some((some) => matches(some, one)));
          expect(passes).toBe(allowsTopic(grants, "subscribe", "events", one, NOW));
        }
        if (found.kind !== "all") expect(patterns.some((one) => covers(one, wanted))).toBe(false);
      },
    );
    fc.assert(property, run);
  });
});

describe("a grant to bind", () => {
  const queue: Destination = { queue: "mail" };
  const manage = grant("manage", "mail");
  const may = (
    grants: readonly Grant[],
    kind: ExchangeKind,
    key: string,
    destination: Destination = queue,
  ): boolean => mayBind(grants, { name: "orders", kind }, { destination, key }, NOW);

  it("takes manage of the destination and of the exchange", () => {
    expect(may([manage, grant("manage", "orders")], "fanout", "")).toBe(true);
    expect(may([manage], "fanout", "")).toBe(false);
    expect(may([grant("manage", "orders")], "fanout", "")).toBe(false);
    expect(may([grant("manage", "*")], "topic", "#", { exchange: "other" })).toBe(true);
    expect(may([grant("manage", "#", { exchange: "orders" }), manage], "topic", "#")).toBe(false);
  });

  it.each<[ExchangeKind, string, string, boolean]>([
    ["topic", "a.#", "a.*", true],
    ["topic", "a.*", "a.#", false],
    ["topic", "*", "#", false],
    ["direct", "a.*", "a.b", true],
    ["direct", "a.*", "a.b.c", false],
    ["direct", "a.*", "a.#", true],
    ["direct", "#", "", true],
    ["fanout", "a.*", "a.b", false],
    ["fanout", "#", "", true],
    ["fanout", "#.#", "", true],
    ["headers", "a", "a", false],
    ["headers", "#", "a", true],
    ["consistent-hash", "1", "1", false],
    ["consistent-hash", "#", "1", true],
  ])("or to see all that the binding takes: kind %s, grant %s, key %s: %s", (kind, pattern, key, allowed) => {
    expect(may([manage, grant("subscribe", pattern)], kind, key)).toBe(allowed);
    expect(may([manage, grant("subscribe", pattern, { exchange: "orders" })], kind, key)).toBe(allowed);
    expect(may([manage, grant("subscribe", pattern, { exchange: "other" })], kind, key)).toBe(false);
    expect(may([manage, grant("subscribe", pattern, { expiresMs: NOW })], kind, key)).toBe(false);
    expect(may([manage, grant("consume", pattern)], kind, key)).toBe(false);
  });

  it("says which half is missing", () => {
    const binding = { destination: queue, key: "a" };
    const exchange = { name: "orders", kind: "topic" } as const;
    expect(lacksBindGrant(claims([]), exchange, binding, NOW)).toEqual(
      forbidden('token: has no grant to manage "mail"'),
    );
    expect(lacksBindGrant(claims([manage]), exchange, binding, NOW)).toEqual(
      forbidden(
        'token: has no grant to manage "orders" or to subscribe to all that the binding takes from it',
      ),
    );
    expect(lacksBindGrant(claims([manage, grant("subscribe", "*")]), exchange, binding, NOW)).toBeNull();
  });
});

describe("a grant's rate", () => {
  const grants = [
    grant("publish", "orders.#", { ratePerSecond: 5 }),
    grant("publish", "orders.eu", { ratePerSecond: 20 }),
    grant("publish", "#", { exchange: "log", ratePerSecond: 7 }),
    grant("publish", "mail"),
    grant("publish", "mail", { ratePerSecond: 1 }),
    grant("publish", "#", { expiresMs: NOW }),
    grant("consume", "#"),
  ];

  it("is the highest of those that allow it, and none when one has none", () => {
    expect(rateOf(grants, "publish", { name: "orders.us" }, NOW)).toBe(5);
    expect(rateOf(grants, "publish", { name: "orders.eu" }, NOW)).toBe(20);
    expect(rateOf(grants, "publish", { name: "mail" }, NOW)).toBeNull();
    expect(rateOf(grants, "publish", { name: "x" }, NOW)).toBe(0);
    expect(rateOf(grants, "publish", { name: "x" }, NOW - 1)).toBeNull();
    expect(rateOf(grants, "publish", { exchange: "log", topic: "x" }, NOW)).toBe(7);
    expect(rateOf(grants, "publish", { exchange: "log", topic: "orders.eu" }, NOW)).toBe(20);
    expect(rateOf(grants, "publish", { exchange: "events", topic: "x" }, NOW)).toBe(0);
  });
});
