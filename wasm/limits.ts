// BATCH_LIMITS of src/protocol/limits.ts again, because a kernel can't import it. A test compares the two by name.

export const BATCH_BYTES_MAX: u32 = 1_900_000;
export const RECORDS_MAX: u32 = 4_096;
export const BODY_BYTES_MAX: u32 = 1_048_576;
export const TEXT_BYTES_MAX: u32 = 255;
export const HEADERS_BYTES_MAX: u32 = 16_384;
export const HEADERS_MAX: u32 = 64;
export const DEATH_BYTES_MAX: u32 = 8_192;
export const PRIORITY_MAX: u32 = 31;
export const DELAY_MS_MAX: u64 = 31_622_400_000;
