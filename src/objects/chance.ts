// Randomness of the platform. What an opponent may guess decides nothing: ids, keys and shares are drawn from here.

const DRAWN = 256;
const drawn = new Uint32Array(DRAWN);
let left = 0;

/** From 0 to below 1, as Math.random, but nobody can tell what comes next. */
export function platformRandom(): number {
  // Drawn by the hundred: a call of its own for each would cost more than all else that is done with it.
  if (left < 2) {
    crypto.getRandomValues(drawn);
    left = DRAWN;
  }
  const high = drawn[--left]! >>> 5;
  const low = drawn[--left]! >>> 6;
  return (high * 2 ** 26 + low) / 2 ** 53;
}
