// What the Worker does with exchanges and hubs, over the real objects: routing, streams of events, calls.
import { reset } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { HubApi } from "../../src/protocol/exchange-rpc.ts";
import { LIMITS } from "../../src/protocol/limits.ts";

afterEach(async () => {
  await reset();
});

const hub = () => env.HUBS.getByName("default/0") as unknown as HubApi;

async function sessions(): Promise<number> {
  const info = await hub().inspect();
  return info.ok ? info.value.sessions : -1;
}

function call(method: string, path: string, init: RequestInit = {}): Promise<Response> {
  return exports.default.fetch(new Request(`http://localhost/v1${path}`, { ...init, method }));
}

function json(method: string, path: string, body: object): Promise<Response> {
  const headers = { "Content-Type": "application/json" };
  return call(method, path, { body: JSON.stringify(body), headers });
}

async function declareEvents(config: object = {}): Promise<void> {
  const declared = await json("PUT", "/exchanges/events", config);
  expect(declared.status, await declared.clone().text()).toBe(201);
}

const publish = (topic: string, body: string) =>
  call("POST", "/exchanges/events/messages", { body, headers: { "Millrace-Routing-Key": topic } });

const READ_BYTES = 256 * 1024;

/** Reads a stream of events until its text holds what is waited for. */
class Stream {
  text = "";
  private readonly reader: ReadableStreamBYOBReader;

  constructor(response: Response) {
    // A plain reader gets 4 KiB at a time.
    this.reader = response.body!.getReader({ mode: "byob" });
  }

  async until(part: string): Promise<string> {
    while (!this.text.includes(part)) {
      const { done, value } = await this.reader.read(new Uint8Array(READ_BYTES));
      if (done) throw new Error(`the stream ended with ${this.text}`);
      this.text += new TextDecoder().decode(value);
    }
    return this.text;
  }

  close(): Promise<void> {
    return this.reader.cancel();
  }
}

async function follow(query: string, headers: Record<string, string> = {}): Promise<Stream> {
  const response = await call("GET", `/exchanges/events/events?${query}`, { headers });
  expect(response.status, response.ok ? "" : await response.clone().text()).toBe(200);
  return new Stream(response);
}

describe("an exchange", () => {
  it("routes to the queues bound to it, and says how many took each message", async () => {
    await declareEvents();
    await call("PUT", "/queues/orders");
    const binding = { destination: { queue: "orders" }, key: "orders.#" };
    expect((await json("POST", "/exchanges/events/bindings", binding)).status).toBe(201);
    expect((await json("POST", "/exchanges/events/bindings", binding)).status).toBe(200);
    const messages = [{ routingKey: "orders.eu" }, { routingKey: "mail" }];
    const routed = await json("POST", "/exchanges/events/batches", { messages, mandatory: true });
    expect(routed.status).toBe(201);
    expect(await routed.json()).toMatchObject({ matched: [1, 0], failed: [], returned: [[1, 1]] });
    const explained = await json("POST", "/exchanges/events/explain", { routingKey: "orders.eu" });
    expect(await explained.json()).toMatchObject({ destinations: [{ queue: "orders" }] });
    const received = await json("POST", "/queues/orders/receive", {});
    expect(await received.json()).toMatchObject({ messages: [{ routingKey: "orders.eu" }] });
  });
});

