/** Latency histograms with the buckets of the contract. */
import { latencyBuckets } from "../wire/messages.ts";

/** Counts by `latencyBuckets`; one more than there are bounds. */
export type Histogram = readonly number[];

export function emptyHistogram(): number[] {
  return Array.from({ length: latencyBuckets.length + 1 }, () => 0);
}

/** Adds `more` to `sum`. */
export function addHistogram(sum: number[], more: Histogram): void {
  for (let i = 0; i < sum.length; i++) {
    sum[i] = (sum[i] ?? 0) + (more[i] ?? 0);
  }
}

/**
 * Milliseconds below which the share `quantile` (0 to 1) of the values lies, with linear interpolation inside a
 * bucket, as Prometheus' histogram_quantile; what lies above the last bound counts as that bound. Undefined when
 * nothing was counted.
 */
export function percentile(histogram: Histogram, quantile: number): number | undefined {
  let total = 0;
  for (const value of histogram) {
    total += value;
  }
  if (total === 0) {
    return undefined;
  }
  const rank = quantile * total;
  let below = 0;
  for (let i = 0; i < latencyBuckets.length; i++) {
    const inside = histogram[i] ?? 0;
    if (inside > 0 && below + inside >= rank) {
      const lower = i === 0 ? 0 : (latencyBuckets[i - 1] ?? 0);
      const upper = latencyBuckets[i] ?? lower;
      return lower + ((upper - lower) * (rank - below)) / inside;
    }
    below += inside;
  }
  return latencyBuckets.at(-1);
}
