// Events over HTTP: a fake hub speaks over a fake socket, and the test reads the stream as slowly as it likes.
import { setImmediate } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { MessageRecord } from "../../../src/protocol/batch.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import type { Grant } from "../../../src/protocol/rpc.ts";
import { codec, FakeBroker, problemOf } from "../../support/fake-broker.ts";
import { FakeSocket, opens, opensNone } from "../../support/fake-socket.ts";
import { authorization, SECRET, tokenWith } from "../../support/token.ts";

const PATH = "/v1/exchanges/events/events";
const decoder = new TextDecoder();
const encoder = new TextEncoder();

function batchOf(bodies: readonly string[], more: Partial<MessageRecord> = {}): Uint8Array {
  const records = bodies.map((body) => ({ routingKey: "a.b", ...more, body: encoder.encode(body) }));
  const batch = codec.encode(records, { origin: 1, firstSequence: 1, timeMs: 77 }, "broker");
  if (!batch.ok) throw new Error(batch.detail);
  return batch.value;
}

const subscribed = {
  type: "subscribed",
  ref: 1,
  exchange: "events",
  pattern: "a.#",
  epoch: "e1",
  offset: 8,
  recovery: "fresh",
} as const;
const eventsHead = { type: "events", exchange: "events", pattern: "a.#", epoch: "e1" } as const;
const subscribedText = (facts: object = {}) => {
  const { type: _type, ref: _ref, ...rest } = { ...subscribed, ...facts };
  return `event: subscribed\ndata: ${JSON.stringify(rest)}\n\n`;
};

/** A hub that opens one socket, and a request for events. */
class Follower {
  readonly socket = new FakeSocket();
  readonly client = new AbortController();
  readonly broker: FakeBroker;
  readonly response: Promise<Response>;
  private reader: ReadableStreamDefaultReader<Uint8Array> | null = null;

  constructor(query = "pattern=a.%23", headers: Record<string, string> = {}) {
    this.broker = new FakeBroker({ hub: { fetch: async () => opens(this.socket) } });
    this.response = this.broker.request("GET", `${PATH}?${query}`, { headers, signal: this.client.signal });
  }

  /** Waits for the subscription and confirms it. */
  async subscribed(facts: object = {}): Promise<Response> {
    await this.socket.sends(1);
    this.socket.receive({ type: "hello", hub: "0", inbox: "~0.1.0123456789a", resume: "" });
    this.socket.receive({ ...subscribed, ...facts });
    const response = await this.response;
    this.reader = response.body!.getReader();
    return response;
  }

  events(offset: number, bodies: readonly string[], head: object = {}): void {
    const offsets = [[offset, bodies.length]];
    this.socket.receive({ ...eventsHead, offsets, ...head }, batchOf(bodies));
  }

  /** The next piece of the stream, or null at its end. */
  async read(): Promise<string | null> {
    const { done, value } = await this.reader!.read();
    return done ? null : decoder.decode(value);
  }

  async leave(): Promise<void> {
    await this.reader!.cancel();
  }
}

const dataOf = (offset: number, body: string, more: object = {}) =>
  JSON.stringify({ exchange: "events", ...more, offset, timeMs: 77, routingKey: "a.b", body });

afterEach(() => {
  vi.useRealTimers();
});

