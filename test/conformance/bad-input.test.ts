// Every kind of bad input, sent to a whole broker: each is refused by its code, with the field's name, and what was
// stored before is unharmed.
import { sign } from "hono/jwt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestHarness } from "wrangler";
import { signToken } from "../../src/edge/identity.ts";
import { encodeBinaryFrame } from "../../src/protocol/frames.ts";
import type { ErrorCode } from "../../src/protocol/errors.ts";
import { ERRORS } from "../../src/protocol/errors.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import type { Grant } from "../../src/protocol/rpc.ts";
import { damagedBatch, goodBatch, headOf } from "../support/bad-bytes.ts";
import { FrameClient } from "../support/frame-client.ts";

const SECRET = "a secret that is long enough for HS256";
const QUEUE = "/v1/queues/kept";
const JSON_TYPE = { "Content-Type": "application/json" };
const BATCH_TYPE = { "Content-Type": "application/vnd.millrace.batch" };
const everything: Grant[] = (["publish", "consume", "manage"] as const).map((verb) => ({
  verb,
  pattern: "#",
}));

const server = createTestHarness({
  workers: [{ configPath: "./wrangler.toml", vars: { MILLRACE_SECRET: SECRET } }],
});
let base: URL;
let token: string;
/** Of a delivery of another queue, still open. */
let foreignReceipt: string;

beforeAll(async () => {
  base = (await server.listen()).url;
  token = await signToken(
    { namespace: "acme", subject: "tester", expiresMs: Date.now() + 3_600_000, grants: everything },
    SECRET,
  );
  await send("PUT", QUEUE);
  await send("PUT", "/v1/queues/other");
  await send("POST", `${QUEUE}/batches`, JSON_TYPE, '{"messages":[{"body":"one"},{"body":"two"}]}');
  await send("POST", "/v1/queues/other/messages", {}, "theirs");
  const received = await send("POST", "/v1/queues/other/receive");
  const { messages } = await received.json<{ messages: { receipt: string }[] }>();
  foreignReceipt = messages[0]!.receipt;
});
afterAll(async () => {
  await server.close();
});

const inAnHour = (): number => Date.now() + 3_600_000;

type Body = string | Uint8Array | null;

function send(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body: Body = null,
): Promise<Response> {
  const init = { method, headers: { Authorization: `Bearer ${token}`, ...headers }, body };
  return fetch(new URL(path, base), init);
}

async function expectRefusal(response: Response, code: ErrorCode, says: string): Promise<void> {
  const problem: unknown = await response.json();
  expect(problem).toMatchObject({ code, status: ERRORS[code].status });
  expect(response.status).toBe(ERRORS[code].status);
  expect(response.headers.get("Content-Type")).toBe("application/problem+json");
  expect((problem as { detail: string }).detail).toContain(says);
}

type Case = readonly [
  name: string,
  code: ErrorCode,
  says: string,
  method: string,
  path: string,
  headers?: Record<string, string>,
  body?: Body,
];

