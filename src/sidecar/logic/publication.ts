/** The counters as published to NATS. */
import { statisticsLimits, type EdgeStatistics, type StatisticsMessage } from "../../wire/messages.ts";
import { emptyLatency, type Edge, type StatusStatistics } from "./statistics.ts";

function addLatency(into: number[], from: readonly number[]): void {
  for (let i = 0; i < into.length; i++) {
    into[i] = into[i]! + from[i]!;
  }
}

/** Sum over the statuses, as published. */
export function edgeStatistics(edge: Edge): EdgeStatistics {
  const latency = emptyLatency();
  for (const status in edge.statuses) {
    addLatency(latency, edge.statuses[status]!.latency);
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

export interface Publication {
  readonly payload: string;
  /** Edges for which there was no room. */
  readonly leftOut: number;
}

/**
 * The message with all edges that counted something; of more than it may hold, the oldest. Always the same, since a
 * reader takes differences: an edge that goes and comes would count with its whole total again.
 */
export function publication(
  head: Omit<StatisticsMessage, "edges">,
  edges: readonly Edge[],
  encode: (value: unknown) => string | undefined,
): Publication | undefined {
  const start = encode(head);
  if (start === undefined) {
    return undefined;
  }
  const texts: string[] = [];
  let size = `${start},"edges":[]`.length;
  let leftOut = 0;
  for (let i = 0; i < edges.length; i++) {
    if (edges[i]!.total > 0) {
      const text = leftOut > 0 ? undefined : encode(edgeStatistics(edges[i]!));
      size = size + (text ?? "").length + 1;
      if (text === undefined || size > statisticsLimits.bytes || texts.length === statisticsLimits.edges) {
        leftOut = leftOut + 1;
      } else {
        texts.push(text);
      }
    }
  }
  return {
    payload: `${start.substring(0, start.length - 1)},"edges":[${texts.join(",")}]}`,
    leftOut,
  };
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

export function isStream(edge: Edge): boolean {
  return edge.protocol === "tcp" || edge.protocol === "udp";
}

/** What tells the edge from others in the metrics: not whether it had mTLS, nor which kind of HTTP it was. */
function identifies(edge: Edge): string {
  const kind = isStream(edge) ? "stream" : "http";
  return [edge.direction, edge.upstream, edge.server, edge.pod, edge.identity, kind].join(" ");
}

function addEntry(edge: Edge, status: number, entry: StatusStatistics): void {
  const present = edge.statuses[status];
  if (present === undefined) {
    const latency = emptyLatency();
    edge.statuses[status] = { count: entry.count, sum: entry.sum, latency };
    addLatency(latency, entry.latency);
    return;
  }
  present.count = present.count + entry.count;
  present.sum = present.sum + entry.sum;
  addLatency(present.latency, entry.latency);
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
