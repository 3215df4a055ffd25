// Writing: appends records from the stage, and seals a batch. The twin is src/protocol/batch-writer.ts.
// The wrapper stages sizes and numbers in STAGE (a row per field) and texts in STAGE_BYTES; the kernel checks them
// and writes the record's head. The body is never staged: the wrapper copies it to its place afterwards.
import { crc32c } from "./crc32c";
import * as format from "./format";
import * as limits from "./limits";
import { BATCH, STAGE, STAGE_BYTES, STAGE_HEADERS, STAGE_HEADER_BYTES, STAGE_ROW_BYTES } from "./memory";
import * as refusals from "./refusals";
import { refuse } from "./refusals";
import { isUtf8 } from "./utf8";

/** What the head of a record can take at most: 8 texts, priority, 3 numbers, headers and a death. */
export const HEAD_BYTES_MAX: u32 = 6 + 8 * 256 + 1 + 3 * 8 + (2 + 16_384) + (2 + 8_192);

/** Where the next staged text starts. */
let staged: usize = 0;

function stagedSize(field: u32): u32 {
  return load<u32>(STAGE + field * STAGE_ROW_BYTES);
}

function stagedNumber(field: u32): f64 {
  return load<f64>(STAGE + field * STAGE_ROW_BYTES, 8);
}

/** Appends the staged record at `start`. Returns the address after its body, or 0 after it has noted a refusal. */
export function appendRecord(start: usize, flags: u32, isClient: bool): usize {
  const notAllowed = isClient ? flags & format.BROKER_FLAGS : 0;
  if (notAllowed != 0) return refuse(refusals.BROKER_ONLY, ctz(notAllowed));
  staged = STAGE_BYTES;
  const body = putFields(start + format.RECORD_HEADER_BYTES, flags);
  if (body == 0) return 0;
  const bodySize = stagedSize(format.BODY);
  if (bodySize > limits.BODY_BYTES_MAX) return refuse(refusals.FIELD_OVER, format.BODY);
  const end = body + bodySize;
  if (end - BATCH > limits.BATCH_BYTES_MAX) return refuse(refusals.BATCH_OVER, 0);
  store<u32>(start, <u32>(end - start - 4));
  store<u16>(start, <u16>flags, 4);
  return end;
}

function putFields(at: usize, flags: u32): usize {
  for (let rest = flags; rest != 0; rest &= rest - 1) {
    const field = ctz(rest);
    if (field == format.TIME) at = putWhole(at, field, format.SAFE_INTEGER_MAX);
    else if (field == format.DELAY_MS || field == format.TTL_MS)
      at = putWhole(at, field, limits.DELAY_MS_MAX);
    else if (field == format.PRIORITY) at = putPriority(at);
    else if (field == format.HEADERS) at = putHeaders(at);
    else if (field == format.DEATH) at = putDeath(at);
    else if (field != format.BODY_REFERENCE) at = putText(at, field);
    if (at == 0) return 0;
  }
  return at;
}

function isWhole(value: f64, max: f64): bool {
  return value >= 0 && value <= max && Math.floor(value) == value; // false for NaN
}

function putWhole(at: usize, field: u32, max: u64): usize {
  const value = stagedNumber(field);
  if (!isWhole(value, <f64>max)) return refuse(refusals.NOT_IN_RANGE, field);
  store<u64>(at, <u64>value);
  return at + 8;
}

function putPriority(at: usize): usize {
  const value = stagedNumber(format.PRIORITY);
  if (!isWhole(value, <f64>limits.PRIORITY_MAX)) return refuse(refusals.NOT_IN_RANGE, format.PRIORITY);
  store<u8>(at, <u8>value);
  return at + 1;
}

/** Checks `size` staged bytes against the rules of a field, and copies them to `at`. */
function putBytes(at: usize, size: u32, max: u32, field: u32): usize {
  if (size == 0 && field != format.ROUTING_KEY) return refuse(refusals.FIELD_EMPTY, field);
  if (size > max) return refuse(refusals.FIELD_OVER, field);
  if (!isUtf8(staged, size)) return refuse(refusals.NOT_UTF8, field);
  return putStaged(at, size);
}

