/**
 * The correlation id of a call: `<format><ref>.<deadline>.<proof>.<queue>`, the numbers in base 36. The responder sends it
 * back as it came, so a hub knows what a reply answers, and whether in time, without a table of calls. The proof says
 * that the hub made it, for this very call: who knows the form can't make another.
 */
import { NAME_PATTERN } from "./names.ts";

export interface Call {
  readonly format: "json" | "binary";
  /** The caller's own number of the call. */
  readonly ref: number;
  readonly deadlineMs: number;
  /** Whose consumers were asked: who may not consume it may not answer. */
  readonly queue: string;
}

export interface Correlation extends Call {
  /** A keyed digest of the call and its caller's inbox (hub/seals.ts). */
  readonly proof: string;
}

/** The digits of a proof: 96 bits. */
export const PROOF_DIGITS = 24;

const CORRELATION = /^([jb])([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.([0-9a-f]{24})\.(.{1,128})$/s;

export function formatCorrelation({ format, ref, deadlineMs, proof, queue }: Correlation): string {
  const kind = format === "json" ? "j" : "b";
  return `${kind}${ref.toString(36)}.${deadlineMs.toString(36)}.${proof}.${queue}`;
}

export function parseCorrelation(text: string): Correlation | null {
  const match = CORRELATION.exec(text);
  if (match === null) return null;
  const ref = Number.parseInt(match[2]!, 36);
  const deadlineMs = Number.parseInt(match[3]!, 36);
  const queue = match[5]!;
  if (!Number.isSafeInteger(ref) || !Number.isSafeInteger(deadlineMs) || !NAME_PATTERN.test(queue))
    return null;
  return { format: match[1] === "j" ? "json" : "binary", ref, deadlineMs, proof: match[4]!, queue };
}
