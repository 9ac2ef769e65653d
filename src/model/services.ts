/** Services with their ports and endpoints, without routes. */
import { annotations, readLbMethod } from "../api/annotations.ts";
import type { Service as ServiceObject, ServicePort as ServicePortObject } from "../api/core.ts";
import { namespaceOf } from "../api/objects.ts";
import type { Problem } from "../api/problem.ts";
import { objectsOf, type RunningPod, type Snapshot } from "../cluster/snapshot.ts";
import type { LbMethod } from "../wire/messages.ts";
import type { Endpoint, MeshSettings, Pod, Service, ServicePort } from "./mesh.ts";
import { serviceProtocol } from "./protocol.ts";

/** The pod of a snapshot beside what the model makes of it. */
export interface PodPair {
  readonly running: RunningPod;
  readonly pod: Pod;
}

function selected(service: ServiceObject, pod: RunningPod): boolean {
  const selector = Object.entries(service.spec.selector ?? {});
  return (
    selector.length > 0 &&
    pod.namespace === namespaceOf(service) &&
    selector.every(([key, value]) => pod.labels[key] === value)
  );
}

/** The number that a target port has in a pod; undefined when the pod has no port of that name. */
export function targetPortIn(port: ServicePortObject, pod: RunningPod): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === "number") {
    return target;
  }
  return pod.ports.find((candidate) => candidate.name === target)?.containerPort;
}

function takesTraffic(service: ServiceObject, pod: RunningPod): boolean {
  return (
    pod.address !== "" && !pod.terminating && (pod.ready || service.spec.publishNotReadyAddresses === true)
  );
}

function compareEndpoints(a: Endpoint, b: Endpoint): number {
  return a.pod.address < b.pod.address ? -1 : a.pod.address > b.pod.address ? 1 : a.port - b.port;
}

function endpointsOf(service: ServiceObject, port: ServicePortObject, pods: readonly PodPair[]): Endpoint[] {
  return pods
    .filter(({ running }) => selected(service, running) && takesTraffic(service, running))
    .flatMap(({ running, pod }) => {
      const number = targetPortIn(port, running);
      return number === undefined ? [] : [{ pod, port: number }];
    })
    .sort(compareEndpoints);
}

function balancingOf(service: ServiceObject, settings: MeshSettings, problems: Problem[]): LbMethod {
  const reading = readLbMethod(service.metadata.annotations?.[annotations.lbMethod]);
  if ("error" in reading) {
    problems.push({
      object: serviceTitle(service),
      field: `metadata.annotations["${annotations.lbMethod}"]`,
      reason: "InvalidValue",
      message: `${reading.error}; the mesh's method is used`,
      severity: "error",
    });
    return settings.balancing;
  }
  return reading.value ?? settings.balancing;
}

export function serviceTitle(service: ServiceObject): string {
  return `Service ${namespaceOf(service)}/${service.metadata.name}`;
}

/** A headless Service is reached at its pods' own ports. */
function portNumber(headless: boolean, port: ServicePortObject, endpoints: readonly Endpoint[]): number {
  if (!headless) {
    return port.port;
  }
  return endpoints[0]?.port ?? (typeof port.targetPort === "number" ? port.targetPort : port.port);
}

function modelService(
  service: ServiceObject,
  snapshot: Snapshot,
  pods: readonly PodPair[],
  settings: MeshSettings,
  problems: Problem[],
): Service {
  const headless = service.spec.clusterIP === "None";
  const balancing = balancingOf(service, settings, problems);
  const name = `${namespaceOf(service)}/${service.metadata.name}`;
  const ports = (service.spec.ports ?? [])
    .filter((port) => port.protocol !== "SCTP")
    .map((port): ServicePort => {
      const endpoints = endpointsOf(service, port, pods);
      return {
        port: portNumber(headless, port, endpoints),
        name: port.name ?? "",
        protocol: serviceProtocol(port),
        balancing,
        route: undefined,
        endpoints,
      };
    })
    .sort((a, b) => a.port - b.port || (a.protocol < b.protocol ? -1 : 1));
  if (service.spec.selector !== undefined && !pods.some(({ running }) => selected(service, running))) {
    problems.push({
      object: serviceTitle(service),
      field: "spec.selector",
      reason: "NoEndpoints",
      message: "no pod has these labels: requests get 503 until one does",
      severity: "warning",
    });
  }
  return {
    namespace: namespaceOf(service),
    name: service.metadata.name,
    headless,
    addresses: headless ? [] : (snapshot.serviceAddresses.get(name) ?? []),
    ports,
  };
}

/** An address leads to one Service: of two with the same one the first by name keeps it. */
function withoutSharedAddresses(services: readonly Service[], problems: Problem[]): Service[] {
  const owners = new Map<string, string>();
  return services.map((service) => {
    const name = `${service.namespace}/${service.name}`;
    const addresses = service.addresses.filter((address) => {
      const owner = owners.get(address);
      if (owner === undefined) {
        owners.set(address, name);
        return true;
      }
      problems.push({
        object: `Service ${name}`,
        field: "spec.clusterIP",
        reason: "Conflict",
        message: `${address} is already the address of Service ${owner}, which keeps it: give this one another, or none`,
        severity: "error",
      });
      return false;
    });
    return { ...service, addresses };
  });
}

export function modelServices(
  snapshot: Snapshot,
  pods: readonly PodPair[],
  settings: MeshSettings,
  problems: Problem[],
): Service[] {
  const objects = objectsOf(snapshot, "Service").filter((service) => {
    if (service.spec.type !== "ExternalName") {
      return true;
    }
    problems.push({
      object: serviceTitle(service),
      field: "spec.type",
      reason: "Unsupported",
      message: "an ExternalName Service is only a DNS name: its traffic leaves the mesh unchanged",
      severity: "warning",
    });
    return false;
  });
  const services = objects.map((service) => modelService(service, snapshot, pods, settings, problems));
  return withoutSharedAddresses(services, problems);
}
