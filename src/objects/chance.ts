// Randomness of the platform. What an opponent may guess decides nothing: ids, keys and shares are drawn from here.

const drawn = new Uint32Array(2);

/** From 0 to below 1, as Math.random, but nobody can tell what comes next. */
export function platformRandom(): number {
  crypto.getRandomValues(drawn);
  return ((drawn[0]! >>> 5) * 2 ** 26 + (drawn[1]! >>> 6)) / 2 ** 53;
}