describe("following events", () => {
  it("subscribes at a hub, and turns what comes into server-sent events", async () => {
    const follower = new Follower();
    const response = await follower.subscribed();
    expect([...response.headers]).toEqual(
      expect.arrayContaining([
        ["content-type", "text/event-stream"],
        ["cache-control", "no-store, no-transform"],
      ]),
    );
    expect(follower.broker.calls).toMatchObject([{ object: "default/0", method: "fetch" }]);
    expect(follower.socket.sent).toEqual([
      { type: "subscribe", ref: 1, exchange: "events", format: "binary", pattern: "a.#" },
    ]);
    expect(follower.socket.binaryType).toBe("arraybuffer");
    expect(await follower.read()).toBe(`retry: 2000\n\nid: e1:8\n${subscribedText()}`);
    follower.events(9, ["one", "line 1\nline 2"]);
    expect(await follower.read()).toBe(
      `id: e1:9\ndata: ${dataOf(9, "one")}\n\nid: e1:10\ndata: ${dataOf(10, "line 1\nline 2")}\n\n`,
    );
    await follower.leave();
  });

  it("tells of gaps, and of the end, after which the client connects again", async () => {
    const follower = new Follower();
    await follower.subscribed();
    await follower.read();
    const gap = { exchange: "events", pattern: "a.#", epoch: "e1", offset: 20, reason: "slow", events: 3 };
    follower.socket.receive({ type: "gap", ...gap });
    expect(await follower.read()).toBe(`event: gap\ndata: ${JSON.stringify(gap)}\n\n`);
    const end = { exchange: "events", pattern: "a.#", reason: "interrupted" };
    follower.socket.receive({ type: "unsubscribed", ref: null, ...end });
    expect(await follower.read()).toBe(`event: unsubscribed\ndata: ${JSON.stringify(end)}\n\n`);
    expect(await follower.read()).toBe(null);
    expect(follower.socket.closed).toBe(1000);
  });

  it.each([
    ["the hub is gone", (socket: FakeSocket) => socket.lose()],
    [
      "the hub ends the session",
      (socket: FakeSocket) =>
        socket.receive({ type: "error", ref: null, code: "unauthenticated", detail: "token: has expired" }),
    ],
    [
      "a frame can't be read",
      (socket: FakeSocket) => socket.dispatchEvent(new MessageEvent("message", { data: "{" })),
    ],
  ])("ends when %s, after what had come", async (_name, end) => {
    const follower = new Follower();
    await follower.subscribed();
    follower.events(9, ["last"]);
    end(follower.socket);
    await follower.read();
    expect(await follower.read()).toContain("id: e1:9\n");
    expect(await follower.read()).toBe(null);
  });

  it("says something when nothing happens, so that nobody on the way gives up", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const follower = new Follower();
    await follower.subscribed();
    await follower.read();
    for (let i = 0; i < 2; i++) {
      const beat = follower.read();
      let isSilent = true;
      void beat.then(() => (isSilent = false));
      await vi.advanceTimersByTimeAsync(24_999);
      expect(isSilent).toBe(true);
      await vi.advanceTimersByTimeAsync(1);
      expect(await beat).toBe(":\n\n");
    }
    await follower.leave();
  });
});

