/** The counters as Prometheus text (Prometheus documentation, "Exposition formats"), under the names of NSM's exporter. */
import { latencyBuckets } from "../../wire/messages.ts";
import { copyForSharing, isStream, mergeShared } from "./publication.ts";
import type { Edge, StatusStatistics } from "./statistics.ts";

export interface Counters {
  readonly active: number;
  /** Requests on edges that are there no more. */
  readonly droppedRequests: number;
  readonly edges: readonly Edge[];
}

function escape(value: string): string {
  return value.split("\\").join("\\\\").split('"').join('\\"').split("\n").join("\\n");
}

function label(name: string, value: string): string {
  return `${name}="${escape(value)}"`;
}

/** A Service that has no endpoint has no workload, but a namespace. */
function pushDestination(labels: string[], edge: Edge): void {
  const slash = edge.service.indexOf("/");
  const workload = edge.workload;
  labels.push(label("dst_pod", edge.pod), label("dst_service", edge.service.substring(slash + 1)));
  if (workload !== undefined) {
    labels.push(label("dst_namespace", workload.namespace));
  } else if (slash > 0) {
    labels.push(label("dst_namespace", edge.service.substring(0, slash)));
  }
  const kind = workload === undefined ? "" : workload.kind;
  if (workload !== undefined && (kind === "deployment" || kind === "statefulset" || kind === "daemonset")) {
    labels.push(label(`dst_${kind}`, workload.name));
  }
}

/** The labels of an edge, without braces. */
function labelsOf(edge: Edge): string {
  const labels = [label("upstream", edge.upstream), label("server", edge.server)];
  if (edge.direction === "to") {
    pushDestination(labels, edge);
  } else {
    labels.push(label("src_identity", edge.identity));
  }
  return labels.join(",");
}

function family(lines: string[], name: string, type: string, help: string): void {
  lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
}

function classCounts(edge: Edge): number[] {
  const counts = [0, 0, 0, 0, 0, 0];
  for (const status in edge.statuses) {
    const index = Math.floor(Number(status) / 100);
    if (index >= 1 && index <= 5) {
      counts[index] = counts[index]! + edge.statuses[status]!.count;
    }
  }
  return counts;
}

function latencyLines(lines: string[], labels: string, status: string, entry: StatusStatistics): void {
  const name = "nginxplus_upstream_server_response_latency_ms";
  const all = `${labels},${label("code", status)}`;
  let sum = 0;
  for (let i = 0; i < latencyBuckets.length; i++) {
    sum = sum + entry.latency[i]!;
    lines.push(`${name}_bucket{${all},le="${latencyBuckets[i]}"} ${sum}`);
  }
  lines.push(`${name}_bucket{${all},le="+Inf"} ${entry.count}`);
  lines.push(`${name}_sum{${all}} ${Math.floor(entry.sum * 1000) / 1000}`);
  lines.push(`${name}_count{${all}} ${entry.count}`);
}

function httpFamilies(lines: string[], edges: readonly Edge[]): void {
  family(lines, "nginxplus_upstream_server_requests", "counter", "Requests that ended, by upstream server");
  for (let i = 0; i < edges.length; i++) {
    lines.push(`nginxplus_upstream_server_requests{${labelsOf(edges[i]!)}} ${edges[i]!.total}`);
  }
  family(lines, "nginxplus_upstream_server_responses", "counter", "Responses by class of status code");
  for (let i = 0; i < edges.length; i++) {
    const labels = labelsOf(edges[i]!);
    const counts = classCounts(edges[i]!);
    for (let j = 1; j <= 5; j++) {
      lines.push(`nginxplus_upstream_server_responses{${labels},code="${j}xx"} ${counts[j]}`);
    }
  }
  const latency = "nginxplus_upstream_server_response_latency_ms";
  family(lines, latency, "histogram", "Time from connection to last byte, in milliseconds, by status code");
  for (let i = 0; i < edges.length; i++) {
    const labels = labelsOf(edges[i]!);
    for (const status in edges[i]!.statuses) {
      latencyLines(lines, labels, `${status}`, edges[i]!.statuses[status]!);
    }
  }
}

function average(sum: number, count: number): number {
  return count === 0 ? 0 : Math.floor((sum / count) * 1000) / 1000;
}

function totalTime(edge: Edge): number {
  let sum = 0;
  for (const status in edge.statuses) {
    sum = sum + edge.statuses[status]!.sum;
  }
  return sum;
}

/** @noSelf */
interface StreamFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  value(edge: Edge): number;
}

const streamFamilies: readonly StreamFamily[] = [
  { name: "sent", type: "counter", help: "Bytes sent to the server", value: (edge) => edge.received },
  { name: "received", type: "counter", help: "Bytes received from the server", value: (edge) => edge.sent },
  { name: "connections", type: "counter", help: "Connections that ended", value: (edge) => edge.total },
  {
    name: "connect_time",
    type: "gauge",
    help: "Average time to connect to the server, in milliseconds",
    value: (edge) => average(edge.connectTime, edge.connects),
  },
  {
    name: "first_byte_time",
    type: "gauge",
    help: "Average time to the first byte of the server, in milliseconds",
    value: (edge) => average(edge.firstByteTime, edge.firstBytes),
  },
  {
    name: "response_time",
    type: "gauge",
    help: "Average time to the last byte of the server, in milliseconds",
    value: (edge) => average(totalTime(edge), edge.total),
  },
];

function streamLines(lines: string[], edges: readonly Edge[]): void {
  for (let i = 0; i < streamFamilies.length; i++) {
    const entry = streamFamilies[i]!;
    const name = `nginxplus_stream_upstream_server_${entry.name}`;
    family(lines, name, entry.type, entry.help);
    for (let j = 0; j < edges.length; j++) {
      lines.push(`${name}{${labelsOf(edges[j]!)}} ${entry.value(edges[j]!)}`);
    }
  }
}

/** The whole page. Edges whose labels are equal become one: a series may occur only once. */
export function exposition(counters: Counters): string {
  const lines: string[] = [];
  const http: Edge[] = [];
  const stream: Edge[] = [];
  let requests = counters.droppedRequests;
  const edges = mergeShared([copyForSharing(counters.edges)]);
  for (let i = 0; i < edges.length; i++) {
    const edge = edges[i]!;
    if (isStream(edge)) {
      stream.push(edge);
    } else {
      http.push(edge);
      requests = requests + edge.total;
    }
  }
  family(lines, "nginxplus_connections_active", "gauge", "Active client connections");
  lines.push(`nginxplus_connections_active ${counters.active}`);
  family(lines, "nginxplus_http_requests_total", "counter", "Total HTTP requests, in both directions");
  lines.push(`nginxplus_http_requests_total ${requests}`);
  if (http.length > 0) {
    httpFamilies(lines, http);
  }
  if (stream.length > 0) {
    streamLines(lines, stream);
  }
  lines.push("");
  return lines.join("\n");
}
