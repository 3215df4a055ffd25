import { describe, expect, it } from "vitest";
import { BindRequest, ExplainRequest } from "../../../src/protocol/exchange-schemas.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { QUEUE_DEFAULTS } from "../../../src/protocol/queue-config.ts";
import {
  PurgeRequest,
  QueueChanges,
  QueueSettings,
  RedriveRequest,
} from "../../../src/protocol/queue-schemas.ts";
import {
  check,
  Message,
  parseClientFrame,
  PublishRequest,
  ReceiveRequest,
  SettleRequest,
} from "../../../src/protocol/schemas.ts";

/** As JSON.parse makes it of a sender's text. */
const PROTO: unknown = JSON.parse('{"__proto__": "x"}');
const settle = (settlement: object): object => ({ settlements: [settlement] });

describe("a request that is wrong", () => {
  it.each([
    [PublishRequest, {}, "messages: is missing"],
    [PublishRequest, [], "body: must be an object"],
    [PublishRequest, null, "body: must be an object"],
    [PublishRequest, { messages: [] }, "messages: must be at least 1 item"],
    [PublishRequest, { messages: {} }, "messages: must be a list"],
    [
      PublishRequest,
      { messages: [{}, {}, {}, { priority: 32 }] },
      "messages[3].priority: must be at most 31",
    ],
    [PublishRequest, { messages: [{ priority: 1.5 }] }, "messages[0].priority: must be a whole number"],
    [PublishRequest, { messages: [{ delayMS: 5 }] }, "messages[0].delayMS: is not a known field"],
    [PublishRequest, { messages: [{ ttlMs: -1 }] }, "messages[0].ttlMs: must be at least 0"],
    [
      PublishRequest,
      { messages: [{ headers: { a: [] } }] },
      'messages[0].headers.a: must be a text, a number, true, false or {"base64": "…"}',
    ],
    [
      PublishRequest,
      { messages: [{}, { headers: PROTO }] },
      "messages[1].headers.__proto__: can't be the name of a header in JSON",
    ],
    [
      RedriveRequest,
      { filter: { headers: PROTO } },
      "filter.headers.__proto__: can't be the name of a header in JSON",
    ],
    [
      BindRequest,
      { destination: { queue: "q" }, headers: { headers: PROTO } },
      "headers.headers.__proto__: can't be the name of a header in JSON",
    ],
    [ExplainRequest, { headers: PROTO }, "headers.__proto__: can't be the name of a header in JSON"],
    [
      PublishRequest,
      { messages: [{ body: "a", json: null }] },
      "messages[0]: has more than one of body, json and bodyBase64",
    ],
    [PublishRequest, { messages: [{}], producer: "p" }, "body: needs producer and sequence together"],
    [
      PublishRequest,
      { messages: [{}], producer: "p p", sequence: 1 },
      'producer: must be 1 to 128 letters, digits, ".", "_" or "-", the first not "."',
    ],
    [Message, { orderingKey: "" }, "orderingKey: must not be empty"],
    [Message, { routingKey: "é".repeat(128) }, "routingKey: must be at most 255 bytes of UTF-8"],
    [Message, { routingKey: "\ud800" }, "routingKey: must be well-formed Unicode"],
    [Message, { contentType: 5 }, "contentType: must be a text"],
    [ReceiveRequest, { max: 0 }, "max: must be at least 1"],
    [ReceiveRequest, { waitMs: LIMITS.waitMsMax + 1 }, `waitMs: must be at most ${LIMITS.waitMsMax}`],
    [ReceiveRequest, { leaseMs: 10 }, `leaseMs: must be 0, or at least ${LIMITS.leaseMsMin}`],
    [SettleRequest, settle({ verdict: "ack" }), "settlements[0]: needs either receipt or lease"],
    [
      SettleRequest,
      settle({ lease: 1, receipt: "1-1", verdict: "ack" }),
      "settlements[0]: needs either receipt or lease",
    ],
    [SettleRequest, settle({ receipt: "A_1", verdict: "ack" }), "settlements[0].receipt: is not a receipt"],
    [SettleRequest, settle({ lease: 1 }), "settlements[0].verdict: is missing"],
    [
      SettleRequest,
      settle({ lease: 1, verdict: "done" }),
      "settlements[0].verdict: must be one of ack, nack, reject, extend",
    ],
    [
      SettleRequest,
      settle({ lease: 1, verdict: "ack", dead: true }),
      "settlements[0].dead: does not go with the verdict ack",
    ],
    [
      SettleRequest,
      settle({ lease: 1, verdict: "nack", leaseMs: 5_000 }),
      "settlements[0].leaseMs: does not go with the verdict nack",
    ],
    [
      SettleRequest,
      settle({ lease: 1, sequences: [[1]], verdict: "ack" }),
      "settlements[0].sequences[0]: must be at least 2 items",
    ],
    [QueueChanges, { retry: { jitter: 2 } }, "retry.jitter: must be at most 1"],
    [
      QueueChanges,
      { deadLetter: { routingKey: "a" } },
      "deadLetter: must name a queue or an exchange, and may name a routingKey",
    ],
    [QueueChanges, { overflow: "drop" }, "overflow: must be one of reject, dropOldest"],
    [QueueChanges, { fifo: "yes" }, "fifo: must be true or false"],
    [QueueChanges, { leaseMs: 999 }, `leaseMs: must be 0, or at least ${LIMITS.leaseMsMin}`],
    [QueueChanges, { maxFailures: -1 }, "maxFailures: must be at least 0"],
    [QueueChanges, { required: ["ttlMs"] }, "required[0]: must be one of orderingKey, dedupId"],
    [QueueChanges, { onExpiry: "keep" }, "onExpiry: must be one of deadLetter, drop"],
    [QueueChanges, { dedupScope: "all" }, "dedupScope: must be one of queue, key"],
    [
      QueueChanges,
      { receiveWaitMs: LIMITS.waitMsMax + 1 },
      `receiveWaitMs: must be at most ${LIMITS.waitMsMax}`,
    ],
    [QueueChanges, { delayMs: null }, "delayMs: must be a number"],
    [
      QueueChanges,
      { deadLetterFrom: Array.from({ length: LIMITS.deadLetterFromMax + 1 }, () => "q") },
      `deadLetterFrom: must be at most ${LIMITS.deadLetterFromMax} items`,
    ],
    [
      QueueChanges,
      { deadLetterFrom: [".q"] },
      'deadLetterFrom[0]: must be 1 to 128 letters, digits, ".", "_" or "-", the first not "."',
    ],
    [QueueChanges, { labels: { "": "x" } }, "labels.: its name must not be empty"],
    [QueueChanges, { labels: { a: 1 } }, "labels.a: must be a text"],
    [
      QueueChanges,
      { labels: { a: "x".repeat(LIMITS.labelBytesMax + 1) } },
      `labels.a: must be at most ${LIMITS.labelBytesMax} characters`,
    ],
    [QueueSettings, { labels: { a: null } }, "labels.a: must be a text"],
    [QueueSettings, { labels: PROTO }, "labels.__proto__: can't be the name of a header in JSON"],
    [
      SettleRequest,
      settle({ lease: 1, verdict: "nack", late: true }),
      "settlements[0].late: does not go with the verdict nack",
    ],
    [
      SettleRequest,
      settle({ lease: 1, verdict: "extend", leaseMs: 0 }),
      `settlements[0].leaseMs: must be at least ${LIMITS.leaseMsMin}`,
    ],
    [PurgeRequest, { leased: "yes" }, "leased: must be true or false"],
    [RedriveRequest, { all: 1 }, "all: must be true or false"],
    [RedriveRequest, { filter: { reasn: "failed" } }, "filter.reasn: is not a known field"],
  ])("case %# is refused in one line, by its field", (schema, value, detail) => {
    expect(check(schema, value, "body")).toEqual({ ok: false, code: "bad_request", detail });
  });

  it("has its long unknown field cut", () => {
    const result = check(Message, { ["x".repeat(5_000)]: 1 }, "body");
    expect(result).toMatchObject({ ok: false });
    expect(JSON.stringify(result).length).toBeLessThan(200);
  });
});

