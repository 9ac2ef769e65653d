/** Services with their ports and endpoints, without routes. */
import { annotations, readLbMethod } from "../api/annotations.ts";
import type { Service as ServiceObject, ServicePort as ServicePortObject } from "../api/core.ts";
import { identify, namespaceOf } from "../api/objects.ts";
import type { ProblemReason } from "../api/problem.ts";
import { objectsOf, type RunningPod, type Snapshot } from "../cluster/snapshot.ts";
import type { LbMethod } from "../wire/messages.ts";
import type { Endpoint, MeshSettings, Pod, Report, Service, ServicePort } from "./mesh.ts";
import { serviceProtocol } from "./protocol.ts";
import type { Labelled, Selection } from "./selection.ts";
import { targetPortIn, type Template } from "./templates.ts";

/** A pod of the snapshot beside what the model makes of it. */
export interface PodPair extends Labelled {
  readonly running: RunningPod;
  readonly pod: Pod;
}

export interface Candidates {
  readonly pods: Selection<PodPair>;
  readonly templates: Selection<Template>;
}

function warn(service: ServiceObject, field: string, reason: ProblemReason, message: string) {
  return { object: identify(service), field, reason, message, severity: "warning" } as const;
}

/** Of a pod that runs; undefined when it has no port of that name. */
function targetPort(port: ServicePortObject, pod: RunningPod): number | undefined {
  const target = port.targetPort ?? port.port;
  return typeof target === "number"
    ? target
    : pod.ports.find((candidate) => candidate.name === target)?.containerPort;
}

function takesTraffic(service: ServiceObject, pod: RunningPod): boolean {
  return !pod.terminating && (pod.ready || service.spec.publishNotReadyAddresses === true);
}

function compareEndpoints(a: Endpoint, b: Endpoint): number {
  return a.pod.address < b.pod.address ? -1 : a.pod.address > b.pod.address ? 1 : a.port - b.port;
}

function endpointsOf(
  service: ServiceObject,
  port: ServicePortObject,
  pods: readonly PodPair[],
): readonly Endpoint[] {
  return pods
    .filter(({ running }) => takesTraffic(service, running))
    .flatMap(({ running, pod }) => {
      const number = targetPort(port, running);
      return number === undefined ? [] : [{ pod, port: number }];
    })
    .sort(compareEndpoints);
}

function balancingOf(service: ServiceObject, settings: MeshSettings, report: Report): LbMethod {
  const reading = readLbMethod(service.metadata.annotations?.[annotations.lbMethod]);
  if ("value" in reading) {
    return reading.value ?? settings.balancing;
  }
  report({
    object: identify(service),
    field: `metadata.annotations["${annotations.lbMethod}"]`,
    reason: "InvalidValue",
    message: `${reading.error}; the mesh's method is used`,
    severity: "error",
  });
  return settings.balancing;
}

/**
 * The ports of a headless Service are those of its pods, as clients connect to these: one for each number that a named
 * target port has, known from the templates while no pod is ready.
 */
function headlessPorts(
  port: ServicePortObject,
  endpoints: readonly Endpoint[],
  templates: readonly Template[],
): readonly number[] {
  const target = port.targetPort ?? port.port;
  const known = templates.map((template) => targetPortIn(template, target));
  const numbers = [...endpoints.map((endpoint) => endpoint.port), ...known];
  const found = [...new Set(numbers.filter((number) => number !== undefined))];
  return found.length === 0 ? [typeof target === "number" ? target : port.port] : found;
}

function portsOf(
  service: ServiceObject,
  port: ServicePortObject,
  balancing: LbMethod,
  candidates: { readonly pods: readonly PodPair[]; readonly templates: readonly Template[] },
): readonly ServicePort[] {
  const endpoints = endpointsOf(service, port, candidates.pods);
  const common = {
    declared: port.port,
    name: port.name ?? "",
    protocol: serviceProtocol(port),
    balancing,
    route: undefined,
  };
  if (service.spec.clusterIP !== "None") {
    return [{ port: port.port, ...common, endpoints }];
  }
  return headlessPorts(port, endpoints, candidates.templates).map((number) => ({
    port: number,
    ...common,
    endpoints: endpoints.filter((endpoint) => endpoint.port === number),
  }));
}

function checkSelection(service: ServiceObject, found: number, report: Report): void {
  if (Object.keys(service.spec.selector ?? {}).length === 0) {
    const message = "has no selector, so no pod belongs to it: requests get 503";
    report(warn(service, "spec.selector", "NoEndpoints", message));
  } else if (found === 0) {
    const message = "no pod and no pod template has these labels: requests get 503 until one does";
    report(warn(service, "spec.selector", "NoEndpoints", message));
  }
}

function usablePorts(service: ServiceObject, report: Report): readonly ServicePortObject[] {
  return (service.spec.ports ?? []).filter((port, index) => {
    if (port.protocol !== "SCTP") {
      return true;
    }
    report(warn(service, `spec.ports[${index}].protocol`, "Unsupported", "SCTP is not carried by the mesh"));
    return false;
  });
}

function comparePorts(a: ServicePort, b: ServicePort): number {
  return a.port - b.port || (a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : 0);
}

function modelService(
  service: ServiceObject,
  snapshot: Snapshot,
  candidates: Candidates,
  settings: MeshSettings,
  report: Report,
): Service {
  const namespace = namespaceOf(service);
  const name = service.metadata.name;
  const selected = {
    pods: candidates.pods.select(namespace, service.spec.selector),
    templates: candidates.templates.select(namespace, service.spec.selector),
  };
  checkSelection(service, selected.pods.length + selected.templates.length, report);
  const headless = service.spec.clusterIP === "None";
  const balancing = balancingOf(service, settings, report);
  return {
    namespace,
    name,
    headless,
    addresses: headless ? [] : (snapshot.serviceAddresses.get(`${namespace}/${name}`) ?? []),
    ports: usablePorts(service, report)
      .flatMap((port) => portsOf(service, port, balancing, selected))
      .sort(comparePorts),
  };
}

/** Those that have a way into the mesh. */
export function serviceObjects(snapshot: Snapshot, report: Report): readonly ServiceObject[] {
  return objectsOf(snapshot, "Service").filter((service) => {
    if (service.spec.type !== "ExternalName") {
      return true;
    }
    const message = "an ExternalName Service is only a DNS name: its traffic leaves the mesh unchanged";
    report(warn(service, "spec.type", "Unsupported", message));
    return false;
  });
}

export function modelServices(
  objects: readonly ServiceObject[],
  snapshot: Snapshot,
  candidates: Candidates,
  settings: MeshSettings,
  report: Report,
): readonly Service[] {
  return objects.map((service) => modelService(service, snapshot, candidates, settings, report));
}
