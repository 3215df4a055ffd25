// The checksums that SQS clients verify: MD5 of a body, and of attributes in the one form that SQS lays down.
// MD5 protects nothing here; it is what the protocol says.
import { md5 } from "@noble/hashes/legacy.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { InputOf } from "./shapes.ts";

export type MessageAttributes = NonNullable<InputOf<"SendMessage">["MessageAttributes"]>;

const TRANSPORT_TEXT = 1;
const TRANSPORT_BYTES = 2;
const utf8 = new TextEncoder();

/** Of the body's UTF-8, as hexadecimal digits. */
export function md5OfBody(body: string): string {
  return bytesToHex(md5(utf8.encode(body)));
}

/**
 * Of message attributes, or of system attributes. Null when there are none: SQS leaves the checksum out then.
 *
 * One attribute after the other, by name:
 *
 *   ┌──────┬──────┬──────┬───────────┬───┬──────┬───────┐
 *   │ size │ name │ size │ data type │ 1 │ size │ text  │   1 String, Number and what begins so
 *   └──────┴──────┴──────┴───────────┴───┴──────┴───────┘
 *     4 B            4 B              1 B  4 B              2 Binary: bytes instead of text
 *
 * Sizes are of bytes, the most significant byte first.
 */
export function md5OfAttributes(attributes: MessageAttributes): string | null {
  // By UTF-16 code units. Names are ASCII wherever a message is taken.
  const names = Object.keys(attributes).sort();
  if (names.length === 0) return null;
  const hash = md5.create();
  const addSized = (bytes: Uint8Array): void => {
    const size = new Uint8Array(4);
    new DataView(size.buffer).setUint32(0, bytes.length);
    hash.update(size).update(bytes);
  };
  for (const name of names) {
    const { DataType = "", StringValue = "", BinaryValue } = attributes[name]!;
    addSized(utf8.encode(name));
    addSized(utf8.encode(DataType));
    const isBinary = DataType.startsWith("Binary");
    hash.update(Uint8Array.of(isBinary ? TRANSPORT_BYTES : TRANSPORT_TEXT));
    addSized(isBinary ? (BinaryValue ?? new Uint8Array()) : utf8.encode(StringValue));
  }
  return bytesToHex(hash.digest());
}
