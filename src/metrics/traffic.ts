/** Flows → traffic of resources and between them, in the terms of the SMI metrics API. */
import type { Protocol } from "../wire/messages.ts";
import type { Flow, Party } from "./flows.ts";
import { addHistogram, emptyHistogram, percentile } from "./histogram.ts";

/** The kinds that are served, as paths name them, and as objects do. */
export const resourceKinds = {
  pods: "Pod",
  deployments: "Deployment",
  statefulsets: "StatefulSet",
  daemonsets: "DaemonSet",
  namespaces: "Namespace",
} as const;

export type ResourceKinds = keyof typeof resourceKinds;

/** A reference as in Kubernetes' ObjectReference. */
export interface Resource {
  readonly kind: string;
  /** Empty for a Namespace, and where no namespace is known. */
  readonly namespace: string;
  readonly name: string;
}

/** What was counted; TCP counts connections. Latencies in milliseconds; undefined when nothing was measured. */
export interface Counts {
  readonly success: number;
  readonly failure: number;
  /** How many of them came over mTLS. */
  readonly mtls: number;
  readonly protocols: readonly Protocol[];
  readonly p50: number | undefined;
  readonly p90: number | undefined;
  readonly p99: number | undefined;
}

export interface ResourceTraffic {
  readonly resource: Resource;
  /** Undefined when there was none. */
  readonly incoming: Counts | undefined;
  readonly outgoing: Counts | undefined;
}

export interface EdgeTraffic {
  /** `to`: what the resource sent to the other one; `from`: what it received from it. */
  readonly direction: "to" | "from";
  readonly resource: Resource;
  readonly other: Resource;
  readonly counts: Counts;
}

/** The resource of a kind that a party belongs to; undefined: none. */
function resourceOf(party: Party, kinds: ResourceKinds): Resource | undefined {
  const { namespace, pod, workload } = party;
  switch (kinds) {
    case "namespaces":
      return namespace === "" ? undefined : { kind: "Namespace", namespace: "", name: namespace };
    case "pods":
      return pod === undefined ? undefined : { kind: "Pod", namespace, name: pod };
    case "deployments":
    case "statefulsets":
    case "daemonsets": {
      const kind = resourceKinds[kinds];
      return workload?.kind === kind.toLowerCase() ? { kind, namespace, name: workload.name } : undefined;
    }
  }
}

const kindNames: Readonly<Record<string, string>> = {
  deployment: "Deployment",
  statefulset: "StatefulSet",
  daemonset: "DaemonSet",
  replicaset: "ReplicaSet",
  replicationcontroller: "ReplicationController",
  job: "Job",
  pod: "Pod",
};

/** The other end of an edge of a resource of `kinds`: of the same level, else the most that is known. */
function otherEnd(party: Party, kinds: ResourceKinds): Resource {
  const { namespace, workload, serviceAccount, service } = party;
  const same = resourceOf(party, kinds);
  if (same !== undefined) {
    return same;
  }
  if (workload !== undefined) {
    return { kind: kindNames[workload.kind] ?? workload.kind, namespace, name: workload.name };
  }
  if (service !== undefined) {
    return { kind: "Service", namespace, name: service.split("/").at(-1) ?? service };
  }
  return serviceAccount === undefined
    ? { kind: "Unknown", namespace: "", name: "not in the mesh" }
    : { kind: "ServiceAccount", namespace, name: serviceAccount };
}

interface Sum {
  total: number;
  failures: number;
  mtls: number;
  readonly protocols: Set<Protocol>;
  readonly requests: number[];
  readonly connections: number[];
}

function emptySum(): Sum {
  return {
    total: 0,
    failures: 0,
    mtls: 0,
    protocols: new Set(),
    requests: emptyHistogram(),
    connections: emptyHistogram(),
  };
}

function addFlow(sum: Sum, flow: Flow): void {
  sum.total += flow.total;
  sum.failures += flow.failures;
  sum.mtls += flow.mtls ? flow.total : 0;
  sum.protocols.add(flow.protocol);
  const requests = flow.protocol === "http" || flow.protocol === "grpc";
  addHistogram(requests ? sum.requests : sum.connections, flow.latency);
}

/** Latencies are those of requests; of a resource with TCP only, how long connections lasted. */
function countsOf(sum: Sum): Counts {
  const latency = sum.requests.some((count) => count > 0) ? sum.requests : sum.connections;
  return {
    success: sum.total - sum.failures,
    failure: sum.failures,
    mtls: sum.mtls,
    protocols: [...sum.protocols].sort(),
    p50: percentile(latency, 0.5),
    p90: percentile(latency, 0.9),
    p99: percentile(latency, 0.99),
  };
}

function find<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  const present = map.get(key);
  if (present !== undefined) {
    return present;
  }
  const value = make();
  map.set(key, value);
  return value;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function resourceKey(resource: Resource): string {
  return `${resource.namespace}/${resource.name}/${resource.kind}`;
}

interface Row {
  readonly resource: Resource;
  incoming?: Sum;
  outgoing?: Sum;
}

/** Traffic of every resource of a kind (in one namespace, or in all), sorted by namespace and name. */
export function trafficOf(
  flows: readonly Flow[],
  kinds: ResourceKinds,
  namespace?: string,
): ResourceTraffic[] {
  const sums = new Map<string, Row>();
  const row = (party: Party): Row | undefined => {
    const resource = resourceOf(party, kinds);
    return resource === undefined || (namespace !== undefined && resource.namespace !== namespace)
      ? undefined
      : find<Row>(sums, resourceKey(resource), () => ({ resource }));
  };
  for (const flow of flows) {
    const source = row(flow.source);
    if (source !== undefined) {
      addFlow((source.outgoing ??= emptySum()), flow);
    }
    const destination = row(flow.destination);
    if (destination !== undefined) {
      addFlow((destination.incoming ??= emptySum()), flow);
    }
  }
  return [...sums.entries()]
    .sort(([a], [b]) => compare(a, b))
    .map(([, { resource, incoming, outgoing }]) => ({
      resource,
      incoming: incoming === undefined ? undefined : countsOf(incoming),
      outgoing: outgoing === undefined ? undefined : countsOf(outgoing),
    }));
}

/** The edges of every resource of a kind: what it sent (`to` first) and received, sorted. */
export function edgesOf(flows: readonly Flow[], kinds: ResourceKinds, namespace?: string): EdgeTraffic[] {
  const sums = new Map<string, { direction: "to" | "from"; resource: Resource; other: Resource; sum: Sum }>();
  const add = (direction: "to" | "from", party: Party, otherParty: Party, flow: Flow) => {
    const resource = resourceOf(party, kinds);
    if (resource === undefined || (namespace !== undefined && resource.namespace !== namespace)) {
      return;
    }
    const other = otherEnd(otherParty, kinds);
    const key = `${resourceKey(resource)} ${direction === "to" ? 0 : 1} ${resourceKey(other)}`;
    addFlow(find(sums, key, () => ({ direction, resource, other, sum: emptySum() })).sum, flow);
  };
  for (const flow of flows) {
    add("to", flow.source, flow.destination, flow);
    add("from", flow.destination, flow.source, flow);
  }
  return [...sums.entries()]
    .sort(([a], [b]) => compare(a, b))
    .map(([, { direction, resource, other, sum }]) => ({
      direction,
      resource,
      other,
      counts: countsOf(sum),
    }));
}
