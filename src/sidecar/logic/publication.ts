/** The counters as published to NATS. */
import type { EdgeStatistics } from "../../wire/messages.ts";
import { emptyLatency, type Edge } from "./statistics.ts";

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
