/**
 * Which topics of a list go to which slots, in records: a slot, 32 topics in a row, and a bit for each of them that goes
 * there. Records are in no order, but for those of one slot, whose topics ascend; none is without a bit.
 *
 * As words, two a record: slot in the high half and number of the 32 in the low half; the bits. They may lie in the
 * matcher's own memory, so an answer costs nothing to make and lives until the matcher is called again.
 */
export class SlotMatches {
  private words: Uint32Array;
  private start: number;
  count: number;

  constructor(words: Uint32Array, start: number, count: number) {
    this.words = words;
    this.start = start;
    this.count = count;
  }

  /** Makes it another answer. */
  set(words: Uint32Array, start: number, count: number): this {
    this.words = words;
    this.start = start;
    this.count = count;
    return this;
  }

  slot(record: number): number {
    return this.words[this.start + 2 * record]! >>> 16;
  }

  /** Which 32 topics: those from 32 times this on. */
  group(record: number): number {
    return this.words[this.start + 2 * record]! & 0xffff;
  }

  /** The lowest is the first of the 32. */
  bits(record: number): number {
    return this.words[this.start + 2 * record + 1]!;
  }

  /** Appends the indexes of a record's topics, ascending. */
  addIndexes(record: number, indexes: number[]): void {
    const first = 32 * this.group(record);
    for (let bits = this.bits(record); bits !== 0; bits &= bits - 1) {
      indexes.push(first + 31 - Math.clz32(bits & -bits));
    }
  }
}

/** As above. */
export interface MatchRecord {
  readonly slot: number;
  readonly group: number;
  readonly bits: number;
}

export function matchesOf(records: readonly MatchRecord[]): SlotMatches {
  const words = Uint32Array.from(records.flatMap(({ slot, group, bits }) => [slot * 0x10000 + group, bits]));
  return new SlotMatches(words, 0, records.length);
}

/** Adds the records of an answer about topics from `first` on, a multiple of 32. */
export function addRecords(matches: SlotMatches, first: number, records: MatchRecord[]): void {
  for (let k = 0; k < matches.count; k++) {
    records.push({ slot: matches.slot(k), group: first / 32 + matches.group(k), bits: matches.bits(k) });
  }
}