describe("a request that is right", () => {
  it("keeps what it says and nothing else", () => {
    const message = { body: "a", priority: 31, headers: { n: 1, b: { base64: "AA==" } } };
    expect(check(PublishRequest, { messages: [message] }, "body")).toEqual({
      ok: true,
      value: { messages: [message] },
    });
    expect(check(ReceiveRequest, {}, "body")).toEqual({ ok: true, value: { max: 1 } });
    expect(check(ReceiveRequest, { leaseMs: 0, waitMs: 0 }, "body")).toEqual({
      ok: true,
      value: { max: 1, leaseMs: 0, waitMs: 0 },
    });
    expect(check(RedriveRequest, {}, "body")).toEqual({ ok: true, value: { filter: {}, dryRun: false } });
  });
});

describe("what is said of a queue", () => {
  it.each([
    [QueueSettings, QUEUE_DEFAULTS],
    [
      QueueSettings,
      { maxFailures: null, leaseMs: 0, required: ["dedupId", "orderingKey"], labels: { a: "" } },
    ],
    [
      QueueSettings,
      { leaseMs: LIMITS.leaseMsMin, deadLetterFrom: [], onExpiry: "drop", delayMs: LIMITS.delayMsMax },
    ],
    [QueueChanges, { labels: { a: null, b: "x".repeat(LIMITS.labelBytesMax) }, deadLetterFrom: null }],
    [PurgeRequest, { upToSequence: 3, leased: true, dedup: true }],
    [RedriveRequest, { filter: {}, dryRun: false, all: true, alone: true, to: "_q" }],
    [SettleRequest, settle({ lease: 1, verdict: "ack", late: true })],
    [SettleRequest, settle({ lease: 1, verdict: "reject", late: true })],
    [SettleRequest, settle({ lease: 1, verdict: "extend", late: true, leaseMs: 1_000 })],
  ])("case %# is taken as it is", (schema, value) => {
    expect(check(schema, value, "body")).toEqual({ ok: true, value });
  });
});

