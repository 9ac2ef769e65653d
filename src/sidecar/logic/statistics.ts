/** Counters and histograms by edge: who talks to whom. Written once a request, read once a second or scrape. */
import { latencyBuckets, type Protocol, type WorkloadReference } from "../../wire/messages.ts";

/** What the requests of one edge that ended with one status have in common. */
export interface StatusStatistics {
  count: number;
  /** Milliseconds. */
  sum: number;
  /** By `latencyBuckets`; one more than there are bounds. */
  readonly latency: number[];
}

export interface Edge {
  readonly direction: "to" | "from";
  readonly protocol: Protocol;
  readonly workload: WorkloadReference | undefined;
  readonly service: string;
  readonly pod: string;
  readonly identity: string;
  readonly mtls: boolean;
  /** Name of the upstream in the metrics, and the address of the server in it. */
  readonly upstream: string;
  readonly server: string;
  total: number;
  failures: number;
  /** Bytes to and from the client of the proxy. */
  sent: number;
  received: number;
  /** Sums in milliseconds, and of how many: new connections, and answers. */
  connectTime: number;
  connects: number;
  firstByteTime: number;
  firstBytes: number;
  /** HTTP and gRPC by status code; TCP has 200 and 502. */
  readonly statuses: Record<number, StatusStatistics>;
  /** Present endpoints and connections that count here; at 0 the edge may be dropped when it was idle long. */
  references: number;
}

export interface Statistics {
  readonly edges: Edge[];
  readonly byKey: Record<string, Edge | undefined>;
  /** Requests and connections of all edges; changes when anything did. */
  total: number;
  /** Requests of HTTP and gRPC on edges that were dropped, so that their sum never goes down. */
  droppedRequests: number;
}

export function createStatistics(): Statistics {
  return { edges: [], byKey: {}, total: 0, droppedRequests: 0 };
}

/** Index of the bucket of whole milliseconds below the limit, so that the hot path does not search. */
const quickLimit = 1000;
const quickIndex: number[] = [];

function indexOf(ms: number): number {
  let i = 0;
  while (i < latencyBuckets.length && ms > latencyBuckets[i]!) {
    i = i + 1;
  }
  return i;
}

for (let ms = 0; ms <= quickLimit; ms++) {
  quickIndex.push(indexOf(ms));
}

function bucketOf(ms: number): number {
  return ms <= quickLimit ? quickIndex[Math.ceil(ms)]! : indexOf(ms);
}

/** A count of nothing for each bucket. */
export function emptyLatency(): number[] {
  const latency: number[] = [];
  for (let i = 0; i <= latencyBuckets.length; i++) {
    latency.push(0);
  }
  return latency;
}

export interface EdgeOptions {
  readonly direction: "to" | "from";
  readonly protocol: Protocol;
  readonly workload?: WorkloadReference | undefined;
  readonly service?: string;
  readonly pod?: string;
  readonly identity?: string;
  readonly mtls: boolean;
  readonly upstream: string;
  readonly server: string;
}

/** Everything that tells an edge apart. */
function keyOf(edge: EdgeOptions): string {
  const pod = edge.pod ?? "";
  const identity = edge.identity ?? "";
  const mtls = edge.mtls ? "mtls" : "plain";
  return `${edge.direction}\n${edge.server}\n${edge.upstream}\n${pod}\n${identity}\n${mtls}\n${edge.protocol}`;
}

/** A new edge, or the one that there is with the same properties. */
export function findEdge(statistics: Statistics, options: EdgeOptions): Edge {
  const key = keyOf(options);
  const present = statistics.byKey[key];
  if (present !== undefined) {
    return present;
  }
  const edge: Edge = {
    direction: options.direction,
    protocol: options.protocol,
    workload: options.workload,
    service: options.service ?? "",
    pod: options.pod ?? "",
    identity: options.identity ?? "",
    mtls: options.mtls,
    upstream: options.upstream,
    server: options.server,
    total: 0,
    failures: 0,
    sent: 0,
    received: 0,
    connectTime: 0,
    connects: 0,
    firstByteTime: 0,
    firstBytes: 0,
    statuses: {},
    references: 0,
  };
  statistics.edges.push(edge);
  statistics.byKey[key] = edge;
  return edge;
}

/** One request or connection ended; `duration` in microseconds. */
export function record(
  statistics: Statistics,
  edge: Edge,
  status: number,
  duration: number,
  sent: number,
  received: number,
): void {
  statistics.total = statistics.total + 1;
  edge.total = edge.total + 1;
  if (status >= 500 || status === 0) {
    edge.failures = edge.failures + 1;
  }
  edge.sent = edge.sent + sent;
  edge.received = edge.received + received;
  let entry = edge.statuses[status];
  if (entry === undefined) {
    entry = { count: 0, sum: 0, latency: emptyLatency() };
    edge.statuses[status] = entry;
  }
  const ms = duration / 1000;
  entry.count = entry.count + 1;
  entry.sum = entry.sum + ms;
  const bucket = bucketOf(ms);
  entry.latency[bucket] = entry.latency[bucket]! + 1;
}

/** Microseconds, or below 0 when there was none. */
export function recordTimes(edge: Edge, connect: number, firstByte: number): void {
  if (connect >= 0) {
    edge.connectTime = edge.connectTime + connect / 1000;
    edge.connects = edge.connects + 1;
  }
  if (firstByte >= 0) {
    edge.firstByteTime = edge.firstByteTime + firstByte / 1000;
    edge.firstBytes = edge.firstBytes + 1;
  }
}

function drop(statistics: Statistics, edge: Edge): void {
  statistics.byKey[keyOf(edge)] = undefined;
  if (edge.protocol === "http" || edge.protocol === "grpc") {
    statistics.droppedRequests = statistics.droppedRequests + edge.total;
  }
}

/** Drops edges that nothing counts on any more and that never counted anything, or all of them above `limit`. */
export function prune(statistics: Statistics, limit: number): void {
  const edges = statistics.edges;
  let kept = 0;
  let excess = edges.length - limit;
  for (let i = 0; i < edges.length; i++) {
    const edge = edges[i]!;
    const idle = edge.references === 0;
    if (idle && (edge.total === 0 || excess > 0)) {
      excess = excess - 1;
      drop(statistics, edge);
    } else {
      edges[kept] = edge;
      kept = kept + 1;
    }
  }
  while (edges.length > kept) {
    edges.pop();
  }
}
