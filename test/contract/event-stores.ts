/**
 * What every store of events must do: tables and memory alike. Imports nothing of Node, so that it runs in workerd too.
 * `make` gives empty stores.
 */
import { describe, expect, it } from "vitest";
import type { HistoryRow, HistoryStore, LastValueRow, LastValueStore } from "../../src/exchange/stores.ts";

export interface MadeEventStores {
  readonly history: HistoryStore;
  readonly lastValues: LastValueStore;
}

/** Runs a test's body where the stores may be used: at once, or inside an object. */
type Within = (body: () => void) => void | Promise<void>;

export function eventStoresContract(
  name: string,
  make: () => MadeEventStores,
  within: Within = (body) => body(),
): void {
  const claim = (text: string, body: () => void): void => it(text, () => within(body));
  describe(`${name} as HistoryStore`, () => historyTests(() => make().history, claim));
  describe(`${name} as LastValueStore`, () => lastValueTests(() => make().lastValues, claim));
}

type Claim = (text: string, body: () => void) => void;

function row(first: number, count: number, changes: Partial<HistoryRow> = {}): HistoryRow {
  const bytes = Uint8Array.of(first % 256, 0, 255);
  const head = { first, count, timeMs: 1_790_000_000_000 + first, bytesSoFar: first * 3, pushed: first - 1 };
  return { ...head, batchBytes: bytes.length, bytes, ...changes };
}

function firsts(rows: readonly { readonly first: number }[]): number[] {
  return rows.map(({ first }) => first);
}

function historyTests(open: () => HistoryStore, claim: Claim): void {
  claim("reads a row as it was written, at the far ends of its numbers", () => {
    for (const one of [
      row(1, 1),
      row(2 ** 52, 4_096, { bytesSoFar: 2 ** 52, pushed: 2 ** 52 - 1, timeMs: 0 }),
      row(7, 2, { bytes: new Uint8Array(1_900_000).fill(7), batchBytes: 1_900_000 }),
    ]) {
      const store = open();
      store.insert(one);
      const read = store.atOrAfter(one.first)!;
      expect(read.bytes).toBeInstanceOf(Uint8Array);
      expect(read.bytes.every((byte, i) => byte === one.bytes[i])).toBe(true);
      expect({ ...read, bytes: null }).toEqual({ ...one, bytes: null });
      const { bytes: _bytes, ...head } = one;
      expect(store.last()).toMatchObject(head);
      expect(store.firstHeads(1)).toMatchObject([head]);
    }
  });

  claim("knows nothing while it is empty, and after it was cleared", () => {
    const store = open();
    const expectEmpty = (): void => {
      expect([store.last(), store.atOrAfter(1), store.before(9), store.firstAfter(0)]).toEqual([
        null,
        null,
        null,
        null,
      ]);
      expect(store.firstHeads(9)).toEqual([]);
    };
    expectEmpty();
    store.insert(row(1, 2));
    store.insert(row(3, 1));
    store.clear();
    expectEmpty();
    store.insert(row(1, 1));
    expect(store.last()?.first).toBe(1);
  });

  claim("finds the row of an offset, or the first one after it", () => {
    const store = open();
    for (const one of [row(3, 2), row(5, 1), row(10, 5)]) store.insert(one);
    const found = (offset: number) => store.atOrAfter(offset)?.first ?? null;
    expect([1, 2, 3, 4, 5, 6, 9, 10, 14, 15].map(found)).toEqual([3, 3, 3, 3, 5, 10, 10, 10, 10, null]);
  });

  claim("finds the last row that begins before an offset", () => {
    const store = open();
    for (const one of [row(3, 2), row(5, 1), row(10, 5)]) store.insert(one);
    const found = (offset: number) => store.before(offset)?.first ?? null;
    expect([1, 3, 4, 5, 6, 10, 11, 99].map(found)).toEqual([null, null, 3, 3, 5, 5, 10, 10]);
  });

  claim("lists the first rows, and tells the last", () => {
    const store = open();
    for (const one of [row(1, 2), row(3, 1), row(4, 9)]) store.insert(one);
    expect(firsts(store.firstHeads(2))).toEqual([1, 3]);
    expect(firsts(store.firstHeads(9))).toEqual([1, 3, 4]);
    expect(store.last()?.first).toBe(4);
  });

  claim("finds the first row that is younger than a time", () => {
    const store = open();
    for (const [first, timeMs] of [
      [1, 10],
      [2, 20],
      [3, 20],
      [4, 30],
    ] as const) {
      store.insert(row(first, 1, { timeMs }));
    }
    const found = (timeMs: number) => store.firstAfter(timeMs)?.first ?? null;
    expect([0, 9, 10, 19, 20, 29, 30].map(found)).toEqual([1, 1, 2, 2, 4, 4, null]);
  });

  claim("takes away what begins before an offset, and keeps the rest", () => {
    const store = open();
    for (const one of [row(1, 2), row(3, 1), row(4, 9)]) store.insert(one);
    store.removeBefore(1);
    expect(firsts(store.firstHeads(9))).toEqual([1, 3, 4]);
    store.removeBefore(4);
    expect(firsts(store.firstHeads(9))).toEqual([4]);
    expect(store.before(4)).toBeNull();
    expect(store.atOrAfter(1)?.first).toBe(4);
    expect(store.atOrAfter(12)?.first).toBe(4);
  });

  claim("is not changed by what becomes of the bytes it was given", () => {
    const store = open();
    const one = row(1, 1);
    store.insert(one);
    one.bytes.fill(9);
    expect([...store.atOrAfter(1)!.bytes]).toEqual([1, 0, 255]);
  });
}

