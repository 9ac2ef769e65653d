/** The tables of `top`. */
import type { Counts, EdgeTraffic, ResourceKinds, ResourceTraffic } from "../metrics/traffic.ts";
import { resourceKinds } from "../metrics/traffic.ts";
import { table } from "./table.ts";

/** As JSON leaves them: what is undefined is absent. */
export interface TopResources {
  readonly window: number;
  readonly kind: ResourceKinds;
  readonly resources: readonly ResourceTraffic[];
}

export interface TopEdges {
  readonly window: number;
  readonly kind: ResourceKinds;
  readonly edges: readonly EdgeTraffic[];
}

function total(counts: Counts | undefined): number {
  return counts === undefined ? 0 : counts.success + counts.failure;
}

/** Empty without traffic. One failure in a million does not look like none. */
export function successRate(counts: Counts | undefined): string {
  const all = total(counts);
  if (counts === undefined || all === 0) {
    return "";
  }
  const percent = (100 * counts.success) / all;
  return `${(counts.failure > 0 ? Math.min(percent, 99.99) : percent).toFixed(2)}%`;
}

/** Milliseconds with two or more significant digits. */
export function latency(milliseconds: number | undefined): string {
  if (milliseconds === undefined) {
    return "";
  }
  return `${milliseconds < 9.95 ? milliseconds.toFixed(1) : Math.round(milliseconds)}ms`;
}

/** What a resource received counts, or what it sent when it received nothing. */
function requests(row: ResourceTraffic): string {
  return String(total(row.incoming) > 0 ? total(row.incoming) : total(row.outgoing));
}

/** One line a resource. */
export function resourcesTable(top: TopResources): string {
  const severalNamespaces = new Set(top.resources.map((row) => row.resource.namespace)).size > 1;
  return table(
    [resourceKinds[top.kind], "Incoming Success", "Outgoing Success", "NumRequests"],
    top.resources.map((row) => [
      severalNamespaces ? `${row.resource.namespace}/${row.resource.name}` : row.resource.name,
      successRate(row.incoming),
      successRate(row.outgoing),
      requests(row),
    ]),
  );
}

/** The other end's name; with its namespace or kind where these differ. */
function otherName(edge: EdgeTraffic): string {
  const { resource, other } = edge;
  const name =
    other.namespace !== "" && resource.namespace !== "" && other.namespace !== resource.namespace
      ? `${other.namespace}/${other.name}`
      : other.name;
  return other.kind === "Service" || other.kind === "ServiceAccount" ? `${name} (${other.kind})` : name;
}

/** The resource on a line of its own, and below it a line for each other end. */
export function edgesTable(top: TopEdges): string {
  const rows: string[][] = [];
  let last: EdgeTraffic["resource"] | undefined;
  for (const edge of top.edges) {
    if (last?.name !== edge.resource.name || last.namespace !== edge.resource.namespace) {
      rows.push([edge.resource.name]);
      last = edge.resource;
    }
    const { counts } = edge;
    rows.push([
      "",
      edge.direction === "to" ? "To" : "From",
      otherName(edge),
      successRate(counts),
      latency(counts.p99),
      latency(counts.p90),
      latency(counts.p50),
      String(total(counts)),
    ]);
  }
  const header = ["Direction", "Resource", "Success Rate", "P99", "P90", "P50", "NumRequests"];
  return table([resourceKinds[top.kind], ...header], rows);
}
