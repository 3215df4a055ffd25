// A database that can take no more. What needs no room goes on: deliveries, and acks, which make room.
import { refuse, type Refusal } from "../protocol/result.ts";

const RETRY_MS = 5_000;

/** By SQLite's own words: the platform has no code for it. */
export function isStorageFull(error: unknown): boolean {
  return /SQLITE_FULL|database or disk is full/i.test(String(error));
}

export function storageFull(): Refusal {
  return refuse("queue_full", "the queue's storage has no room", { retryAfterMs: RETRY_MS });
}
