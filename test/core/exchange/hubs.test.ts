// Hubs: their leases, and what they may not have when an exchange wakes.
import { describe, expect, it } from "vitest";
import { mergePresence } from "../../../src/exchange/presence.ts";
import type { PresenceAnswer, PresenceMember } from "../../../src/protocol/exchange-commands.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { ExchangeHarness, expectRefused, inBothLives } from "../../support/exchange-harness.ts";
import { must } from "../../support/queue-lives.ts";

const KEPT = { config: { history: { eventsMax: 100, ageMs: null } } };
const LEASE = LIMITS.hubLeaseMs;

function attach(e: ExchangeHarness, hub = "1") {
  return e.run((exchange, nowMs) => exchange.attach(hub, nowMs));
}

function hubs(e: ExchangeHarness): string[] {
  return e.run((exchange) => exchange.hubs());
}

describe("a hub's lease", () => {
  inBothLives("begins where the numbers are, and tells what the hub must know", (make) => {
    const e = make({ config: { ...KEPT.config, presence: true } });
    e.publish("a=1");
    const attached = { attachment: e.nowMs, epoch: "25", offset: 1, presence: true };
    expect(must(attach(e))).toEqual(attached);
    e.publish("a=2");
    expect(must(attach(e))).toEqual({ ...attached, offset: 2 });
    expect(e.info().hubs).toBe(1);
  });

  inBothLives("is renewed without a row until half of it is over, and by one row then", (make) => {
    const e = make();
    attach(e);
    const cost = (): number => {
      const before = e.counted.rowsWritten;
      attach(e);
      return e.counted.rowsWritten - before;
    };
    e.nowMs += LEASE / 2;
    expect(cost()).toBe(0);
    e.nowMs += 1;
    expect(cost()).toBe(1);
    expect(e.wakeMs()).toBe(e.nowMs + LEASE);
  });

  inBothLives("lapses, and who comes back learns by another number that it was dropped", (make) => {
    const e = make();
    const { attachment } = must(attach(e, "1"));
    e.advance(LEASE - 1);
    attach(e, "2");
    expect([hubs(e), e.wakeMs()]).toEqual([["1", "2"], e.nowMs + 1]);
    e.advance(1);
    expect(hubs(e)).toEqual(["2"]);
    const again = must(attach(e, "1"));
    expect(again.attachment).toBeGreaterThan(attachment);
    expect(must(attach(e, "1")).attachment).toBe(again.attachment);
  });

  it("has a number above all before, though no time has passed", () => {
    const e = new ExchangeHarness();
    const numbers = ["1", "2", "1"].map((hub) => {
      e.run((exchange) => exchange.detach(hub));
      return must(attach(e, hub)).attachment;
    });
    expect(numbers).toEqual([e.nowMs, e.nowMs + 1, e.nowMs + 2]);
    e.nowMs -= 5;
    expect(must(attach(e, "3")).attachment).toBe(numbers[2]! + 1);
  });

  inBothLives("does not end by a word about an earlier attachment", (make) => {
    const e = make();
    const { attachment: before } = must(attach(e));
    e.run((exchange) => exchange.detach("1", before));
    e.nowMs += 1;
    const { attachment } = must(attach(e));
    expect(e.run((exchange) => exchange.detach("1", before))).toBe(false);
    expect(e.run((exchange) => exchange.attachments())).toMatchObject([{ hub: "1", attachment }]);
    expect(e.run((exchange) => exchange.detach("1", attachment))).toBe(true);
  });

  inBothLives("that ran out unseen goes on when it is renewed first", (make) => {
    const e = make();
    const { attachment } = must(attach(e));
    e.nowMs += LEASE;
    // It was pushed to all the time.
    expect(must(attach(e)).attachment).toBe(attachment);
    e.advance(0);
    expect(hubs(e)).toEqual(["1"]);
  });

  inBothLives("ends when the hub says so, once", (make) => {
    const e = make();
    attach(e);
    expect(e.run((exchange) => exchange.detach("1"))).toBe(true);
    expect(e.run((exchange) => exchange.detach("1"))).toBe(false);
    expect([hubs(e), e.wakeMs()]).toEqual([[], null]);
  });

  inBothLives("is refused to one hub too many, and not to those that are there", (make) => {
    const e = make();
    for (let i = 0; i < LIMITS.hubsMax; i++) must(attach(e, String(i)));
    expectRefused(attach(e, "one more"), "hub_full");
    must(attach(e, "3"));
    e.run((exchange) => exchange.detach("3"));
    must(attach(e, "one more"));
  });
});

