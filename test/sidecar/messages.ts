/** Values of keys with everything filled in that a test does not speak of. */
import { spiffeId } from "../../src/wire/sidecar.ts";
import {
  type Backend,
  type Endpoint,
  type PodAddress,
  type Protocol,
  type Route,
  type ServiceAddress,
  type ServiceMessage,
  type ServicePort,
  wireVersion,
  type WorkloadMessage,
} from "../../src/wire/messages.ts";

export const trustDomain = "example.org";

export function identityOf(serviceAccount: string): string {
  return spiffeId(trustDomain, "shop", serviceAccount);
}

export function workloadMessage(changes: Partial<WorkloadMessage> = {}): WorkloadMessage {
  return {
    version: wireVersion,
    workload: { namespace: "shop", kind: "deployment", name: "client" },
    identity: identityOf("client"),
    trustDomain,
    mtlsMode: "permissive",
    clientMaxBodySize: 1_048_576,
    logLevel: "warn",
    logFormat: "default",
    balancing: "least_time",
    ports: [],
    serviceRanges: ["10.96.0.0/12"],
    statisticsInterval: 1,
    ...changes,
  };
}

/** The last number of the address is also in the name of the pod. */
export function endpoint(
  workload: string,
  address: string,
  port = 8080,
  identity = identityOf(workload),
): Endpoint {
  return {
    address,
    port,
    pod: `${workload}-${address.slice(address.lastIndexOf(".") + 1)}`,
    workload: { namespace: "shop", kind: "deployment", name: workload },
    identity,
  };
}

export function servicePort(
  port: number,
  protocol: Protocol,
  endpoints: readonly Endpoint[],
  changes: Partial<ServicePort> = {},
): ServicePort {
  return { port, name: protocol, protocol, balancing: "least_time", endpoints, ...changes };
}

export function serviceMessage(name: string, ports: readonly ServicePort[]): ServiceMessage {
  return { version: wireVersion, namespace: "shop", name, ports };
}

export function serviceAddress(name: string): ServiceAddress {
  return { version: wireVersion, kind: "service", namespace: "shop", name };
}

export function podAddress(name: string, changes: Partial<PodAddress> = {}): PodAddress {
  const meshed = changes.meshed ?? true;
  return {
    version: wireVersion,
    kind: "pod",
    namespace: "shop",
    name,
    workload: { namespace: "shop", kind: "deployment", name },
    identity: meshed ? identityOf(name) : "",
    meshed,
    ports: [],
    ...changes,
  };
}

/** One rule for all requests, as a TrafficSplit without matches gives it. */
export function split(port: number, weights: Readonly<Record<string, number>>): Route {
  const backends: Backend[] = Object.entries(weights).map(([name, weight]) => ({
    namespace: "shop",
    name,
    port,
    weight,
  }));
  return { rules: [{ backends }] };
}
