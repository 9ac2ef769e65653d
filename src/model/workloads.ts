/** Workloads: what their sidecars need to know of themselves. */
import {
  annotations,
  type Reading,
  readBodySize,
  readBoolean,
  readDuration,
  readMtlsMode,
} from "../api/annotations.ts";
import type { Container, Probe } from "../api/pod.ts";
import type { HttpProbe, Protocol } from "../wire/messages.ts";
import { spiffeId } from "../wire/sidecar.ts";
import type { MeshSettings, PortProtocol, Report, Workload } from "./mesh.ts";
import { containerProtocol } from "./protocol.ts";
import { serviceAccountOf, type Template } from "./templates.ts";

/** What a Service says of a port of the pods that it selects. */
export interface PortClaim extends PortProtocol {
  /** Title of the Service. */
  readonly service: string;
}

function setting<T, O extends T | undefined>(
  template: Template,
  key: string,
  reading: Reading<T>,
  otherwise: O,
  report: Report,
): T | O {
  if ("value" in reading) {
    return reading.value ?? otherwise;
  }
  report({
    object: template.title,
    field: `${template.annotationsField}["${key}"]`,
    reason: "InvalidValue",
    message: `${reading.error}; the mesh's setting is used`,
    severity: "error",
  });
  return otherwise;
}

function httpProbe(probe: Probe | undefined, container: Container): HttpProbe[] {
  const get = probe?.httpGet;
  if (get === undefined) {
    return [];
  }
  const port =
    typeof get.port === "number"
      ? get.port
      : container.ports?.find((candidate) => candidate.name === get.port)?.containerPort;
  const path = get.path ?? "/";
  return port === undefined
    ? []
    : [
        {
          scheme: get.scheme === "HTTPS" ? "https" : "http",
          port,
          path: path.startsWith("/") ? path : `/${path}`,
        },
      ];
}

function probesOf(template: Template): HttpProbe[] {
  const all = template.spec.containers.flatMap((container) =>
    [container.readinessProbe, container.livenessProbe, container.startupProbe].flatMap((probe) =>
      httpProbe(probe, container),
    ),
  );
  const byText = new Map(all.map((probe) => [`${probe.scheme} ${probe.port} ${probe.path}`, probe]));
  return [...byText.keys()].sort().map((key) => byText.get(key)!);
}

/** Services say what a port speaks; where none leads, the container port's name does. TCP wins over UDP. */
function portsOf(template: Template, claims: readonly PortClaim[], report: Report): PortProtocol[] {
  const ports = new Map<number, Protocol>();
  for (const { port, protocol, service } of claims) {
    const known = ports.get(port);
    if (known === undefined || known === "udp") {
      ports.set(port, protocol);
    } else if (known !== protocol && protocol !== "udp") {
      report({
        object: service,
        field: "spec.ports",
        reason: "Conflict",
        message: `port ${port} of ${template.title} speaks ${protocol} by this Service and ${known} by another; plain connections that come in count as ${known}`,
        severity: "warning",
      });
    }
  }
  for (const port of template.spec.containers.flatMap((container) => container.ports ?? [])) {
    const known = ports.get(port.containerPort);
    if (port.protocol !== "SCTP" && (known === undefined || known === "udp")) {
      ports.set(port.containerPort, containerProtocol(port));
    }
  }
  return [...ports].sort(([a], [b]) => a - b).map(([port, protocol]) => ({ port, protocol }));
}

/** `claims`: what Services say of the workload's ports, in the order of their names. */
export function modelWorkload(
  template: Template,
  claims: readonly PortClaim[],
  settings: MeshSettings,
  report: Report,
): Workload {
  const { namespace, kind, name } = template;
  const serviceAccount = serviceAccountOf(template.spec);
  const mode = readMtlsMode(template.annotations[annotations.mtlsMode]);
  const size = readBodySize(template.annotations[annotations.clientMaxBodySize]);
  const accessLog = readBoolean(template.annotations[annotations.accessLog]);
  const idle = readDuration(template.annotations[annotations.tcpIdleTimeout]);
  return {
    namespace,
    kind,
    name,
    serviceAccount,
    identity: spiffeId(settings.trustDomain, namespace, serviceAccount),
    mtlsMode: setting(template, annotations.mtlsMode, mode, settings.mtlsMode, report),
    clientMaxBodySize: setting(
      template,
      annotations.clientMaxBodySize,
      size,
      settings.clientMaxBodySize,
      report,
    ),
    tcpIdleTimeout: setting(template, annotations.tcpIdleTimeout, idle, undefined, report),
    accessLog: setting(template, annotations.accessLog, accessLog, true, report),
    ports: portsOf(template, claims, report),
    probes: probesOf(template),
    egress: setting(
      template,
      annotations.defaultEgressAllowed,
      readBoolean(template.annotations[annotations.defaultEgressAllowed]),
      false,
      report,
    ),
  };
}
