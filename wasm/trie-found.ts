// What topics find: for each slot and each 32 topics in a row (a group), which of them go to the slot.
//
// Per slot, 4 bytes:   0 u32 a bit for each topic of the group at hand that found it
// Record, 8 bytes:     0 u32 group in the low half, slot in the high half      4 u32 a bit for each topic
//
// A slot is kept as its number plus 1, so that 0 can stand for a node without a slot. It counts as found already by
// every topic; so a node without a slot need not be told from one with a slot.
import { endKeeping, keepSlot } from "./trie-cache";
import { blockFor, freeBlock, takeBlock, takeZeroBlock } from "./trie-memory";

const RECORD_BYTES_LOG: u32 = 3;
const FIRST_BLOCK: u32 = 11;
/** The smallest block of records has 8,192 of them. */
const RECORDS_BLOCK_MIN: u32 = 16;

let slots: usize = 0;
let slotsBlock: u32 = 0;

let records: usize = 0;
let recordsBlock: u32 = 0;

/** Behind the last record, and behind the last one of an earlier group. */
let end: usize = 0;
let groupStart: usize = 0;

/** False when memory is exhausted. */
export function openFound(): bool {
  return haveSlot(0);
}

/** Room for finding a slot. False when memory is exhausted. */
export function haveSlot(slot: u32): bool {
  const wanted = max(FIRST_BLOCK, blockFor((slot + 2) << 2));
  if (wanted > slotsBlock) {
    const block = takeZeroBlock(wanted);
    if (block == 0) return false;
    if (slots != 0) freeBlock(slots, slotsBlock);
    slots = block;
    slotsBlock = wanted;
    store<u32>(slots, 0xffffffff);
  }
  return haveRecords(max(RECORDS_BLOCK_MIN, slotsBlock + 2));
}

/** Twice what a group may find. */
function haveRecords(wanted: u32): bool {
  if (wanted == recordsBlock) return true;
  const block = takeBlock(wanted);
  if (block == 0) return false;
  if (records != 0) freeBlock(records, recordsBlock);
  records = block;
  recordsBlock = wanted;
  return true;
}

export function recordsAddress(): usize {
  return records;
}

export function startFinding(): void {
  end = records;
  groupStart = records;
}

/** Whether the records have room for whatever a group may find. */
export function canFindMore(): bool {
  return <u32>(end - records) <= (<u32>1) << (recordsBlock - 1);
}

export function recordsFound(): u32 {
  return (<u32>(end - records)) >> RECORD_BYTES_LOG;
}

/** Notes that the topic of this bit found the slot (plus 1). Without a branch: nothing foretells whether it is new. */
export function findSlot(slot: u32, topicBit: u32): void {
  const place = slots + ((<usize>slot) << 2);
  const before = load<u32>(place);
  store<u32>(place, before | topicBit);
  store<u32>(end, slot);
  end += (<usize>(before == 0)) << RECORD_BYTES_LOG;
}

/** Completes the records of the topics of this group. */
export function endGroup(group: u32): void {
  for (let at = groupStart; at < end; at += 8) {
    const slot = load<u32>(at);
    const place = slots + ((<usize>slot) << 2);
    const topicBits = load<u32>(place);
    store<u32>(place, 0);
    store<u32>(at, ((slot - 1) << 16) | group);
    store<u32>(at, topicBits, 4);
    keepSlot(slot - 1, topicBits);
  }
  groupStart = end;
  endKeeping();
}

/** Notes that the topic of this bit found `count` slots at `at`, u16 each. */
export function findKeptSlots(at: usize, count: u32, topicBit: u32): void {
  const stop = at + (count << 1);
  let to = end;
  for (; at < stop; at += 2) {
    const slot = <u32>load<u16>(at) + 1;
    const place = slots + ((<usize>slot) << 2);
    const before = load<u32>(place);
    store<u32>(place, before | topicBit);
    store<u32>(to, slot);
    to += (<usize>(before == 0)) << RECORD_BYTES_LOG;
  }
  end = to;
}

/** Makes `count` slots at `at`, u16 each and different, the records of topic 0, which is the only one. */
export function takeSlots(at: usize, count: u32): void {
  end = records + (count << RECORD_BYTES_LOG);
  for (let to = records; to < end; to += 8, at += 2) {
    store<u64>(to, ((<u64>load<u16>(at)) << 16) | 0x100000000);
  }
}
