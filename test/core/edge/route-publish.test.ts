// Publishing to an exchange, and the rates of grants.
import { describe, expect, it } from "vitest";
import type { RoutePublishCommand } from "../../../src/protocol/exchange-commands.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { ok } from "../../../src/protocol/result.ts";
import type { Claims, Grant } from "../../../src/protocol/rpc.ts";
import { codec, FakeBroker, problemOf, type FakeOptions } from "../../support/fake-broker.ts";
import { authorization, SECRET } from "../../support/token.ts";

const ONE = "/v1/exchanges/events/messages";
const MANY = "/v1/exchanges/events/batches";
const BATCH = { "Content-Type": "application/vnd.millrace.batch" };
const confirm = { matched: [1], delayed: [], failed: [], returned: [], position: "e1:4" };
const answering = { publish: async () => ok(confirm) };
const open = (options: FakeOptions = {}) => new FakeBroker({ exchange: answering, ...options });

function batchOf(topics: readonly (string | null)[]): Uint8Array {
  const records = topics.map((topic) => ({
    ...(topic === null ? {} : { routingKey: topic }),
    body: new Uint8Array(1),
  }));
  const batch = codec.encode(records, { origin: 0, firstSequence: 0, timeMs: 0 }, "client");
  if (!batch.ok) throw new Error(batch.detail);
  return batch.value;
}

const messagesOf = (topics: readonly (string | null)[]) =>
  topics.map((topic) => (topic === null ? {} : { routingKey: topic }));

describe("publishing one body to an exchange", () => {
  it("makes one record of headers and body, and answers with the confirm", async () => {
    const broker = open();
    const response = await broker.request("POST", ONE, {
      body: "x",
      headers: {
        "Content-Type": "text/plain",
        "Millrace-Routing-Key": "a.b",
        "Millrace-Dedup-Id": "d1",
        "Millrace-Header-Colour": "red",
        "Millrace-Mandatory": "true",
      },
    });
    expect([response.status, await response.json()]).toEqual([201, confirm]);
    expect(broker.published()).toEqual([
      {
        routingKey: "a.b",
        dedupId: "d1",
        contentType: "text/plain",
        headers: { colour: "red" },
        body: new Uint8Array([120]),
      },
    ]);
    expect(broker.inputs("publish")[0]).toMatchObject([{ mandatory: true }]);
    expect(broker.calls).toMatchObject([{ object: "default/events" }]);
  });

  it("asks about what is mandatory only when told to", async () => {
    const broker = open();
    await broker.request("POST", ONE, { body: "x" });
    await broker.request("POST", ONE, { body: "x", headers: { "Millrace-Mandatory": "false" } });
    for (const [command] of broker.inputs("publish")) expect(command).not.toHaveProperty("mandatory");
    const response = await broker.request("POST", ONE, { headers: { "Millrace-Mandatory": "yes" } });
    expect(await problemOf(response)).toMatchObject({ code: "bad_request" });
  });

  it.each(["Millrace-Producer", "Millrace-Sequence"])("refuses %s, and says what to use", async (name) => {
    const broker = open();
    const headers = { [name]: "1" };
    const detail = `${name}: does not go with an exchange; give each message a dedupId`;
    for (const response of [
      await broker.request("POST", ONE, { body: "x", headers }),
      await broker.request("POST", MANY, { body: batchOf(["a"]), headers: { ...headers, ...BATCH } }),
      await broker.json("POST", MANY, { messages: [{}] }, headers),
    ]) {
      expect(await problemOf(response)).toMatchObject({ code: "bad_request", detail });
    }
    expect(broker.calls).toEqual([]);
  });

  it("refuses a body over the inline limit, bucket or not, and says why", async () => {
    const bodies = {
      put: () => Promise.reject(new Error("no")),
      get: async () => null,
      delete: async () => {},
    };
    const broker = open({ bodies });
    const body = new Uint8Array(LIMITS.bodyBytesMax + 1);
    const headers = { "Content-Length": String(body.length) };
    const problem = await problemOf(await broker.request("POST", ONE, { body, headers }));
    expect(problem).toMatchObject({ status: 413, code: "body_too_large", bytesMax: LIMITS.bodyBytesMax });
    expect(problem.detail).toContain("only queues");
    expect(broker.calls).toEqual([]);
  });
});

