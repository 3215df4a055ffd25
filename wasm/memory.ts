// The memory map. The compiler places the regions of `memory.data`; the one region that grows comes last.
//
//   …        CRC_TABLES     16 KiB   crc32c.ts, filled when the instance starts
//   …        HEADER_NAMES    1 KiB   batch.ts, the names of one record's headers
//   …        STAGE           2 KiB   encode.ts, the fields of the record to append
//   …        STAGE_BYTES    96 KiB   encode.ts, the bytes of its texts and headers
//   ARENA    TABLE         224 KiB   one row of 56 bytes per record
//            BATCH         grows     the batch being read or written
//
// A module with other state (a trie, say) adds its own `memory.data`, or takes ARENA in an instance of its own:
// an instance has one job, so a codec's instance never pays for a trie nor the other way round.
import { HEADERS_MAX, RECORDS_MAX } from "./limits";

export const CRC_TABLES: usize = memory.data(16 * 1024, 16);

// Per name: u32 fingerprint, u32 address, u32 size, u32 unused.
export const HEADER_NAME_BYTES: u32 = 16;
export const HEADER_NAMES: usize = memory.data(64 * 16, 16);

// Rows 0 to 15, one per field (the body is 15):  u32 size, u32 unused, f64 number.
export const STAGE_ROW_BYTES: u32 = 16;
export const STAGE: usize = memory.data(16 * 16, 16);
// Per header:  u32 name size, u32 kind, u32 value size, u32 unused, f64 number.
export const STAGE_HEADER_BYTES: u32 = 24;
export const STAGE_HEADERS: usize = memory.data(64 * 24, 16);
// Staged text in the order of the fields, nothing between. The size is what the wrapper can need at most: a UTF-16
// unit makes 3 bytes, so 8 texts of 255 units, headers up to their limit and one value more, and a death.
export const STAGE_BYTES: usize = memory.data(96 * 1024, 16);

export const TABLE_ROW_BYTES: u32 = 56;
export const TABLE: usize = (__heap_base + 15) & ~15;
export const BATCH: usize = TABLE + RECORDS_MAX * TABLE_ROW_BYTES;

/** Makes room for a batch of so many bytes. False when memory is exhausted. */
export function reserve(bytes: u32): bool {
  const pages = <i32>((<u64>BATCH + bytes + 0xffff) >> 16);
  const missing = pages - memory.size();
  return missing <= 0 || memory.grow(missing) >= 0;
}

/** The bytes that lie between BATCH and the end of memory. */
export function reserved(): u32 {
  const end = (<u64>memory.size()) << 16;
  return end > <u64>BATCH ? <u32>(end - <u64>BATCH) : 0;
}

/** HEADER_NAMES and STAGE_HEADERS are sized by hand, since `memory.data` takes literals only. */
export const HEADER_ROWS_FIT: bool = HEADERS_MAX <= 64;
