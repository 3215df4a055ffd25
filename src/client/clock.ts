/** Time and chance, so that a test can turn both by hand. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Runs `run` once after `delayMs`; the function it returns takes that back and may be called at any time. */
  after(delayMs: number, run: () => void): () => void;
  /** From 0 up to but not 1. */
  random(): number;
  /** A name no one else has: 128 random bits as 32 hex digits. */
  id(): string;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
  id() {
    // Not randomUUID: browsers have that in secure contexts only, and a broker on a plain-HTTP address is usual at home.
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  },
};
