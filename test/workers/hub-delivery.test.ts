// That no event is lost in silence: hubs that fail, leases, and any interleaving of evictions.
import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { HubEvents } from "../../src/objects/hub-events.ts";
import type { HubObject } from "../../src/objects/hub-object.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import { matches } from "../../src/routing/topic.ts";
import {
  declareExchange,
  exchangeRows,
  publish,
  runExchangeAlarm,
  told,
  tryPublish,
} from "../support/exchange-client.ts";
import { fakeHubs, restorePeers } from "../support/fake-peers.ts";
import { must } from "../support/queue-client.ts";
import { eventsOf, hubStub, runHubAlarm, TestSession } from "../support/session-client.ts";

afterEach(async () => {
  restorePeers();
  vi.useRealTimers();
  await reset();
});

const history = { history: { eventsMax: 10_000, ageMs: null } };

/** The hub breaks over its next push. */
async function breakPush(hub: number): Promise<void> {
  await runInDurableObject(hubStub(hub), (object: HubObject) => {
    const { events } = object as unknown as { events: HubEvents };
    const real = events.push.bind(events);
    events.push = () => {
      events.push = real;
      throw new Error("broken for a test");
    };
  });
}

describe("a hub that takes no push", () => {
  it("because it breaks holds up no confirm; its subscribers are told and lose nothing", async () => {
    const stub = await declareExchange("e", history);
    const broken = await TestSession.open();
    const whole = await TestSession.open({ hub: 1 });
    await broken.subscribe("e", "#");
    await whole.subscribe("e", "#");
    const { position } = await publish(stub, "a=1");
    expect(await broken.events(1)).toEqual(["1:a=1"]);
    await breakPush(0);
    await publish(stub, "a=2");
    expect(must(await stub.inspect()).hubs).toBe(1);
    expect((await broken.next("unsubscribed")).head).toMatchObject({ reason: "interrupted" });
    await publish(stub, "a=3");
    expect(await broken.restTypes()).toEqual([]);
    expect(await broken.subscribe("e", "#", { since: position })).toMatchObject({ recovery: "complete" });
    await publish(stub, "a=4");
    expect(await broken.events(3)).toEqual(["2:a=2", "3:a=3", "4:a=4"]);
    expect(await whole.events(4)).toEqual(["1:a=1", "2:a=2", "3:a=3", "4:a=4"]);
  });

  it("and hears nothing of it learns it when it renews", async () => {
    const stub = await declareExchange("e", history);
    const session = await TestSession.open();
    await session.subscribe("e", "#");
    must(await stub.detach("0"));
    await publish(stub, "a=1");
    expect(await session.restTypes()).toEqual([]);
    await runHubAlarm(hubStub());
    expect((await session.next("unsubscribed")).head).toMatchObject({ reason: "interrupted" });
    expect(must(await hubStub().inspect()).subscriptions).toBe(0);
  });

  it.each(["with the next event", "with the next event, and sleeps before it", "when it renews again"])(
    "and is attached anew by a call whose answer is lost learns it %s",
    async (when) => {
      const stub = await declareExchange("e", history);
      const session = await TestSession.open();
      await session.subscribe("e", "#");
      const { position } = await publish(stub, "a=1");
      expect(await session.events(1)).toEqual(["1:a=1"]);
      must(await stub.detach("0"));
      await publish(stub, "a=2");
      must(await stub.attach("0"));
      if (when.includes("sleeps")) await evictDurableObject(hubStub());
      if (when.includes("event")) await publish(stub, "a=3");
      else await runHubAlarm(hubStub());
      expect((await session.next("unsubscribed")).head).toMatchObject({ reason: "interrupted" });
      expect(await session.restTypes()).toEqual([]);
      expect(await session.subscribe("e", "#", { since: position })).toMatchObject({ recovery: "complete" });
      expect((await session.events(1))[0]).toBe("2:a=2");
    },
  );

  it("and comes back is told nothing by a push from before", async () => {
    const stub = await declareExchange("e", history);
    const session = await TestSession.open();
    await session.subscribe("e", "#");
    const { epoch, attachment } = must(await stub.attach("0"));
    must(await stub.detach("0"));
    await runHubAlarm(hubStub());
    expect((await session.next("unsubscribed")).head).toMatchObject({ reason: "interrupted" });
    await session.subscribe("e", "#");
    const late = { exchange: "e", attachment, epoch, first: 1, batch: told("a=late") };
    expect(must(await hubStub().push([late]))).toEqual({ isWanted: true });
    await publish(stub, "a=1");
    expect(await session.events(1)).toEqual(["1:a=1"]);
  });

  it("is not pushed to any more when it says that nobody there subscribes", async () => {
    const stub = await declareExchange("e");
    must(await stub.attach("5"));
    await publish(stub, "a=1");
    expect(must(await stub.inspect()).hubs).toBe(0);
  });

  it("that learns of a hole in what comes interrupts its subscribers before it tells them more", async () => {
    const stub = await declareExchange("e", history);
    const session = await TestSession.open();
    await session.subscribe("e", "#");
    await publish(stub, "a=1");
    await session.events(1);
    const { attachment, epoch } = must(await stub.attach("0"));
    must(await hubStub().push([{ exchange: "e", attachment, epoch, first: 3, batch: told("a=3") }]));
    expect((await session.next("unsubscribed")).head).toMatchObject({ reason: "interrupted" });
    expect(await session.restTypes()).toEqual([]);
  });
});

