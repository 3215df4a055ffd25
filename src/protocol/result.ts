// A refusal is a value: it is in the method's type, and it survives a call between objects as an exception does not.
import type { ErrorCode } from "./errors.ts";

export interface Refusal {
  readonly ok: false;
  readonly code: ErrorCode;
  /** For people. Names the field at fault; never parsed. */
  readonly detail: string;
  /** Facts a program needs to recover, such as `expectedSequence` or `retryAfterMs`. */
  readonly facts?: Readonly<Record<string, number | string | boolean>>;
}

export interface Ok<T> {
  readonly ok: true;
  readonly value: T;
}

export type Result<T> = Ok<T> | Refusal;

export function ok<T>(value: T): Ok<T> {
  return { ok: true, value };
}

export function refuse(code: ErrorCode, detail: string, facts?: Refusal["facts"]): Refusal {
  return facts === undefined ? { ok: false, code, detail } : { ok: false, code, detail, facts };
}
