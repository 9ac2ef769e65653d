/** Who takes a Service's traffic: the pods that its selector finds, or what the cluster's EndpointSlices say. */
import type { Service as ServiceObject, ServicePort as ServicePortObject } from "../api/core.ts";
import { namespaceOf } from "../api/objects.ts";
import type { EndpointSlice, RunningPod, Snapshot } from "../cluster/snapshot.ts";
import { externalKind } from "../wire/messages.ts";
import type { Endpoint, Pod } from "./mesh.ts";
import type { Labelled } from "./selection.ts";

/** A pod of the snapshot beside what the model makes of it. */
export interface PodPair extends Labelled {
  readonly running: RunningPod;
  readonly pod: Pod;
}

/** Endpoints of one port, sorted by address and port; `selected` are the pods that the Service's selector finds. */
export type EndpointSource = (
  service: ServiceObject,
  port: ServicePortObject,
  selected: readonly PodPair[],
) => readonly Endpoint[];

type SliceEndpoint = EndpointSlice["endpoints"][number];

function compareEndpoints(a: Endpoint, b: Endpoint): number {
  return a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port;
}

/** Of a pod that runs; undefined when it has no port of that name. */
function targetPort(port: ServicePortObject, pod: RunningPod): number | undefined {
  const target = port.targetPort ?? port.port;
  return typeof target === "number"
    ? target
    : pod.ports.find((candidate) => candidate.name === target)?.containerPort;
}

/** Whether its readiness, as Kubernetes sees it, makes it one of the Service's. */
export function takesTraffic(service: ServiceObject, pod: RunningPod): boolean {
  return !pod.terminating && (pod.ready || service.spec.publishNotReadyAddresses === true);
}

const bySelector: EndpointSource = (service, port, selected) =>
  selected
    .filter(({ running }) => takesTraffic(service, running))
    .flatMap(({ running, pod }) => {
      const number = targetPort(port, running);
      return number === undefined ? [] : [{ address: pod.address, pod, port: number }];
    })
    .sort(compareEndpoints);

/** What stands for an address that is no pod's: nothing is known of it, so it is reached in plain text. */
function outside(service: ServiceObject, address: string): Pod {
  const namespace = namespaceOf(service);
  return {
    namespace,
    name: "",
    address,
    otherAddresses: [],
    workload: { namespace, kind: externalKind, name: service.metadata.name },
    serviceAccount: "",
    meshed: false,
    identity: "",
    plainPorts: [],
    ingress: "",
    ready: true,
    terminating: false,
    ports: [],
  };
}

/** One endpoint a pod and port: of the addresses of a pod with two families that which it has first. */
function oncePerPod(endpoints: readonly Endpoint[]): Endpoint[] {
  const result = new Map<string, Endpoint>();
  for (const endpoint of endpoints) {
    const { pod, address, port } = endpoint;
    const key = `${pod.namespace}/${pod.name === "" ? address : pod.name} ${port}`;
    if (!result.has(key) || address === pod.address) {
      result.set(key, endpoint);
    }
  }
  return [...result.values()];
}

/** Ready ones; while there is none, those that still answer on their way out (KEP-1669). */
function usable(endpoints: readonly SliceEndpoint[]): readonly SliceEndpoint[] {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  return ready.length > 0 ? ready : endpoints.filter(({ serving, terminating }) => serving && terminating);
}

function bySlices(
  slices: ReadonlyMap<string, readonly EndpointSlice[]>,
  pairs: readonly PodPair[],
): EndpointSource {
  const byName = new Map(pairs.map(({ pod }) => [`${pod.namespace}/${pod.name}`, pod]));
  const byAddress = new Map(
    pairs
      .filter(({ running }) => running.hostNetwork !== true)
      .flatMap(({ pod }) => [pod.address, ...pod.otherAddresses].map((address) => [address, pod] as const)),
  );
  /** Undefined: a pod that is not known yet. Without its identity it would be reached in plain text. */
  const podOf = (service: ServiceObject, { pod: name, address }: SliceEndpoint): Pod | undefined => {
    if (name === "") {
      return byAddress.get(address) ?? outside(service, address);
    }
    const pod = byName.get(name);
    // whoever writes a slice may name any pod; where the pod is only the pod's own status says
    return pod !== undefined && [pod.address, ...pod.otherAddresses].includes(address) ? pod : undefined;
  };
  return (service, port) => {
    const own = slices.get(`${namespaceOf(service)}/${service.metadata.name}`) ?? [];
    const found = own.flatMap((slice) =>
      slice.ports
        .filter(({ name, protocol }) => name === (port.name ?? "") && protocol === (port.protocol ?? "TCP"))
        .flatMap((target) => slice.endpoints.map((endpoint) => ({ ...endpoint, port: target.port }))),
    );
    const endpoints = (usable(found) as typeof found).flatMap((endpoint) => {
      const pod = podOf(service, endpoint);
      return pod === undefined ? [] : [{ address: endpoint.address, pod, port: endpoint.port }];
    });
    return oncePerPod(endpoints).sort(compareEndpoints);
  };
}

export function endpointSource(snapshot: Snapshot, pairs: readonly PodPair[]): EndpointSource {
  return snapshot.endpointSlices === undefined ? bySelector : bySlices(snapshot.endpointSlices, pairs);
}
