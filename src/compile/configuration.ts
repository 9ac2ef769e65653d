/** Model → the keys of the bucket. Pure; equal models give equal bytes. */
import { createHash } from "node:crypto";
import { canonicalAddress } from "../model/address.ts";
import type { Endpoint, MeshModel, Pod, Service, ServicePort, Workload } from "../model/mesh.ts";
import { addressKey, egressKey, serviceKey, workloadKey } from "../wire/keys.ts";
import {
  type AddressMessage,
  type EgressMessage,
  type Endpoint as WireEndpoint,
  type PodAddress,
  type ServiceMessage,
  wireVersion,
  type WorkloadMessage,
} from "../wire/messages.ts";

export interface Configuration {
  /** Key → JSON, sorted by key. */
  readonly keys: ReadonlyMap<string, string>;
  /** Hash of the content. */
  readonly version: string;
}

function endpoint({ address, pod, port }: Endpoint): WireEndpoint {
  return {
    address: canonicalAddress(address),
    port,
    pod: pod.name,
    workload: pod.workload,
    identity: pod.plainPorts.includes(port) ? "" : pod.identity,
  };
}

function servicePort(port: ServicePort): ServiceMessage["ports"][number] {
  return {
    port: port.port,
    name: port.name,
    protocol: port.protocol,
    balancing: port.balancing,
    ...(port.route === undefined
      ? {}
      : {
          route: {
            rules: port.route.rules.map((rule) => ({
              ...(rule.matches.length === 0 ? {} : { matches: rule.matches }),
              backends: rule.backends,
            })),
          },
        }),
    ...(isOutside(port) ? { egress: true } : {}),
    endpoints: port.endpoints.map(endpoint),
  };
}

/** Whether requests to the port leave the mesh. Without endpoints nobody knows who will serve it. */
function isOutside({ protocol, route, endpoints }: ServicePort): boolean {
  return (
    (protocol === "http" || protocol === "grpc") &&
    route === undefined &&
    endpoints.length > 0 &&
    endpoints.every(({ pod }) => !pod.meshed)
  );
}

function serviceMessage(service: Service): ServiceMessage {
  return {
    version: wireVersion,
    namespace: service.namespace,
    name: service.name,
    ports: service.ports.map(servicePort),
  };
}

function serviceAddress(service: Service): AddressMessage {
  return { version: wireVersion, kind: "service", namespace: service.namespace, name: service.name };
}

function podAddress(pod: Pod): PodAddress {
  return {
    version: wireVersion,
    kind: "pod",
    namespace: pod.namespace,
    name: pod.name,
    workload: pod.workload,
    identity: pod.identity,
    meshed: pod.identity !== "",
    ...(pod.ingress === "" ? {} : { ingress: pod.ingress }),
    ports: pod.ports.map(({ port, protocol, headless }) => ({
      port,
      protocol,
      ...(headless === undefined ? {} : { headless }),
    })),
    ...(pod.plainPorts.length === 0 ? {} : { plainPorts: pod.plainPorts }),
  };
}

function workloadMessage(workload: Workload, model: MeshModel): WorkloadMessage {
  return {
    version: wireVersion,
    workload: { namespace: workload.namespace, kind: workload.kind, name: workload.name },
    identity: workload.identity,
    trustDomain: model.settings.trustDomain,
    mtlsMode: workload.mtlsMode,
    clientMaxBodySize: workload.clientMaxBodySize,
    ...(workload.tcpIdleTimeout === undefined ? {} : { tcpIdleTimeout: workload.tcpIdleTimeout }),
    logLevel: model.settings.logLevel,
    logFormat: model.settings.logFormat,
    accessLog: workload.accessLog,
    balancing: model.settings.balancing,
    ports: workload.ports,
    serviceRanges: model.serviceRanges,
    ...(workload.probes.length === 0 ? {} : { probes: workload.probes }),
    statisticsInterval: model.settings.statisticsInterval,
    ...(workload.egress ? { egress: true } : {}),
  };
}

function egressMessage(model: MeshModel): EgressMessage {
  return {
    version: wireVersion,
    endpoints: model.egress.map((each) => ({ ...endpoint(each), identity: each.identity })),
  };
}

export function compile(model: MeshModel): Configuration {
  const entries: [string, unknown][] = [
    ...(model.egress.length === 0 ? [] : [[egressKey, egressMessage(model)] satisfies [string, unknown]]),
    ...model.workloads.map((workload): [string, unknown] => [
      workloadKey(workload.namespace, workload.kind, workload.name),
      workloadMessage(workload, model),
    ]),
    ...model.pods.flatMap((pod) =>
      [pod.address, ...pod.otherAddresses].map((address): [string, unknown] => [
        addressKey(canonicalAddress(address)),
        podAddress(pod),
      ]),
    ),
    ...model.services.flatMap((service): [string, unknown][] => [
      [serviceKey(service.namespace, service.name), serviceMessage(service)],
      ...service.addresses.map((address): [string, unknown] => [
        addressKey(canonicalAddress(address)),
        serviceAddress(service),
      ]),
    ]),
  ];
  const keys = new Map(
    entries
      .map(([key, value]): [string, string] => [key, JSON.stringify(value)])
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
  );
  const hash = createHash("sha256");
  for (const [key, value] of keys) {
    hash.update(key).update("\0").update(value).update("\0");
  }
  return { keys, version: hash.digest("hex").slice(0, 16) };
}
