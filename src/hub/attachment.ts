/**
 * What a value takes as a socket's attachment. The platform writes it as structured clones are written, and throws
 * when it takes more than it has; so what may grow is measured before it is taken. Never less than it is.
 */

/** What the platform gives an attachment. */
export const ATTACHMENT_BYTES_MAX = 16_384;

const HEAD_BYTES = 16;
const DOUBLE_BYTES = 9;
const SMALL_BYTES = 6;
const SMALL_MAX = 2 ** 30;

export function attachmentBytes(value: unknown): number {
  return HEAD_BYTES + bytesOf(value);
}

function bytesOf(value: unknown): number {
  if (typeof value === "string") return textBytes(value);
  if (typeof value === "number") {
    return Number.isInteger(value) && Math.abs(value) < SMALL_MAX ? SMALL_BYTES : DOUBLE_BYTES;
  }
  if (Array.isArray(value)) {
    return value.reduce<number>((sum, one) => sum + bytesOf(one), 3 + 2 * sizeBytes(value.length));
  }
  if (typeof value !== "object" || value === null) return 1;
  const entries = Object.entries(value);
  return entries.reduce(
    (sum, [name, inner]) => sum + textBytes(name) + bytesOf(inner),
    2 + sizeBytes(entries.length),
  );
}

/** One byte a unit where all are Latin-1, else two, and one more where they must begin at an even place. */
function textBytes(text: string): number {
  const isNarrow = /^[\0-\xff]*$/.test(text);
  const bytes = isNarrow ? text.length : 2 * text.length + 1;
  return 1 + sizeBytes(bytes) + bytes;
}

/** A size is written seven bits a byte. */
function sizeBytes(size: number): number {
  let bytes = 1;
  for (let rest = size >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}
