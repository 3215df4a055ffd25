// Rules and words that parameters of several actions have in common.
import { sqsRefusal, type SqsRefusal } from "./errors.ts";

export const VISIBILITY_SECONDS_MAX = 43_200;

/** Ids of groups, of duplicates and of attempts. */
export const ID_PATTERN = /^[!-~]{1,128}$/;

export function invalid(name: string, value: string | number, reason: string): SqsRefusal {
  return invalidBecause(`Value ${value} for parameter ${name} is invalid. Reason: ${reason}`);
}

export function invalidBecause(message: string): SqsRefusal {
  return sqsRefusal("InvalidParameterValue", message);
}

export function missing(name: string): SqsRefusal {
  return sqsRefusal("MissingParameter", `The request must contain the parameter ${name}.`);
}