describe("publishing a batch to an exchange", () => {
  it("encodes JSON once, and hands on a batch as it came", async () => {
    const broker = open();
    const json = await broker.json("POST", MANY, { messages: messagesOf(["a", "b"]), mandatory: true });
    expect(json.status).toBe(201);
    const batch = batchOf(["a", "b"]);
    const headers = { ...BATCH, "Millrace-Mandatory": "true" };
    expect((await broker.request("POST", MANY, { body: batch, headers })).status).toBe(201);
    const [[first], [second]] = broker.inputs("publish") as [[RoutePublishCommand], [RoutePublishCommand]];
    expect(first.mandatory).toBe(true);
    expect(second).toEqual({ batch, mandatory: true, publisher: { subject: "anonymous" } });
    const scanned = codec.scan(first.batch, "client");
    expect(scanned.ok && scanned.value.count).toBe(2);
  });

  it("is answered with 207 when a queue refused its share", async () => {
    const failed = [
      { destination: { queue: "q" }, code: "queue_full", detail: "queue: is full", messages: [[0, 1]] },
    ] as const;
    const broker = open({ exchange: { publish: async () => ok({ ...confirm, failed }) } });
    const response = await broker.json("POST", MANY, { messages: [{}] });
    expect([response.status, await response.json()]).toEqual([207, { ...confirm, failed }]);
    expect((await broker.request("POST", ONE, { body: "x" })).status).toBe(207);
  });

  it.each([
    [{ messages: [] }, "messages: must be at least 1 item"],
    [{ messages: [{}], producer: "p", sequence: 1 }, "producer: is not a known field"],
    [{ messages: [{}, { bodyBase64: "?" }] }, "messages[1].bodyBase64: is not base64"],
  ])("refuses %j", async (body, detail) => {
    const broker = open();
    const problem = await problemOf(await broker.json("POST", MANY, body));
    expect(problem).toMatchObject({ code: "bad_request", detail });
    expect(broker.calls).toEqual([]);
  });

  it("refuses a damaged batch, and one over the limit", async () => {
    const broker = open();
    const damaged = batchOf(["a"]).with(45, 255);
    const send = (body: Uint8Array) => broker.request("POST", MANY, { body, headers: BATCH });
    expect(await problemOf(await send(damaged))).toMatchObject({ code: "bad_batch" });
    const over = new Uint8Array(LIMITS.batchBytesMax + 1);
    expect(await problemOf(await send(over))).toMatchObject({ code: "batch_too_large" });
    expect(broker.calls).toEqual([]);
  });

  it("is not sent again after a lost answer, which subscribers would see twice", async () => {
    const publish = () => Promise.reject(Object.assign(new Error("inner"), { retryable: true }));
    const broker = open({ exchange: { publish } });
    const response = await broker.json("POST", MANY, { messages: [{ dedupId: "d" }] });
    expect(await problemOf(response)).toMatchObject({ code: "unavailable" });
    expect(broker.inputs("publish")).toHaveLength(1);
  });
});

const publishes = (pattern: string, more: Partial<Grant> = {}): Grant => ({
  verb: "publish",
  pattern,
  ...more,
});

describe("a token publishes under topics", () => {
  const here = { exchange: "events" };

  it.each<[string, readonly Grant[], readonly (string | null)[], number | null]>([
    ["of this exchange", [publishes("a.*", here)], ["a.b", "a.c", "a.b"], null],
    ["of every exchange", [publishes("a.*")], ["a.b"], null],
    ["not of another exchange", [publishes("#", { exchange: "other" })], ["a.b"], 0],
    ["not by the exchange's name", [publishes("events")], ["a.b"], 0],
    ["not with another verb", [{ verb: "manage", pattern: "#" }], ["a.b"], 0],
    ["each of them", [publishes("a.*", here), publishes("b", here)], ["a.b", "b", "c", "c"], 2],
    ["the empty one too", [publishes("a.*", here)], ["a.b", null], 1],
    ["the empty one, with a grant", [publishes("#", here)], [null], null],
    ["beyond ASCII", [publishes("ö.*", here)], ["ö.✓", "o.x"], 1],
  ])("%s", async (_name, grants, topics, refused) => {
    const broker = open({ secret: SECRET });
    const headers = await authorization(grants);
    const responses = [
      await broker.json("POST", MANY, { messages: messagesOf(topics) }, headers),
      await broker.request("POST", MANY, { body: batchOf(topics), headers: { ...headers, ...BATCH } }),
    ];
    for (const response of responses) {
      if (refused === null) {
        expect(response.status).toBe(201);
        continue;
      }
      const problem = await problemOf(response);
      expect(problem.code).toBe("forbidden");
      const topic = topics[refused] ?? "";
      const detail = `messages[${refused}].routingKey: token: has no grant to publish "${topic}" in "events"`;
      expect(problem.detail).toBe(detail);
    }
    expect(broker.inputs("publish")).toHaveLength(refused === null ? 2 : 0);
  });

  it("of one message by its header", async () => {
    const broker = open({ secret: SECRET });
    const headers = { ...(await authorization([publishes("a")])), "Millrace-Routing-Key": "b" };
    const problem = await problemOf(await broker.request("POST", ONE, { body: "x", headers }));
    expect(problem.detail).toBe('Millrace-Routing-Key: token: has no grant to publish "b" in "events"');
  });
});

