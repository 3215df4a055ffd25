// Strict UTF-8: the shortest form only, no surrogates, nothing over U+10FFFF (RFC 3629).

/** True when every byte is below 0x80. The last step overlaps the one before, so no byte outside is read. */
function isAscii(at: usize, size: u32): bool {
  const end = at + size;
  if (size >= 16) {
    for (; at + 16 <= end; at += 16) if (i8x16.bitmask(v128.load(at)) != 0) return false;
    return i8x16.bitmask(v128.load(end - 16)) == 0;
  }
  if (size >= 8) return ((load<u64>(at) | load<u64>(end - 8)) & 0x8080808080808080) == 0;
  if (size >= 4) return ((load<u32>(at) | load<u32>(end - 4)) & 0x80808080) == 0;
  for (; at < end; at++) if (load<u8>(at) >= 0x80) return false;
  return true;
}

function isContinuation(byte: u32): bool {
  return (byte & 0xc0) == 0x80;
}

/** The size of the sequence of two to four bytes at `at`, or 0 when it breaks the rules or passes `end`. */
function sequenceSize(at: usize, end: usize): usize {
  const first = <u32>load<u8>(at);
  // 0x80 to 0xc1: a stray continuation, or a longer form of ASCII.
  if (first < 0xc2 || first > 0xf4 || at + 2 > end) return 0;
  const second = <u32>load<u8>(at, 1);
  if (!isContinuation(second)) return 0;
  if (first < 0xe0) return 2;
  if (at + 3 > end || !isContinuation(load<u8>(at, 2))) return 0;
  if (first < 0xf0) {
    if (first == 0xe0 && second < 0xa0) return 0; // a longer form
    if (first == 0xed && second >= 0xa0) return 0; // surrogates
    return 3;
  }
  if (at + 4 > end || !isContinuation(load<u8>(at, 3))) return 0;
  if (first == 0xf0 && second < 0x90) return 0; // a longer form
  if (first == 0xf4 && second >= 0x90) return 0; // over U+10FFFF
  return 4;
}

export function isUtf8(at: usize, size: u32): bool {
  if (isAscii(at, size)) return true;
  const end = at + size;
  while (at < end) {
    if (load<u8>(at) < 0x80) {
      at++;
      continue;
    }
    const step = sequenceSize(at, end);
    if (step == 0) return false;
    at += step;
  }
  return true;
}
