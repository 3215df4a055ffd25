// The checksums that SQS clients verify: MD5 of a body, and of attributes in the one form that SQS lays down.
// MD5 protects nothing here; it is what the protocol says. Of Web Cryptos the Workers runtime's alone has it.
import { bytesToHex, concatBytes } from "@noble/hashes/utils.js";
import type { InputOf } from "./shapes.ts";

export type MessageAttributes = NonNullable<InputOf<"SendMessage">["MessageAttributes"]>;

const TRANSPORT_TEXT = 1;
const TRANSPORT_BYTES = 2;
const utf8 = new TextEncoder();

/** Of the body's UTF-8, as hexadecimal digits. */
export function md5OfBody(body: string): Promise<string> {
  return md5(utf8.encode(body));
}

async function md5(bytes: Uint8Array): Promise<string> {
  return bytesToHex(new Uint8Array(await crypto.subtle.digest("MD5", bytes)));
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
export async function md5OfAttributes(attributes: MessageAttributes): Promise<string | null> {
  // By UTF-16 code units. Names are ASCII wherever a message is taken.
  const names = Object.keys(attributes).sort();
  if (names.length === 0) return null;
  const parts = names.flatMap((name) => {
    const { DataType = "", StringValue = "", BinaryValue = new Uint8Array() } = attributes[name]!;
    const isBinary = DataType.startsWith("Binary");
    return [
      ...sized(utf8.encode(name)),
      ...sized(utf8.encode(DataType)),
      Uint8Array.of(isBinary ? TRANSPORT_BYTES : TRANSPORT_TEXT),
      ...sized(isBinary ? BinaryValue : utf8.encode(StringValue)),
    ];
  });
  return md5(concatBytes(...parts));
}

function sized(bytes: Uint8Array): Uint8Array[] {
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, bytes.length);
  return [size, bytes];
}
