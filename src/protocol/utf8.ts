// Text to bytes and back. Short ASCII, the usual case, is done by hand: crossing into the platform's encoder costs
// more than the text itself.

const encoder = new TextEncoder();
// A byte order mark is a character like any other here; the platform would drop it by default.
const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

const BY_HAND_MAX = 48;

/** Strict UTF-8: the shortest form only, no surrogates, nothing over U+10FFFF (RFC 3629). */
export function isUtf8(bytes: Uint8Array, offset: number, size: number): boolean {
  const end = offset + size;
  let at = offset;
  while (at < end) {
    if (bytes[at]! < 0x80) {
      at++;
      continue;
    }
    const step = sequenceSize(bytes, at, end);
    if (step === 0) return false;
    at += step;
  }
  return true;
}

/** The size of the sequence of two to four bytes at `at`, or 0 when it breaks the rules or passes `end`. */
function sequenceSize(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at]!;
  // 0x80 to 0xc1: a stray continuation, or a longer form of ASCII.
  if (first < 0xc2 || first > 0xf4) return 0;
  const size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (at + size > end) return 0;
  for (let i = 1; i < size; i++) if ((bytes[at + i]! & 0xc0) !== 0x80) return 0;
  const second = bytes[at + 1]!;
  if (first === 0xe0 && second < 0xa0) return 0; // a longer form
  if (first === 0xed && second >= 0xa0) return 0; // surrogates
  if (first === 0xf0 && second < 0x90) return 0; // a longer form
  if (first === 0xf4 && second >= 0x90) return 0; // over U+10FFFF
  return size;
}

/** Writes text at `at`, where there must be room for 3 bytes per UTF-16 unit. Returns the size in bytes. */
export function writeText(text: string, bytes: Uint8Array, at: number): number {
  if (text.length <= BY_HAND_MAX) {
    let i = 0;
    for (; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) break;
      bytes[at + i] = unit;
    }
    if (i === text.length) return i;
  }
  return encoder.encodeInto(text, bytes.subarray(at)).written;
}

/** Reads valid UTF-8. */
export function readText(bytes: Uint8Array, offset: number, size: number): string {
  if (size <= BY_HAND_MAX) {
    let text = "";
    let i = 0;
    for (; i < size; i++) {
      const byte = bytes[offset + i]!;
      if (byte >= 0x80) break;
      text += String.fromCharCode(byte);
    }
    if (i === size) return text;
  }
  return decoder.decode(bytes.subarray(offset, offset + size));
}
