// The line between JavaScript and the kernels: numbers only, no imports, no allocation. README.md has the table.
// Here sizes are checked against memory; the kernels trust them.
import { scanBatch } from "./batch";
import { crc32c } from "./crc32c";
import { HEAD_BYTES_MAX, appendRecord, countRecords, sealBatch } from "./encode";
import { BATCH_HEADER_BYTES } from "./format";
import { BATCH_BYTES_MAX, BODY_BYTES_MAX } from "./limits";
import * as map from "./memory";
import { refuseRecord } from "./refusals";
import { addPattern, matchTopic, matchTopics, openTrie, removePattern } from "./trie";
import * as trieMap from "./trie-memory";

export { refusedField, refusedRecord } from "./refusals";
export { topicsMatched as trieTopicsMatched } from "./trie";
export { recordsAddress as trieMatchesAddress } from "./trie-found";
export { statesVisited as trieStatesVisited } from "./trie-walk";

/** What a call answers when its size is not in memory: a mistake of the wrapper, never of a client. */
const OUTSIDE: i32 = -0x7fffffff;

export function batchAddress(): usize {
  return map.BATCH;
}

export function tableAddress(): usize {
  return map.TABLE;
}

export function stageAddress(): usize {
  return map.STAGE;
}

export function stageHeadersAddress(): usize {
  return map.STAGE_HEADERS;
}

export function stageBytesAddress(): usize {
  return map.STAGE_BYTES;
}

/** Makes room for `bytes` bytes at the batch's address. 1, or 0 when memory is exhausted. May move the views. */
export function reserve(bytes: u32): i32 {
  return map.reserve(bytes) ? 1 : 0;
}

/** Validates the batch and fills the table. The count of records, or a negative reason. */
export function scan(size: u32, isClient: u32): i32 {
  return size > map.reserved() ? OUTSIDE : scanBatch(size, isClient != 0);
}

/**
 * Appends the staged record at offset `at` as number `index`. The offset after its body, or a negative reason.
 * The wrapper then writes the body, which ends there. May move the views.
 */
export function append(at: u32, index: u32, flags: u32, isClient: u32): i32 {
  if (at < BATCH_HEADER_BYTES || at > BATCH_BYTES_MAX || flags > 0x7fff) return OUTSIDE;
  if (!map.reserve(at + HEAD_BYTES_MAX + BODY_BYTES_MAX)) return OUTSIDE;
  const end = appendRecord(map.BATCH + at, flags, isClient != 0);
  return end == 0 ? refuseRecord(index) : <i32>(end - map.BATCH);
}

/** Turns `count` records in `size` bytes (header and all) into a batch. 1, or negative when they are not so many. */
export function seal(size: u32, count: u32): i32 {
  if (size < BATCH_HEADER_BYTES || size > map.reserved() || countRecords(size) != <i32>count) return OUTSIDE;
  sealBatch(size, count);
  return 1;
}

/** CRC-32C of `size` bytes at the batch's address, going on from `before` (0 at the start). */
export function checksum(size: u32, before: u32): u32 {
  return size > map.reserved() ? 0 : crc32c(map.BATCH, size, before);
}

// The topic matcher. An instance that was opened as one is no codec any more: they share the arena.

/** 1, or 0 when memory is exhausted. Comes first, and once. */
export function trieOpen(): i32 {
  return openTrie() ? 1 : 0;
}

export function trieKeysAddress(): usize {
  return trieMap.KEYS;
}

export function trieOffsetsAddress(): usize {
  return trieMap.OFFSETS;
}

export function trieSizesAddress(): usize {
  return trieMap.SIZES;
}

/** Binds the pattern of `size` bytes to a slot. 1 when the pair is new, 0 when counted up. May move the views. */
export function trieAdd(size: u32, slot: u32): i32 {
  return size > trieMap.TOPIC_BYTES_MAX || slot >= trieMap.SLOTS_MAX ? OUTSIDE : addPattern(size, slot);
}

/** 1 when the pair is gone, 0 when it was added more often, -1 when it was not there. */
export function trieRemove(size: u32, slot: u32): i32 {
  return size > trieMap.TOPIC_BYTES_MAX || slot >= trieMap.SLOTS_MAX ? OUTSIDE : removePattern(size, slot);
}

/** The count of records for one topic, which is topic 0 of them. */
export function trieMatch(size: u32): i32 {
  return size > trieMap.TOPIC_BYTES_MAX ? OUTSIDE : matchTopic(size);
}

/** The count of records for the first `trieTopicsMatched` of `count` topics. The keys start at offset `base`. */
export function trieMatchAll(base: u32, count: u32): i32 {
  if (count > trieMap.TOPICS_MAX) return OUTSIDE;
  for (let i: u32 = 0; i < count; i++) {
    const offset = load<u32>(trieMap.OFFSETS + (i << 2));
    const size = load<u32>(trieMap.SIZES + (i << 2));
    if (size > trieMap.TOPIC_BYTES_MAX || offset < base || offset - base > trieMap.KEY_BYTES - size)
      return OUTSIDE;
  }
  return matchTopics(base, count);
}