const CASES: readonly Case[] = [
  ["malformed JSON", "bad_request", "body", "POST", `${QUEUE}/batches`, JSON_TYPE, '{"messages":[{'],
  [
    "JSON that is not UTF-8",
    "bad_request",
    "body",
    "POST",
    `${QUEUE}/batches`,
    JSON_TYPE,
    new Uint8Array([34, 255, 34]),
  ],
  ["a list for an object", "bad_request", "body", "POST", `${QUEUE}/receive`, JSON_TYPE, "[]"],
  [
    "an unknown field",
    "bad_request",
    "messages[0].delayMS",
    "POST",
    `${QUEUE}/batches`,
    JSON_TYPE,
    '{"messages":[{"delayMS":5}]}',
  ],
  [
    "a field of the wrong type",
    "bad_request",
    "messages[1].priority",
    "POST",
    `${QUEUE}/batches`,
    JSON_TYPE,
    '{"messages":[{},{"priority":"high"}]}',
  ],
  [
    "a field over its limit",
    "bad_request",
    "waitMs",
    "POST",
    `${QUEUE}/receive`,
    JSON_TYPE,
    '{"waitMs":999999}',
  ],
  [
    "two bodies",
    "bad_request",
    "messages[0]",
    "POST",
    `${QUEUE}/batches`,
    JSON_TYPE,
    '{"messages":[{"body":"a","json":1}]}',
  ],
  [
    "bad base64",
    "bad_request",
    "messages[0].bodyBase64",
    "POST",
    `${QUEUE}/batches`,
    JSON_TYPE,
    '{"messages":[{"bodyBase64":"%"}]}',
  ],
  [
    "a bad header",
    "bad_request",
    "Millrace-Priority",
    "POST",
    `${QUEUE}/messages`,
    { "Millrace-Priority": "-1" },
    "x",
  ],
  ["a bad query", "bad_request", "state", "GET", `${QUEUE}/messages?state=gone`],
  ["an unknown query", "bad_request", "limt", "GET", `${QUEUE}/messages?limt=5`],
  ["another configuration", "queue_exists", "leaseMs", "PUT", QUEUE, JSON_TYPE, '{"leaseMs":5000}'],
  [
    "a wrong configuration",
    "bad_request",
    "retry.kind",
    "PUT",
    "/v1/queues/new",
    JSON_TYPE,
    '{"retry":{"kind":"never"}}',
  ],
  [
    "a missing dead-letter queue",
    "dead_letter_missing",
    "deadLetter.queue",
    "PUT",
    "/v1/queues/new",
    JSON_TYPE,
    '{"deadLetter":{"queue":"nowhere"}}',
  ],
  [
    "a truncated batch",
    "bad_batch",
    "batch",
    "POST",
    `${QUEUE}/batches`,
    BATCH_TYPE,
    goodBatch().subarray(0, 50),
  ],
  ["a batch of nothing", "bad_batch", "batch", "POST", `${QUEUE}/batches`, BATCH_TYPE, new Uint8Array(0)],
  [
    "a batch with a bad checksum",
    "bad_batch",
    "checksum",
    "POST",
    `${QUEUE}/batches`,
    BATCH_TYPE,
    damagedBatch(goodBatch().length - 1),
  ],
  [
    "a batch of another format",
    "bad_batch",
    "batch",
    "POST",
    `${QUEUE}/batches`,
    BATCH_TYPE,
    damagedBatch(0),
  ],
  [
    "a body over the limit",
    "body_too_large",
    "body",
    "POST",
    `${QUEUE}/messages`,
    {},
    new Uint8Array(LIMITS.bodyBytesMax + 1),
  ],
  [
    "JSON over the limit",
    "batch_too_large",
    "body",
    "POST",
    `${QUEUE}/batches`,
    JSON_TYPE,
    " ".repeat(LIMITS.jsonBytesMax + 1),
  ],
  [
    "a batch over the limit",
    "batch_too_large",
    "body",
    "POST",
    `${QUEUE}/batches`,
    BATCH_TYPE,
    new Uint8Array(LIMITS.batchBytesMax + 1),
  ],
  [
    "a content type that is not read",
    "unsupported_media_type",
    "Content-Type",
    "POST",
    `${QUEUE}/batches`,
    { "Content-Type": "text/xml" },
    "<a/>",
  ],
  ["an unknown queue", "queue_not_found", "nowhere", "POST", "/v1/queues/nowhere/messages", {}, "x"],
  ["a bad name", "bad_name", "queue", "PUT", "/v1/queues/.x"],
  ["a name that leads elsewhere", "bad_name", "queue", "PUT", "/v1/queues/..%2Fother"],
  ["a name over the limit", "bad_name", "queue", "GET", `/v1/queues/${"n".repeat(LIMITS.nameBytesMax + 1)}`],
  ["an unknown message", "message_not_found", "id", "GET", `${QUEUE}/messages/zzz-1`],
  ["an unknown redrive", "task_not_found", "task", "GET", `${QUEUE}/redrive/99`],
  ["a task that is no number", "bad_request", "task", "GET", `${QUEUE}/redrive/x`],
  [
    "a receipt that is none",
    "bad_request",
    "settlements[0].receipt",
    "POST",
    `${QUEUE}/settle`,
    JSON_TYPE,
    '{"settlements":[{"receipt":"?","verdict":"ack"}]}',
  ],
  [
    "a lease that never was",
    "lease_lost",
    "lease",
    "POST",
    `${QUEUE}/settle`,
    JSON_TYPE,
    '{"settlements":[{"lease":999999,"verdict":"ack"}]}',
  ],
  ["no WebSocket at its address", "upgrade_required", "Upgrade", "GET", `${QUEUE}/socket`],
  ["an address that is none", "no_route", "path", "GET", "/v1/nothing"],
  ["a method that is not taken", "method_not_allowed", "method", "PATCH", `${QUEUE}/receive`],
];

describe("over HTTP", () => {
  for (const [name, code, says, method, path, headers = {}, body = null] of CASES) {
    it(`${name} is ${code}`, async () => {
      await expectRefusal(await send(method, path, headers, body), code, says);
    });
  }

  it("another queue's receipt settles nothing here", async () => {
    const body = JSON.stringify({ settlements: [{ receipt: foreignReceipt, verdict: "ack" }] });
    await expectRefusal(await send("POST", `${QUEUE}/settle`, JSON_TYPE, body), "lease_lost", "lease");
  });
});

