// Who gets what of a batch, held against asking each subscriber on its own.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Subscription } from "../../../src/hub/session.ts";
import { Subscribers } from "../../../src/hub/subscribers.ts";
import type { RecordTable } from "../../../src/protocol/batch.ts";
import { LinearMatcher } from "../../../src/routing/linear-matcher.ts";
import { SLOT_MAX, type TopicMatcher } from "../../../src/routing/matcher.ts";
import { matches } from "../../../src/routing/topic.ts";
import { matchesOf } from "../../../src/routing/slot-matches.ts";
import { WasmMatcher } from "../../../src/routing/wasm-matcher.ts";
import { wasmCodec } from "../../support/queue-harness.ts";
import { must } from "../../support/queue-lives.ts";
import { fuzzRun } from "../../support/seed.ts";
import { loadWasmModule } from "../../support/wasm-module.ts";

const MATCHERS = {
  linear: () => new LinearMatcher(),
  wasm: () => new WasmMatcher(loadWasmModule()),
};
const codec = wasmCodec();

function batchOf(topics: readonly string[]): { batch: Uint8Array; table: RecordTable } {
  const records = topics.map((routingKey) => ({ routingKey, body: new Uint8Array(1) }));
  const batch = must(codec.encode(records, { origin: 1, firstSequence: 1, timeMs: 1 }, "broker"));
  return { batch, table: must(codec.scan(batch, "broker")) };
}

function subscription(changes: Partial<Subscription> = {}): Subscription {
  const fixed = { format: "json", onSlow: "drop", member: "m", scope: null } as const;
  return { exchange: "e", pattern: "#", ...fixed, attachment: 1, epoch: "1", after: 0, ...changes };
}

/** `session pattern: indexes`, an entry for each subscriber. */
function shared(subscribers: Subscribers, exchange: string, topics: readonly string[]): string[] {
  const { batch, table } = batchOf(topics);
  return [...subscribers.share(exchange, batch, table)]
    .flatMap(({ audience, indexes }) =>
      [...audience.subscribers.keys()].map((session) => `${session} ${audience.pattern}: ${indexes.join()}`),
    )
    .sort();
}

