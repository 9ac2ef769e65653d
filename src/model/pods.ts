/** Pods that run, with what their ports speak. */
import { annotations, readPorts } from "../api/annotations.ts";
import type { RunningPod } from "../cluster/snapshot.ts";
import type { Protocol } from "../wire/messages.ts";
import { spiffeId } from "../wire/sidecar.ts";
import { ingressIdentity } from "./ingress.ts";
import type { MeshSettings, Pod, PodPort, Report, Service, Workload } from "./mesh.ts";
import { containerProtocol } from "./protocol.ts";

/** By the pod's own annotation, not its workload's: its capture rules were made from that. */
function plainPorts(running: RunningPod): readonly number[] {
  const reading = readPorts(running.annotations[annotations.ignoreIncomingPorts]);
  const ports = running.meshed && "value" in reading ? (reading.value ?? []) : [];
  return [...new Set(ports)].sort((a, b) => a - b);
}

/**
 * A pod without its ports. Its mode is the workload's, which its sidecar follows too: while a changed template rolls
 * out, old pods have the new mode at the same moment as the configuration of their callers.
 */
export function modelPod(running: RunningPod, workload: Workload | undefined, settings: MeshSettings): Pod {
  const { namespace, name, address, serviceAccount, meshed, ready, terminating, owner } = running;
  const mode = workload?.mtlsMode ?? settings.mtlsMode;
  return {
    namespace,
    name,
    address,
    otherAddresses: running.otherAddresses ?? [],
    workload: { namespace, kind: owner.kind, name: owner.name },
    serviceAccount,
    meshed,
    identity: meshed && mode !== "off" ? spiffeId(settings.trustDomain, namespace, serviceAccount) : "",
    plainPorts: plainPorts(running),
    ingress: ingressIdentity(running, settings),
    ready,
    terminating,
    ports: [],
  };
}

type Headless = NonNullable<PodPort["headless"]>;

/** `address port` → the headless Service with a route through which it is reached. */
export function headlessRoutes(services: readonly Service[], report: Report): ReadonlyMap<string, Headless> {
  const result = new Map<string, Headless>();
  for (const service of services.filter((candidate) => candidate.headless)) {
    const title = `Service ${service.namespace}/${service.name}`;
    let contested: Headless | undefined;
    for (const port of service.ports.filter((candidate) => candidate.route !== undefined)) {
      const own: Headless = { namespace: service.namespace, name: service.name, port: port.port };
      for (const endpoint of port.endpoints) {
        const key = `${endpoint.pod.address} ${endpoint.port}`;
        const other = result.get(key) ?? own;
        contested = other.name === own.name ? contested : other;
        result.set(key, other);
      }
    }
    if (contested !== undefined) {
      report({
        object: title,
        field: "spec.ports",
        reason: "Conflict",
        message: `its pods are also reached through the headless Service ${contested.namespace}/${contested.name}, whose split is used: a pod's address does not tell which of the two a client means`,
        severity: "warning",
      });
    }
  }
  return result;
}

/** The pod with its ports: those of its workload, and those that only it has. */
export function withPorts(
  pod: Pod,
  running: RunningPod,
  workload: Workload | undefined,
  headless: ReadonlyMap<string, Headless>,
): Pod {
  const protocols = new Map<number, Protocol>(
    running.ports
      .filter((port) => port.protocol !== "SCTP")
      .toSorted((a, b) => Number(a.protocol === "TCP") - Number(b.protocol === "TCP"))
      .map((port) => [port.containerPort, containerProtocol(port)]),
  );
  for (const { port, protocol } of workload?.ports ?? []) {
    protocols.set(port, protocol);
  }
  const ports = [...protocols]
    .sort(([a], [b]) => a - b)
    .map(([port, protocol]) => ({ port, protocol, headless: headless.get(`${pod.address} ${port}`) }));
  return { ...pod, ports };
}
