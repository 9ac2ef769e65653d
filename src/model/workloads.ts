/** Workloads: what the pods of one owner have in common, known before the first of them runs. */
import { annotations, type Reading, readBodySize, readMtlsMode } from "../api/annotations.ts";
import { identify, namespaceOf, type MeshObject } from "../api/objects.ts";
import type { Container, PodSpec, Probe } from "../api/pod.ts";
import type { Problem } from "../api/problem.ts";
import { objectsOf, type Snapshot } from "../cluster/snapshot.ts";
import type { HttpProbe, Protocol } from "../wire/messages.ts";
import { spiffeId } from "../wire/sidecar.ts";
import type { MeshSettings, Service, Workload } from "./mesh.ts";
import { containerProtocol, serviceProtocol } from "./protocol.ts";

/** A workload as it stands in the manifests. */
export interface WorkloadSource {
  readonly object: MeshObject;
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
}

const ownerKinds = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"] as const;

export function workloadSources(snapshot: Snapshot): WorkloadSource[] {
  const owners = ownerKinds.flatMap((kind) =>
    objectsOf(snapshot, kind).map((object): WorkloadSource => {
      const template = object.spec.template;
      return {
        object,
        namespace: namespaceOf(object),
        kind: object.kind.toLowerCase(),
        name: object.metadata.name,
        labels: template.metadata?.labels ?? {},
        annotations: template.metadata?.annotations ?? {},
        spec: template.spec,
      };
    }),
  );
  const pods = objectsOf(snapshot, "Pod").map((object): WorkloadSource => ({
    object,
    namespace: namespaceOf(object),
    kind: "pod",
    name: object.metadata.name,
    labels: object.metadata.labels ?? {},
    annotations: object.metadata.annotations ?? {},
    spec: object.spec,
  }));
  return [...owners, ...pods];
}

export function serviceAccountOf(spec: PodSpec): string {
  return spec.serviceAccountName ?? spec.serviceAccount ?? "default";
}

function setting<T>(
  source: WorkloadSource,
  key: string,
  reading: Reading<T>,
  otherwise: T,
  problems: Problem[],
): T {
  if ("error" in reading) {
    problems.push({
      object: identify(source.object),
      field: `annotations["${key}"]`,
      reason: "InvalidValue",
      message: `${reading.error}; the mesh's setting is used`,
      severity: "error",
    });
    return otherwise;
  }
  return reading.value ?? otherwise;
}

function portOf(value: number | string, container: Container): number | undefined {
  return typeof value === "number"
    ? value
    : container.ports?.find((candidate) => candidate.name === value)?.containerPort;
}

function httpProbe(probe: Probe | undefined, container: Container): HttpProbe[] {
  const get = probe?.httpGet;
  const port = get === undefined ? undefined : portOf(get.port, container);
  if (get === undefined || port === undefined) {
    return [];
  }
  const path = get.path ?? "/";
  return [
    {
      scheme: get.scheme === "HTTPS" ? "https" : "http",
      port,
      path: path.startsWith("/") ? path : `/${path}`,
    },
  ];
}

function probesOf(spec: PodSpec): HttpProbe[] {
  const all = spec.containers.flatMap((container) => [
    ...httpProbe(container.readinessProbe, container),
    ...httpProbe(container.livenessProbe, container),
    ...httpProbe(container.startupProbe, container),
  ]);
  const byText = new Map(all.map((probe) => [`${probe.scheme} ${probe.port} ${probe.path}`, probe]));
  return [...byText.keys()].sort().map((key) => byText.get(key)!);
}

function servicePortsFor(
  source: WorkloadSource,
  snapshot: Snapshot,
  service: Service,
): Map<number, Protocol> {
  const result = new Map<number, Protocol>();
  const object = objectsOf(snapshot, "Service").find(
    (candidate) => namespaceOf(candidate) === service.namespace && candidate.metadata.name === service.name,
  );
  const selector = Object.entries(object?.spec.selector ?? {});
  const selects =
    selector.length > 0 &&
    service.namespace === source.namespace &&
    selector.every(([key, value]) => source.labels[key] === value);
  if (object === undefined || !selects) {
    return result;
  }
  for (const port of object.spec.ports ?? []) {
    const target = port.targetPort ?? port.port;
    const numbers = source.spec.containers
      .map((container) => portOf(target, container))
      .filter((number) => number !== undefined);
    if (numbers[0] !== undefined) {
      result.set(numbers[0], serviceProtocol(port));
    }
  }
  return result;
}

/** Services say what a port speaks; where none leads, the container port's name does. */
function portsOf(
  source: WorkloadSource,
  snapshot: Snapshot,
  services: readonly Service[],
  problems: Problem[],
): Map<number, Protocol> {
  const ports = new Map<number, Protocol>();
  for (const service of services) {
    for (const [port, protocol] of servicePortsFor(source, snapshot, service)) {
      const known = ports.get(port);
      if (known !== undefined && known !== protocol && protocol !== "udp" && known !== "udp") {
        problems.push({
          object: `Service ${service.namespace}/${service.name}`,
          field: "spec.ports",
          reason: "Conflict",
          message: `port ${port} of ${source.kind} ${source.namespace}/${source.name} is ${known} by another Service and ${protocol} by this one; incoming plain connections count as ${known}`,
          severity: "warning",
        });
      } else if (known === undefined || known === "udp") {
        ports.set(port, protocol);
      }
    }
  }
  for (const container of source.spec.containers) {
    for (const port of container.ports ?? []) {
      if (!ports.has(port.containerPort)) {
        ports.set(port.containerPort, containerProtocol(port));
      }
    }
  }
  return ports;
}

export function modelWorkload(
  source: WorkloadSource,
  snapshot: Snapshot,
  services: readonly Service[],
  settings: MeshSettings,
  problems: Problem[],
): Workload {
  const serviceAccount = serviceAccountOf(source.spec);
  const mode = readMtlsMode(source.annotations[annotations.mtlsMode]);
  const size = readBodySize(source.annotations[annotations.clientMaxBodySize]);
  const ports = portsOf(source, snapshot, services, problems);
  return {
    namespace: source.namespace,
    kind: source.kind,
    name: source.name,
    serviceAccount,
    identity: spiffeId(settings.trustDomain, source.namespace, serviceAccount),
    mtlsMode: setting(source, annotations.mtlsMode, mode, settings.mtlsMode, problems),
    clientMaxBodySize: setting(
      source,
      annotations.clientMaxBodySize,
      size,
      settings.clientMaxBodySize,
      problems,
    ),
    ports: [...ports].sort(([a], [b]) => a - b).map(([port, protocol]) => ({ port, protocol })),
    probes: probesOf(source.spec),
  };
}
