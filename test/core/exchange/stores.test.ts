import { describe, expect, it } from "vitest";
import { MemoryHistoryStore, MemoryLastValueStore } from "../../../src/exchange/memory-stores.ts";
import { EXCHANGE_DEFAULTS } from "../../../src/protocol/exchange-config.ts";
import { EXCHANGE_MIGRATIONS } from "../../../src/storage/exchange-schema.ts";
import { SqlExchangeStores } from "../../../src/storage/exchange-stores.ts";
import { HUB_MIGRATIONS, HubStore } from "../../../src/storage/hub-store.ts";
import { migrate } from "../../../src/storage/migrations.ts";
import { Sql } from "../../../src/storage/sql.ts";
import { eventStoresContract } from "../../contract/event-stores.ts";
import { NodeSql } from "../../support/node-sql.ts";

function open(): { sql: Sql; stores: SqlExchangeStores; again: () => SqlExchangeStores } {
  const node = new NodeSql();
  migrate(node.storage, EXCHANGE_MIGRATIONS);
  const sql = new Sql(node.storage);
  return { sql, stores: new SqlExchangeStores(sql), again: () => new SqlExchangeStores(sql) };
}

eventStoresContract("SqlExchangeStores over SQLite in Node", () => open().stores);
eventStoresContract("memory", () => ({
  history: new MemoryHistoryStore(),
  lastValues: new MemoryLastValueStore(),
}));

