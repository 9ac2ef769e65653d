/** Figures of the mesh alone, with the goal of each. */
import { quantile } from "./statistics.ts";

export interface Figure {
  readonly metric: string;
  readonly title: string;
  readonly unit: string;
  readonly mesh: number;
  /** At most. */
  readonly goal?: number;
  /** Smallest and largest of the measurements. */
  readonly spread: readonly [number, number];
  readonly samples: number;
}

/** One figure of several measurements: the given quantile of them, the median when none is given. */
export function figure(
  base: Pick<Figure, "metric" | "title" | "unit" | "goal">,
  values: readonly number[],
  share = 0.5,
): Figure {
  return {
    ...base,
    mesh: quantile(values, share),
    spread: [quantile(values, 0), quantile(values, 1)],
    samples: values.length,
  };
}

export function figureTable(figures: readonly Figure[]): string {
  const digits = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
  const rows = figures.map((each) => {
    const goal = each.goal === undefined ? "" : `≤ ${each.goal} ${each.unit}`;
    const verdict = each.goal === undefined ? "" : each.mesh <= each.goal ? "met" : "**missed**";
    const range = `${digits(each.spread[0])}–${digits(each.spread[1])} (${each.samples})`;
    return `| ${each.title} | ${digits(each.mesh)} ${each.unit} | ${range} | ${goal} | ${verdict} |`;
  });
  return [
    "| what | measured | smallest–largest (samples) | goal | |",
    "|---|---:|---|---:|---|",
    ...rows,
  ].join("\n");
}