describe("a grant's rate", () => {
  const queue = { publish: async () => ok({ origin: 1, sequences: [[1, 1]] as const, duplicates: [] }) };
  let nowMs = Date.now();
  const limited = () => open({ secret: SECRET, queue, nowMs: () => nowMs });
  const token = (grants: readonly Grant[], claims: Partial<Claims> = {}) =>
    authorization(grants, { expiresMs: nowMs + 600_000, ...claims });
  const send = async (broker: FakeBroker, topics: readonly string[], headers: Record<string, string>) =>
    (await broker.json("POST", MANY, { messages: messagesOf(topics) }, headers)).status;

  it("counts messages, and says when to try again", async () => {
    const broker = limited();
    const headers = await token([publishes("#", { ratePerSecond: 4 })]);
    expect(await send(broker, ["a", "b", "c"], headers)).toBe(201);
    const response = await broker.json("POST", MANY, { messages: messagesOf(["a", "b"]) }, headers);
    expect(response.headers.get("Retry-After")).toBe("1");
    expect(await problemOf(response)).toMatchObject({
      status: 429,
      code: "rate_limited",
      ratePerSecond: 4,
      retryAfterMs: 250,
    });
    expect(broker.inputs("publish")).toHaveLength(1);
    nowMs += 250;
    expect(await send(broker, ["a", "b"], headers)).toBe(201);
  });

  it("holds for every way to publish to a queue", async () => {
    const one = (broker: FakeBroker, headers: Record<string, string>) =>
      broker.request("POST", "/v1/queues/orders/messages", { body: "x", headers });
    const json = (broker: FakeBroker, headers: Record<string, string>) =>
      broker.json("POST", "/v1/queues/orders/batches", { messages: [{}] }, headers);
    const binary = (broker: FakeBroker, headers: Record<string, string>) =>
      broker.request("POST", "/v1/queues/orders/batches", {
        body: batchOf(["a"]),
        headers: { ...headers, ...BATCH },
      });
    const replace = (broker: FakeBroker, headers: Record<string, string>) =>
      broker.json("PUT", "/v1/queues/orders/messages?cancelKey=k", {}, headers);
    for (const publish of [one, json, binary, replace]) {
      const broker = limited();
      const headers = await token([publishes("orders", { ratePerSecond: 1 })]);
      expect((await publish(broker, headers)).status).not.toBe(429);
      expect((await publish(broker, headers)).status).toBe(429);
    }
  });

  it("is refused before a large body is stored", async () => {
    const put = () => Promise.reject(new Error("stored"));
    const broker = open({
      secret: SECRET,
      nowMs: () => nowMs,
      bodies: { put, get: async () => null, delete: async () => {} },
    });
    const headers = await token([publishes("orders", { ratePerSecond: 1 })]);
    const body = new Uint8Array(LIMITS.bodyBytesMax + 1);
    const large = { body, headers: { ...headers, "Content-Length": String(body.length) } };
    expect((await broker.request("POST", "/v1/queues/orders/messages", large)).status).toBe(503);
    expect((await broker.request("POST", "/v1/queues/orders/messages", large)).status).toBe(429);
  });

  it("is the token's and the grant's own", async () => {
    const broker = limited();
    const grants = [publishes("a", { ratePerSecond: 1 }), publishes("b", { ratePerSecond: 1 })];
    const first = await token(grants, { jti: "1" });
    expect(await send(broker, ["a", "b"], first)).toBe(201);
    expect(await send(broker, ["a"], first)).toBe(429);
    for (const other of [
      await token(grants, { jti: "2" }),
      await token(grants, { subject: "s2" }),
      await token(grants, { jti: "1", namespace: "other" }),
    ]) {
      expect(await send(broker, ["a"], other)).toBe(201);
    }
    expect(await send(broker, ["b"], first)).toBe(429);
    const renewed = await token(grants, { jti: "1", expiresMs: nowMs + 900_000 });
    expect(await send(broker, ["a"], renewed)).toBe(429);
  });

  it("yields to another grant that allows more", async () => {
    const broker = limited();
    const slow = publishes("#", { ratePerSecond: 1 });
    const faster = await token([slow, publishes("a", { ratePerSecond: 2 })]);
    expect(await send(broker, ["a", "a", "b"], faster)).toBe(201);
    expect(await send(broker, ["b"], faster)).toBe(429);
    expect(await send(broker, ["a"], faster)).toBe(429);
    const free = await token([slow, publishes("a")], { subject: "free" });
    for (let i = 0; i < 5; i++) expect(await send(broker, ["a"], free)).toBe(201);
  });

  it("that ended with its grant is no grant", async () => {
    const broker = limited();
    const grants = [publishes("#", { expiresMs: (Math.floor(nowMs / 1_000) + 2) * 1_000 })];
    const headers = await token(grants);
    expect(await send(broker, ["a"], headers)).toBe(201);
    nowMs += 2_000;
    expect(await send(broker, ["a"], headers)).toBe(403);
  });
});
