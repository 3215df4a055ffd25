// Rows of 32 bytes, numbered from 1, as words and nodes have them. The row of a number that is free begins with the
// next free number.
//
// Rows, 16 bytes:  0 u32 address of row 0       4 u32 their block's size, as a power of two
//                  8 u32 rows ever taken        12 u32 the first free number, or 0
import { doubleBlock, takeBlock } from "./trie-memory";

const BLOCK: usize = 4;
const USED: usize = 8;
const FREE: usize = 12;
const ROW_BYTES_LOG: u32 = 5;
const FIRST_BLOCK: u32 = 13;

/** False when memory is exhausted. */
export function openRows(rows: usize): bool {
  const first = takeBlock(FIRST_BLOCK);
  store<u32>(rows, <u32>first);
  store<u32>(rows, FIRST_BLOCK, BLOCK);
  store<u32>(rows, 1, USED);
  return first != 0;
}

export function rowOf(rows: usize, number: u32): usize {
  return <usize>load<u32>(rows) + ((<usize>number) << ROW_BYTES_LOG);
}

function rowsUsed(rows: usize): u32 {
  return load<u32>(rows, USED);
}

/** The size of the block that they are in, as a power of two. */
export function rowsBlock(rows: usize): u32 {
  return load<u32>(rows, BLOCK);
}

/** Room for `more` rows. False when memory is exhausted. */
export function haveRows(rows: usize, more: u32): bool {
  while (rowsUsed(rows) + more > 1 << (rowsBlock(rows) - ROW_BYTES_LOG)) {
    const block = rowsBlock(rows);
    const double = doubleBlock(load<u32>(rows), block);
    if (double == 0) return false;
    store<u32>(rows, <u32>double);
    store<u32>(rows, block + 1, BLOCK);
  }
  return true;
}

/** The number of a row of zeros; `haveRows` comes first. */
export function takeRow(rows: usize): u32 {
  let number = load<u32>(rows, FREE);
  if (number != 0) store<u32>(rows, load<u32>(rowOf(rows, number)), FREE);
  else {
    number = rowsUsed(rows);
    store<u32>(rows, number + 1, USED);
  }
  const row = rowOf(rows, number);
  v128.store(row, i64x2.splat(0));
  v128.store(row, i64x2.splat(0), 16);
  return number;
}

export function freeRow(rows: usize, number: u32): void {
  store<u32>(rowOf(rows, number), load<u32>(rows, FREE));
  store<u32>(rows, number, FREE);
}
