// The HTTP API over a fake queue: what a request becomes, and what an answer looks like.
import { describe, expect, it } from "vitest";
import type { PublishCommand } from "../../../src/protocol/commands.ts";
import { ERRORS, type ErrorCode } from "../../../src/protocol/errors.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { QUEUE_DEFAULTS } from "../../../src/protocol/queue-config.ts";
import { ok, refuse } from "../../../src/protocol/result.ts";
import { problemResponse } from "../../../src/edge/refuse.ts";
import { codec, FakeBroker, problemOf } from "../../support/fake-broker.ts";

const text = new TextEncoder();
const confirm = { publish: async () => ok({ origin: 40, sequences: [[10, 2]] as const, duplicates: [1] }) };

describe("a refusal", () => {
  it.each(Object.keys(ERRORS) as ErrorCode[])("%s has its status and is a problem document", async (code) => {
    const response = problemResponse(
      refuse(code, "field: why", { retryAfterMs: 1_500, code: "forged" }),
      "/v1/x",
      true,
    );
    expect(response.headers.get("Content-Type")).toBe("application/problem+json");
    expect(response.status).toBe(ERRORS[code].status);
    expect(await response.json()).toEqual({
      type: `/docs/errors/#${code}`,
      title: ERRORS[code].title,
      status: ERRORS[code].status,
      code,
      detail: "field: why",
      instance: "/v1/x",
      retryAfterMs: 1_500,
    });
    const waits = response.status === 429 || response.status === 503;
    expect(response.headers.get("Retry-After")).toBe(waits ? "2" : null);
  });

  it("names the methods that an address does take", async () => {
    const response = await new FakeBroker().request("PATCH", "/v1/queues/orders/receive");
    expect(await problemOf(response)).toMatchObject({ code: "method_not_allowed" });
    expect(response.headers.get("Allow")).toBe("POST");
  });

  it.each(["/nothing", "/v1", "/v1/queue", "/v1/queues/orders/nothing"])("%s is no address", async (path) => {
    expect(await problemOf(await new FakeBroker().request("GET", path))).toMatchObject({ code: "no_route" });
  });
});

it("shows the start page at its root", async () => {
  const page = await new FakeBroker().request("GET", "/");
  expect([page.status, await page.text()]).toEqual([200, "the start page"]);
});

describe("declaring", () => {
  const declared = { declare: async () => ok({ created: true, info: { queue: "orders" } as never }) };

  it("takes the defaults for what is left out, with or without a body", async () => {
    const broker = new FakeBroker({ queue: declared });
    expect((await broker.request("PUT", "/v1/queues/orders")).status).toBe(201);
    expect((await broker.json("PUT", "/v1/queues/orders", { fifo: true, retry: { maxMs: 5 } })).status).toBe(
      201,
    );
    expect(broker.inputs("declare")).toEqual([
      [QUEUE_DEFAULTS],
      [{ ...QUEUE_DEFAULTS, fifo: true, retry: { ...QUEUE_DEFAULTS.retry, maxMs: 5 } }],
    ]);
  });
});

