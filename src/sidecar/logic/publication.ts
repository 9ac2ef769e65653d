/** The counters as published to NATS. */
import type { EdgeStatistics } from "../../wire/messages.ts";
import { emptyLatency, type Edge, type StatusStatistics } from "./statistics.ts";

/** Sum over the statuses, as published. */
export function edgeStatistics(edge: Edge): EdgeStatistics {
  const latency = emptyLatency();
  for (const status in edge.statuses) {
    const entry = edge.statuses[status]!;
    for (let i = 0; i < latency.length; i++) {
      latency[i] = latency[i]! + entry.latency[i]!;
    }
  }
  const base = {
    direction: edge.direction,
    protocol: edge.protocol,
    mtls: edge.mtls,
    total: edge.total,
    failures: edge.failures,
    latency,
  };
  if (edge.direction === "from") {
    return { ...base, identity: edge.identity };
  }
  return edge.workload === undefined
    ? { ...base, service: edge.service, pod: edge.pod }
    : { ...base, workload: edge.workload, service: edge.service, pod: edge.pod };
}

/** An edge as text can carry it: status codes as words, since an array with holes is none in JSON. */
export interface SharedEdge {
  readonly edge: Edge;
  readonly statuses: readonly { readonly status: number; readonly entry: StatusStatistics }[];
}

export function copyForSharing(edges: readonly Edge[]): SharedEdge[] {
  const result: SharedEdge[] = [];
  for (let i = 0; i < edges.length; i++) {
    const edge = edges[i]!;
    if (edge.total > 0) {
      const statuses = [];
      for (const status in edge.statuses) {
        statuses.push({ status: Number(status), entry: edge.statuses[status]! });
      }
      result.push({ edge: { ...edge, statuses: {} }, statuses });
    }
  }
  return result;
}

function identifies(edge: Edge): string {
  return [edge.direction, edge.upstream, edge.server, edge.pod, edge.identity, edge.protocol].join(" ");
}

function addEntry(edge: Edge, status: number, entry: StatusStatistics): void {
  const present = edge.statuses[status];
  if (present === undefined) {
    edge.statuses[status] = { count: entry.count, sum: entry.sum, latency: entry.latency };
    return;
  }
  present.count = present.count + entry.count;
  present.sum = present.sum + entry.sum;
  for (let i = 0; i < present.latency.length; i++) {
    present.latency[i] = present.latency[i]! + entry.latency[i]!;
  }
}

/** The sum of what several workers shared. */
export function mergeShared(workers: readonly (readonly SharedEdge[])[]): Edge[] {
  const merged: Edge[] = [];
  const byName: Record<string, Edge> = {};
  for (let i = 0; i < workers.length; i++) {
    const shared = workers[i]!;
    for (let j = 0; j < shared.length; j++) {
      const from = shared[j]!;
      const name = identifies(from.edge);
      let into = byName[name];
      if (into === undefined) {
        into = { ...from.edge, statuses: {} };
        byName[name] = into;
        merged.push(into);
      } else {
        into.total = into.total + from.edge.total;
        into.failures = into.failures + from.edge.failures;
        into.sent = into.sent + from.edge.sent;
        into.received = into.received + from.edge.received;
        into.connectTime = into.connectTime + from.edge.connectTime;
        into.connects = into.connects + from.edge.connects;
        into.firstByteTime = into.firstByteTime + from.edge.firstByteTime;
        into.firstBytes = into.firstBytes + from.edge.firstBytes;
      }
      for (let k = 0; k < from.statuses.length; k++) {
        addEntry(into, from.statuses[k]!.status, from.statuses[k]!.entry);
      }
    }
  }
  return merged;
}
