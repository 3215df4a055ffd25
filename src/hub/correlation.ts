/**
 * The correlation id of a call: `<format><ref>.<deadline>`, both in base 36. The responder sends it back as it came, so
 * a hub knows what a reply answers, and whether in time, without a table of calls.
 */
export interface Correlation {
  readonly format: "json" | "binary";
  /** The caller's own number of the call. */
  readonly ref: number;
  readonly deadlineMs: number;
}

export function formatCorrelation({ format, ref, deadlineMs }: Correlation): string {
  return `${format === "json" ? "j" : "b"}${ref.toString(36)}.${deadlineMs.toString(36)}`;
}

export function parseCorrelation(text: string): Correlation | null {
  const match = /^([jb])([0-9a-z]{1,11})\.([0-9a-z]{1,11})$/.exec(text);
  if (match === null) return null;
  const ref = Number.parseInt(match[2]!, 36);
  const deadlineMs = Number.parseInt(match[3]!, 36);
  if (!Number.isSafeInteger(ref) || !Number.isSafeInteger(deadlineMs)) return null;
  return { format: match[1] === "j" ? "json" : "binary", ref, deadlineMs };
}
