// Validates the headers of one record.
import * as format from "./format";
import * as limits from "./limits";
import { HEADER_NAMES, HEADER_NAME_BYTES } from "./memory";
import * as refusals from "./refusals";
import { refuse } from "./refusals";
import { isUtf8 } from "./utf8";

/** The u16 size at `at`, then the headers. Returns the address after them, or 0. */
export function scanHeaders(at: usize, recordEnd: usize): usize {
  if (at + 2 > recordEnd) return refuse(refusals.FIELD_CUT, format.HEADERS);
  const size = <u32>load<u16>(at);
  at += 2;
  if (size > limits.HEADERS_BYTES_MAX) return refuse(refusals.FIELD_OVER, format.HEADERS);
  const end = at + size;
  if (end > recordEnd) return refuse(refusals.FIELD_CUT, format.HEADERS);
  for (let count: u32 = 0; at < end; count++) {
    if (count == limits.HEADERS_MAX) return refuse(refusals.HEADERS_OVER, format.HEADERS);
    at = scanName(at, end, count);
    if (at == 0) return 0;
    at = scanValue(at, end);
    if (at == 0) return 0;
  }
  return at;
}

function scanName(at: usize, end: usize, count: u32): usize {
  const size = <u32>load<u8>(at++);
  if (at + size > end) return refuse(refusals.HEADER_CUT, format.HEADERS);
  if (size == 0) return refuse(refusals.HEADER_NAME_EMPTY, format.HEADERS);
  if (!isUtf8(at, size)) return refuse(refusals.HEADER_NAME_NOT_UTF8, format.HEADERS);
  if (!noteName(at, size, count)) return refuse(refusals.HEADER_REPEATED, format.HEADERS);
  return at + size;
}

/** Keeps the name to compare later ones with. False when it was there before. */
function noteName(at: usize, size: u32, count: u32): bool {
  const fingerprint = size | ((<u32>load<u8>(at)) << 8) | ((<u32>load<u8>(at + size - 1)) << 16);
  const free = HEADER_NAMES + count * HEADER_NAME_BYTES;
  for (let row: usize = HEADER_NAMES; row < free; row += HEADER_NAME_BYTES) {
    if (load<u32>(row) == fingerprint && memory.compare(load<u32>(row, 4), at, size) == 0) return false;
  }
  store<u32>(free, fingerprint, 0);
  store<u32>(free, <u32>at, 4);
  return true;
}

function scanValue(at: usize, end: usize): usize {
  if (at >= end) return refuse(refusals.HEADER_CUT, format.HEADERS);
  const kind = <u32>load<u8>(at++);
  if (kind == format.KIND_TRUE || kind == format.KIND_FALSE) return at;
  if (kind == format.KIND_NUMBER) {
    if (at + 8 > end) return refuse(refusals.HEADER_CUT, format.HEADERS);
    return isFinite(load<f64>(at)) ? at + 8 : refuse(refusals.HEADER_NOT_FINITE, format.HEADERS);
  }
  if (kind > format.KIND_FALSE) return refuse(refusals.HEADER_KIND, format.HEADERS);
  if (at + 2 > end) return refuse(refusals.HEADER_CUT, format.HEADERS);
  const size = <u32>load<u16>(at);
  at += 2;
  if (at + size > end) return refuse(refusals.HEADER_CUT, format.HEADERS);
  if (kind == format.KIND_TEXT && !isUtf8(at, size)) return refuse(refusals.HEADER_NOT_UTF8, format.HEADERS);
  return at + size;
}
