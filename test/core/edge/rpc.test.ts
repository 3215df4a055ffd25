// Calls and replies over HTTP, with a fake hub behind them.
import { afterEach, describe, expect, it, vi } from "vitest";
import { readBatchHeader, type MessageRecord } from "../../../src/protocol/batch.ts";
import type { ReplyCommand } from "../../../src/protocol/exchange-commands.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { readRecord } from "../../../src/protocol/record.ts";
import { ok, refuse } from "../../../src/protocol/result.ts";
import { codec, FakeBroker, problemOf, type FakeOptions } from "../../support/fake-broker.ts";
import { FakeSocket, opens, opensNone } from "../../support/fake-socket.ts";
import { authorization, SECRET } from "../../support/token.ts";

const text = new TextEncoder();

function batchOf(record: MessageRecord): Uint8Array {
  const batch = codec.encode([record], { origin: 0, firstSequence: 0, timeMs: 0 }, "client");
  if (!batch.ok) throw new Error(batch.detail);
  return batch.value;
}

function recordIn(batch: Uint8Array): MessageRecord {
  const table = codec.scan(batch, "client");
  if (!table.ok || table.value.count !== 1) throw new Error("not a batch of one");
  return readRecord(batch, table.value.offset(0));
}

afterEach(() => {
  vi.useRealTimers();
});

