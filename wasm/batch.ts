// Reading: validates a whole batch and writes one table row per record. The twin is src/protocol/batch-scanner.ts;
// the order of the checks is the same there, because both must refuse the same bytes with the same words.
// Within a record a function takes an address and returns the next one, or 0 after it has noted a refusal.
import { crc32c } from "./crc32c";
import * as format from "./format";
import * as limits from "./limits";
import { BATCH, TABLE, TABLE_ROW_BYTES } from "./memory";
import * as refusals from "./refusals";
import { refuse, refuseRecord } from "./refusals";
import { scanHeaders } from "./headers";
import { isUtf8 } from "./utf8";

/** Validates the batch of `size` bytes at BATCH. Returns the count of its records, or a negative reason. */
export function scanBatch(size: u32, isClient: bool): i32 {
  const wrong = checkHead(size);
  if (wrong != 0) return -wrong;
  const count = load<u32>(BATCH, 12);
  const end = BATCH + size;
  let at: usize = BATCH + format.BATCH_HEADER_BYTES;
  for (let index: u32 = 0; index < count; index++) {
    at = scanRecord(at, end, TABLE + index * TABLE_ROW_BYTES, isClient);
    if (at == 0) return refuseRecord(index);
  }
  return at == end ? <i32>count : -refusals.LEFT_OVER;
}

function checkHead(size: u32): i32 {
  if (size > limits.BATCH_BYTES_MAX) return refusals.BATCH_OVER;
  if (size < format.BATCH_HEADER_BYTES) return refusals.BATCH_SHORT;
  if (load<u32>(BATCH) != format.BATCH_MAGIC) return refusals.MAGIC;
  if (load<u32>(BATCH, 8) != size) return refusals.SIZE;
  const count = load<u32>(BATCH, 12);
  if (count == 0) return refusals.NO_RECORDS;
  if (count > limits.RECORDS_MAX) return refusals.RECORDS_OVER;
  const checksum = crc32c(BATCH + format.BATCH_HEADER_BYTES, size - format.BATCH_HEADER_BYTES, 0);
  return checksum == load<u32>(BATCH, 4) ? 0 : refusals.CHECKSUM;
}

function scanRecord(at: usize, batchEnd: usize, row: usize, isClient: bool): usize {
  if (at + 4 > batchEnd) return refuse(refusals.RECORD_CUT, 0);
  const size = load<u32>(at);
  if (size < 2) return refuse(refusals.RECORD_SHORT, 0);
  if (<u64>at + 4 + size > <u64>batchEnd) return refuse(refusals.RECORD_CUT, 0);
  const end = at + 4 + size;
  const flags = <u32>load<u16>(at, 4);
  if ((flags & ~format.KNOWN_FLAGS) != 0) return refuse(refusals.FLAGS, 0);
  const notAllowed = isClient ? flags & format.BROKER_FLAGS : 0;
  if (notAllowed != 0) return refuse(refusals.BROKER_ONLY, ctz(notAllowed));

  store<u32>(row, <u32>(at - BATCH), 0);
  store<u32>(row, size + 4, 4);
  store<u32>(row, flags, 8);
  store<u32>(row, 0, 12);
  store<u64>(row, 0, 16);
  store<u64>(row, 0, 32);
  store<u64>(row, 0, 40);
  store<u64>(row, 0, 48);
  const body = scanFields(at + format.RECORD_HEADER_BYTES, end, row, flags);
  if (body == 0) return 0;
  if (<u32>(end - body) > limits.BODY_BYTES_MAX) return refuse(refusals.FIELD_OVER, format.BODY);
  store<u32>(row, <u32>(body - BATCH), 24);
  store<u32>(row, <u32>(end - body), 28);
  return end;
}

/** Walks the present fields in the order of their bits. Returns where the body starts. */
function scanFields(at: usize, end: usize, row: usize, flags: u32): usize {
  if ((flags & (1 << format.ID)) != 0 && (at = scanText(at, end, format.ID)) == 0) return 0;
  if ((flags & (1 << format.TIME)) != 0) {
    at = scanWhole(at, end, format.TIME, format.SAFE_INTEGER_MAX);
    if (at == 0) return 0;
  }
  if ((flags & (1 << format.ROUTING_KEY)) != 0) {
    const key = at + 1;
    at = scanText(at, end, format.ROUTING_KEY);
    if (at == 0) return 0;
    store<u32>(row, <u32>(key - BATCH), 48);
    store<u32>(row, <u32>(at - key), 52);
  }
  if ((flags & (1 << format.ORDERING_KEY)) != 0) {
    const key = at + 1;
    at = scanText(at, end, format.ORDERING_KEY);
    if (at == 0) return 0;
    store<u32>(row, <u32>(key - BATCH), 16);
    store<u32>(row, <u32>(at - key), 20);
  }
  if ((flags & (1 << format.PRIORITY)) != 0) {
    if (at >= end) return refuse(refusals.FIELD_CUT, format.PRIORITY);
    const priority = <u32>load<u8>(at++);
    if (priority > limits.PRIORITY_MAX) return refuse(refusals.NOT_IN_RANGE, format.PRIORITY);
    store<u32>(row, priority, 12);
  }
  if ((flags & (1 << format.DELAY_MS)) != 0) {
    at = scanWhole(at, end, format.DELAY_MS, limits.DELAY_MS_MAX);
    if (at == 0) return 0;
    store<f64>(row, <f64>load<u64>(at - 8), 32);
  }
  if ((flags & (1 << format.TTL_MS)) != 0) {
    at = scanWhole(at, end, format.TTL_MS, limits.DELAY_MS_MAX);
    if (at == 0) return 0;
    store<f64>(row, <f64>load<u64>(at - 8), 40);
  }
  for (let rest = (flags >> format.DEDUP_ID) & 0x1f; rest != 0; rest &= rest - 1) {
    at = scanText(at, end, format.DEDUP_ID + ctz(rest));
    if (at == 0) return 0;
  }
  if ((flags & (1 << format.HEADERS)) != 0 && (at = scanHeaders(at, end)) == 0) return 0;
  if ((flags & (1 << format.DEATH)) != 0 && (at = scanDeath(at, end)) == 0) return 0;
  return at;
}

function scanText(at: usize, end: usize, field: u32): usize {
  if (at >= end) return refuse(refusals.FIELD_CUT, field);
  const size = <u32>load<u8>(at++);
  if (at + size > end) return refuse(refusals.FIELD_CUT, field);
  if (size == 0 && field != format.ROUTING_KEY) return refuse(refusals.FIELD_EMPTY, field);
  if (!isUtf8(at, size)) return refuse(refusals.NOT_UTF8, field);
  return at + size;
}

function scanWhole(at: usize, end: usize, field: u32, max: u64): usize {
  if (at + 8 > end) return refuse(refusals.FIELD_CUT, field);
  if (load<u64>(at) > max) return refuse(refusals.NOT_IN_RANGE, field);
  return at + 8;
}

function scanDeath(at: usize, end: usize): usize {
  if (at + 2 > end) return refuse(refusals.FIELD_CUT, format.DEATH);
  const size = <u32>load<u16>(at);
  at += 2;
  if (size > limits.DEATH_BYTES_MAX) return refuse(refusals.FIELD_OVER, format.DEATH);
  if (at + size > end) return refuse(refusals.FIELD_CUT, format.DEATH);
  if (size == 0) return refuse(refusals.FIELD_EMPTY, format.DEATH);
  if (!isUtf8(at, size)) return refuse(refusals.NOT_UTF8, format.DEATH);
  return at + size;
}