describe("publishing one body", () => {
  it("puts the headers' metadata and the body into one record", async () => {
    const broker = new FakeBroker({ queue: confirm });
    const response = await broker.request("POST", "/v1/queues/orders/messages", {
      body: "hällo",
      headers: {
        "Content-Type": "text/plain",
        "Millrace-Routing-Key": "a.b",
        "Millrace-Priority": "7",
        "Millrace-Delay-Ms": "0",
        "Millrace-Header-Colour": "red",
        "Millrace-Producer": "p1",
        "Millrace-Sequence": "12",
      },
    });
    expect(response.status).toBe(201);
    expect(await response.json()).toEqual({ ids: ["14-a", "14-b"], sequences: [[10, 2]], duplicates: [1] });
    expect(broker.published()).toEqual([
      {
        routingKey: "a.b",
        priority: 7,
        delayMs: 0,
        contentType: "text/plain",
        headers: { colour: "red" },
        body: text.encode("hällo"),
      },
    ]);
    expect(broker.inputs("publish")[0]).toMatchObject([{ producer: { id: "p1", sequence: 12 } }]);
  });

  it.each([
    [{ "Millrace-Priority": "32" }, "Millrace-Priority: must be at most 31"],
    [{ "Millrace-Priority": "1e1" }, "Millrace-Priority: must be a whole number"],
    [{ "Millrace-Ttl-Ms": "" }, "Millrace-Ttl-Ms: must be a whole number"],
    [{ "Millrace-Sequence": "1" }, "Millrace-Producer: is missing beside Millrace-Sequence"],
    [{ "Millrace-Producer": "p" }, "Millrace-Sequence: is missing beside Millrace-Producer"],
  ])("refuses %j by the header's name", async (headers, detail) => {
    const broker = new FakeBroker({ queue: confirm });
    const response = await broker.request("POST", "/v1/queues/orders/messages", { headers, body: "x" });
    expect(await problemOf(response)).toMatchObject({ code: "bad_request", detail });
    expect(broker.calls).toEqual([]);
  });

  it("stops reading a body at its limit, whether or not its size was declared", async () => {
    const broker = new FakeBroker({ queue: confirm });
    const path = "/v1/queues/orders/messages";
    const declared = await broker.request("POST", path, { body: new Uint8Array(LIMITS.bodyBytesMax + 1) });
    expect(await problemOf(declared)).toMatchObject({ code: "body_too_large" });
    let pulled = 0;
    const endless = new ReadableStream({
      pull: (controller) => {
        pulled += 65_536;
        controller.enqueue(new Uint8Array(65_536));
      },
    });
    const streamed = await broker.request("POST", path, { body: endless, duplex: "half" } as RequestInit);
    expect(await problemOf(streamed)).toMatchObject({ code: "body_too_large" });
    expect(pulled).toBeLessThan(2 * LIMITS.bodyBytesMax);
    expect((await broker.request("POST", path, { body: new Uint8Array(LIMITS.bodyBytesMax) })).status).toBe(
      201,
    );
  });
});

describe("publishing a batch", () => {
  const path = "/v1/queues/orders/batches";

  it("encodes JSON once, and hands on a batch as it came", async () => {
    const broker = new FakeBroker({ queue: confirm });
    const messages = [{ body: "a" }, { json: [1] }];
    expect((await broker.json("POST", path, { messages, producer: "p", sequence: 3 })).status).toBe(201);
    const [command] = broker.inputs("publish")[0] as [PublishCommand];
    expect(command.producer).toEqual({ id: "p", sequence: 3 });
    const headers = { "Content-Type": "application/vnd.millrace.batch" };
    expect((await broker.request("POST", path, { body: command.batch, headers })).status).toBe(201);
    expect(broker.inputs("publish")[1]).toEqual([
      { batch: command.batch, publisher: { subject: "anonymous" } },
    ]);
  });

  it.each([
    ["messages: is missing", "bad_request", "application/json", "{}"],
    ["messages: is missing", "bad_request", "application/json; charset=utf-8", ""],
    ["body: is not JSON", "bad_request", "application/json", '{"messages":['],
    ["body: is not UTF-8", "bad_request", "application/json", new Uint8Array([34, 255, 34])],
    [
      "messages[1].bodyBase64: is not base64",
      "bad_request",
      "application/json",
      '{"messages":[{},{"bodyBase64":"?"}]}',
    ],
    [
      "Content-Type: must be application/json or application/vnd.millrace.batch",
      "unsupported_media_type",
      "text/plain",
      "{}",
    ],
  ])("refuses with %s", async (detail, code, contentType, body) => {
    const broker = new FakeBroker({ queue: confirm });
    const response = await broker.request("POST", path, { body, headers: { "Content-Type": contentType } });
    expect(await problemOf(response)).toMatchObject({ code, detail });
    expect(broker.calls).toEqual([]);
  });

  it("refuses a batch that forges what only the broker writes", async () => {
    const forged = codec.encode(
      [{ id: "1-1", body: new Uint8Array(0) }],
      { origin: 0, firstSequence: 0, timeMs: 0 },
      "broker",
    );
    if (!forged.ok) throw new Error(forged.detail);
    const broker = new FakeBroker({ queue: confirm });
    const headers = { "Content-Type": "application/vnd.millrace.batch" };
    const response = await broker.request("POST", path, { body: forged.value, headers });
    expect(await problemOf(response)).toMatchObject({ code: "bad_batch" });
    expect(broker.calls).toEqual([]);
  });
});

