// Why bytes or fields were refused, as numbers. src/protocol/batch-refusals.ts holds the words for each.
// The reason travels as a negative result; the record and the field wait here until the wrapper asks.

export const BATCH_OVER: i32 = 1;
export const BATCH_SHORT: i32 = 2;
export const MAGIC: i32 = 3;
export const SIZE: i32 = 4;
export const NO_RECORDS: i32 = 5;
export const RECORDS_OVER: i32 = 6;
export const CHECKSUM: i32 = 7;
export const LEFT_OVER: i32 = 8;
export const RECORD_SHORT: i32 = 9;
export const RECORD_CUT: i32 = 10;
export const FLAGS: i32 = 11;
export const BROKER_ONLY: i32 = 12;
export const FIELD_CUT: i32 = 13;
export const FIELD_EMPTY: i32 = 14;
export const FIELD_OVER: i32 = 15;
export const NOT_UTF8: i32 = 16;
export const NOT_IN_RANGE: i32 = 17;
export const HEADERS_OVER: i32 = 18;
export const HEADER_CUT: i32 = 19;
export const HEADER_NAME_EMPTY: i32 = 20;
export const HEADER_NAME_OVER: i32 = 21;
export const HEADER_NAME_NOT_UTF8: i32 = 22;
export const HEADER_REPEATED: i32 = 23;
export const HEADER_KIND: i32 = 24;
export const HEADER_NOT_UTF8: i32 = 25;
export const HEADER_NOT_FINITE: i32 = 26;

let reason: i32 = 0;
let record: u32 = 0;
let field: u32 = 0;

/** Notes a refusal within a record. Returns 0, which is no address, so that a kernel can `return refuse(…)`. */
export function refuse(why: i32, which: u32): usize {
  reason = why;
  field = which;
  return 0;
}

/** Says which record the noted refusal was in. Returns the result for the wrapper. */
export function refuseRecord(index: u32): i32 {
  record = index;
  return -reason;
}

export function refusedRecord(): u32 {
  return record;
}

export function refusedField(): u32 {
  return field;
}
