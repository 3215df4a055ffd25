// What a batch comes to over all exchanges that it reaches, held against a walk of each message on its own.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IndexSet } from "../../../src/exchange/indexes.ts";
import { Resolution } from "../../../src/exchange/resolution.ts";
import type { SequenceRun } from "../../../src/protocol/commands.ts";
import type { RouteStep } from "../../../src/protocol/exchange-commands.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { indexesOf, runsOf } from "../../../src/protocol/runs.ts";
import { fuzzRun } from "../../support/seed.ts";

/** For each exchange and message: the queues (`q…`) and exchanges (others) that it leads to. */
type Graph = Readonly<Record<string, readonly (readonly string[])[]>>;

const isQueue = (name: string): boolean => name.startsWith("q");

/** What an exchange says of its share: its indexes count within it. */
function stepOf(graph: Graph, exchange: string, share: readonly SequenceRun[]): RouteStep {
  const byTarget = new Map<string, number[]>();
  for (const [place, message] of [...indexesOf(share)].entries()) {
    for (const target of new Set(graph[exchange]?.[message])) {
      byTarget.set(target, [...(byTarget.get(target) ?? []), place]);
    }
  }
  const all = [...byTarget].map(([name, places]) => ({ name, messages: runsOf(places) }));
  return {
    queues: all.filter(({ name }) => isQueue(name)).map(({ name, messages }) => ({ queue: name, messages })),
    exchanges: all
      .filter(({ name }) => !isQueue(name))
      .map(({ name, messages }) => ({ exchange: name, messages })),
  };
}

interface Resolved {
  readonly queues: Record<string, number[]>;
  /** `exchange:messages`, in the order in which they were asked, a level an entry. */
  readonly levels: string[][];
  readonly failed: string[];
}

function resolve(graph: Graph, count: number, root = "root"): Resolved {
  const resolution = new Resolution(root, count);
  resolution.add(stepOf(graph, root, [[0, count]]));
  const levels: string[][] = [];
  for (let level = resolution.nextLevel(); level.length > 0; level = resolution.nextLevel()) {
    levels.push(level.map(({ exchange, messages }) => `${exchange}:${[...indexesOf(messages)].join()}`));
    for (const { exchange, messages } of level) {
      resolution.add(stepOf(graph, exchange, messages), messages);
    }
  }
  const queues = Object.fromEntries(
    resolution.shares().map(({ queue, messages }) => [queue, [...indexesOf(messages)]]),
  );
  const failed = resolution.failed.map(
    ({ destination, messages }) => `${Object.values(destination).join()}:${[...indexesOf(messages)].join()}`,
  );
  expect(resolution.failed.every(({ code }) => code === "unroutable")).toBe(true);
  return { queues, levels, failed };
}