describe("an exchange's tables", () => {
  const stored = {
    exchange: "e",
    namespace: "n",
    origin: 2 ** 40 + 1,
    createdMs: 1_790_000_000_000,
    epoch: 2 ** 48,
    wasUsed: false,
    config: EXCHANGE_DEFAULTS,
  };

  it("read the exchange as it was written last, and null before", () => {
    const { stores } = open();
    expect(stores.readExchange()).toBeNull();
    stores.writeExchange(stored);
    stores.writeExchange({ ...stored, wasUsed: true });
    expect(stores.readExchange()).toEqual({ ...stored, wasUsed: true });
  });

  it("read bindings in the order in which they were made, with their filters", () => {
    const { stores } = open();
    const filter = { match: "any", headers: { a: 1, b: "x", c: null, d: true } } as const;
    const bindings = [
      { id: 9, destination: { queue: "q" }, key: "a.#", headers: null },
      { id: 10, destination: { exchange: "q" }, key: "", headers: filter },
    ];
    for (const binding of bindings.toReversed()) stores.bindings.put(binding);
    expect(stores.bindings.all()).toEqual(bindings);
    stores.bindings.remove(9);
    expect(stores.bindings.all()).toEqual(bindings.slice(1));
  });

  it("give delayed batches by due time and number, and know their totals after any change", () => {
    const { stores, again } = open();
    const one = (dueMs: number, number: number, size = 1) => ({
      dueMs,
      number,
      count: 2,
      mustRoute: number % 2 === 0,
      batch: new Uint8Array(size),
    });
    stores.delayed.put(one(20, 1));
    expect(stores.delayed.totals()).toEqual({ count: 2, bytes: 1 });
    for (const row of [one(10, 3, 5), one(10, 2)]) stores.delayed.put(row);
    expect([stores.delayed.nextDueMs(), stores.delayed.firstDue(9, 9)]).toEqual([10, []]);
    expect(stores.delayed.firstDue(99, 2)).toEqual([one(10, 2), one(10, 3, 5)]);
    expect(stores.delayed.dueHeads(19, 9)).toEqual([
      { count: 2, mustRoute: true, bytes: 1 },
      { count: 2, mustRoute: false, bytes: 5 },
    ]);
    stores.delayed.remove(one(10, 2));
    expect(stores.delayed.firstDue(10, 1)).toEqual([one(10, 3, 5)]);
    for (const store of [stores, again()]) expect(store.delayed.totals()).toEqual({ count: 4, bytes: 6 });
  });

  it("keep counters, hubs and what came from each sender", () => {
    const { stores } = open();
    expect(stores.counters.read("move")).toBe(0);
    stores.counters.write("move", 2 ** 52);
    stores.counters.write("binding", 1);
    expect([stores.counters.read("move"), stores.counters.read("binding")]).toEqual([2 ** 52, 1]);
    const a = { hub: "a", attachment: 2 ** 52, untilMs: 2 };
    const b = { hub: "b", attachment: 7, untilMs: 3 };
    for (const lease of [{ ...b, attachment: 1, untilMs: 1 }, a, b]) stores.hubs.put(lease);
    expect(stores.hubs.all()).toEqual([a, b]);
    stores.inbound.putInbound("d", 4, null);
    expect(stores.inbound.inbound("d")).toEqual({ number: 4, taken: null });
  });

  it("are all empty after the exchange is gone", () => {
    const { sql, stores } = open();
    stores.writeExchange(stored);
    stores.counters.write("move", 1);
    stores.bindings.put({ id: 1, destination: { queue: "q" }, key: "", headers: null });
    stores.hubs.put({ hub: "a", attachment: 1, untilMs: 1 });
    stores.inbound.putInbound("d", 1, null);
    stores.delayed.put({ dueMs: 1, number: 1, count: 1, mustRoute: false, batch: new Uint8Array(1) });
    const batch = new Uint8Array(1);
    stores.outbox.putOutbox({ number: 1, target: "q", count: 1, batch, notBeforeMs: 1, tries: 0 });
    const head = { first: 1, count: 1, timeMs: 1, batchBytes: 1, bytesSoFar: 1, pushed: 0 };
    stores.history.insert({ ...head, bytes: batch });
    stores.lastValues.put({ topic: "a", offset: 1, timeMs: 1, bytes: batch });
    const tables = sql.all<{ name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table'");
    const own = tables.map(({ name }) => name).filter((name) => name !== "migration");
    const filled = (): string[] =>
      own.filter((name) => sql.value(`SELECT count(*) AS value FROM ${name}`) !== 0);
    expect(filled()).toEqual(own);
    stores.clear();
    expect(filled()).toEqual([]);
  });
});

describe("a hub's tables", () => {
  const make = (): HubStore => {
    const node = new NodeSql();
    migrate(node.storage, HUB_MIGRATIONS);
    return new HubStore(new Sql(node.storage));
  };
  const reply = (correlationId: string, error: string | null = null) => ({
    correlationId,
    error,
    batch: Uint8Array.of(1, 2),
  });

  it("hold replies in their order, for those who are away", () => {
    const store = make();
    expect([store.away(1), store.nextLapseMs(), store.heldBytes()]).toEqual([null, null, 0]);
    store.putAway({ session: 1, tag: "s", untilMs: 20 });
    store.putAway({ session: 2, tag: "t", untilMs: 10 });
    for (const one of [reply("b"), reply("a", "ü")]) store.hold(1, one);
    store.hold(2, reply("c"));
    expect(store.held(1)).toEqual([reply("b"), reply("a", "ü")]);
    expect([store.away(1), store.nextLapseMs(), store.heldBytes()]).toEqual([
      { session: 1, tag: "s", untilMs: 20 },
      10,
      6,
    ]);
  });

  it("hold one key to seal with, drawn when it is first asked for", () => {
    const store = make();
    expect(store.sealKey(() => Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2));
    expect(store.sealKey(() => Uint8Array.of(3))).toEqual(Uint8Array.of(1, 2));
  });

  it("give up those whose time is over, with their replies", () => {
    const store = make();
    for (const session of [1, 2]) {
      store.putAway({ session, tag: "s", untilMs: session * 10 });
      store.hold(session, reply("a"));
    }
    store.removeLapsed(9);
    expect(store.heldBytes()).toBe(4);
    store.removeLapsed(10);
    expect([store.away(1), store.held(1), store.nextLapseMs(), store.heldBytes()]).toEqual([null, [], 20, 2]);
    store.remove(2);
    expect([store.away(2), store.heldBytes(), store.nextLapseMs()]).toEqual([null, 0, null]);
  });
});
