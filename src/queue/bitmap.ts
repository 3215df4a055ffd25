// One bit a message of a segment, low bit first.

export function bitmapBytes(count: number): number {
  return (count + 7) >> 3;
}

export function hasBit(bits: Uint8Array, index: number): boolean {
  return ((bits[index >> 3]! >> (index & 7)) & 1) === 1;
}

/** Sets a bit; tells whether it was clear before. */
export function setBit(bits: Uint8Array, index: number): boolean {
  const mask = 1 << (index & 7);
  const before = bits[index >> 3]!;
  bits[index >> 3] = before | mask;
  return (before & mask) === 0;
}

export function clearBit(bits: Uint8Array, index: number): void {
  bits[index >> 3] = bits[index >> 3]! & ~(1 << (index & 7));
}

/** The first set bit at or after `from`, or -1. */
export function nextBit(bits: Uint8Array, from: number, count: number): number {
  for (let i = from; i < count; i++) {
    if (bits[i >> 3] === 0) {
      i |= 7;
      continue;
    }
    if (hasBit(bits, i)) return i;
  }
  return -1;
}

export function countBits(bits: Uint8Array): number {
  let count = 0;
  for (let byte of bits) {
    while (byte !== 0) {
      byte &= byte - 1;
      count++;
    }
  }
  return count;
}
