// The numbers of the batch format (src/protocol/batch.ts draws it). Stored: never renumber.

export const BATCH_MAGIC: u32 = 0x31424c4d;
export const BATCH_HEADER_BYTES: u32 = 40;
export const RECORD_HEADER_BYTES: u32 = 6;

// A field is named by the number of its bit.
export const ID: u32 = 0;
export const TIME: u32 = 1;
export const ROUTING_KEY: u32 = 2;
export const ORDERING_KEY: u32 = 3;
export const PRIORITY: u32 = 4;
export const DELAY_MS: u32 = 5;
export const TTL_MS: u32 = 6;
export const DEDUP_ID: u32 = 7;
export const CANCEL_KEY: u32 = 8;
export const CORRELATION_ID: u32 = 9;
export const REPLY_TO: u32 = 10;
export const CONTENT_TYPE: u32 = 11;
export const HEADERS: u32 = 12;
export const BODY_REFERENCE: u32 = 13;
export const DEATH: u32 = 14;
/** No bit: the body is always there. The number names it in a refusal and in the stage. */
export const BODY: u32 = 15;

export const KNOWN_FLAGS: u32 = 0x7fff;
export const BROKER_FLAGS: u32 = (1 << ID) | (1 << TIME) | (1 << BODY_REFERENCE) | (1 << DEATH);

export const KIND_TEXT: u32 = 0;
export const KIND_BYTES: u32 = 1;
export const KIND_NUMBER: u32 = 2;
export const KIND_TRUE: u32 = 3;
export const KIND_FALSE: u32 = 4;

/** The largest whole number that a double holds exactly: JavaScript reads every u64 of the format as one. */
export const SAFE_INTEGER_MAX: u64 = 9_007_199_254_740_991;