describe("a hub that slept", () => {
  it("hides nothing that is under way when somebody comes and is told where the exchange stands", async () => {
    const stub = await declareExchange("e", history);
    const session = await TestSession.open();
    await session.subscribe("e", "#");
    await publish(stub, "a=1");
    expect(await session.events(1)).toEqual(["1:a=1"]);
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const hubs = env.HUBS;
    await runInDurableObject(stub, (object) =>
      fakeHubs(object, (hub) => ({
        push: async (pushes) => {
          await gate;
          return hubs.getByName(`test/${hub}`).push(pushes);
        },
      })),
    );
    const publishing = tryPublish(stub, "a=2");
    await expect.poll(async () => must(await stub.inspect()).offset).toBe(2);
    restorePeers();
    await evictDurableObject(hubStub());
    const newcomer = await TestSession.open();
    expect(await newcomer.subscribe("e", "#")).toMatchObject({ offset: 2 });
    await runInDurableObject(stub, () => open());
    must(await publishing);
    expect(await session.events(1)).toEqual(["2:a=2"]);
    expect(await newcomer.restTypes()).toEqual([]);
  });
});

describe("a hub's lease", () => {
  it("is one row, renewed by the hub's alarm, and costs nothing before half of it is over", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declareExchange("e");
    const session = await TestSession.open();
    await session.subscribe("e", "other");
    await session.ask({ type: "unsubscribe", exchange: "e", pattern: "other" }, "unsubscribed");
    await expect.poll(async () => must(await stub.inspect()).hubs).toBe(0);
    const before = (await exchangeRows(stub)).written;
    const written = async (): Promise<number> => (await exchangeRows(stub)).written - before;
    await session.subscribe("e", "#");
    expect(await written()).toBe(1);
    await runHubAlarm(hubStub());
    expect(await written()).toBe(1);
    vi.setSystemTime(Date.now() + LIMITS.hubLeaseMs / 2 + 1);
    await runHubAlarm(hubStub());
    expect(await written()).toBe(2);
    vi.setSystemTime(Date.now() + LIMITS.hubLeaseMs - 1);
    await runExchangeAlarm(stub);
    await publish(stub, "a=1");
    expect(await session.events(1)).toEqual(["1:a=1"]);
  });

  it("that has run out ends what is pushed, and the hub is told when it asks for it again", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const stub = await declareExchange("e", history);
    const session = await TestSession.open();
    const { epoch } = await session.subscribe("e", "#");
    vi.setSystemTime(Date.now() + LIMITS.hubLeaseMs);
    await runExchangeAlarm(stub);
    expect(must(await stub.inspect()).hubs).toBe(0);
    await publish(stub, "a=1");
    await runHubAlarm(hubStub());
    expect((await session.next("unsubscribed")).head).toMatchObject({ reason: "interrupted" });
    await session.subscribe("e", "#", { since: `${epoch}:0` });
    expect(await session.events(1)).toEqual(["1:a=1"]);
  });

  it("is renewed however often the hub sleeps between two frames: no frame puts the alarm off", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    await declareExchange("e");
    const session = await TestSession.open();
    await session.subscribe("e", "#");
    const alarmOf = (): Promise<number | null> =>
      runInDurableObject(hubStub(), (_object: HubObject, state) => state.storage.getAlarm());
    const first = await alarmOf();
    expect(first).not.toBeNull();
    for (let i = 0; i < 3; i++) {
      await evictDurableObject(hubStub());
      vi.setSystemTime(Date.now() + 15_000);
      await session.ask({ type: "ping", ref: i }, "pong");
      expect(await alarmOf()).toBe(first);
    }
  });
});

/** A seed that was printed, to be run again. */
const SEED: number | null = null;

/** What does not run can't be evicted, and need not be. */
const evicted = (stub: Parameters<typeof evictDurableObject>[0]): Promise<void> =>
  evictDurableObject(stub).catch(() => undefined);

