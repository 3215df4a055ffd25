// How much room a queue asks its namespace for: in large steps, so that it asks seldom.

const STEP_BYTES = 8 * 1024 * 1024;

/** The allotment to ask for so that `bytes` fit, or null when the present one does and is not far too large. */
export function allotmentFor(bytes: number, allottedBytes: number): number | null {
  const wanted = Math.ceil(bytes / STEP_BYTES) * STEP_BYTES;
  if (bytes > allottedBytes) return wanted;
  return allottedBytes - wanted >= 2 * STEP_BYTES ? wanted + STEP_BYTES : null;
}