describe.each(Object.entries(MATCHERS))(
  "subscribers, matched by %s",
  (_name, makeMatcher: () => TopicMatcher) => {
    const make = (): Subscribers => new Subscribers(makeMatcher);

    it("of one pattern that want the same form are one audience", () => {
      const subscribers = make();
      for (const session of [1, 2, 3]) subscribers.add({ session, subscription: subscription() });
      subscribers.add({ session: 4, subscription: subscription({ format: "binary" }) });
      subscribers.add({ session: 5, subscription: subscription({ scope: ["a"] }) });
      subscribers.add({ session: 6, subscription: subscription({ scope: ["a"] }) });
      const { batch, table } = batchOf(["a", "b"]);
      const shares = [...subscribers.share("e", batch, table)];
      expect(shares.map(({ audience, indexes }) => [audience.subscribers.size, ...indexes])).toEqual([
        [3, 0, 1],
        [1, 0, 1],
        [2, 0],
      ]);
      expect(subscribers.count).toBe(6);
    });

    it("see what their grants let them, and no more", () => {
      const subscribers = make();
      subscribers.add({ session: 1, subscription: subscription({ pattern: "*.x", scope: ["a.*", "c.#"] }) });
      expect(shared(subscribers, "e", ["a.x", "b.x", "a.y", "c.x"])).toEqual(["1 *.x: 0,3"]);
      expect(shared(subscribers, "e", ["b.x"])).toEqual([]);
    });

    it("of one exchange hear nothing of another", () => {
      const subscribers = make();
      subscribers.add({ session: 1, subscription: subscription() });
      expect([shared(subscribers, "f", ["a"]), subscribers.has("f"), subscribers.of("f")]).toEqual([
        [],
        false,
        [],
      ]);
      expect([subscribers.has("e"), subscribers.names()]).toEqual([true, ["e"]]);
      expect(subscribers.of("e")).toMatchObject([{ session: 1 }]);
      subscribers.remove(1, subscription());
      expect([subscribers.has("e"), subscribers.names(), subscribers.count]).toEqual([false, [], 0]);
    });

    it("are counted once, and what is not there is removed without harm", () => {
      const subscribers = make();
      subscribers.add({ session: 1, subscription: subscription() });
      subscribers.add({ session: 1, subscription: subscription({ after: 9 }) });
      expect(subscribers.count).toBe(1);
      expect(subscribers.of("e")[0]?.subscription.after).toBe(9);
      for (const other of [
        { pattern: "a" },
        { format: "binary" },
        { scope: ["a"] },
        { exchange: "f" },
      ] as const) {
        subscribers.remove(1, subscription(other));
      }
      subscribers.remove(2, subscription());
      expect(subscribers.count).toBe(1);
    });

    it("may go while the shares of a batch are told, and others take their place", () => {
      const subscribers = make();
      const patterns = ["a", "a.#", "*"];
      for (const pattern of patterns)
        subscribers.add({ session: 1, subscription: subscription({ pattern }) });
      const { batch, table } = batchOf(["a"]);
      const told: string[] = [];
      for (const { audience } of subscribers.share("e", batch, table)) {
        told.push(audience.pattern);
        for (const pattern of patterns) subscribers.remove(1, subscription({ pattern }));
        subscribers.add({ session: 2, subscription: subscription({ pattern: "other" }) });
        expect(audience.subscribers.size).toBe(0);
      }
      expect(told.sort()).toEqual(patterns.toSorted());
    });

    const { seed, numRuns } = fuzzRun(80);
    it(`get what each would get alone, whoever comes and goes (seed ${seed})`, () => {
      const one = fc.record({
        session: fc.integer({ min: 1, max: 4 }),
        exchange: fc.constantFrom("e", "f"),
        pattern: fc.constantFrom("#", "a", "*", "a.#", "*.b", ""),
        format: fc.constantFrom("json" as const, "binary" as const),
        scope: fc.constantFrom(null, ["a"], ["a.*", "b"]),
      });
      const topics = fc.array(fc.constantFrom("a", "b", "a.b", "a.b.c", ""), { minLength: 1, maxLength: 6 });
      const check = fc.property(fc.array(one, { maxLength: 30 }), topics, (steps, all) => {
        const subscribers = make();
        const model = new Map<string, { session: number; subscription: Subscription }>();
        for (const { session, ...rest } of steps) {
          const key = `${session} ${rest.exchange} ${rest.pattern}`;
          const known = model.get(key);
          // Said again: it is replaced. Said in the same words: it goes.
          if (known) subscribers.remove(session, known.subscription);
          model.delete(key);
          if (known?.subscription.format === rest.format) continue;
          const made = { session, subscription: subscription(rest) };
          subscribers.add(made);
          model.set(key, made);
        }
        expect(subscribers.count).toBe(model.size);
        for (const exchange of ["e", "f"]) {
          const here = [...model.values()].filter((other) => other.subscription.exchange === exchange);
          const wanted = here.flatMap(({ session, subscription: { pattern, scope } }) => {
            const indexes = all.flatMap((topic, i) =>
              matches(pattern, topic) && (scope === null || scope.some((grant) => matches(grant, topic)))
                ? [i]
                : [],
            );
            return indexes.length === 0 ? [] : [`${session} ${pattern}: ${indexes.join()}`];
          });
          expect(shared(subscribers, exchange, all)).toEqual(wanted.sort());
          expect(subscribers.of(exchange)).toHaveLength(here.length);
        }
      });
      fc.assert(check, { seed, numRuns });
    });
  },
);

describe("the slots of patterns", () => {
  it("are used again", () => {
    const slots: number[] = [];
    const matcher = new LinearMatcher();
    const add = matcher.add.bind(matcher);
    matcher.add = (pattern, slot) => {
      slots.push(slot);
      return add(pattern, slot);
    };
    const subscribers = new Subscribers(() => matcher);
    subscribers.add({ session: 1, subscription: subscription({ pattern: "stays" }) });
    for (let i = 0; i < 50; i++) {
      const passing = subscription({ pattern: `p${i}` });
      subscribers.add({ session: 1, subscription: passing });
      subscribers.remove(1, passing);
    }
    expect(Math.max(...slots)).toBe(1);
    expect(shared(subscribers, "e", ["p49", "stays"])).toEqual(["1 stays: 1"]);
  });

  it("have an end, and a pattern that is known has room still", () => {
    const nothing = matchesOf([]);
    const matcher: TopicMatcher = {
      add: () => ({ ok: true, value: undefined }),
      remove: () => true,
      match: () => [],
      matchAll: () => nothing,
      size: 0,
    };
    const subscribers = new Subscribers(() => matcher);
    expect(subscribers.hasRoomFor("e", "p")).toBe(true);
    const fill = (from: number, to: number): void => {
      for (let i = from; i <= to; i++)
        subscribers.add({ session: 1, subscription: subscription({ pattern: `p${i}` }) });
    };
    fill(0, SLOT_MAX - 1);
    expect(subscribers.hasRoomFor("e", "p")).toBe(true);
    fill(SLOT_MAX, SLOT_MAX);
    expect([subscribers.hasRoomFor("e", "p"), subscribers.hasRoomFor("e", "p7")]).toEqual([false, true]);
    expect(subscribers.hasRoomFor("f", "p")).toBe(true);
    subscribers.remove(1, subscription({ pattern: "p7" }));
    expect(subscribers.hasRoomFor("e", "p")).toBe(true);
  });
});
