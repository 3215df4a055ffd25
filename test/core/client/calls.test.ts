import { beforeEach, describe, expect, it } from "vitest";
import {
  Answer,
  connect,
  DeadLetter,
  isMillraceError,
  Retry,
  type Client,
  type ConnectOptions,
  type RequestHandler,
  type ServeOptions,
  type Service,
  type WebSocketConstructor,
} from "../../../src/client/index.ts";
import { FakeBroker } from "./fake-broker.ts";
import { batchOf, FakeHub } from "./fake-hub.ts";
import { newable } from "./fake-socket.ts";
import { ManualClock, settle } from "./manual-clock.ts";

let clock: ManualClock;
let broker: FakeBroker;
let hub: FakeHub;
let client: Client;

beforeEach(() => {
  clock = new ManualClock();
  broker = new FakeBroker(clock);
  hub = new FakeHub();
  client = start();
});

function start(options: Partial<ConnectOptions> = {}): Client {
  const WebSocket: WebSocketConstructor = newable((url, protocols) => {
    const isSession = new URL(url).pathname === "/v1/socket";
    return new (isSession ? hub.WebSocket : broker.WebSocket)(url, protocols);
  });
  return connect({
    url: "http://broker.test",
    clock,
    WebSocket,
    fetch: () => Promise.resolve(new Response("{}")),
    ...options,
  });
}
function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => (isMillraceError(error) ? [error.code, error.facts] : error));
}
const calls = () => hub.sockets.flatMap((socket) => socket.of("call"));
function reply(ref: number, text: string, socket = hub.last): void {
  const record = { body: new TextEncoder().encode(text), contentType: "text/x", headers: { h: 1 } };
  socket.tell({ type: "reply", ref }, batchOf([record]));
}

describe("a call", () => {
  it("is one message, and resolves with the reply", async () => {
    const called = client.call("sums", { a: 1 }, { headers: { who: "me" } });
    await settle();
    expect(calls()).toEqual([{ type: "call", ref: 1, queue: "sums", timeoutMs: 30_000 }]);
    expect(hub.asked[0]!.record).toMatchObject({
      contentType: "application/json",
      headers: { who: "me" },
    });
    reply(1, "three");
    const answer = await called;
    expect([answer.text(), answer.contentType, answer.headers]).toEqual(["three", "text/x", { h: 1 }]);
  });

  it("takes a reply as JSON, too, and each its own", async () => {
    const [one, two] = [client.call("sums", "1"), client.call("sums", "2")];
    await settle();
    hub.last.tell({ type: "reply", ref: 2, messages: [{ offset: 0, timeMs: 1, body: '{"b":2}' }] });
    reply(1, "first");
    expect((await two).json()).toEqual({ b: 2 });
    expect((await one).text()).toBe("first");
  });

  it("rejects at once when nobody answers, and with the responder's words", async () => {
    hub.refusals.push({ type: "call", code: "no_responders" });
    expect(await outcome(client.call("sums", ""))).toEqual(["no_responders", {}]);
    const failed = client.call("sums", "");
    await settle();
    hub.last.tell(
      { type: "reply", ref: 2, error: "TypeError: no number" },
      batchOf([{ body: new Uint8Array() }]),
    );
    await expect(failed).rejects.toMatchObject({
      code: "responder_failed",
      message: "responder_failed: TypeError: no number",
      facts: { error: "TypeError: no number" },
    });
  });

  it("rejects when its time is over, and a reply that comes later is let go", async () => {
    const called = outcome(client.call("sums", "", { timeoutMs: 2_000 }));
    await clock.advance(2_000);
    expect(await called).toEqual(["timeout", { outcome: "unknown" }]);
    reply(1, "late");
    await settle();
  });

  it("gets its reply over the next connection, without being sent again", async () => {
    const called = client.call("sums", "");
    await settle();
    hub.last.lose();
    await clock.advance(1_000);
    expect(hub.last.url).toBe("ws://broker.test/v1/socket");
    expect(hub.last.protocols).toEqual(["millrace.v1", "resume.h1.1.secret"]);
    expect(calls()).toHaveLength(1);
    reply(1, "after all");
    expect((await called).text()).toBe("after all");
  });

  it("rejects when the inbox is lost, and the reply with it", async () => {
    const called = outcome(client.call("sums", ""));
    await settle();
    hub.keepsInbox = false;
    hub.last.lose();
    await clock.advance(1_000);
    expect(await called).toEqual(["disconnected", { outcome: "unknown" }]);
  });

  it("is sent over the next connection if it was not, with the time that is left", async () => {
    hub.handshake = "refuse";
    const called = client.call("sums", "", { timeoutMs: 5_000 });
    await clock.advance(100);
    hub.handshake = "accept";
    await clock.advance(900);
    expect(calls()).toMatchObject([{ timeoutMs: 4_875 }]);
    reply(1, "yes");
    await called;
    hub.handshake = "refuse";
    hub.last.lose();
    const never = outcome(client.call("sums", "", { timeoutMs: 5_000 }));
    await clock.advance(5_000);
    expect(await never).toEqual(["timeout", { outcome: "not_sent" }]);
  });

  it("stops waiting when it is aborted", async () => {
    const abort = new AbortController();
    const called = outcome(client.call("sums", "", { signal: abort.signal }));
    await settle();
    const reason = new Error("enough");
    abort.abort(reason);
    expect(await called).toBe(reason);
    // The heartbeat's only: nobody waits for this reply.
    expect(clock.timerCount).toBe(1);
    expect(await outcome(client.call("sums", "", { signal: abort.signal }))).toBe(reason);
    expect(calls()).toHaveLength(1);
    client.close();
    expect(clock.timerCount).toBe(0);
  });

  it("is refused here when it could not be sent", async () => {
    expect(await outcome(client.call("a/b", ""))).toEqual(["bad_name", {}]);
    expect(await outcome(client.call("sums", "", { priority: 99 }))).toEqual(["bad_batch", {}]);
    client.close();
    expect(await outcome(client.call("sums", ""))).toEqual(["closed", {}]);
  });

  it("is waited for by a drain", async () => {
    const called = client.call("sums", "");
    await settle();
    const drained = client.drain();
    await settle();
    reply(1, "in time");
    expect((await called).text()).toBe("in time");
    await drained;
  });
});