describe("a resolution", () => {
  it("counts a share's indexes where they lie in the whole batch", () => {
    const graph = { root: [["q1"], ["x"], [], ["x"], ["x"]], x: [[], ["q1"], [], [], ["q1", "q2"]] };
    expect(resolve(graph, 5)).toEqual({
      queues: { q1: [0, 1, 4], q2: [4] },
      levels: [["x:1,3,4"]],
      failed: [],
    });
  });

  it("ends in a loop, and asks nobody twice for the same", () => {
    const graph = { root: [["x"]], x: [["y", "x", "root"]], y: [["x", "root", "q"]] };
    expect(resolve(graph, 1)).toEqual({ queues: { q: [0] }, levels: [["x:0"], ["y:0"]], failed: [] });
  });

  it("gives a queue that is reached by two ways each message once", () => {
    const graph = { root: [["x", "y", "q"]], x: [["z", "q"]], y: [["z", "q"]], z: [["q"]] };
    expect(resolve(graph, 1)).toEqual({
      queues: { q: [0] },
      levels: [["x:0", "y:0"], ["z:0"]],
      failed: [],
    });
  });

  it("asks an exchange again for what is new to it, and for nothing else", () => {
    const graph = { root: [["x"], ["y"]], x: [["q"], ["q"]], y: [[], ["x"]] };
    expect(resolve(graph, 2)).toEqual({
      queues: { q: [0, 1] },
      levels: [["x:0", "y:1"], ["x:1"]],
      failed: [],
    });
  });

  it("has no more exchanges in a row than allowed, and tells what did not go on", () => {
    const graph: Record<string, string[][]> = { root: [["x1", "q0"]] };
    for (let i = 1; i <= 40; i++) graph[`x${i}`] = [[`x${i + 1}`, `q${i}`]];
    const { queues, levels, failed } = resolve(graph, 1);
    expect(levels).toHaveLength(LIMITS.exchangeDepthMax);
    expect(Object.keys(queues)).toHaveLength(LIMITS.exchangeDepthMax + 1);
    expect(failed).toEqual([`x${LIMITS.exchangeDepthMax + 1}:0`]);
  });

  it("visits no more exchanges than allowed, and those that it knows again", () => {
    const many = Array.from({ length: LIMITS.exchangesVisitedMax + 5 }, (_, i) => `x${i}`);
    const graph: Record<string, string[][]> = { root: [many, []] };
    graph["x0"] = [["back", "q"], []];
    graph["root"]![1] = ["x1"];
    graph["x1"] = [[], ["x0"]];
    const { levels, failed, queues } = resolve(graph, 2);
    expect(levels[0]).toHaveLength(LIMITS.exchangesVisitedMax - 1);
    expect(levels[1]).toEqual(["x0:1"]);
    // Six of the first level, and `back`.
    expect(failed).toHaveLength(7);
    expect(queues).toEqual({ q: [0] });
  });

  const { seed, numRuns } = fuzzRun(300);
  it(`is what a walk of each message on its own finds (seed ${seed})`, () => {
    const names = ["root", "a", "b", "c", "d", "e"];
    const COUNT = 3;
    const targets = fc.subarray([...names, "q1", "q2", "q3"], { maxLength: 4 });
    const graph = fc
      .array(fc.array(targets, { minLength: COUNT, maxLength: COUNT }), { minLength: 6, maxLength: 6 })
      .map((all): Graph => Object.fromEntries(names.map((name, i) => [name, all[i]!])));
    const check = fc.property(graph, (one) => {
      const wanted: Record<string, number[]> = {};
      const asked: string[] = [];
      for (let message = 0; message < COUNT; message++) {
        const seen = new Set(["root"]);
        for (const exchange of seen) {
          for (const target of one[exchange]![message]!) if (!isQueue(target)) seen.add(target);
        }
        const queues = new Set([...seen].flatMap((exchange) => one[exchange]![message]!.filter(isQueue)));
        for (const queue of queues) (wanted[queue] ??= []).push(message);
        asked.push(...[...seen].filter((name) => name !== "root").map((name) => `${name}:${message}`));
      }
      const { queues, levels, failed } = resolve(one, COUNT);
      expect(queues).toEqual(wanted);
      expect(failed).toEqual([]);
      const told = levels.flat().flatMap((share) => {
        const [name, messages] = share.split(":");
        return messages!.split(",").map((message) => `${name}:${message}`);
      });
      expect(told.sort()).toEqual(asked.sort());
    });
    fc.assert(check, { seed, numRuns });
  });
});

describe("runs", () => {
  const { seed, numRuns } = fuzzRun(300);
  it(`tell a set of indexes, back and forth (seed ${seed})`, () => {
    const check = fc.property(fc.uniqueArray(fc.nat(40)), (indexes) => {
      const sorted = indexes.toSorted((a, b) => a - b);
      const set = new IndexSet(41);
      for (const index of indexes) expect([set.add(index), set.add(index)]).toEqual([true, false]);
      expect(set.count).toBe(indexes.length);
      expect(set.runs()).toEqual(runsOf(sorted));
      expect([...indexesOf(set.runs())]).toEqual(sorted);
      const again = new IndexSet(41);
      again.addRuns(set.runs());
      expect(again.runs()).toEqual(set.runs());
    });
    fc.assert(check, { seed, numRuns });
  });
});
