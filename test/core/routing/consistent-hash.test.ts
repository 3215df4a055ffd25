import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HeadersFilter } from "../../../src/protocol/exchange-commands.ts";
import type { ExchangeConfig } from "../../../src/protocol/exchange-config.ts";
import type { MessageRecord } from "../../../src/protocol/batch.ts";
import { TypeScriptBatchCodec } from "../../../src/protocol/typescript-batch-codec.ts";
import { hashHeader, hashText, score, wins } from "../../../src/protocol/rendezvous.ts";
import { createRouter, type Router } from "../../../src/routing/router.ts";
import { fuzzRun } from "../../support/seed.ts";

const run = fuzzRun(200);
const codec = new TypeScriptBatchCodec();
const EMPTY = new Uint8Array();

interface Share {
  readonly name: string;
  readonly weight?: string;
  readonly number?: number;
  readonly headers?: HeadersFilter;
}

function hashRouter(shares: readonly Share[], hashOn: ExchangeConfig["hashOn"] = "routingKey"): Router {
  const router = createRouter("consistent-hash", hashOn, () => {
    throw new Error("no topics here");
  });
  for (const [id, { name, weight = "", number, headers = null }] of shares.entries()) {
    router.add({ id, destination: number ?? id, name, key: weight, headers });
  }
  return router;
}

/** Each message's destination, by number. */
function choices(router: Router, messages: readonly MessageRecord[]): (number | null)[] {
  const batch = codec.encode(messages, { origin: 0, firstSequence: 0, timeMs: 0 }, "client");
  if (!batch.ok) throw new Error(batch.detail);
  const table = codec.scan(batch.value, "client");
  if (!table.ok) throw new Error(table.detail);
  const chosen: (number | null)[] = messages.map(() => null);
  const { destinations, messages: indexes } = router.route(batch.value, table.value);
  for (const [k, destination] of destinations.entries()) {
    for (const index of indexes[k]!) {
      expect(chosen[index], "a message goes to one destination").toBeNull();
      chosen[index] = destination;
    }
  }
  return chosen;
}

const keyed = (count: number, prefix = "key-"): MessageRecord[] =>
  Array.from({ length: count }, (_, i) => ({ routingKey: `${prefix}${i}`, body: EMPTY }));

const names = (count: number): Share[] =>
  Array.from({ length: count }, (_, i) => ({ name: `queue:work-${i}` }));