describe("a call", () => {
  const call = (init: RequestInit = {}, query = "", options: FakeOptions = {}) => {
    const socket = new FakeSocket();
    const broker = new FakeBroker({ hub: { fetch: async () => opens(socket) }, ...options });
    return {
      socket,
      broker,
      response: broker.request("POST", `/v1/rpc/sums${query}`, { body: "2+2", ...init }),
    };
  };

  it("goes to the queue as one message, and is answered with the reply", async () => {
    const headers = { "Content-Type": "text/plain", "Millrace-Header-Lang": "en", "Millrace-Priority": "3" };
    const { socket, broker, response } = call({ headers }, "?timeoutMs=5000");
    await socket.sends(1);
    expect(socket.sent).toEqual([{ type: "call", ref: 1, queue: "sums", timeoutMs: 5_000 }]);
    expect(recordIn(socket.payloads[0]!)).toEqual({
      contentType: "text/plain",
      headers: { lang: "en" },
      priority: 3,
      body: text.encode("2+2"),
    });
    expect(broker.calls).toMatchObject([{ object: "default/0", method: "fetch" }]);
    socket.receive({ type: "hello", hub: "0", inbox: "~0.1.0123456789a", resume: "" });
    const reply = { body: text.encode("4"), contentType: "text/x-sum", headers: { exact: true, digits: 1 } };
    socket.receive({ type: "reply", ref: 1 }, batchOf(reply));
    const answer = await response;
    expect([answer.status, await answer.text()]).toEqual([200, "4"]);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "content-type": "text/x-sum",
      "millrace-header-exact": "true",
      "millrace-header-digits": "1",
      "x-content-type-options": "nosniff",
      "content-security-policy": "sandbox",
      "cache-control": "no-store",
    });
    expect(socket.closed).toBe(1000);
  });

  it("has time unless it is given another, and up to a limit", async () => {
    const { socket, response } = call();
    await socket.sends(1);
    expect(socket.sent).toMatchObject([{ timeoutMs: LIMITS.callTimeoutMsDefault }]);
    socket.lose();
    await response;
    for (const timeoutMs of ["0", "x", String(LIMITS.callTimeoutMsMax + 1)]) {
      const problem = await problemOf(await call({}, `?timeoutMs=${timeoutMs}`).response);
      expect(problem.code).toBe("bad_request");
    }
  });

  it("is answered as well when the reply comes as JSON", async () => {
    const { socket, response } = call();
    await socket.sends(1);
    const message = { offset: 0, timeMs: 1, contentType: "a/b", headers: { x: "y" }, bodyBase64: "/w==" };
    socket.receive({ type: "reply", ref: 1, messages: [message] });
    const answer = await response;
    expect(new Uint8Array(await answer.arrayBuffer())).toEqual(new Uint8Array([255]));
    expect([answer.headers.get("Content-Type"), answer.headers.get("Millrace-Header-X")]).toEqual([
      "a/b",
      "y",
    ]);
  });

  it("leaves out headers that HTTP can't carry", async () => {
    const { socket, response } = call();
    await socket.sends(1);
    const headers = {
      fits: "ü",
      "no name": "x",
      snow: "☃",
      line: "a\r\nSet-Cookie: b",
      bytes: new Uint8Array(2),
    };
    socket.receive({ type: "reply", ref: 1 }, batchOf({ body: text.encode("x"), headers, contentType: "☃" }));
    const answer = await response;
    const names = [...answer.headers.keys()].filter((name) => name.startsWith("millrace"));
    expect(names).toEqual(["millrace-header-fits"]);
    expect(answer.headers.get("Content-Type")).toBe(null);
    expect(answer.headers.get("Set-Cookie")).toBe(null);
  });

  it("that has no type is bytes", async () => {
    const { socket, response } = call();
    await socket.sends(1);
    socket.receive({ type: "reply", ref: 1 }, batchOf({ body: text.encode("x") }));
    expect((await response).headers.get("Content-Type")).toBe("application/octet-stream");
  });

  it.each<[string, object | null, number, string, string]>([
    ["the responder fails", { type: "reply", ref: 1, error: "no" }, 502, "responder_failed", "responder: no"],
    [
      "nobody consumes",
      { type: "error", ref: 1, code: "no_responders", detail: "queue: d" },
      503,
      "no_responders",
      "queue: d",
    ],
    ["the hub is lost", null, 503, "unavailable", "call: the connection to the hub was lost"],
  ])("is refused when %s", async (_name, frame, status, code, detail) => {
    const { socket, response } = call();
    await socket.sends(1);
    if (frame === null) socket.lose();
    else socket.receive(frame);
    expect(await problemOf(await response)).toMatchObject({ status, code, detail });
    expect(socket.closed === 1000 || frame === null).toBe(true);
  });

  it("is over when its time is", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
    const { socket, response } = call({}, "?timeoutMs=700");
    await socket.sends(1);
    let isOver = false;
    void response.then(() => (isOver = true));
    await vi.advanceTimersByTimeAsync(400);
    socket.receive({ type: "hello", hub: "0", inbox: "~0.1.0123456789a", resume: "" });
    await vi.advanceTimersByTimeAsync(299);
    expect(isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await problemOf(await response)).toMatchObject({ status: 504, code: "call_timeout" });
    expect(socket.closed).toBe(1000);
  });

  it("ends with its client", async () => {
    const client = new AbortController();
    const { socket, response } = call({ signal: client.signal });
    await socket.sends(1);
    client.abort();
    await response;
    expect(socket.closed).toBe(1000);
  });

  it.each([
    "Millrace-Reply-To",
    "Millrace-Correlation-Id",
    "Millrace-Ttl-Ms",
    "Millrace-Delay-Ms",
    "Millrace-Dedup-Id",
    "Millrace-Producer",
    "Millrace-Sequence",
  ])("decides itself about %s", async (name) => {
    const { broker, response } = call({ headers: { [name]: "1" } });
    const detail = `${name}: does not go with a call`;
    expect(await problemOf(await response)).toMatchObject({ code: "bad_request", detail });
    expect(broker.calls).toEqual([]);
  });

  it("takes a body up to the limit", async () => {
    const { broker, response } = call({ body: new Uint8Array(LIMITS.bodyBytesMax + 1) });
    expect(await problemOf(await response)).toMatchObject({ code: "body_too_large" });
    expect(broker.calls).toEqual([]);
  });

  it("takes the right to publish, and counts as one message", async () => {
    const hub = { fetch: async () => opensNone("hub_full", 503) };
    const broker = new FakeBroker({ secret: SECRET, hub });
    const ask = async (grants: Parameters<typeof authorization>[0]) =>
      (
        await problemOf(
          await broker.request("POST", "/v1/rpc/sums", { headers: await authorization(grants) }),
        )
      ).code;
    expect(await ask([{ verb: "consume", pattern: "sums" }])).toBe("forbidden");
    expect(await ask([{ verb: "publish", pattern: "sums", exchange: "x" }])).toBe("forbidden");
    const limited = [{ verb: "publish", pattern: "sums", ratePerSecond: 1 }] as const;
    expect(await ask(limited)).toBe("hub_full");
    expect(await ask(limited)).toBe("rate_limited");
  });
});

