// The weight that a destination of a consistent-hash exchange has.
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";

const WEIGHT_DEFAULT = 1;

/** A binding's key as its weight. */
export function parseWeight(key: string): Result<number> {
  if (key === "") return ok(WEIGHT_DEFAULT);
  const weight = /^[1-9]\d{0,2}$/.test(key) ? Number(key) : Infinity;
  if (weight <= LIMITS.bindingWeightMax) return ok(weight);
  return refuse(
    "bad_request",
    `key: must be the binding's weight, a whole number from 1 to ${LIMITS.bindingWeightMax}`,
  );
}
