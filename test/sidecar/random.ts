/** Random numbers that are the same in every run, and a test of evenness. */

/** Numbers in [0, 1): the generator "mulberry32", which is small and good enough for tests of distributions. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Critical values of the chi-squared distribution at 0.001, by degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.4). */
const critical: Readonly<Record<number, number>> = {
  1: 10.828,
  2: 13.816,
  3: 16.266,
  4: 18.467,
  5: 20.515,
  9: 27.877,
};

/** How far the counts are from equal, as a multiple of what chance explains at 0.001: above 1 they are not equal. */
export function unevenness(counts: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const expected = total / counts.length;
  const chiSquared = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  const limit = critical[counts.length - 1];
  if (limit === undefined) {
    throw new RangeError(`no critical value for ${counts.length} counts`);
  }
  return chiSquared / limit;
}