/** Draws as a seed says. */
function drawing(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** A subscriber that comes back with what it has seen, as the SDK does. */
class Reader {
  readonly got = new Map<number, string>();
  readonly order: number[] = [];
  position: Position | null = null;
  private readonly session: TestSession;
  private readonly pattern: string;
  /** Where its first subscription began. */
  start: number | null = null;
  /** Whether it is subscribed, or has asked for it. */
  isIn = false;
  /** Its last request has not been answered. */
  private isAsked = false;
  private ref = 0;

  constructor(session: TestSession, pattern: string) {
    this.session = session;
    this.pattern = pattern;
  }

  subscribe(): void {
    const { position, pattern } = this;
    const since = position === null ? {} : { since: `${position.epoch}:${position.offset}` };
    this.session.send({ type: "subscribe", ref: ++this.ref, exchange: "e", pattern, ...since });
    this.isIn = true;
    this.isAsked = true;
  }

  /** Reads all that is there. */
  async read(): Promise<void> {
    for (const frame of await this.session.rest()) this.note(frame);
  }

  /** Is in for certain, and has read all. A request that an eviction cut short is made again. */
  async settle(): Promise<void> {
    await this.read();
    while (!this.isIn || this.isAsked) {
      this.subscribe();
      while (this.isAsked) this.note(await this.session.any());
      await this.read();
    }
  }

  private note({ head, payload }: Awaited<ReturnType<TestSession["any"]>>): void {
    if (head.type === "subscribed") {
      expect(head.recovery).not.toBe("gap");
      this.start ??= head.offset;
      this.position ??= { epoch: head.epoch, offset: head.offset };
      if (head.ref === this.ref) this.isAsked = false;
      this.isIn = true;
    } else if (head.type === "unsubscribed") this.isIn = false;
    else if (head.type === "events") {
      for (const event of eventsOf({ head, payload })) this.take(head.epoch, event);
    } else throw new Error(`unexpected ${JSON.stringify(head)}`);
  }

  private take(epoch: string, event: string): void {
    const offset = Number(event.slice(0, event.indexOf(":")));
    if (offset <= (this.position?.offset ?? 0)) return;
    this.position = { epoch, offset };
    this.order.push(offset);
    this.got.set(offset, event);
  }
}

describe("every subscriber", () => {
  it("gets all that matches since it began, in order and without a hole, through any evictions", async () => {
    const seed = SEED ?? Math.floor(Math.random() * 2 ** 31);
    console.log(`seed ${seed}`);
    const draw = drawing(seed);
    const stub = await declareExchange("e", history);
    const patterns = ["#", "a.*", "*.x"];
    const readers: Reader[] = [];
    for (let i = 0; i < 4; i++) {
      readers.push(new Reader(await TestSession.open({ hub: i % 2 }), patterns[i % 3]!));
    }
    const all = new Map<number, string>();
    let under: Promise<void>[] = [];
    const publishSome = async (): Promise<void> => {
      const topics = Array.from({ length: 1 + draw(3) }, () => ["a.x", "a.y", "b.x"][draw(3)]!);
      const answer = await tryPublish(stub, ...topics.map((topic) => `${topic}=${topic}`));
      // A publish that an eviction cut short may have become events or not: the history tells.
      if (answer.ok) expect(answer.value.position).toMatch(/:\d+$/);
    };
    for (let step = 0; step < 80; step++) {
      const reader = readers[draw(readers.length)]!;
      switch (draw(8)) {
        case 0:
          await evicted(hubStub(draw(2)));
          break;
        case 1:
          await Promise.all(under);
          await evicted(stub);
          break;
        case 2:
          await breakPush(draw(2));
          break;
        case 3:
        case 4:
          if (!reader.isIn) reader.subscribe();
          else await reader.read();
          break;
        default:
          under.push(publishSome().catch(() => undefined));
      }
      if (under.length > 4) under = (await Promise.all(under), []);
    }
    await Promise.all(under);
    for (const hub of [0, 1]) await runHubAlarm(hubStub(hub));
    for (const reader of readers) await reader.settle();
    const checker = await TestSession.open();
    await checker.subscribe("e", "#", { last: 10_000 });
    for (const frame of await checker.rest()) {
      if (frame.head.type !== "events") continue;
      for (const event of eventsOf({ head: frame.head, payload: frame.payload })) {
        all.set(Number(event.slice(0, event.indexOf(":"))), event);
      }
    }
    expect(all.size).toBeGreaterThan(0);
    for (const [i, reader] of readers.entries()) {
      expect(reader.order).toEqual([...reader.order].sort((one, two) => one - two));
      expect(reader.start).not.toBeNull();
      const expected = [...all]
        .filter(([offset, event]) => offset > reader.start! && matches(patterns[i % 3]!, topicOf(event)))
        .map(([, event]) => event);
      expect([...reader.got.values()]).toEqual(expected);
    }
  });
});

function topicOf(event: string): string {
  return event.slice(event.indexOf(":") + 1, event.indexOf("="));
}