describe(`consistent-hash, FUZZ_SEED=${run.seed}`, () => {
  it("moves only the keys of the destination that comes or goes", () => {
    const weight = fc.integer({ min: 1, max: 100 }).map(String);
    const property = fc.property(
      fc.array(weight, { minLength: 2, maxLength: 12 }),
      fc.string(),
      (weights, prefix) => {
        const shares = weights.map((weight, i) => ({ name: `queue:${prefix}-${i}`, weight }));
        const messages = keyed(60, "k");
        const last = shares.length - 1;
        const all = choices(hashRouter(shares), messages);
        const without = choices(hashRouter(shares.slice(0, last)), messages);
        for (const [i, number] of all.entries()) if (number !== last) expect(without[i]).toBe(number);
        const router = hashRouter(shares);
        router.remove({
          id: last,
          destination: last,
          name: shares[last]!.name,
          key: weights[last]!,
          headers: null,
        });
        expect(choices(router, messages)).toEqual(without);
      },
    );
    fc.assert(property, run);
  });

  it("moves keys only to the destination whose weight grows", () => {
    const messages = keyed(2_000);
    const before = choices(hashRouter([{ name: "a" }, { name: "b" }, { name: "c" }]), messages);
    const after = choices(hashRouter([{ name: "a" }, { name: "b", weight: "5" }, { name: "c" }]), messages);
    const moved = after.filter((number, i) => number !== before[i]);
    expect(moved.length).toBeGreaterThan(500);
    expect(new Set(moved)).toEqual(new Set([1]));
  });

  it("shares keys out by weight, within five standard deviations", () => {
    const weights = ["1", "2", "3", "4", "40"];
    const router = hashRouter(weights.map((weight, i) => ({ name: `queue:w${i}`, weight })));
    const counts = weights.map(() => 0);
    const total = 40_000;
    for (let part = 0; part < 10; part++) {
      for (const number of choices(router, keyed(total / 10, `user-${part}-`))) counts[number!]!++;
    }
    for (const [i, weight] of weights.entries()) {
      const part = Number(weight) / 50;
      const deviation = Math.sqrt(total * part * (1 - part));
      expect(Math.abs(counts[i]! - total * part), `weight ${weight}`).toBeLessThan(5 * deviation);
    }
  });

  it("knows destinations by their names, not by their numbers or order", () => {
    const messages = keyed(200);
    const shares = names(5);
    const first = choices(hashRouter(shares), messages);
    const others = shares.map((share, i) => ({ ...share, number: 900 - i })).reverse();
    expect(choices(hashRouter(others), messages)).toEqual(first.map((number) => 900 - number!));
  });

  it("hashes the same for ever", () => {
    expect(choices(hashRouter(names(7)), keyed(16))).toEqual(STORED_CHOICES);
    expect(hashText("")).toEqual(STORED_HASHES[0]);
    expect(hashText("größer")).toEqual(STORED_HASHES[1]);
    expect(hashText("x".repeat(1_000))).toEqual(STORED_HASHES[2]);
  });

  it("tells all short keys apart", () => {
    const seen = new Set<string>();
    for (let i = 0; i < 100_000; i++) {
      const { high, low } = hashText(i.toString(36));
      seen.add(`${high},${low}`);
    }
    expect(seen.size).toBe(100_000);
  });

  it.each<[ExchangeConfig["hashOn"], (value: string) => Partial<MessageRecord>]>([
    ["routingKey", (routingKey) => ({ routingKey })],
    ["orderingKey", (orderingKey) => ({ orderingKey })],
    ["correlationId", (correlationId) => ({ correlationId })],
    [{ header: "user" }, (user) => ({ headers: { user, other: 1 } })],
  ])("hashes %j, and nothing where a message lacks it", (hashOn, fields) => {
    const values = Array.from({ length: 100 }, (_, i) => `key-${i}`);
    const other = { routingKey: "r", orderingKey: "o", correlationId: "c", headers: { x: 1 } };
    const messages = values.map((value) => ({ ...other, ...fields(value), body: EMPTY }));
    const expected = choices(hashRouter(names(9)), keyed(100));
    expect(choices(hashRouter(names(9), hashOn), messages)).toEqual(expected);
    const empty = choices(hashRouter(names(9)), [{ body: EMPTY }]);
    expect(choices(hashRouter(names(9), hashOn), [{ body: EMPTY }])).toEqual(empty);
  });

  it("hashes headers that are no text as the text that they are written as", () => {
    expect(hashHeader(5)).toEqual(hashText("5"));
    expect(hashHeader(true)).toEqual(hashText("true"));
    expect(hashHeader(new TextEncoder().encode("é"))).toEqual(hashText("é"));
    expect(hashHeader(undefined)).toEqual(hashText(""));
    // What every object has is no header.
    const bare = [{ headers: { x: 1 }, body: EMPTY }];
    const empty = choices(hashRouter(names(99)), bare);
    for (const header of ["toString", "constructor", "__proto__"]) {
      expect(choices(hashRouter(names(99), { header }), bare)).toEqual(empty);
    }
  });

  it("counts a destination once, with its highest weight", () => {
    const messages = keyed(500);
    const twice = [
      { name: "a", number: 0, weight: "1" },
      { name: "b", number: 1 },
      { name: "a", number: 0, weight: "9" },
    ];
    const once = [
      { name: "a", number: 0, weight: "9" },
      { name: "b", number: 1 },
    ];
    const router = hashRouter(twice);
    expect(choices(router, messages)).toEqual(choices(hashRouter(once), messages));
    router.remove({ id: 2, destination: 0, name: "a", key: "9", headers: null });
    expect(choices(router, messages)).toEqual(choices(hashRouter(twice.slice(0, 2)), messages));
  });

  it("leaves out bindings whose filter does not accept the message", () => {
    const headers: HeadersFilter = { match: "all", headers: { region: "eu" } };
    const shares = [{ name: "a" }, { name: "b" }, { name: "c", weight: "100", headers }];
    const plain = keyed(300);
    const european = plain.map((message) => ({ ...message, headers: { region: "eu" } }));
    expect(choices(hashRouter(shares), plain)).toEqual(choices(hashRouter(shares.slice(0, 2)), plain));
    const open = [shares[0]!, shares[1]!, { name: "c", weight: "100" }];
    expect(choices(hashRouter(shares), european)).toEqual(choices(hashRouter(open), plain));
    expect(choices(hashRouter([shares[2]!]), plain.slice(0, 1))).toEqual([null]);
  });

  it("counts the highest weight among the bindings whose filter accepts", () => {
    const accepting: HeadersFilter[] = [
      { match: "all", headers: { region: "eu" } },
      { match: "any", headers: { region: "eu" } },
    ];
    const european = keyed(300).map((message) => ({ ...message, headers: { region: "eu" } }));
    const expected = choices(
      hashRouter([
        { name: "a", weight: "50" },
        { name: "b", number: 1 },
      ]),
      european,
    );
    for (const weights of [
      ["50", "1"],
      ["1", "50"],
    ]) {
      const shares = weights.map((weight, i) => ({ name: "a", number: 0, weight, headers: accepting[i]! }));
      expect(choices(hashRouter([...shares, { name: "b", number: 1 }]), european)).toEqual(expected);
    }
  });

  it("settles equal scores by name", () => {
    expect(wins({ score: 1, name: "a" }, { score: 1, name: "b" })).toBe(true);
    expect(wins({ score: 1, name: "b" }, { score: 1, name: "a" })).toBe(false);
    expect(wins({ score: 2, name: "b" }, { score: 1, name: "a" })).toBe(true);
  });

  it("draws scores that are finite and above zero", () => {
    const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    const property = fc.property(word, word, word, word, (a, b, c, d) => {
      const drawn = score({ high: a, low: b }, { high: c, low: d }, 1);
      expect(drawn > 0 && drawn < Infinity).toBe(true);
    });
    fc.assert(property, { ...run, numRuns: run.numRuns * 10 });
    const nothing = { high: 0, low: 0 };
    expect(score(nothing, nothing, 1)).toBeGreaterThan(0);
  });
});

const STORED_CHOICES = [4, 0, 0, 3, 2, 6, 5, 0, 6, 4, 4, 6, 2, 1, 2, 3];
const STORED_HASHES = [
  { high: -613538226, low: -881690865 },
  { high: -37138814, low: -1157774200 },
  { high: -1899228252, low: 1395024113 },
];
