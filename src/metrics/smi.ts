/** Traffic as objects of metrics.smi-spec.io/v1alpha1 (SMI Traffic Metrics). Pure: time is an argument. */
import type { Flow } from "./flows.ts";
import {
  type Counts,
  edgesOf,
  type Resource,
  type ResourceKinds,
  resourceKinds,
  trafficOf,
} from "./traffic.ts";

export const smiApiVersion = "metrics.smi-spec.io/v1alpha1";
export const smiRoot = `/apis/${smiApiVersion}`;

/** When and over how many seconds was counted. */
export interface Interval {
  readonly time: Date;
  readonly seconds: number;
}

interface Metric {
  readonly name: string;
  readonly unit?: string;
  readonly value: string;
}

interface ObjectReference {
  readonly kind: string;
  readonly namespace?: string;
  readonly name?: string;
}

export interface TrafficMetrics {
  readonly kind: "TrafficMetrics";
  readonly apiVersion: string;
  readonly metadata: object;
  readonly timestamp: string;
  readonly window: string;
  readonly resource: ObjectReference;
  readonly edge: { readonly direction: "to" | "from"; readonly resource: ObjectReference | null };
  readonly metrics: readonly Metric[];
}

export interface TrafficMetricsList {
  readonly kind: "TrafficMetricsList";
  readonly apiVersion: string;
  readonly metadata: { readonly selfLink: string };
  readonly resource: ObjectReference;
  readonly items: readonly TrafficMetrics[];
}

/** A Kubernetes quantity of a number >= 0, exact to a thousandth, in its canonical form: `3`, `2500m`. */
export function quantity(value: number): string {
  const thousandths = Math.round(value * 1000);
  return thousandths % 1000 === 0 ? String(thousandths / 1000) : `${thousandths}m`;
}

function metrics(counts: Counts | undefined): Metric[] {
  const latency = (name: string, value: number | undefined) => ({
    name: `${name}_response_latency`,
    unit: "ms",
    value: quantity(value ?? 0),
  });
  return [
    latency("p99", counts?.p99),
    latency("p90", counts?.p90),
    latency("p50", counts?.p50),
    { name: "success_count", value: quantity(counts?.success ?? 0) },
    { name: "failure_count", value: quantity(counts?.failure ?? 0) },
  ];
}

function reference(resource: Resource): ObjectReference {
  const { kind, namespace, name } = resource;
  return { kind, ...(namespace === "" ? {} : { namespace }), name };
}

function link(kinds: ResourceKinds, resource: Resource): string {
  return resource.namespace === ""
    ? `${smiRoot}/${kinds}/${resource.name}`
    : `${smiRoot}/namespaces/${resource.namespace}/${kinds}/${resource.name}`;
}

function trafficMetrics(
  interval: Interval,
  selfLink: string,
  resource: Resource,
  edge: TrafficMetrics["edge"],
  counts: Counts | undefined,
): TrafficMetrics {
  const timestamp = interval.time.toISOString().replace(/\.\d+Z$/, "Z");
  const { kind: _, ...names } = reference(resource);
  return {
    kind: "TrafficMetrics",
    apiVersion: smiApiVersion,
    metadata: { ...names, selfLink, creationTimestamp: timestamp },
    timestamp,
    window: `${interval.seconds}s`,
    resource: reference(resource),
    edge,
    metrics: metrics(counts),
  };
}

/** What a resource received: one item a resource of the kind. */
export function smiList(
  flows: readonly Flow[],
  interval: Interval,
  kinds: ResourceKinds,
  namespace?: string,
): TrafficMetricsList {
  return {
    kind: "TrafficMetricsList",
    apiVersion: smiApiVersion,
    metadata: {
      selfLink:
        namespace === undefined ? `${smiRoot}/${kinds}` : `${smiRoot}/namespaces/${namespace}/${kinds}`,
    },
    resource: { kind: resourceKinds[kinds], ...(namespace === undefined ? {} : { namespace }) },
    items: trafficOf(flows, kinds, namespace).map(({ resource, incoming }) =>
      trafficMetrics(
        interval,
        link(kinds, resource),
        resource,
        { direction: "from", resource: null },
        incoming,
      ),
    ),
  };
}

/** What one resource received; all zero when there was nothing. */
export function smiResource(
  flows: readonly Flow[],
  interval: Interval,
  kinds: ResourceKinds,
  namespace: string,
  name: string,
): TrafficMetrics {
  const found = trafficOf(flows, kinds, namespace).find((row) => row.resource.name === name);
  const resource = { kind: resourceKinds[kinds], namespace, name };
  const edge = { direction: "from", resource: null } as const;
  return trafficMetrics(interval, link(kinds, resource), resource, edge, found?.incoming);
}

/** One item for each resource that this one sent to or received from. */
export function smiEdges(
  flows: readonly Flow[],
  interval: Interval,
  kinds: ResourceKinds,
  namespace: string,
  name: string,
): TrafficMetricsList {
  const resource = { kind: resourceKinds[kinds], namespace, name };
  const selfLink = `${link(kinds, resource)}/edges`;
  return {
    kind: "TrafficMetricsList",
    apiVersion: smiApiVersion,
    metadata: { selfLink },
    resource: reference(resource),
    items: edgesOf(flows, kinds, namespace)
      .filter((edge) => edge.resource.name === name)
      .map((edge) =>
        trafficMetrics(
          interval,
          selfLink,
          edge.resource,
          { direction: edge.direction, resource: reference(edge.other) },
          edge.counts,
        ),
      ),
  };
}

/** The kinds, as Kubernetes' discovery wants them. */
export function smiResources(): object {
  const verbs = ["get", "list"];
  const entries = (Object.keys(resourceKinds) as ResourceKinds[]).sort().flatMap((name) => {
    const entry = { singularName: "", namespaced: name !== "namespaces", kind: "TrafficMetrics", verbs };
    return [
      { name, ...entry },
      { name: `${name}/edges`, ...entry, verbs: ["get"] },
    ];
  });
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion: smiApiVersion, resources: entries };
}
