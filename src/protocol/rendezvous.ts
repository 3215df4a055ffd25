/**
 * Weighted rendezvous hashing: every destination draws a score for a key, and the highest has it. A destination that
 * comes or goes, or changes its weight, moves only the keys that it wins or gives back.
 *
 * With u drawn evenly from (0, 1), the score -weight / ln(u) is highest for a destination as often as its weight is part
 * of all weights (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005). u comes from a hash of
 * key and destination, so it is the same on every machine and after every restart: never change what is hashed or how.
 */
import type { HeaderValue } from "./batch.ts";
import { LIMITS } from "./limits.ts";
import { writeText } from "./utf8.ts";

/** 64 bits in two words. */
export interface Hash {
  readonly high: number;
  readonly low: number;
}

/** Two multiplicative hashes side by side, with other constants, each mixed downwards after every byte. */
export function hashBytes(bytes: Uint8Array, offset: number, size: number): Hash {
  let high = 0x9e3779b9 ^ size;
  let low = 0x85ebca6b ^ size;
  for (let at = offset; at < offset + size; at++) {
    const byte = bytes[at]!;
    high = Math.imul(high ^ byte, 0x2c1b3c6d);
    high ^= high >>> 15;
    low = Math.imul(low ^ byte, 0x297a2d39);
    low ^= low >>> 13;
  }
  return { high: mix(high ^ low), low: mix(low) };
}

const scratch = new Uint8Array(3 * LIMITS.textBytesMax);

/** Of its UTF-8. */
export function hashText(text: string): Hash {
  const bytes = text.length <= LIMITS.textBytesMax ? scratch : new Uint8Array(3 * text.length);
  return hashBytes(bytes, 0, writeText(text, bytes, 0));
}

/** A header as bytes, or as the text that JSON would write. A header that is missing is empty. */
export function hashHeader(value: HeaderValue | undefined): Hash {
  if (value === undefined) return hashText("");
  return typeof value === "object" ? hashBytes(value, 0, value.length) : hashText(String(value));
}

/** The finalizer of MurmurHash3: each bit of the word changes each bit of the result half of the time. */
function mix(word: number): number {
  let mixed = word ^ (word >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** Above 0. */
export function score(key: Hash, destination: Hash, weight: number): number {
  const low = key.low ^ destination.low;
  const high = mix((key.high ^ destination.high) + Math.imul(low, 0x9e3779b1));
  // 52 bits and a half: above 0, below 1, and exact in a double.
  const u = ((high >>> 0) * 0x100000 + (mix(low ^ high) >>> 12) + 0.5) / 0x10000000000000;
  return -weight / Math.log(u);
}

/** Whether one contender wins over another. Of equal scores the lesser name's. */
export function wins(
  one: { readonly score: number; readonly name: string },
  other: { readonly score: number; readonly name: string },
): boolean {
  return one.score > other.score || (one.score === other.score && one.name < other.name);
}
