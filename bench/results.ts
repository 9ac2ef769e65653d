/** What bench/results.json says, and the tables of it. */
import type { Comparison } from "./compare.ts";
import type { Sample } from "./load.ts";
import { median, ratioOf } from "./statistics.ts";

export type Metric = "cpu" | "cpu-paced" | "throughput" | "p50" | "p99" | "pss";

/** One kind of traffic and one metric. Figures are medians over the rounds. */
export interface Result {
  readonly kind: string;
  readonly metric: Metric;
  readonly unit: string;
  readonly direct?: number;
  readonly native: number;
  /** Native with captured connections, when it was measured. */
  readonly captured?: number;
  readonly mesh?: number;
  /** Mesh divided by native, median over the rounds. */
  readonly ratio?: number;
  /** Quartiles of the rounds' ratios. */
  readonly spread?: readonly [number, number];
  /** Mesh divided by native with captured connections: the pair that does all that the mesh does to a connection. */
  readonly ratioCaptured?: number;
}

interface Column {
  readonly metric: Metric;
  readonly unit: string;
  readonly from: "saturated" | "paced";
  readonly of: (sample: Sample) => number;
}

const columns: readonly Column[] = [
  { metric: "cpu", unit: "µs of CPU a request", from: "saturated", of: (sample) => sample.cpu },
  { metric: "cpu-paced", unit: "µs of CPU a request", from: "paced", of: (sample) => sample.cpu },
  { metric: "throughput", unit: "requests/s", from: "saturated", of: (sample) => sample.throughput },
  { metric: "p50", unit: "µs", from: "paced", of: (sample) => sample.p50 },
  { metric: "p99", unit: "µs", from: "paced", of: (sample) => sample.p99 },
];

/** The comparison as results, kind by kind. */
export function resultsOf(comparison: Comparison): readonly Result[] {
  return comparison.kinds.flatMap((kind) =>
    columns.flatMap((column) => {
      const samples = comparison[column.from][kind.name] ?? {};
      const values = (system: string): readonly number[] | undefined => samples[system]?.map(column.of);
      return result(kind.name, column, values) ?? [];
    }),
  );
}

function result(
  kind: string,
  column: Column,
  values: (system: string) => readonly number[] | undefined,
): Result | undefined {
  const native = values("native");
  const mesh = values("mesh");
  const direct = values("direct");
  const captured = values("captured");
  if (native === undefined) {
    return undefined;
  }
  const withoutProxies = direct === undefined || column.metric.startsWith("cpu");
  return {
    kind,
    metric: column.metric,
    unit: column.unit,
    ...(withoutProxies ? {} : { direct: median(direct) }),
    native: median(native),
    ...(captured === undefined ? {} : { captured: median(captured) }),
    ...(mesh === undefined ? {} : { mesh: median(mesh), ...ratioOf(mesh, native) }),
    ...(mesh === undefined || captured === undefined ? {} : { ratioCaptured: ratioOf(mesh, captured).ratio }),
  };
}

/** PSS of a proxy after traffic of all kinds, MiB: the mean over the proxies of each system, which ran alone. */
export function pssResult(native: readonly number[], mesh: readonly number[] | undefined): Result {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const base = { kind: "all", metric: "pss", unit: "MiB a proxy", native: mean(native) } as const;
  if (mesh === undefined) {
    return base;
  }
  const ratio = mean(mesh) / mean(native);
  return { ...base, mesh: mean(mesh), ratio, spread: [ratio, ratio] };
}

export function number(value: number | undefined): string {
  if (value === undefined) {
    return "";
  }
  return value >= 1000 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
}

const titles: Readonly<Record<Metric, string>> = {
  cpu: "CPU of the proxies, saturated",
  "cpu-paced": "CPU of the proxies, at the fixed rate",
  throughput: "throughput",
  p50: "p50 at the fixed rate",
  p99: "p99 at the fixed rate",
  pss: "PSS of a proxy",
};

/** A Markdown table. */
export function table(results: readonly Result[], titleOf: (kind: string) => string): string {
  const rows = results.map((each) => [
    titleOf(each.kind),
    `${titles[each.metric]}, ${each.unit}`,
    number(each.direct),
    number(each.native),
    number(each.captured),
    number(each.mesh),
    each.ratio === undefined ? "" : `**${each.ratio.toFixed(2)}**`,
    each.spread === undefined ? "" : `${each.spread[0].toFixed(2)}–${each.spread[1].toFixed(2)}`,
    each.ratioCaptured === undefined ? "" : `**${each.ratioCaptured.toFixed(2)}**`,
  ]);
  const head = [
    "traffic",
    "metric",
    "direct",
    "native",
    "native, captured",
    "mesh",
    "mesh ÷ native",
    "spread",
    "mesh ÷ captured",
  ];
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), "|---|---|---:|---:|---:|---:|---:|---:|---:|", ...rows.map(line)].join("\n");
}
