// Answers of several calls, put together into one.
import type { SlotMatches } from "./matcher.ts";

/** Joins answers about one list of topics, each about later topics than the one before. */
export function mergeMatches(parts: readonly SlotMatches[]): SlotMatches {
  const sizes = new Map<number, number>();
  for (const part of parts) {
    for (let k = 0; k < part.slots.length; k++) {
      const slot = part.slots[k]!;
      sizes.set(slot, (sizes.get(slot) ?? 0) + part.ends[k]! - startOf(part, k));
    }
  }
  const slots = Uint32Array.from(sizes.keys()).sort();
  const ends = new Uint32Array(slots.length);
  /** Where each slot's next index goes. */
  const places = new Map<number, number>();
  let end = 0;
  for (const [k, slot] of slots.entries()) {
    places.set(slot, end);
    end += sizes.get(slot)!;
    ends[k] = end;
  }
  const indexes = new Uint32Array(end);
  for (const part of parts) {
    for (let k = 0; k < part.slots.length; k++) {
      const slot = part.slots[k]!;
      const some = part.indexes.subarray(startOf(part, k), part.ends[k]);
      const place = places.get(slot)!;
      indexes.set(some, place);
      places.set(slot, place + some.length);
    }
  }
  return { slots, ends, indexes };
}

function startOf(part: SlotMatches, k: number): number {
  return k === 0 ? 0 : part.ends[k - 1]!;
}
