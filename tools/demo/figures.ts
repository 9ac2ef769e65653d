/** Readings → the lines of the table, the shares of a split, and what is wrong. Pure. */
import { latency, successRate } from "../../src/cli/top-text.ts";
import { table } from "../../src/cli/table.ts";
import type { Counts, EdgeTraffic, ResourceTraffic } from "../../src/metrics/traffic.ts";
import { type Report, statisticsWindow, type Traffic } from "./readings.ts";

const workloadKinds = new Set(["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod"]);

/** An edge between two workloads of the mesh; others are from outside, as whoever looks at a pod from the host. */
function isInside(edge: EdgeTraffic): boolean {
  return workloadKinds.has(edge.other.kind);
}

interface Line {
  readonly name: string;
  readonly total: number;
  readonly counts: Counts;
  readonly callers: readonly string[];
}

/** Counts of the edges inside the mesh; latencies of the resource, since percentiles do not add up. */
function line(resource: ResourceTraffic, edges: readonly EdgeTraffic[]): Line {
  const counts = edges.map((edge) => edge.counts);
  const sum = (of: (count: Counts) => number): number => counts.reduce((total, each) => total + of(each), 0);
  const success = sum((each) => each.success);
  const failure = sum((each) => each.failure);
  return {
    name: resource.resource.name,
    total: success + failure,
    counts: {
      success,
      failure,
      mtls: sum((each) => each.mtls),
      protocols: [...new Set(counts.flatMap((each) => each.protocols))].sort(),
      p50: resource.incoming?.p50,
      p90: resource.incoming?.p90,
      p99: resource.incoming?.p99,
    },
    callers: edges.map((edge) => edge.other.name).sort(),
  };
}

function lines(traffic: Traffic): Line[] {
  const incoming = traffic.edges.filter((edge) => edge.direction === "from" && isInside(edge));
  return traffic.resources
    .map((resource) =>
      line(
        resource,
        incoming.filter((edge) => edge.resource.name === resource.resource.name),
      ),
    )
    .filter((each) => each.total > 0)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function percent(part: number, all: number): string {
  return all === 0 ? "" : `${((100 * part) / all).toFixed(part === all ? 0 : 1)}%`;
}

/** One line a workload that was called. */
export function trafficTable(traffic: Traffic): string {
  return table(
    ["Service", "Protocol", "Per second", "Success", "P50", "P90", "P99", "mTLS", "Callers"],
    lines(traffic).map((each) => [
      each.name,
      each.counts.protocols.join(" "),
      (each.total / statisticsWindow).toFixed(1),
      successRate(each.counts),
      latency(each.counts.p50),
      latency(each.counts.p90),
      latency(each.counts.p99),
      percent(each.counts.mtls, each.total),
      each.callers.join(", "),
    ]),
  );
}

/** What the statistics say that must not be; the same words in every window that shows it. */
export function faultsOfMesh(traffic: Traffic): string[] {
  return lines(traffic).flatMap((each) => [
    ...(each.counts.failure > 0 ? [`requests to ${each.name} failed, say the sidecars`] : []),
    ...(each.counts.mtls < each.total ? [`requests to ${each.name} came without mTLS`] : []),
  ]);
}

/** What the clients saw that must not be, since the report before. */
export function faultsOfTraffic(before: Report, after: Report): string[] {
  return Object.entries(after.checks).flatMap(([name, check]) => {
    const failed = check.failed - (before.checks[name]?.failed ?? 0);
    const done = check.total - (before.checks[name]?.total ?? 0);
    return [
      ...(failed > 0 ? [`${name}: ${failed} failed, the last one: ${check.lastError}`] : []),
      ...(done === 0 ? [`${name}: nothing was done`] : []),
    ];
  });
}

/** Everything that the clients did between two reports. */
export function exchanges(
  before: Report,
  after: Report,
): { readonly total: number; readonly failed: number } {
  const sum = (of: (check: Report["checks"][string]) => number, report: Report): number =>
    Object.values(report.checks).reduce((total, check) => total + of(check), 0);
  return {
    total: sum((check) => check.total, after) - sum((check) => check.total, before),
    failed: sum((check) => check.failed, after) - sum((check) => check.failed, before),
  };
}

export interface Weights {
  readonly v1: number;
  readonly v2: number;
}

export interface Share {
  readonly weights: Weights;
  readonly v1: number;
  readonly v2: number;
  /** Share of v2, and what is allowed; 0 to 1. */
  readonly observed: number;
  readonly low: number;
  readonly high: number;
  readonly ok: boolean;
}

/** Standard deviations of a binomial share that are allowed: once in 150,000 demos a right share is called wrong. */
const deviations = 4.5;
/** With fewer answers nothing can be said. */
const fewestAnswers = 50;

/** The share of v2 among the catalog's answers between two reports, against its weight. */
export function shareOf(weights: Weights, before: Report, after: Report): Share {
  const v1 = after.versions.v1 - before.versions.v1;
  const v2 = after.versions.v2 - before.versions.v2;
  const all = v1 + v2;
  const wanted = weights.v2 / (weights.v1 + weights.v2);
  const allowed = deviations * Math.sqrt((wanted * (1 - wanted)) / Math.max(all, 1));
  const observed = all === 0 ? 0 : v2 / all;
  const low = Math.max(0, wanted - allowed);
  const high = Math.min(1, wanted + allowed);
  return {
    weights,
    v1,
    v2,
    observed,
    low,
    high,
    ok: all >= fewestAnswers && observed >= low && observed <= high,
  };
}

/** `weights 90:10 → 89.6% : 10.4% of 412 answers (v2 may have 3.4% to 16.6%)`. */
export function shareText(share: Share): string {
  const { weights, v1, v2 } = share;
  const all = v1 + v2;
  const range =
    share.low === share.high
      ? `v2 must have ${percent(share.low, 1)}`
      : `v2 may have ${percent(share.low, 1)} to ${percent(share.high, 1)}`;
  return `weights ${weights.v1}:${weights.v2}, answers ${percent(v1, all)} : ${percent(v2, all)} of ${all} (${range})`;
}