function putStaged(at: usize, size: u32): usize {
  memory.copy(at, staged, size);
  staged += size;
  return at + size;
}

function putText(at: usize, field: u32): usize {
  const size = stagedSize(field);
  store<u8>(at, <u8>size);
  return putBytes(at + 1, size, limits.TEXT_BYTES_MAX, field);
}

function putDeath(at: usize): usize {
  const size = stagedSize(format.DEATH);
  store<u16>(at, <u16>size);
  return putBytes(at + 2, size, limits.DEATH_BYTES_MAX, format.DEATH);
}

function putHeaders(at: usize): usize {
  const count = stagedSize(format.HEADERS);
  if (count > limits.HEADERS_MAX) return refuse(refusals.HEADERS_OVER, format.HEADERS);
  const start = at + 2;
  const end = start + limits.HEADERS_BYTES_MAX;
  let next = start;
  for (let index: u32 = 0; index < count; index++) {
    next = putHeader(next, end, STAGE_HEADERS + index * STAGE_HEADER_BYTES);
    if (next == 0) return 0;
  }
  store<u16>(at, <u16>(next - start));
  return next;
}

/** Appends the header staged in `row`, whose bytes come next in STAGE_BYTES. */
function putHeader(at: usize, end: usize, row: usize): usize {
  const nameSize = load<u32>(row);
  const kind = load<u32>(row, 4);
  const valueSize = load<u32>(row, 8);
  if (nameSize == 0) return refuse(refusals.HEADER_NAME_EMPTY, format.HEADERS);
  if (nameSize > limits.TEXT_BYTES_MAX) return refuse(refusals.HEADER_NAME_OVER, format.HEADERS);
  if (!isUtf8(staged, nameSize)) return refuse(refusals.HEADER_NAME_NOT_UTF8, format.HEADERS);
  if (kind > format.KIND_FALSE) return refuse(refusals.HEADER_KIND, format.HEADERS);
  const tail: u32 = kind == format.KIND_NUMBER ? 8 : kind <= format.KIND_BYTES ? 2 : 0;
  if (<u64>at + 2 + nameSize + tail + valueSize > <u64>end)
    return refuse(refusals.FIELD_OVER, format.HEADERS);
  store<u8>(at, <u8>nameSize);
  at = putStaged(at + 1, nameSize);
  store<u8>(at++, <u8>kind);
  if (kind == format.KIND_NUMBER) {
    const value = load<f64>(row, 16);
    if (!isFinite(value)) return refuse(refusals.HEADER_NOT_FINITE, format.HEADERS);
    store<f64>(at, value);
    return at + 8;
  }
  if (tail == 0) return at;
  if (kind == format.KIND_TEXT && !isUtf8(staged, valueSize))
    return refuse(refusals.HEADER_NOT_UTF8, format.HEADERS);
  store<u16>(at, <u16>valueSize);
  return putStaged(at + 2, valueSize);
}

/** Counts the records that fill the batch of `size` bytes exactly; -1 when they don't. */
export function countRecords(size: u32): i32 {
  const end = BATCH + size;
  let at: usize = BATCH + format.BATCH_HEADER_BYTES;
  let count = 0;
  for (; at + format.RECORD_HEADER_BYTES <= end; count++) {
    const next = <u64>at + 4 + load<u32>(at);
    if (next < <u64>at + format.RECORD_HEADER_BYTES || next > <u64>end) return -1;
    at = <usize>next;
  }
  return at == end ? count : -1;
}

/** Writes size, count, magic and checksum: what makes the records at BATCH a batch. */
export function sealBatch(size: u32, count: u32): void {
  store<u32>(BATCH, format.BATCH_MAGIC);
  store<u32>(BATCH, size, 8);
  store<u32>(BATCH, count, 12);
  store<u32>(BATCH, crc32c(BATCH + format.BATCH_HEADER_BYTES, size - format.BATCH_HEADER_BYTES, 0), 4);
}
