// The checksums that clients verify. Every digest was given by AWS for such a message, or is computed by two others.
import { md5 } from "@noble/hashes/legacy.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { md5OfAttributes, md5OfBody, type MessageAttributes } from "../../src/gateways/sqs/md5.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (StringValue: string, DataType = "String") => ({ DataType, StringValue });

describe("MD5 of a body", () => {
  it.each([
    ["a message", "msg", "6e2baaf3b97dbeef01c0043275f9a0e7"],
    ["text that is not ASCII", "hé\n<x>&", "1aa8a37b8cc8f89ea0705d840566f167"],
    ["no text", "", "d41d8cd98f00b204e9800998ecf8427e"],
  ])("is known for %s", async (_, body, digest) => {
    expect(await md5OfBody(body)).toBe(digest);
  });

  it("is another implementation's for any text", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme" }), async (body) => {
        expect(await md5OfBody(body)).toBe(bytesToHex(md5(bytes(body))));
      }),
    );
  });
});

describe("MD5 of attributes", () => {
  const vectors: readonly [string, MessageAttributes, string][] = [
    [
      "three texts",
      { Hello: text("There"), General: text("Kenobi"), "Help.Me": text("Me") },
      "4c360f3fdafd970e05fae2f149d997f5",
    ],
    ["two texts", { General: text("Kenobi"), Hello: text("There") }, "fca026605781cb4126a1e9044df24232"],
    ["one text", { Foo: text("Bar") }, "ae7155c6026991b6d54b11589678bf9c"],
    [
      "bytes",
      {
        attr1: {
          DataType: "Binary",
          BinaryValue: bytes("traceparent\u001e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01"),
        },
      },
      "8cbe4db156db8a94db8b801b7addb984",
    ],
    [
      "a text, a number with a label, and bytes",
      {
        n: text("3", "Number.int"),
        b: { DataType: "Binary", BinaryValue: Uint8Array.of(0, 1) },
        a: text("v"),
      },
      "30ab3ba78729f394459e2b3c531878db",
    ],
    [
      "numbers",
      { data2: text("2", "Number"), data1: text("1", "Number") },
      "b53b5acf24e7fd9567705bd8027b1c76",
    ],
    ["a trace", { AWSTraceHeader: text("some-value") }, "a3263a0cbc09023ccd431feb61438309"],
  ];

  it.each(vectors)("is known for %s", async (_, attributes, digest) => {
    expect(await md5OfAttributes(attributes)).toBe(digest);
  });

  it("does not depend on the order of the attributes", async () => {
    const [, attributes, digest] = vectors[0]!;
    expect(await md5OfAttributes(Object.fromEntries(Object.entries(attributes).toReversed()))).toBe(digest);
  });

  it("takes bytes of any label for bytes", async () => {
    const value = { BinaryValue: Uint8Array.of(1, 2) };
    const labelled = await md5OfAttributes({ a: { DataType: "Binary.png", ...value } });
    const sized = (part: Uint8Array) => [0, 0, 0, part.length, ...part];
    const expected = [...sized(bytes("a")), ...sized(bytes("Binary.png")), 2, ...sized(value.BinaryValue)];
    expect(labelled).toBe(bytesToHex(md5(Uint8Array.from(expected))));
  });

  it("is not there without attributes", async () => {
    expect(await md5OfAttributes({})).toBeNull();
  });
});