function value(topic: string, offset: number): LastValueRow {
  return { topic, offset, timeMs: 5 + offset, bytes: Uint8Array.of(offset % 256, 0) };
}

function lastValueTests(open: () => LastValueStore, claim: Claim): void {
  const topics = (rows: readonly LastValueRow[]): string[] => rows.map(({ topic }) => topic);

  claim("says whether a topic is new, and replaces what was there", () => {
    const store = open();
    expect([store.put(value("a", 1)), store.put(value("a", 2)), store.put(value("b", 3))]).toEqual([
      true,
      false,
      true,
    ]);
    expect(store.count()).toBe(2);
    expect(store.page(null, 9)).toEqual([value("a", 2), value("b", 3)]);
  });

  claim("says whether a topic was there to be removed", () => {
    const store = open();
    store.put(value("a", 1));
    expect([store.remove("b"), store.remove("a"), store.remove("a")]).toEqual([false, true, false]);
    expect([store.count(), store.page(null, 9)]).toEqual([0, []]);
    expect(store.put(value("a", 2))).toBe(true);
  });

  claim("pages through topics in their order; the empty one is the first", () => {
    const store = open();
    for (const [i, topic] of ["b", "", "a.b", "é", "a"].entries()) store.put(value(topic, i + 1));
    expect(topics(store.page(null, 9))).toEqual(["", "a", "a.b", "b", "é"]);
    expect(topics(store.page(null, 2))).toEqual(["", "a"]);
    expect(topics(store.page("", 2))).toEqual(["a", "a.b"]);
    expect(topics(store.page("a.b", 9))).toEqual(["b", "é"]);
    expect(topics(store.page("zz", 9))).toEqual(["é"]);
    expect(topics(store.page("é", 9))).toEqual([]);
  });

  claim("takes away those that were written longest ago", () => {
    const store = open();
    for (const [i, topic] of ["a", "b", "c", "a", "d"].entries()) store.put(value(topic, i + 1));
    store.removeOldest(2);
    expect(topics(store.page(null, 9))).toEqual(["a", "d"]);
    store.removeOldest(0);
    expect(store.count()).toBe(2);
    store.removeOldest(9);
    expect(store.count()).toBe(0);
  });

  claim("is empty after it was cleared", () => {
    const store = open();
    store.put(value("a", 1));
    store.clear();
    expect([store.count(), store.page(null, 9)]).toEqual([0, []]);
  });

  claim("is not changed by what becomes of the bytes it was given", () => {
    const store = open();
    const one = value("a", 1);
    store.put(one);
    one.bytes.fill(9);
    expect([...store.page(null, 1)[0]!.bytes]).toEqual([1, 0]);
  });
}
