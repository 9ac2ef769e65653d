/** Services with their ports and endpoints, without routes. */
import { annotations, readLbMethod } from "../api/annotations.ts";
import type { Service as ServiceObject, ServicePort as ServicePortObject } from "../api/core.ts";
import { identify, namespaceOf } from "../api/objects.ts";
import type { ProblemReason } from "../api/problem.ts";
import { objectsOf, type Snapshot } from "../cluster/snapshot.ts";
import type { LbMethod } from "../wire/messages.ts";
import { type EndpointSource, type PodPair, takesTraffic } from "./endpoints.ts";
import type { Endpoint, MeshSettings, Report, Service, ServicePort } from "./mesh.ts";
import { serviceProtocol } from "./protocol.ts";
import type { Selection } from "./selection.ts";
import { targetPortIn, type Template } from "./templates.ts";

export interface Candidates {
  readonly endpoints: EndpointSource;
  readonly pods: Selection<PodPair>;
  readonly templates: Selection<Template>;
}

function warn(service: ServiceObject, field: string, reason: ProblemReason, message: string) {
  return { object: identify(service), field, reason, message, severity: "warning" } as const;
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
  endpoints: readonly Endpoint[],
  templates: readonly Template[],
): readonly ServicePort[] {
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
  return headlessPorts(port, endpoints, templates).map((number) => ({
    port: number,
    ...common,
    endpoints: endpoints.filter((endpoint) => endpoint.port === number),
  }));
}

/** `found`: pods, pod templates or endpoints. */
function checkSelection(service: ServiceObject, found: number, report: Report): void {
  if (found > 0) {
    return;
  }
  const message =
    Object.keys(service.spec.selector ?? {}).length === 0
      ? "has no selector, so no pod belongs to it: requests get 503"
      : "no pod and no pod template has these labels: requests get 503 until one does";
  report(warn(service, "spec.selector", "NoEndpoints", message));
}

/** A target port by a name that the selected pods do not have leads nowhere. */
function checkTarget(
  service: ServiceObject,
  port: ServicePortObject,
  pods: readonly PodPair[],
  templates: readonly Template[],
  report: Report,
): void {
  const name = port.targetPort;
  if (typeof name !== "string" || pods.length + templates.length === 0) {
    return;
  }
  const named =
    pods.some(({ running }) => running.ports.some((each) => each.name === name)) ||
    templates.some((template) => targetPortIn(template, name) !== undefined);
  if (!named) {
    const index = (service.spec.ports ?? []).indexOf(port);
    const message = `no container of its pods has a port "${name}": requests get 503`;
    report(warn(service, `spec.ports[${index}].targetPort`, "NoEndpoints", message));
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
  const pods = candidates.pods.select(namespace, service.spec.selector);
  const templates = candidates.templates.select(namespace, service.spec.selector);
  const headless = service.spec.clusterIP === "None";
  const balancing = balancingOf(service, settings, report);
  const ports = usablePorts(service, report).map((port) => ({
    port,
    endpoints: candidates.endpoints(service, port, pods),
  }));
  const reached = ports.reduce((sum, { endpoints }) => sum + endpoints.length, 0);
  checkSelection(service, pods.length + templates.length + reached, report);
  // slices say which ports pods have: nobody else need judge it
  if (snapshot.endpointSlices === undefined) {
    ports.forEach(({ port }) => checkTarget(service, port, pods, templates, report));
  }
  return {
    namespace,
    name,
    headless,
    addresses: headless ? [] : (snapshot.serviceAddresses.get(`${namespace}/${name}`) ?? []),
    pods: headless ? pods.filter(({ running }) => takesTraffic(service, running)).map(({ pod }) => pod) : [],
    ports: ports
      .flatMap(({ port, endpoints }) => portsOf(service, port, balancing, endpoints, templates))
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