describe("where the stream begins", () => {
  it.each<[string, string, Record<string, string>, object]>([
    ["now", "", {}, {}],
    ["after a position", "&since=e1:4", {}, { since: "e1:4" }],
    ["with the last events", "&last=3", {}, { last: 3 }],
    ["with the last values", "&lastValues=true", {}, { lastValues: true }],
    ["without them", "&lastValues=false", {}, {}],
    ["where the client was", "&since=e1:4", { "Last-Event-ID": "e1:7" }, { since: "e1:7" }],
    [
      "where the client was, not with the last events again",
      "&last=3&lastValues=true",
      { "Last-Event-ID": "e1:7" },
      { since: "e1:7", lastValues: true },
    ],
  ])("%s", async (_name, query, headers, replay) => {
    const follower = new Follower(`pattern=a.%23${query}`, headers);
    await follower.socket.sends(1);
    const frame = { type: "subscribe", ref: 1, exchange: "events", format: "binary", pattern: "a.#" };
    expect(follower.socket.sent).toEqual([{ ...frame, ...replay }]);
    follower.client.abort();
    await follower.response;
  });

  it.each([
    ["since=e1:4&last=3", "last: does not go with since"],
    ["since=4", "since: must be a position, <epoch>:<offset>, as an event had it"],
    ["last=0", "last: must be at least 1"],
    [`last=${LIMITS.replayEventsMax + 1}`, `last: must be at most ${LIMITS.replayEventsMax}`],
    ["pattern=%23.a.%23.b.%23", 'pattern: must have at most 2 words "#"'],
    ["token=x&pattern=a", "token: is not a known field"],
  ])("can't be %s", async (query, detail) => {
    const broker = new FakeBroker();
    const pattern = query.includes("pattern") ? "" : "&pattern=a";
    const problem = await problemOf(await broker.request("GET", `${PATH}?${query}${pattern}`));
    expect(problem).toMatchObject({ code: "bad_request", detail });
    expect(broker.calls).toEqual([]);
  });

  it.each<[string, string, object]>([
    ["the last events follow", "&last=2", {}],
    ["missed events follow", "&since=e1:4", { recovery: "complete" }],
    ["some were lost", "&since=e0:4", { recovery: "gap", reason: "new_epoch" }],
  ])("is no position of the reader's yet when %s", async (_name, query, facts) => {
    const follower = new Follower(`pattern=a.%23${query}`);
    await follower.subscribed(facts);
    expect(await follower.read()).toBe(`retry: 2000\n\n${subscribedText(facts)}`);
    follower.events(5, ["missed"], { from: "recovered" });
    expect(await follower.read()).toBe(`id: e1:5\ndata: ${dataOf(5, "missed", { from: "recovered" })}\n\n`);
    await follower.leave();
  });

  it("gives last values no id: they are older than where the reader stands", async () => {
    const follower = new Follower("pattern=a.%23&lastValues=true");
    await follower.subscribed();
    await follower.read();
    follower.events(2, ["old"], { from: "snapshot" });
    expect(await follower.read()).toBe(`data: ${dataOf(2, "old", { from: "snapshot" })}\n\n`);
    await follower.leave();
  });
});

describe("a slow reader", () => {
  const seen = (follower: Follower) => follower.socket.sent.slice(1);

  it("is not said to have seen what it has not taken", async () => {
    const follower = new Follower();
    await follower.subscribed();
    await follower.read();
    const frames = LIMITS.seenEveryFrames * 2;
    for (let i = 0; i < frames; i++) follower.events(9 + i, ["x"]);
    // Whatever would read ahead has done so by then.
    await setImmediate();
    expect(seen(follower)).toEqual([]);
    for (let i = 0; i < LIMITS.seenEveryFrames; i++) await follower.read();
    expect(seen(follower)).toEqual([
      { type: "seen", frames: 16 },
      { type: "seen", frames: 32 },
    ]);
    for (let i = LIMITS.seenEveryFrames; i < frames; i++) await follower.read();
    expect(seen(follower).at(-1)).toEqual({ type: "seen", frames });
    await follower.leave();
  });

  it("of large events says so before the hub takes it for slow", async () => {
    const follower = new Follower();
    await follower.subscribed();
    await follower.read();
    const body = "x".repeat(LIMITS.unseenBytesMax / 16);
    for (let i = 0; i < 4; i++) follower.events(9 + i, [body]);
    for (let i = 0; i < 4; i++) await follower.read();
    expect(seen(follower)).toEqual([
      { type: "seen", frames: 2 },
      { type: "seen", frames: 4 },
    ]);
    await follower.leave();
  });

  it("counts event frames only", async () => {
    const follower = new Follower();
    await follower.subscribed();
    await follower.read();
    const gap = { exchange: "events", pattern: "a.#", epoch: "e1", offset: 1, reason: "slow", events: 1 };
    for (let i = 0; i < 40; i++) {
      follower.socket.receive({ type: "gap", ...gap });
      await follower.read();
    }
    expect(seen(follower)).toEqual([]);
    await follower.leave();
  });
});

