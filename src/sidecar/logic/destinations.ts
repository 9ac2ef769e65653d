/** Destinations: what an application connects to. Made when traffic first goes there; what becomes of them: changes.ts. */
import { egressKey } from "../../wire/keys.ts";
import type { Endpoint, PodAddress, Protocol, ServiceMessage } from "../../wire/messages.ts";
import { poolOfEgress } from "./egress.ts";
import type { Key } from "./keys.ts";
import type { Destination, Mesh, MeshPool } from "./mesh.ts";
import { fillPool, findPool } from "./pools.ts";
import { poolOfService, rulesOf, servicePort, target } from "./service-ports.ts";
import { findEdge } from "./statistics.ts";

function findDestination(
  mesh: Mesh,
  key: string,
  port: number,
  address: string,
  pool: MeshPool,
): Destination {
  const name = target(key, port);
  const present = mesh.byTarget[name];
  if (present !== undefined && present.protocol === pool.protocol) {
    present.pool = pool;
    present.gone = false;
    return present;
  }
  const id = mesh.nextDestination;
  mesh.nextDestination = id + 1;
  const destination: Destination = {
    id,
    title: pool.title,
    protocol: pool.protocol,
    key,
    port,
    address,
    pool,
    rules: [],
    gone: false,
    references: 0,
    edge: findEdge(mesh.statistics, {
      direction: "to",
      protocol: pool.protocol,
      service: pool.service,
      mtls: false,
      upstream: pool.title,
      server: "",
    }),
  };
  destination.edge.references = destination.edge.references + 1;
  mesh.byTarget[name] = destination;
  mesh.destinations[id] = destination;
  return destination;
}

/** The destination of a Service's port; undefined: no such port. */
export function serviceDestination(
  mesh: Mesh,
  key: Key,
  port: number,
  waiter: number,
): Destination | "wait" | undefined {
  const message = key.value as ServiceMessage | undefined;
  const found = message === undefined ? undefined : servicePort(message, port);
  if (message === undefined || found === undefined) {
    return undefined;
  }
  const known = mesh.byTarget[target(key.name, port)];
  if (known !== undefined && !known.gone && known.protocol === found.protocol) {
    return known;
  }
  const rules = rulesOf(mesh, found.route, found.protocol, waiter);
  if (rules === "wait") {
    return "wait";
  }
  const destination = findDestination(
    mesh,
    key.name,
    port,
    "",
    poolOfService(mesh, message, found, found.protocol),
  );
  destination.rules = rules;
  return destination;
}

export function podProtocol(pod: PodAddress, port: number): Protocol {
  for (let i = 0; i < pod.ports.length; i++) {
    if (pod.ports[i]!.port === port) {
      return pod.ports[i]!.protocol;
    }
  }
  return "tcp";
}

/** Whether the pod's sidecar does not see connections to the port. */
function isPlain(pod: PodAddress, port: number): boolean {
  const ports = pod.plainPorts;
  for (let i = 0; ports !== undefined && i < ports.length; i++) {
    if (ports[i] === port) {
      return true;
    }
  }
  return false;
}

export function podEndpoint(pod: PodAddress, address: string, port: number): Endpoint {
  const identity = isPlain(pod, port) ? "" : pod.identity;
  return { address, port, pod: pod.name, workload: pod.workload, identity };
}

/** The destination of a pod's own address. */
export function podDestination(mesh: Mesh, key: Key, address: string, port: number): Destination {
  const name = target(key.name, port);
  const known = mesh.byTarget[name];
  if (known !== undefined && !known.gone) {
    return known;
  }
  const pod = key.value as PodAddress;
  const pool = findPool(mesh, name, {
    title: `pod ${pod.namespace}/${pod.name} port ${port}`,
    service: "",
    protocol: podProtocol(pod, port),
  });
  fillPool(mesh, pool, [podEndpoint(pod, address, port)], undefined);
  return findDestination(mesh, key.name, port, address, pool);
}

/** The destination of all requests that leave the mesh. */
export function egressDestination(mesh: Mesh, key: Key): Destination {
  const known = mesh.byTarget[target(egressKey, 0)];
  return known !== undefined && !known.gone
    ? known
    : findDestination(mesh, egressKey, 0, "", poolOfEgress(mesh, key));
}