it("a drain waits no longer than it may", async () => {
  const called = outcome(client.call("sums", ""));
  const drained = client.drain({ timeoutMs: 1_000 });
  await clock.advance(1_000);
  await drained;
  expect(await called).toEqual(["closed", {}]);
  expect(clock.timerCount).toBe(0);
});

describe("a service", () => {
  let errors: string[];
  let handled: string[];
  let leases = 0;
  beforeEach(() => {
    leases = 0;
  });

  async function serve(handler: RequestHandler, options: ServeOptions = {}): Promise<Service> {
    errors = [];
    handled = [];
    const service = client.serve(
      "sums",
      (request, context) => {
        handled.push(request.text());
        return handler(request, context);
      },
      { onError: (error) => errors.push(error.message), ...options },
    );
    await service.ready;
    await settle();
    return service;
  }
  async function request(
    body: string,
    {
      replyTo = "~h9.1.s",
      ttlMs,
      correlationId = "b1.x",
    }: { replyTo?: string; ttlMs?: number; correlationId?: string } = {},
  ): Promise<void> {
    const ttl = ttlMs === undefined ? {} : { ttlMs };
    broker.deliverRecord(++leases, { body: new TextEncoder().encode(body), replyTo, correlationId, ...ttl });
    await clock.advance(5);
  }
  const replies = () => hub.asked.filter(({ frame }) => frame.type === "reply");
  const verdicts = () => broker.settlements.map(({ verdict, dead, error }) => [verdict, dead, error]);

  it("replies with what the handler returns, and acks when the reply is there", async () => {
    hub.silent.add("reply");
    await serve((message) => ({ got: message.text() }));
    await request("one");
    expect(replies()).toMatchObject([{ frame: { to: "~h9.1.s", correlationId: "b1.x" } }]);
    expect(new TextDecoder().decode(replies()[0]!.record!.body)).toBe('{"got":"one"}');
    expect(verdicts()).toEqual([]);
    hub.last.tell({ type: "replied", ref: 1 });
    await settle();
    expect(verdicts()).toEqual([["ack", undefined, undefined]]);
  });

  it("gives a reply headers, and makes an empty one of nothing", async () => {
    const answers = [new Answer("x", { headers: { h: 1 } }), undefined];
    await serve(() => answers.shift());
    await request("one");
    await request("two");
    expect(replies().map(({ record }) => [record!.headers, record!.body.length])).toEqual([
      [{ h: 1 }, 1],
      [undefined, 0],
    ]);
  });

  it("tells the caller what the handler threw, and acks", async () => {
    await serve(() => {
      throw new TypeError(`no number${"ü".repeat(1_000)}`);
    });
    await request("one");
    const { frame } = replies()[0]!;
    const error = "error" in frame ? (frame.error ?? "") : "";
    expect(error).toMatch(/^TypeError: no numberü+$/);
    expect(new TextEncoder().encode(error).length).toBeGreaterThan(1_020);
    expect(new TextEncoder().encode(error).length).toBeLessThanOrEqual(1_024);
    expect(verdicts()).toEqual([["ack", undefined, undefined]]);
    expect(errors).toHaveLength(1);
  });

  it("keeps the meaning of Retry and DeadLetter", async () => {
    await serve((message) => {
      throw message.text() === "retry" ? new Retry({ delayMs: 7 }) : new DeadLetter("useless");
    });
    await request("retry");
    await request("dead");
    expect(replies()).toEqual([]);
    expect(verdicts()).toEqual([
      ["nack", undefined, undefined],
      ["reject", true, "useless"],
    ]);
  });

  it("skips what nobody waits for any more, by the broker's clock", async () => {
    broker.aheadMs = -60_000;
    await serve(() => "x");
    await request("in time", { ttlMs: 1_000 });
    expect(handled).toEqual(["in time"]);
    broker.aheadMs = -62_000;
    await request("too late", { ttlMs: 1_000 });
    expect(handled).toEqual(["in time"]);
    expect(verdicts()).toHaveLength(2);
    expect(replies()).toHaveLength(1);
  });

  it("does not mind a requester that is gone, or one that never asked for a reply", async () => {
    hub.refusals.push({ type: "reply", code: "requester_gone" });
    await serve(() => "x");
    await request("one");
    broker.deliverRecord(++leases, { body: new Uint8Array([97]) });
    await clock.advance(5);
    expect(handled).toEqual(["one", "a"]);
    expect(verdicts()).toEqual([
      ["ack", undefined, undefined],
      ["ack", undefined, undefined],
    ]);
    expect(errors).toEqual([]);
  });

  it("replies to a queue in a way that keeps it from doubling", async () => {
    await serve(() => "x");
    await request("one", { replyTo: "answers", correlationId: "mine" });
    expect(replies()[0]).toMatchObject({
      frame: { to: "answers", correlationId: "mine" },
      record: { dedupId: "re:10-1", correlationId: "mine" },
    });
  });

  it("sends a reply again after a lost connection, and acks then", async () => {
    hub.silent.add("reply");
    await serve(() => "x");
    await request("one");
    hub.silent.clear();
    hub.last.lose();
    await clock.advance(1_000);
    expect(replies()).toHaveLength(2);
    expect(verdicts()).toEqual([["ack", undefined, undefined]]);
  });

  it("sends a reply again that the broker could not take just now", async () => {
    hub.refusals.push({ type: "reply", code: "unavailable" });
    await serve(() => "x");
    await request("one");
    await clock.advance(1_000);
    expect(hub.sockets).toHaveLength(2);
    expect(replies()).toHaveLength(2);
    expect(verdicts()).toEqual([["ack", undefined, undefined]]);
    expect(handled).toEqual(["one"]);
  });

  it("tells the caller when the reply itself can't be sent", async () => {
    hub.refusals.push({ type: "reply", code: "body_too_large" });
    await serve(() => "x");
    await request("one");
    expect(replies()[1]).toMatchObject({
      frame: { error: expect.stringContaining("body_too_large") as string },
    });
    expect(verdicts()).toEqual([["ack", undefined, undefined]]);
    hub.refusals.push({ type: "reply", code: "queue_not_found" });
    await request("two", { replyTo: "nowhere" });
    expect(verdicts()[1]).toMatchObject(["reject", true, expect.stringContaining("queue_not_found")]);
    expect(handled).toEqual(["one", "two"]);
  });

  it("makes its queue unless told otherwise", async () => {
    const asked: string[] = [];
    let answer = new Response("{}");
    client = start({
      fetch: (_url, init) => {
        asked.push(`${init.method} ${init.body as string}`);
        return Promise.resolve(answer.clone());
      },
    });
    await serve(() => "x", { declare: { fifo: true } });
    expect(asked[0]).toContain('"fifo":true');
    expect(asked[0]).toContain('"maxFailures":1');
    answer = new Response(JSON.stringify({ code: "queue_exists", detail: "other" }), { status: 409 });
    await serve(() => "x");
    expect(asked).toHaveLength(2);
    const other = client.serve("sums", () => "x", { declare: { fifo: true } });
    await expect(other.ready).rejects.toMatchObject({ code: "queue_exists" });
    await expect(other.closed).rejects.toMatchObject({ code: "queue_exists" });
    await serve(() => "x", { declare: false });
    expect(asked).toHaveLength(3);
  });

  it("works on so many at a time, and drains with its replies", async () => {
    let release: () => void = () => undefined;
    const service = await serve(() => new Promise<string>((resolve) => (release = () => resolve("x"))), {
      concurrency: 2,
    });
    expect(broker.last.of("consume")[0]).toMatchObject({ credit: 2 });
    await request("one");
    const drained = client.drain();
    await settle();
    expect(replies()).toEqual([]);
    release();
    await drained;
    await service.closed;
    expect(replies()).toHaveLength(1);
    expect(verdicts()).toEqual([["ack", undefined, undefined]]);
  });

  it("stops at once", async () => {
    const service = await serve(() => new Promise<string>(() => undefined));
    await request("one");
    await service.stop();
    expect(broker.last.of("cancel")).toHaveLength(1);
    await service.closed;
  });
});