const settle = (broker: FakeBroker, settlements: object[]) =>
  broker.json("POST", "/v1/queues/orders/settle", { settlements });

describe("settling", () => {
  it("joins receipts of one lease and verdict, and answers each by itself", async () => {
    const lost = { sequences: [4, 1], code: "lease_lost", detail: "too late" } as const;
    const broker = new FakeBroker({
      queue: {
        settle: async () =>
          ok([
            { settled: 2, refused: [lost] },
            { settled: 1, refused: [] },
            { settled: 9, untilMs: 5, refused: [] },
          ]),
      },
    });
    const response = await settle(broker, [
      { receipt: "7-4", verdict: "ack" },
      { receipt: "7-5", verdict: "ack" },
      { receipt: "7-6", verdict: "nack", delayMs: 5 },
      { lease: 8, verdict: "extend" },
      { receipt: "7-3", verdict: "ack" },
    ]);
    const subject = expect.any(String) as string;
    expect(broker.inputs("settle")).toEqual([
      [
        [
          { lease: 7, subject, verdict: "ack", sequences: [[3, 3]] },
          { lease: 7, subject, verdict: "nack", delayMs: 5, sequences: [[6, 1]] },
          { lease: 8, subject, verdict: "extend" },
        ],
      ],
    ]);
    expect(await response.json()).toEqual({
      results: [
        { ok: false, settled: 0, code: "lease_lost", detail: "too late" },
        { ok: true, settled: 1 },
        { ok: true, settled: 1 },
        { ok: true, settled: 9, untilMs: 5 },
        { ok: true, settled: 1 },
      ],
    });
  });

  it("answers the one that is refused whole with its problem", async () => {
    const refused = [{ sequences: [5, 1], code: "lease_lost", detail: "too late" } as const];
    const broker = new FakeBroker({ queue: { settle: async () => ok([{ settled: 0, refused }]) } });
    const response = await settle(broker, [{ receipt: "7-5", verdict: "ack" }]);
    expect(await problemOf(response)).toMatchObject({ status: 409, code: "lease_lost", detail: "too late" });
  });
});

/** A method that throws so many times. */
const throwing = (fault: object, times: number) => {
  let calls = 0;
  return async () => {
    if (++calls <= times) throw Object.assign(new Error("inner words"), fault);
    return ok({ paused: true });
  };
};

describe("a call that throws", () => {
  it("is made again when it is repeatable and the platform says so", async () => {
    const broker = new FakeBroker({ queue: { pause: throwing({ retryable: true }, 2) } });
    expect((await broker.request("POST", "/v1/queues/orders/pause")).status).toBe(200);
    expect(broker.inputs("pause")).toHaveLength(3);
  });

  it.each([
    ["overloaded", { retryable: true, overloaded: true }, "unavailable", 1],
    ["lost each time", { retryable: true }, "unavailable", 3],
    ["a bug", {}, "internal", 1],
  ])("ends as a refusal that shows nothing of the inside: %s", async (_name, fault, code, calls) => {
    const broker = new FakeBroker({ queue: { pause: throwing(fault, 9) } });
    const problem = await problemOf(await broker.request("POST", "/v1/queues/orders/pause"));
    expect(problem.code).toBe(code);
    expect(JSON.stringify(problem)).not.toContain("inner words");
    expect(broker.inputs("pause")).toHaveLength(calls);
    expect(broker.logged.find(({ event }) => event === "call_failed")).toMatchObject({
      queue: "orders",
      namespace: "default",
    });
  });

  it("is not made again when that could publish twice", async () => {
    const broker = new FakeBroker({ queue: { publish: throwing({ retryable: true }, 99) as never } });
    const send = (message: object, rest: object = {}) =>
      broker.json("POST", "/v1/queues/orders/batches", { messages: [message], ...rest });
    expect((await send({})).status).toBe(503);
    expect(broker.inputs("publish")).toHaveLength(1);
    await send({ dedupId: "d" });
    expect(broker.inputs("publish")).toHaveLength(4);
    await send({}, { producer: "p", sequence: 1 });
    expect(broker.inputs("publish")).toHaveLength(7);
  });
});

