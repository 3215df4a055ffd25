import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Delivery, MessageView } from "../../../src/protocol/commands.ts";
import {
  bodyKey,
  deliveryToJson,
  encodeBodyReference,
  formatReceipt,
  fromBase64,
  parseReceipt,
  readBodyReference,
  recordFromJson,
  toBase64,
  viewToJson,
  type MessageJson,
} from "../../../src/protocol/message-json.ts";
import { TypeScriptBatchCodec } from "../../../src/protocol/typescript-batch-codec.ts";

const codec = new TypeScriptBatchCodec();
const text = new TextEncoder();

function record(message: MessageJson) {
  const made = recordFromJson(message);
  if (!made.ok) throw new Error(made.detail);
  return made.value;
}

function batch(messages: readonly MessageJson[], firstSequence: number): Uint8Array {
  const encoded = codec.encode(messages.map(record), { origin: 40, firstSequence, timeMs: 1_000 }, "client");
  if (!encoded.ok) throw new Error(encoded.detail);
  return encoded.value;
}

describe("a message from JSON", () => {
  it("has the body that was sent, whichever form it has", () => {
    expect(record({ body: "é" }).body).toEqual(text.encode("é"));
    expect(record({ bodyBase64: "/w==" }).body).toEqual(new Uint8Array([255]));
    expect(record({})).toEqual({ body: new Uint8Array(0) });
    expect(record({ json: { a: 1 } })).toEqual({
      contentType: "application/json",
      body: text.encode('{"a":1}'),
    });
    expect(record({ json: null, contentType: "application/x" })).toEqual({
      contentType: "application/x",
      body: text.encode("null"),
    });
  });

  it("keeps a header whatever its name", () => {
    const headers = JSON.parse('{"__proto__":"x","n":1.5,"t":true,"b":{"base64":"AAE="}}') as Record<
      string,
      string
    >;
    const made = record({ headers });
    expect(Object.entries(made.headers!)).toEqual([
      ["__proto__", "x"],
      ["n", 1.5],
      ["t", true],
      ["b", new Uint8Array([0, 1])],
    ]);
  });

  it("is refused by the name of the field", () => {
    expect(recordFromJson({ bodyBase64: "%" }, "messages[2]")).toMatchObject({
      code: "bad_request",
      detail: "messages[2].bodyBase64: is not base64",
    });
    expect(recordFromJson({ headers: { h: { base64: "A" } } })).toMatchObject({
      detail: "headers.h: is not base64",
    });
    expect(recordFromJson({ body: "", bodyBase64: "" })).toMatchObject({ ok: false, code: "bad_request" });
  });
});

describe("a delivery as JSON", () => {
  it("numbers and names every message of every run", () => {
    const first = batch(
      [{ body: "a", priority: 3, headers: { b: { base64: "AAE=" } } }, { bodyBase64: "/w==" }],
      10,
    );
    const second = batch([{ json: [1], routingKey: "k", ttlMs: 5 }], 90);
    const payload = new Uint8Array([...first, ...second]);
    const delivery: Delivery = {
      lease: 7,
      untilMs: 5_000,
      runs: [
        { attempt: 1, failures: 0, firstSentMs: 2_000, bytes: first.length },
        { attempt: 3, failures: 2, firstSentMs: 1_500, bytes: second.length },
      ],
      payload,
    };
    const shared = { timeMs: 1_000, leaseUntilMs: 5_000 };
    expect(deliveryToJson(delivery, codec)).toEqual([
      {
        ...shared,
        id: "14-a",
        sequence: 10,
        receipt: "7-a",
        attempt: 1,
        failures: 0,
        firstSentMs: 2_000,
        priority: 3,
        headers: { b: { base64: "AAE=" } },
        body: "a",
      },
      {
        ...shared,
        id: "14-b",
        sequence: 11,
        receipt: "7-b",
        attempt: 1,
        failures: 0,
        firstSentMs: 2_000,
        bodyBase64: "/w==",
      },
      {
        ...shared,
        id: "14-2i",
        sequence: 90,
        receipt: "7-2i",
        attempt: 3,
        failures: 2,
        firstSentMs: 1_500,
        routingKey: "k",
        ttlMs: 5,
        contentType: "application/json",
        body: "[1]",
      },
    ]);
  });

  it("says what the broker added: the first id and time, the death, the reference", () => {
    const death = JSON.stringify({ reason: "failed", queue: "orders" });
    const body = encodeBodyReference({ key: "acme/orders/0f3c", bytes: 5 });
    const encoded = codec.encode(
      [{ id: "9-1", timeMs: 5, death, bodyReference: true, body }],
      { origin: 1, firstSequence: 1, timeMs: 9 },
      "broker",
    );
    if (!encoded.ok) throw new Error(encoded.detail);
    const runs = [{ attempt: 1, failures: 0, firstSentMs: 9, bytes: encoded.value.length }];
    const [message] = deliveryToJson({ lease: 1, untilMs: 2, runs, payload: encoded.value }, codec);
    expect(message).toMatchObject({
      id: "9-1",
      timeMs: 5,
      death: { reason: "failed", queue: "orders" },
      bodyReference: "orders.0f3c",
    });
    expect(message).not.toHaveProperty("body");
  });

  it("is empty when nothing was ready", () => {
    expect(deliveryToJson({ lease: 0, untilMs: 0, runs: [], payload: new Uint8Array(0) }, codec)).toEqual([]);
  });
});

it("shows a view with its state and its body", () => {
  const view: MessageView = {
    id: "1-1",
    sequence: 1,
    state: "delayed",
    timeMs: 1,
    priority: 0,
    attempts: 1,
    failures: 1,
    dueMs: 9,
    bodyBytes: 2,
    body: new Uint8Array([255, 0]),
  };
  const { body: _body, ...rest } = view;
  expect(viewToJson(view)).toEqual({ ...rest, bodyBase64: "/wA=" });
});

describe("the small forms", () => {
  it("base64 gives back every byte, and takes nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20_000 }), (bytes) => {
        const encoded = toBase64(bytes);
        expect(encoded).toBe(Buffer.from(bytes).toString("base64"));
        expect(fromBase64(encoded)).toEqual(bytes);
      }),
      { numRuns: 50 },
    );
    for (const bad of ["A", "A===", "AA=A", "A A=", "_-8=", "é"]) expect(fromBase64(bad)).toBe(null);
  });

  it("receipts go both ways, and nothing else is one", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (lease, sequence) => {
        expect(parseReceipt(formatReceipt({ lease, sequence }))).toEqual({ lease, sequence });
        const held = { lease, sequence, key: "k3y" };
        expect(parseReceipt(formatReceipt(held))).toEqual(held);
      }),
    );
    for (const bad of ["", "1", "1-", "-1", "1-1-", "1-1-K", "1-1-1-1", "A-1", "1-zzzzzzzzzzz"])
      expect(parseReceipt(bad)).toBe(null);
  });

  it("references lead to the key they came from, within one namespace", () => {
    const uuid = "0f3c2f0e-0d6b-4a54-9d5a-111111111111";
    const key = `acme/orders.eu/${uuid}`;
    const { reference } = readBodyReference(encodeBodyReference({ key, bytes: 1 }));
    expect(reference).toBe(`orders.eu.${uuid}`);
    expect(bodyKey("acme", reference)).toBe(key);
    for (const bad of ["", uuid, `.${uuid}`, `../other/x.${uuid}`, "orders.short"])
      expect(bodyKey("acme", bad)).toBe(null);
  });
});