describe("a stream of events", () => {
  it("has what is published, and its session ends with it", async () => {
    await declareEvents();
    const stream = await follow("pattern=a.%23");
    await stream.until("event: subscribed");
    expect(await sessions()).toBe(1);
    await publish("b", "other");
    await publish("a.b", "first");
    const text = await stream.until("first");
    expect(text).toMatch(/\nid: [0-9a-z]+:2\ndata: \{"exchange":"events","offset":2,.*"body":"first"\}\n\n$/);
    expect(text).not.toContain("other");
    await stream.close();
    await vi.waitFor(async () => expect(await sessions()).toBe(0));
  });

  it("goes on where it was cut off", async () => {
    await declareEvents({ history: { eventsMax: 10 } });
    const first = await follow("pattern=%23");
    await first.until("event: subscribed");
    await publish("a", "one");
    const position = /id: (\S+)\ndata: \{/.exec(await first.until("one"))![1]!;
    await first.close();
    await publish("a", "two");
    const second = await follow("pattern=%23&last=1", { "Last-Event-ID": position });
    const text = await second.until("two");
    expect(text).toContain('"recovery":"complete"');
    expect(text).not.toContain("one");
    await second.close();
  });

  it("tells a reader that stood still what it lost, and goes on", async () => {
    await declareEvents();
    const stream = await follow("pattern=%23");
    await stream.until("event: subscribed");
    const events = 10;
    const body = "x".repeat((2 * LIMITS.unseenBytesMax) / events);
    for (let i = 0; i < events; i++) expect((await publish("a", body)).status).toBe(201);
    const text = await stream.until("event: gap");
    expect(text).toContain('"reason":"slow"');
    await publish("a", "again");
    await stream.until("again");
    await stream.close();
  });

  it("of an exchange that is none is a problem document", async () => {
    const response = await call("GET", "/exchanges/events/events?pattern=%23");
    expect([response.status, response.headers.get("Content-Type")]).toEqual([
      404,
      "application/problem+json",
    ]);
    await vi.waitFor(async () => expect(await sessions()).toBe(0));
  });

  it("ends with its exchange", async () => {
    await declareEvents();
    const stream = await follow("pattern=%23");
    await stream.until("event: subscribed");
    await call("DELETE", "/exchanges/events");
    await stream.until('"reason":"exchange_deleted"');
    await expect(stream.until("never")).rejects.toThrow("the stream ended");
  });
});

describe("a call over HTTP", () => {
  it("is answered by who consumes the queue", async () => {
    await call("PUT", "/queues/sums");
    const answering = (async () => {
      const received = await json("POST", "/queues/sums/receive", { waitMs: 10_000 });
      const { messages } = await received.json<{
        messages: { body: string; replyTo: string; correlationId: string }[];
      }>();
      const { replyTo, correlationId } = messages[0]!;
      const headers = { "Millrace-Reply-To": replyTo, "Millrace-Correlation-Id": correlationId };
      const post = (body: string) =>
        call("POST", "/replies", { body, headers: { ...headers, "Content-Type": "text/sum" } });
      return { asked: messages[0]!.body, status: (await post("4")).status };
    })();
    const ask = () => call("POST", "/rpc/sums?timeoutMs=10000", { body: "2+2" });
    // The consumer's socket may not be open yet.
    const reply = await vi.waitFor(
      async () => {
        const response = await ask();
        expect(response.status).toBe(200);
        return response;
      },
      { timeout: 10_000 },
    );
    expect([await reply.text(), reply.headers.get("Content-Type")]).toEqual(["4", "text/sum"]);
    expect(await answering).toEqual({ asked: "2+2", status: 204 });
    await vi.waitFor(async () => expect(await sessions()).toBe(0));
  });

  it("is refused at once when nobody consumes the queue", async () => {
    await call("PUT", "/queues/idle");
    const response = await call("POST", "/rpc/idle", { body: "?" });
    expect([response.status, await response.json<{ code: string }>()]).toMatchObject([
      503,
      { code: "no_responders" },
    ]);
  });
});

it("opens a session for a client, with an inbox of its own", async () => {
  const response = await call("GET", "/socket", {
    headers: { Upgrade: "websocket", "Sec-WebSocket-Protocol": "millrace.v1" },
  });
  expect(response.status).toBe(101);
  expect(response.headers.get("Sec-WebSocket-Protocol")).toBe("millrace.v1");
  const socket = response.webSocket!;
  const hello = new Promise<unknown>((resolve) => {
    socket.addEventListener("message", ({ data }) => resolve(JSON.parse(data as string)), { once: true });
  });
  socket.accept();
  expect(await hello).toMatchObject({ type: "hello", hub: "0", inbox: expect.stringMatching(/^~0\./) });
  socket.close(1000);
});