it("shows dead letters of a queue where they lie", async () => {
  const view = {
    id: "1-1",
    sequence: 1,
    state: "ready",
    timeMs: 1,
    priority: 0,
    attempts: 0,
    failures: 0,
    bodyBytes: 0,
    body: new Uint8Array(0),
  } as const;
  const config = { ...QUEUE_DEFAULTS, deadLetter: { queue: "dead" } };
  const broker = new FakeBroker({
    queue: {
      inspect: async () => ok({ config } as never),
      peek: async ({ state }) =>
        ok({
          messages:
            state === "dead"
              ? []
              : [
                  { ...view, death: { queue: "orders" } as never },
                  { ...view, id: "1-2", death: { queue: "mail" } as never },
                ],
        }),
    },
  });
  const page = await (await broker.request("GET", "/v1/queues/orders/messages?state=dead")).json();
  expect(page).toMatchObject({ messages: [{ id: "1-1", queue: "dead" }] });
  expect(broker.calls.map(({ object, method }) => `${object} ${method}`)).toEqual([
    "default/orders peek",
    "default/orders inspect",
    "default/dead peek",
  ]);
});

it("shows and sets the quota of exchanges beside the others", async () => {
  const usage = {
    queues: 1,
    queuesMax: 2,
    exchanges: 3,
    exchangesMax: 4,
    bytesAllotted: 5,
    bytesMax: 6,
  };
  const namespace = { usage: async () => ok(usage), setQuota: async () => ok(usage) };
  const broker = new FakeBroker({ namespace });
  expect(await (await broker.request("GET", "/v1/namespace")).json()).toEqual(usage);
  expect((await broker.json("PUT", "/v1/namespace/quota", { exchangesMax: 4 })).status).toBe(200);
  expect(broker.inputs("setQuota")).toEqual([[{ exchangesMax: 4 }]]);
  const over = { exchangesMax: LIMITS.exchangesMax + 1 };
  expect((await broker.json("PUT", "/v1/namespace/quota", over)).status).toBe(400);
});

it("describes every route in OpenAPI 3.1", async () => {
  const response = await new FakeBroker().request("GET", "/openapi.json");
  const document = await response.json<{ openapi: string; paths: Record<string, object> }>();
  expect(document.openapi).toBe("3.1.0");
  expect(Object.keys(document.paths).sort()).toMatchInlineSnapshot(`
    [
      "/v1/exchanges",
      "/v1/exchanges/{exchange}",
      "/v1/exchanges/{exchange}/batches",
      "/v1/exchanges/{exchange}/bindings",
      "/v1/exchanges/{exchange}/bindings/{id}",
      "/v1/exchanges/{exchange}/events",
      "/v1/exchanges/{exchange}/explain",
      "/v1/exchanges/{exchange}/messages",
      "/v1/exchanges/{exchange}/presence",
      "/v1/hubs/{hub}",
      "/v1/namespace",
      "/v1/namespace/quota",
      "/v1/queues",
      "/v1/queues/{queue}",
      "/v1/queues/{queue}/batches",
      "/v1/queues/{queue}/bodies/{reference}",
      "/v1/queues/{queue}/keys/resume",
      "/v1/queues/{queue}/messages",
      "/v1/queues/{queue}/messages/{id}",
      "/v1/queues/{queue}/pause",
      "/v1/queues/{queue}/purge",
      "/v1/queues/{queue}/receive",
      "/v1/queues/{queue}/redrive",
      "/v1/queues/{queue}/redrive/{task}",
      "/v1/queues/{queue}/resume",
      "/v1/queues/{queue}/settle",
      "/v1/queues/{queue}/socket",
      "/v1/replies",
      "/v1/rpc/{queue}",
      "/v1/socket",
      "/v1/tokens/revoke",
    ]
  `);
});