describe("events for the hubs", () => {
  it("are numbered while a hub listens, and cost no row without a history", () => {
    const e = new ExchangeHarness();
    attach(e);
    const before = e.counted.rowsWritten;
    e.publish("a=1", "a=2");
    e.publish("a=3");
    expect(e.turns).toMatchObject([{ first: 3, count: 1 }]);
    expect(e.counted.rowsWritten).toBe(before);
  });

  it("go on in their numbers when nobody listened meanwhile", () => {
    const e = new ExchangeHarness();
    e.publish("a=1", "a=2");
    expect(e.turns).toEqual([]);
    expect(must(attach(e)).offset).toBe(2);
    e.publish("a=3");
    expect(e.turns).toMatchObject([{ first: 3 }]);
  });
});

describe("after a wake", () => {
  const unpushed = (e: ExchangeHarness) =>
    e.run((exchange) => exchange.unpushed())?.map(({ first, batch }) => [first, ...e.bodies(batch)]) ?? null;
  const push = (e: ExchangeHarness, offset: number) => e.run((exchange) => exchange.markPushed(offset));

  it("what was pushed after the last row was written is given again, with its epoch", () => {
    const e = new ExchangeHarness(KEPT);
    e.publish("a=1", "a=2");
    push(e, 2);
    e.publish("a=3");
    push(e, 3);
    e.evict();
    expect(unpushed(e)).toEqual([[3, "3"]]);
    expect(e.run((exchange) => exchange.unpushed())).toMatchObject([{ exchange: "e", epoch: "25" }]);
  });

  it("all that no hub had is given, however often it wakes", () => {
    const e = new ExchangeHarness(KEPT);
    e.publish("a=1", "a=2");
    e.publish("a=3");
    for (let i = 0; i < 3; i++) {
      e.evict();
      expect(unpushed(e)).toEqual([
        [1, "1", "2"],
        [3, "3"],
      ]);
    }
  });

  it("a late word of an earlier push takes nothing back", () => {
    const e = new ExchangeHarness(KEPT);
    e.publish("a=1");
    e.publish("a=2");
    push(e, 2);
    push(e, 1);
    e.publish("a=3");
    e.evict();
    expect(unpushed(e)).toEqual([[3, "3"]]);
  });

  it("it is not known any more when it was trimmed", () => {
    const e = new ExchangeHarness({ config: { history: { eventsMax: 2, ageMs: null } } });
    for (const body of ["1", "2", "3", "4"]) e.publish(`a=${body}`);
    e.evict();
    expect(unpushed(e)).toBeNull();
    push(e, 4);
    e.publish("a=5");
    e.evict();
    expect(unpushed(e)).toEqual([[5, "5"]]);
  });

  it("it is nothing where nothing is stored", () => {
    const e = new ExchangeHarness();
    attach(e);
    e.publish("a=1");
    e.evict();
    expect(unpushed(e)).toEqual([]);
  });

  it("a change of anything else forgets no push", () => {
    const e = new ExchangeHarness(KEPT);
    e.publish("a=1");
    push(e, 1);
    e.update({ presence: true });
    e.publish("a=2");
    e.evict();
    expect(unpushed(e)).toEqual([[2, "2"]]);
  });
});

describe("presence over all hubs", () => {
  const answer = (list: PresenceMember[], members = new Set(list.map((one) => one.member)).size) => ({
    exchange: "e",
    subscriptions: list.reduce((sum, { count }) => sum + count, 0),
    members,
    list,
  });
  const merge = (...answers: PresenceAnswer[]) => mergePresence("e", answers);

  it("adds up who is on several hubs, and counts a member with two patterns once", () => {
    const one = { member: "ann", pattern: "a.#", count: 2 };
    const two = { member: "ann", pattern: "b", count: 1 };
    const bob = { member: "bob", pattern: "a.#", count: 1 };
    expect(merge(answer([bob, one]), answer([two, { ...one, count: 3 }]))).toEqual({
      exchange: "e",
      subscriptions: 7,
      members: 2,
      list: [{ ...one, count: 5 }, two, bob],
    });
  });

  it("is the same in whatever order hubs answer", () => {
    const a = answer([
      { member: "ann", pattern: "b", count: 1 },
      { member: "ann", pattern: "a", count: 1 },
    ]);
    const b = answer([{ member: "ann", pattern: "c", count: 1 }]);
    expect(merge(a, b)).toEqual(merge(b, a));
  });

  it("counts those whom a hub left out of its list, and cuts its own", () => {
    const list = Array.from({ length: LIMITS.presenceMembersMax }, (_, i) => ({
      member: `m${i}`,
      pattern: "#",
      count: 1,
    }));
    const merged = merge(answer(list, list.length + 5), answer([{ member: "z", pattern: "#", count: 1 }]));
    expect([merged.members, merged.list.length]).toEqual([list.length + 6, LIMITS.presenceMembersMax]);
    expect(merge()).toEqual({ exchange: "e", subscriptions: 0, members: 0, list: [] });
  });
});