describe("a client that goes", () => {
  it("takes its session with it: before the answer, with the request, or with the stream", async () => {
    const early = new Follower();
    await early.socket.sends(1);
    early.client.abort();
    expect(await problemOf(await early.response)).toMatchObject({ code: "unavailable" });
    expect(early.socket.closed).toBe(1000);

    const aborted = new Follower();
    await aborted.subscribed();
    await aborted.read();
    aborted.client.abort();
    expect(aborted.socket.closed).toBe(1000);
    expect(await aborted.read()).toBe(null);

    const cancelled = new Follower();
    await cancelled.subscribed();
    await cancelled.read();
    const waiting = cancelled.read();
    await cancelled.leave();
    expect(cancelled.socket.closed).toBe(1000);
    expect(await waiting).toBe(null);
  });
});

it("leaves no session to a client that went while it was being opened", async () => {
  const socket = new FakeSocket();
  const client = new AbortController();
  const fetch = async () => {
    client.abort();
    return opens(socket);
  };
  await new FakeBroker({ hub: { fetch } }).request("GET", `${PATH}?pattern=a`, { signal: client.signal });
  expect(socket.closed).toBe(1000);
});

describe("a refusal", () => {
  it("before the first event is a problem document", async () => {
    const follower = new Follower();
    await follower.socket.sends(1);
    const refusal = { code: "exchange_not_found", detail: "exchange: is none", facts: { depth: 1 } };
    follower.socket.receive({ type: "error", ref: 1, ...refusal });
    expect(await problemOf(await follower.response)).toMatchObject({
      status: 404,
      code: "exchange_not_found",
      depth: 1,
    });
    expect(follower.socket.closed).toBe(1000);
  });

  it("is the hub's when it opens no session, or loses it", async () => {
    const full = new FakeBroker({ hub: { fetch: async () => opensNone("hub_full", 503) } });
    expect(await problemOf(await full.request("GET", `${PATH}?pattern=a`))).toMatchObject({
      code: "hub_full",
    });
    const follower = new Follower();
    await follower.socket.sends(1);
    follower.socket.lose();
    const response = await follower.response;
    expect(response.headers.get("Retry-After")).toBe("1");
    expect(await problemOf(response)).toMatchObject({ code: "unavailable" });
  });
});

describe("a token", () => {
  const subscribe = (pattern: string, exchange = "events"): Grant => ({
    verb: "subscribe",
    pattern,
    exchange,
  });
  const closed = () =>
    new FakeBroker({ secret: SECRET, hub: { fetch: async () => opensNone("unauthenticated", 401) } });

  it.each<[readonly Grant[], boolean]>([
    [[subscribe("#")], true],
    [[subscribe("a.b")], true],
    [[{ verb: "subscribe", pattern: "a.#" }], true],
    [[subscribe("b.#")], false],
    [[subscribe("#", "other")], false],
    [[{ verb: "manage", pattern: "#" }], false],
  ])("with %j for some of the pattern's topics: %s", async (grants, may) => {
    const broker = closed();
    const headers = await authorization(grants);
    const response = await broker.request("GET", `${PATH}?pattern=a.%23`, { headers });
    expect((await problemOf(response)).code).toBe(may ? "unauthenticated" : "forbidden");
    expect(broker.calls).toHaveLength(may ? 1 : 0);
  });

  it("comes in a cookie where an EventSource asks, and nowhere else", async () => {
    const broker = closed();
    const token = await tokenWith([subscribe("#"), { verb: "manage", pattern: "#" }]);
    const headers = { Cookie: `theme=dark; millrace_token=${token}` };
    await broker.request("GET", `${PATH}?pattern=a`, { headers });
    expect(broker.calls).toHaveLength(1);
    for (const [method, path, more] of [
      ["GET", "/v1/exchanges/events", {}],
      ["GET", "/v1/exchanges/events/bindings", {}],
      ["POST", `${PATH}?pattern=a`, {}],
      ["GET", "/v1/socket", { Upgrade: "websocket" }],
      ["GET", `${PATH}?pattern=a`, { Authorization: "Basic x" }],
    ] as const) {
      const response = await broker.request(method, path, { headers: { ...headers, ...more } });
      expect([401, 405]).toContain(response.status);
    }
    expect(broker.calls).toHaveLength(1);
  });
});