describe("a reply", () => {
  const inbox = "~4.9.0123456789a";
  const correlationId = `j1.1.${"0".repeat(24)}.sums`;
  const reply = (broker: FakeBroker, to: string, headers: Record<string, string> = {}, body = "4") =>
    broker.request("POST", "/v1/replies", {
      body,
      headers: { "Millrace-Reply-To": to, "Millrace-Correlation-Id": correlationId, ...headers },
    });

  it("to an inbox goes to its hub, from who may consume the queue of the call", async () => {
    const nowMs = Date.now();
    const hub = { reply: async () => ok(undefined) };
    const broker = new FakeBroker({ secret: SECRET, hub, nowMs: () => nowMs });
    const headers = {
      "Content-Type": "text/plain",
      "Millrace-Header-Exact": "yes",
      ...(await authorization([{ verb: "consume", pattern: "sums" }])),
    };
    const response = await reply(broker, inbox, headers);
    expect([response.status, await response.text()]).toEqual([204, ""]);
    expect(broker.calls).toMatchObject([{ object: "acme/4", method: "reply" }]);
    const [command] = broker.inputs("reply")[0] as [ReplyCommand];
    const { batch, ...rest } = command;
    expect(rest).toEqual({ to: inbox, correlationId });
    expect(readBatchHeader(batch).timeMs).toBe(nowMs);
    expect(recordIn(batch)).toEqual({
      correlationId,
      contentType: "text/plain",
      headers: { exact: "yes" },
      body: text.encode("4"),
    });
    await reply(broker, inbox, { "Millrace-Error": "no such sum", ...headers });
    expect(broker.inputs("reply")[1]).toMatchObject([{ error: "no such sum" }]);
  });

  it("to an inbox is refused to who may not consume the queue of the call, and to no call", async () => {
    const broker = new FakeBroker({ secret: SECRET });
    const other = await authorization([
      { verb: "consume", pattern: "other" },
      { verb: "publish", pattern: "sums" },
    ]);
    expect(await problemOf(await reply(broker, inbox, other))).toMatchObject({ code: "forbidden" });
    const all = await authorization([{ verb: "consume", pattern: "#" }]);
    const madeUp = { ...all, "Millrace-Correlation-Id": "c1" };
    expect(await problemOf(await reply(broker, inbox, madeUp))).toMatchObject({ code: "requester_gone" });
    expect(broker.calls).toEqual([]);
  });

  it("to a queue is a message in it", async () => {
    const queue = { publish: async () => ok({ origin: 1, sequences: [[1, 1]] as const, duplicates: [] }) };
    const broker = new FakeBroker({ queue });
    expect((await reply(broker, "answers", { "Millrace-Header-X": "y" })).status).toBe(204);
    expect(broker.calls).toMatchObject([{ object: "default/answers", method: "publish" }]);
    expect(broker.published()).toEqual([
      {
        correlationId,
        headers: { x: "y" },
        contentType: "text/plain;charset=UTF-8",
        body: text.encode("4"),
      },
    ]);
    const failed = new FakeBroker({ queue });
    await reply(failed, "answers", { "Millrace-Error": "no", "Content-Type": "a/b" });
    expect(failed.published()).toEqual([
      {
        correlationId,
        headers: { "millrace-error": "no" },
        contentType: "a/b",
        body: text.encode("4"),
      },
    ]);
  });

  it("to a queue takes the right to publish to it, at its rate", async () => {
    const queue = { publish: async () => ok({ origin: 1, sequences: [[1, 1]] as const, duplicates: [] }) };
    const broker = new FakeBroker({ secret: SECRET, queue });
    const other = await authorization([{ verb: "publish", pattern: "other" }]);
    expect(await problemOf(await reply(broker, "answers", other))).toMatchObject({ code: "forbidden" });
    const limited = await authorization([{ verb: "publish", pattern: "answers", ratePerSecond: 1 }]);
    expect((await reply(broker, "answers", limited)).status).toBe(204);
    expect((await reply(broker, "answers", limited)).status).toBe(429);
  });

  it.each([
    ["~4.9.short", "bad_request", "Millrace-Reply-To: is neither an inbox nor a queue's name"],
    ["~64.9.0123456789a", "bad_request", "Millrace-Reply-To: is neither an inbox nor a queue's name"],
    [".answers", "bad_name", 'Millrace-Reply-To: ".answers" must be'],
  ])("is refused to %s", async (to, code, detail) => {
    const broker = new FakeBroker();
    const problem = await problemOf(await reply(broker, to));
    expect(problem.code).toBe(code);
    expect(problem.detail).toContain(detail);
    expect(broker.calls).toEqual([]);
  });

  it("needs both that the request had, and is no larger than a message", async () => {
    const broker = new FakeBroker();
    const post = async (headers: Record<string, string>, body: BodyInit = "x") =>
      problemOf(await broker.request("POST", "/v1/replies", { headers, body }));
    expect((await post({ "Millrace-Correlation-Id": "c" })).detail).toBe("Millrace-Reply-To: is missing");
    expect((await post({ "Millrace-Reply-To": inbox })).detail).toBe("Millrace-Correlation-Id: is missing");
    const both = { "Millrace-Reply-To": inbox, "Millrace-Correlation-Id": "c" };
    expect((await post(both, new Uint8Array(LIMITS.bodyBytesMax + 1))).code).toBe("body_too_large");
    const long = { ...both, "Millrace-Error": "e".repeat(LIMITS.errorBytesMax + 1) };
    expect((await post(long)).code).toBe("bad_request");
    expect(broker.calls).toEqual([]);
  });

  it("that comes too late is told so", async () => {
    const hub = { reply: async () => refuse("requester_gone", "call: its time is over") };
    const problem = await problemOf(await reply(new FakeBroker({ hub }), inbox));
    expect(problem).toMatchObject({ status: 410, code: "requester_gone" });
  });
});

describe("a publish that names a queue for its reply", () => {
  it("needs publish there too, to a queue and to an exchange, as a body, as JSON and as a batch", async () => {
    const broker = new FakeBroker({ secret: SECRET });
    const token = await authorization([
      { verb: "publish", pattern: "q" },
      { verb: "publish", pattern: "#", exchange: "e" },
    ]);
    const json = { ...token, "Content-Type": "application/json" };
    const batch = JSON.stringify({ messages: [{ body: "a" }, { body: "b", replyTo: "payments" }] });
    for (const path of ["/v1/queues/q", "/v1/exchanges/e"]) {
      const headers = { ...token, "Millrace-Reply-To": "payments" };
      const one = await broker.request("POST", `${path}/messages`, { body: "x", headers });
      const many = await broker.request("POST", `${path}/batches`, { body: batch, headers: json });
      for (const response of [one, many]) {
        expect(await problemOf(response)).toMatchObject({
          code: "forbidden",
          detail: expect.stringMatching(/^replyTo: .*"payments"/),
        });
      }
    }
    expect(broker.calls).toEqual([]);
  });
});
