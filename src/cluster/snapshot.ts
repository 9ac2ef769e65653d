/** The objects of a cluster as they are at one moment: frozen, sorted, each name once. */
import { identify, type Kind, type MeshObject, type ObjectOf } from "../api/objects.ts";
import type { Problem } from "../api/problem.ts";
import type { LocalPod } from "./local-status.ts";

/** A pod that runs. */
export interface RunningPod extends LocalPod {
  /** Beside `address`: those of its other address family. */
  readonly otherAddresses?: readonly string[];
  /** Whether its addresses are those of its node, and so not its own. */
  readonly hostNetwork?: boolean;
}

/** Addresses behind a Service (Kubernetes API, discovery/v1), without the Kubernetes around them. */
export interface EndpointSlice {
  readonly namespace: string;
  readonly name: string;
  readonly service: string;
  readonly ports: readonly {
    /** As the Service's port; empty: it has none. */
    readonly name: string;
    readonly port: number;
    readonly protocol: "TCP" | "UDP" | "SCTP";
  }[];
  readonly endpoints: readonly {
    readonly address: string;
    readonly ready: boolean;
    /** Answers requests, though it may be on its way out. */
    readonly serving: boolean;
    readonly terminating: boolean;
    /** `namespace/name` of the pod; empty: not a pod. */
    readonly pod: string;
  }[];
}

export interface Snapshot {
  readonly objects: readonly MeshObject[];
  readonly pods: readonly RunningPod[];
  /** `namespace/name` → cluster addresses. */
  readonly serviceAddresses: ReadonlyMap<string, readonly string[]>;
  readonly serviceRanges: readonly string[];
  /** `namespace/name` of a Service → its slices; undefined: selectors alone tell who belongs to a Service. */
  readonly endpointSlices: ReadonlyMap<string, readonly EndpointSlice[]> | undefined;
  readonly problems: readonly Problem[];
}

export function objectsOf<K extends Kind>(snapshot: Snapshot, kind: K): readonly ObjectOf<K>[] {
  return snapshot.objects.filter((object): object is ObjectOf<K> => object.kind === kind);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export interface SourcedObject {
  readonly object: MeshObject;
  /** File and line, for people. */
  readonly source: string;
}

/** Sorts, and keeps of objects with one name the first. */
export function uniqueObjects(sourced: readonly SourcedObject[]): {
  readonly objects: readonly MeshObject[];
  readonly problems: readonly Problem[];
} {
  const byName = new Map<string, SourcedObject>();
  const problems: Problem[] = [];
  for (const entry of sourced) {
    const name = identify(entry.object);
    const first = byName.get(name);
    if (first === undefined) {
      byName.set(name, entry);
      continue;
    }
    problems.push({
      object: name,
      field: "",
      reason: "DuplicateObject",
      message: `defined in ${first.source} and again in ${entry.source}; the first is used: remove one`,
      severity: "error",
    });
  }
  const names = [...byName.keys()].sort(compare);
  return { objects: names.map((name) => byName.get(name)!.object), problems };
}

function podName(pod: RunningPod): string {
  return `${pod.namespace}/${pod.name}`;
}

function slicesByService(slices: readonly EndpointSlice[]): ReadonlyMap<string, readonly EndpointSlice[]> {
  const sorted = [...slices].sort(
    (a, b) => compare(a.namespace, b.namespace) || compare(a.service, b.service) || compare(a.name, b.name),
  );
  const result = new Map<string, EndpointSlice[]>();
  for (const slice of sorted) {
    const service = `${slice.namespace}/${slice.service}`;
    const present = result.get(service);
    if (present === undefined) {
      result.set(service, [slice]);
    } else {
      present.push(slice);
    }
  }
  return result;
}

export function createSnapshot(parts: {
  readonly objects: readonly MeshObject[];
  readonly pods: readonly RunningPod[];
  readonly services: readonly { namespace: string; name: string; addresses: readonly string[] }[];
  readonly serviceRanges: readonly string[];
  readonly endpointSlices?: readonly EndpointSlice[];
  readonly problems: readonly Problem[];
}): Snapshot {
  return Object.freeze({
    objects: Object.freeze([...parts.objects].sort((a, b) => compare(identify(a), identify(b)))),
    pods: Object.freeze([...parts.pods].sort((a, b) => compare(podName(a), podName(b)))),
    serviceAddresses: new Map(
      [...parts.services]
        .map((service): [string, readonly string[]] => [
          `${service.namespace}/${service.name}`,
          service.addresses,
        ])
        .sort((a, b) => compare(a[0], b[0])),
    ),
    serviceRanges: Object.freeze([...parts.serviceRanges]),
    endpointSlices: parts.endpointSlices === undefined ? undefined : slicesByService(parts.endpointSlices),
    problems: Object.freeze([...parts.problems]),
  });
}
