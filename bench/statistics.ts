/** Figures of several rounds to one figure and its spread. */

/** Value below which the given share (0 to 1) of the values lies, interpolated between neighbours. Throws when there is none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const position = share * (sorted.length - 1);
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  if (below === undefined || above === undefined) {
    throw new RangeError("no values");
  }
  return below + (above - below) * (position - Math.floor(position));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export interface Ratio {
  /** Median over the rounds of one system's figure divided by the other's of the same round. */
  readonly ratio: number;
  /** The quartiles of these. */
  readonly spread: readonly [number, number];
}

/** Compares round by round: what disturbs a whole round disturbs both. The two must be equally long. */
export function ratioOf(numerators: readonly number[], denominators: readonly number[]): Ratio {
  const ratios = numerators.map((value, round) => value / (denominators[round] ?? Number.NaN));
  return { ratio: median(ratios), spread: [quantile(ratios, 0.25), quantile(ratios, 0.75)] };
}
