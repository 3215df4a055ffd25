// What topics find: for each slot and each 32 topics in a row (a group), which of them go to the slot.
//
// Per slot, 8 bytes:   0 u32 a bit for each topic of the group at hand that found it      4 u32 records (sorting)
// Record, 8 bytes:     0 u32 group in the low half, slot in the high half                 4 u32 a bit for each topic
//
// A slot is kept as its number plus 1, so that 0 can stand for a node without a slot. It counts as found already by
// every topic; so a node without a slot need not be told from one with a slot.
import { endKeeping, keepSlot } from "./trie-cache";
import { SLOT_BITS, blockFor, freeBlock, takeBlock, takeZeroBlock } from "./trie-memory";

const ROW_BYTES_LOG: u32 = 3;
const RECORDS: usize = 4;
const FIRST_BLOCK: u32 = 11;
/** The smallest block of records has 16,384 of them. */
const RECORDS_BLOCK_MIN: u32 = 17;
/** Few are sorted by themselves; more are read off the bits that mark their slots. */
const SORTED_MAX: u32 = 24;

let slots: usize = 0;
let slotsBlock: u32 = 0;

/** As they are found, group by group; and sorted, which is the answer. Blocks of one size. */
let records: usize = 0;
let sorted: usize = 0;
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
  const wanted = max(FIRST_BLOCK, blockFor((slot + 2) << ROW_BYTES_LOG));
  if (wanted > slotsBlock) {
    const block = takeZeroBlock(wanted);
    if (block == 0) return false;
    if (slots != 0) freeBlock(slots, slotsBlock);
    slots = block;
    slotsBlock = wanted;
    store<u32>(slots, 0xffffffff);
  }
  return haveRecords(max(RECORDS_BLOCK_MIN, slotsBlock + 1));
}

function haveRecords(wanted: u32): bool {
  if (wanted == recordsBlock) return true;
  const first = takeBlock(wanted);
  if (first == 0) return false;
  const second = takeBlock(wanted);
  if (second == 0) {
    freeBlock(first, wanted);
    return false;
  }
  if (records != 0) {
    freeBlock(records, recordsBlock);
    freeBlock(sorted, recordsBlock);
  }
  records = first;
  sorted = second;
  recordsBlock = wanted;
  return true;
}

export function sortedAddress(): usize {
  return sorted;
}

export function startFinding(): void {
  end = records;
  groupStart = records;
}

/** Whether the records have room for whatever a group may find. */
export function canFindMore(): bool {
  return <u32>(end - records) <= (1 << recordsBlock) - (1 << slotsBlock);
}

/** Notes that the topic of this bit found the slot (plus 1). Without a branch: nothing foretells whether it is new. */
export function findSlot(slot: u32, topicBit: u32): void {
  const row = slots + ((<usize>slot) << ROW_BYTES_LOG);
  const before = load<u32>(row);
  store<u32>(row, before | topicBit);
  store<u32>(end, slot);
  end += (<usize>(before == 0)) << ROW_BYTES_LOG;
}

/** Completes the records of the topics of this group. */
export function endGroup(group: u32): void {
  for (let at = groupStart; at < end; at += 8) {
    const slot = load<u32>(at);
    const row = slots + ((<usize>slot) << ROW_BYTES_LOG);
    const topicBits = load<u32>(row);
    store<u32>(row, 0);
    store<u32>(at, ((slot - 1) << 16) | group);
    store<u32>(at, topicBits, 4);
    keepSlot(slot - 1, topicBits);
  }
  groupStart = end;
  endKeeping();
}

/** Sorts the records by slot and group. Returns how many there are. */
export function sortRecords(): u32 {
  const count = (<u32>(end - records)) >> ROW_BYTES_LOG;
  if (count <= SORTED_MAX) insertRecords();
  else spreadRecords();
  return count;
}

function insertRecords(): void {
  const to = sorted - records;
  for (let at = records; at < end; at += 8) {
    const record = load<u64>(at);
    let place = at + to;
    for (; place > sorted && load<u32>(place - 8) > <u32>record; place -= 8)
      store<u64>(place, load<u64>(place - 8));
    store<u64>(place, record);
  }
}

/** Groups ascend already, so records of one slot only have to stay in their order. */
function spreadRecords(): void {
  for (let at = records; at < end; at += 8) {
    const slot = load<u32>(at) >> 16;
    const row = rowOf(slot);
    store<u32>(row, load<u32>(row, RECORDS) + 1, RECORDS);
    const bits = SLOT_BITS + ((slot >> 6) << 3);
    store<u64>(bits, load<u64>(bits) | ((<u64>1) << (slot & 63)));
  }
  const last = sorted + (end - records);
  let place = sorted;
  for (let slot: u32 = 0; place < last; slot += 64) {
    let bits = load<u64>(SLOT_BITS + (slot >> 3));
    if (bits == 0) continue;
    store<u64>(SLOT_BITS + (slot >> 3), 0);
    for (; bits != 0; bits &= bits - 1) {
      const row = rowOf(slot + <u32>ctz(bits));
      const size = load<u32>(row, RECORDS) << ROW_BYTES_LOG;
      store<u32>(row, <u32>place, RECORDS);
      place += size;
    }
  }
  for (let at = records; at < end; at += 8) {
    const record = load<u64>(at);
    const row = rowOf((<u32>record) >> 16);
    const to = <usize>load<u32>(row, RECORDS);
    store<u32>(row, <u32>to + 8, RECORDS);
    store<u64>(to, record);
  }
  for (let at = records; at < end; at += 8) store<u32>(rowOf(load<u32>(at) >> 16), 0, RECORDS);
}

function rowOf(slot: u32): usize {
  return slots + ((<usize>(slot + 1)) << ROW_BYTES_LOG);
}