describe("a frame", () => {
  it.each([
    { type: "consume", credit: 1, format: "binary", once: true },
    { type: "consume", leaseMs: 0, consumer: "-w" },
    { type: "settle", settlements: [{ lease: 1, verdict: "ack", late: true }] },
    { type: "credit", credit: 0 },
    {
      type: "settle",
      ref: 0,
      settlements: [{ lease: 1, sequences: [[1, 2]], verdict: "reject", dead: true }],
    },
    { type: "publish", producer: "p", sequence: 1 },
    { type: "publish", messages: [{ json: { a: [1] } }] },
    { type: "drain" },
    { type: "cancel" },
    { type: "ping", ref: 4 },
  ])("%j is taken as it is", (frame) => {
    expect(parseClientFrame(frame)).toEqual({ ok: true, value: frame });
  });

  it.each([
    [null, "bad_frame", "frame: must be an object"],
    [[], "bad_frame", "frame: must be an object"],
    [{}, "bad_request", "type: is missing"],
    [{ type: 1 }, "bad_request", "type: is not a type of frame"],
    [{ type: "subscribe" }, "bad_request", 'type: "subscribe" is not a type of frame'],
    [{ type: "credit" }, "bad_request", "credit: is missing"],
    [{ type: "credit", credit: -1 }, "bad_request", "credit: must be at least 0"],
    [{ type: "ping", reff: 1 }, "bad_request", "reff: is not a known field"],
    [
      { type: "settle", settlements: [{ receipt: "1-1", verdict: "ack" }] },
      "bad_request",
      "settlements[0].lease: is missing",
    ],
    [
      { type: "publish", messages: [{ priority: "high" }] },
      "bad_request",
      "messages[0].priority: must be a number",
    ],
  ])("%j is refused", (frame, code, detail) => {
    expect(parseClientFrame(frame)).toEqual({ ok: false, code, detail });
  });
});
