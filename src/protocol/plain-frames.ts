/**
 * The two frames that make up the traffic, checked by hand: a publish whose batch is the payload, and acks. Workers forbid
 * what zod would compile its checks with, and without that they were a sixth of the broker's time. What is not plainly
 * one of these is left to the schemas, which also say what is wrong with it; a test holds the two to one another.
 */
import type { ClientFrame } from "./frames.ts";
import { LIMITS } from "./limits.ts";
import { NAME_PATTERN } from "./names.ts";

/** The frame, or null when the schemas must look at it. */
export function plainFrame(head: unknown): ClientFrame | null {
  if (typeof head !== "object" || head === null || !("type" in head)) return null;
  if (head.type === "publish") return isPlainPublish(head) ? (head as ClientFrame) : null;
  if (head.type === "settle") return isPlainSettle(head) ? (head as ClientFrame) : null;
  return null;
}

function isPlainPublish(head: object): boolean {
  let stamps = 0;
  for (const [name, value] of Object.entries(head)) {
    if (name === "producer" && isName(value)) stamps++;
    else if (name === "sequence" && isWhole(value, 1)) stamps++;
    else if (name !== "type" && !(name === "ref" && isWhole(value, 0))) return false;
  }
  return stamps !== 1;
}

function isPlainSettle(head: object): boolean {
  let hasSettlements = false;
  for (const [name, value] of Object.entries(head)) {
    if (name === "settlements") hasSettlements = areAcks(value);
    else if (name !== "type" && !(name === "ref" && isWhole(value, 0))) return false;
  }
  return hasSettlements;
}

function areAcks(value: unknown): boolean {
  return isList(value) && value.every(isAck);
}

function isAck(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  let known = 0;
  for (const [name, field] of Object.entries(value)) {
    if (name === "lease" && isWhole(field, 1)) known++;
    else if (name === "verdict" && field === "ack") known++;
    else if (name !== "sequences" || !isList(field) || !field.every(isRun)) return false;
  }
  return known === 2;
}

function isRun(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [first, count] = value as unknown[];
  return isWhole(first, 1) && isWhole(count, 1) && count <= LIMITS.leasedMax;
}

function isList(value: unknown): value is unknown[] {
  return Array.isArray(value) && value.length > 0 && value.length <= LIMITS.settlementsMax;
}

function isWhole(value: unknown, min: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= min;
}

function isName(value: unknown): boolean {
  return typeof value === "string" && NAME_PATTERN.test(value);
}