describe("tokens", () => {
  const claims = { namespace: "acme", subject: "tester", grants: everything };
  it.each<[string, ErrorCode, string, () => Promise<string | null>]>([
    ["no token", "unauthenticated", "Authorization", async () => null],
    [
      "an expired token",
      "unauthenticated",
      "expired",
      () => signToken({ ...claims, expiresMs: Date.now() - 5_000 }, SECRET),
    ],
    [
      "a wrong signature",
      "unauthenticated",
      "signature",
      () => signToken({ ...claims, expiresMs: inAnHour() }, `${SECRET}.`),
    ],
    ["no token's text", "unauthenticated", "token", async () => "abc"],
    [
      "a payload that is wrong",
      "unauthenticated",
      "grants",
      () => sign({ ns: "acme", sub: "x", exp: inAnHour() / 1_000, grants: 5 }, SECRET, "HS256"),
    ],
    [
      "a token without the grant",
      "forbidden",
      "kept",
      () =>
        signToken(
          { ...claims, expiresMs: inAnHour(), grants: [{ verb: "publish", pattern: "others.#" }] },
          SECRET,
        ),
    ],
  ])("%s is %s", async (_name, code, says, make) => {
    const bad = await make();
    const headers: Record<string, string> = bad === null ? {} : { Authorization: `Bearer ${bad}` };
    await expectRefusal(await fetch(new URL(QUEUE, base), { headers }), code, says);
  });

  it("a revoked token is refused, by the one who knows first at once", async () => {
    const jti = "revoke-me";
    const other = await signToken({ ...claims, namespace: "fresh", jti, expiresMs: inAnHour() }, SECRET);
    const revoke = await fetch(new URL("/v1/tokens/revoke", base), {
      method: "POST",
      headers: {
        Authorization: `Bearer ${await signToken({ ...claims, namespace: "fresh", expiresMs: inAnHour() }, SECRET)}`,
        ...JSON_TYPE,
      },
      body: JSON.stringify({ jti }),
    });
    expect(revoke.status).toBe(200);
    const response = await fetch(new URL("/v1/queues", base), {
      headers: { Authorization: `Bearer ${other}` },
    });
    await expectRefusal(response, "unauthenticated", "revoked");
  });
});

async function open(): Promise<FrameClient> {
  const address = new URL(`${QUEUE}/socket`, base);
  address.protocol = "ws:";
  const client = new FrameClient(address, token);
  expect(await client.next()).toMatchObject({ type: "hello" });
  expect(client.protocol).toBe("millrace.v1");
  return client;
}

describe("over a socket", () => {
  it.each<[string, ErrorCode, string, string | Uint8Array]>([
    ["text that is not JSON", "bad_frame", "frame", "{"],
    ["a frame that is no object", "bad_frame", "frame", "[]"],
    ["a frame without a type", "bad_request", "type", "{}"],
    [
      "a frame of an unknown type",
      "bad_request",
      '"subscribe" is not a type of frame',
      '{"type":"subscribe"}',
    ],
    [
      "a batch in a frame of an unknown type",
      "bad_request",
      '"pulbish" is not a type of frame',
      encodeBinaryFrame({ type: "pulbish", ref: 1 }, goodBatch()),
    ],
    ["a binary frame that is cut", "bad_frame", "frame", new Uint8Array(3)],
    ["a head that does not fit", "bad_frame", "frame", headOf(new Uint8Array(8), 500)],
    ["an unknown field", "bad_request", "credits", '{"type":"consume","credits":5}'],
    ["a wrong field", "bad_request", "credit", '{"type":"credit","credit":-1}'],
    [
      "a damaged batch",
      "bad_batch",
      "checksum",
      encodeBinaryFrame({ type: "publish", ref: 1 }, damagedBatch(goodBatch().length - 1)),
    ],
    ["a publish of nothing", "bad_request", "messages", '{"type":"publish","ref":1}'],
    ["credit without a consumer", "not_consuming", "consum", '{"type":"credit","credit":5}'],
  ])("%s is %s", async (_name, code, says, frame) => {
    const client = await open();
    client.send(frame);
    const error = await client.next();
    expect(error).toMatchObject({ type: "error", code });
    expect((error as { detail: string }).detail).toContain(says);
    if (ERRORS[code].closes) {
      expect(await client.closed).toBeGreaterThanOrEqual(1000);
      return;
    }
    client.send('{"type":"ping","ref":9}');
    expect(await client.next()).toEqual({ type: "pong", ref: 9 });
    client.close();
  });

  it("a lease of another queue settles nothing, and the socket stays", async () => {
    const client = await open();
    const lease = Number.parseInt(foreignReceipt.split("-")[0]!, 36);
    client.send(JSON.stringify({ type: "settle", ref: 4, settlements: [{ lease, verdict: "ack" }] }));
    expect(await client.next()).toMatchObject({
      type: "settled",
      ref: 4,
      results: [{ settled: 0, refused: [{ code: "lease_lost" }] }],
    });
    client.close();
  });
});

it("has harmed nothing that was stored", async () => {
  const info = await (await send("GET", QUEUE)).json<{ counts: object; totals: object }>();
  expect(info.counts).toMatchObject({ ready: 2, leased: 0, delayed: 0, dead: 0 });
  expect(info.totals).toMatchObject({ published: 2, acked: 0 });
  const received = await send("POST", `${QUEUE}/receive`, JSON_TYPE, '{"max":10}');
  expect(await received.json()).toMatchObject({
    messages: [
      { body: "one", attempt: 1 },
      { body: "two", attempt: 1 },
    ],
  });
  expect(await (await send("GET", "/v1/queues")).json()).toEqual({ queues: ["kept", "other"] });
});
