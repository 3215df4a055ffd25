/** A failed assertion is a bug of ours, never a client's mistake: the object restarts from storage. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}
