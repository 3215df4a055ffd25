// Message records for fuzzers: good ones, and ones with all that may be wrong with a record.
import * as fc from "fast-check";
import type { MessageRecord } from "../../src/protocol/batch.ts";
import { BATCH_LIMITS } from "../../src/protocol/limits.ts";

const unit = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom("a", "b", ".", "-", "7") },
  fc.constantFrom("\u0000", "\u007f", "\u0080", "\u07ff", "\u0800", "\u20ac", "\ufeff", "\ud83d\ude00"),
);
const text = fc.oneof(
  fc.string({ unit, minLength: 1, maxLength: 60 }),
  fc.string({ unit: "binary", minLength: 1, maxLength: 40 }),
);
/** Texts near and over the limit of 255 bytes, empty ones, and UTF-16 that has no UTF-8. */
const anyText = fc.oneof(
  text,
  fc.constantFrom(
    "",
    "\ud800",
    "a\udfffb",
    "\udc00\ud800",
    "x".repeat(255),
    "x".repeat(256),
    "\u20ac".repeat(85),
  ),
  fc.constantFrom(
    "\u20ac".repeat(86),
    "\u20ac".repeat(255),
    `${"x".repeat(254)}\u0080`,
    `\ud800${"x".repeat(253)}`,
  ),
  fc.string({ unit: fc.nat(0xffff).map((code) => String.fromCharCode(code)), maxLength: 20 }),
);

const delay = fc.oneof(fc.nat(), fc.constantFrom(0, 2 ** 32 - 1, 2 ** 32, BATCH_LIMITS.delayMsMax));
const anyNumber = fc.oneof(
  fc.nat(40),
  fc.double(),
  fc.constantFrom(-1, 31, 32, 256, 2 ** 53, 2 ** 64, Number.NaN),
);

const name = fc.oneof(text, fc.constantFrom("__proto__", "constructor", "toString", "10", "2"));
const value = fc.oneof(
  text,
  fc.constant(""),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.boolean(),
  fc.uint8Array({ maxLength: 40 }),
);
const anyValue = fc.oneof(
  value,
  anyText,
  fc.double(),
  fc.constantFrom("y".repeat(16_000), "\u20ac".repeat(5_461), "\u20ac".repeat(16_384), "z".repeat(70_000)),
  fc.constantFrom(new Uint8Array(16_379), new Uint8Array(16_384), new Uint8Array(70_000)),
);

/** In the order of the bits; header names that are numbers come first in any object, so order can't be told. */
export const goodRecord: fc.Arbitrary<MessageRecord> = fc.record(
  {
    id: text,
    timeMs: fc.maxSafeNat(),
    routingKey: fc.oneof(text, fc.constant("")),
    orderingKey: text,
    priority: fc.nat(BATCH_LIMITS.priorityMax),
    delayMs: delay,
    ttlMs: delay,
    dedupId: text,
    cancelKey: text,
    correlationId: text,
    replyTo: text,
    contentType: text,
    headers: fc.array(fc.tuple(name, value), { maxLength: 8 }).map((entries) => Object.fromEntries(entries)),
    bodyReference: fc.constant<true>(true),
    death: text,
    body: fc.uint8Array({ maxLength: 200 }),
  },
  { requiredKeys: ["body"] },
);

export const anyRecord: fc.Arbitrary<MessageRecord> = fc.record(
  {
    id: anyText,
    timeMs: anyNumber,
    routingKey: anyText,
    orderingKey: anyText,
    priority: anyNumber,
    delayMs: anyNumber,
    ttlMs: anyNumber,
    dedupId: anyText,
    contentType: anyText,
    headers: fc
      .array(fc.tuple(anyText, anyValue), { maxLength: 70 })
      .map((entries) => Object.fromEntries(entries)),
    bodyReference: fc.constant<true>(true),
    death: fc.oneof(anyText, fc.constantFrom("d".repeat(8_192), "d".repeat(8_193), "\u20ac".repeat(8_192))),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc.constant(new Uint8Array(BATCH_LIMITS.bodyBytesMax + 1)),
    ),
  },
  { requiredKeys: ["body"] },
);
