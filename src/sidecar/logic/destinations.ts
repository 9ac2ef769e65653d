/**
 * Destinations: what an application connects to. Made when traffic first goes there, changed in place when a key
 * that they are made from changes, dropped when long unused.
 */
import { egressKey, serviceKey } from "../../wire/keys.ts";
import type {
  Backend,
  Endpoint,
  PodAddress,
  Protocol,
  Route,
  ServiceMessage,
  ServicePort,
} from "../../wire/messages.ts";
import { poolOfEgress } from "./egress.ts";
import { need, type Key } from "./keys.ts";
import type { Destination, Mesh, MeshPool } from "./mesh.ts";
import { dropPools, emptyPool, fillPool, findPool } from "./pools.ts";
import type { RouteRule, WeightedBackend } from "./route.ts";
import { findEdge } from "./statistics.ts";

function target(key: string, port: number): string {
  return `${key} ${port}`;
}

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

export function servicePort(message: ServiceMessage, port: number): ServicePort | undefined {
  for (let i = 0; i < message.ports.length; i++) {
    if (message.ports[i]!.port === port && message.ports[i]!.protocol !== "udp") {
      return message.ports[i];
    }
  }
  return undefined;
}

function poolOfService(mesh: Mesh, message: ServiceMessage, port: ServicePort, protocol: Protocol): MeshPool {
  const service = `${message.namespace}/${message.name}`;
  const pool = findPool(mesh, target(serviceKey(message.namespace, message.name), port.port), {
    title: `service ${service} port ${port.port}`,
    service,
    protocol,
  });
  fillPool(mesh, pool, port.endpoints, port.balancing);
  return pool;
}

/** A backend's pool, or undefined while its key has not come (`waiter` is told) or when there is no such port. */
function poolOfBackend(
  mesh: Mesh,
  backend: Backend,
  protocol: Protocol,
  waiter: number,
): MeshPool | "wait" | undefined {
  const key = need(mesh.keys, serviceKey(backend.namespace, backend.name), waiter, mesh.world.now(), false);
  if (key.state === "asked") {
    return "wait";
  }
  const message = key.value as ServiceMessage | undefined;
  const port = message === undefined ? undefined : servicePort(message, backend.port);
  return message === undefined || port === undefined
    ? undefined
    : poolOfService(mesh, message, port, protocol);
}

function weighted(
  mesh: Mesh,
  backends: readonly Backend[],
  protocol: Protocol,
  waiter: number,
): WeightedBackend<MeshPool>[] | "wait" {
  const result: WeightedBackend<MeshPool>[] = [];
  let waiting = false;
  for (let i = 0; i < backends.length; i++) {
    const backend = backends[i]!;
    const pool = poolOfBackend(mesh, backend, protocol, waiter);
    if (pool === "wait") {
      waiting = true;
    } else if (pool !== undefined && backend.weight > 0) {
      result.push({ weight: backend.weight, pool });
    }
  }
  return waiting ? "wait" : result;
}

/** Rules with pools in place of names; "wait" while a backend's key has not come. */
function rulesOf(
  mesh: Mesh,
  route: Route | undefined,
  protocol: Protocol,
  waiter: number,
): RouteRule<MeshPool>[] | "wait" {
  const rules: RouteRule<MeshPool>[] = [];
  if (route === undefined) {
    return rules;
  }
  let waiting = false;
  for (let i = 0; i < route.rules.length; i++) {
    const rule = route.rules[i]!;
    const backends = weighted(mesh, rule.backends, protocol, waiter);
    if (backends === "wait") {
      waiting = true;
    } else if (backends.length > 0) {
      let total = 0;
      for (let j = 0; j < backends.length; j++) {
        total = total + backends[j]!.weight;
      }
      rules.push({ matches: rule.matches, backends, total });
    }
  }
  return waiting ? "wait" : rules;
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

function podProtocol(pod: PodAddress, port: number): Protocol {
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

function podEndpoint(pod: PodAddress, address: string, port: number): Endpoint {
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

function refreshService(mesh: Mesh, destination: Destination, message: ServiceMessage): void {
  const port = servicePort(message, destination.port);
  if (port === undefined) {
    leaveEmpty(mesh, destination);
    return;
  }
  // the port may have another protocol by now: connections that were opened before go on as they began
  const rules = rulesOf(mesh, port.route, destination.protocol, -1);
  poolOfService(mesh, message, port, destination.protocol);
  destination.gone = false;
  // a backend that is new to this worker: the old route stays until its key has come
  if (rules !== "wait") {
    destination.rules = rules;
  }
}

function leaveEmpty(mesh: Mesh, destination: Destination): void {
  destination.gone = true;
  destination.rules = [];
  emptyPool(mesh, destination.pool);
}

function routesTo(key: Key, service: ServiceMessage): boolean {
  for (let i = 0; i < service.ports.length; i++) {
    const route = service.ports[i]!.route;
    for (let j = 0; route !== undefined && j < route.rules.length; j++) {
      const backends = route.rules[j]!.backends;
      for (let k = 0; k < backends.length; k++) {
        if (serviceKey(backends[k]!.namespace, backends[k]!.name) === key.name) {
          return true;
        }
      }
    }
  }
  return false;
}

/** A key changed: brings what was made from it up to date. */
export function refresh(mesh: Mesh, key: Key): void {
  for (const id in mesh.destinations) {
    const destination = mesh.destinations[id]!;
    const own = mesh.keys.byName[destination.key];
    if (destination.key === key.name) {
      refreshOwn(mesh, destination, key);
    } else if (
      own !== undefined &&
      own.state === "present" &&
      isService(own.value) &&
      routesTo(key, own.value)
    ) {
      refreshService(mesh, destination, own.value);
    }
  }
}

function refreshOwn(mesh: Mesh, destination: Destination, key: Key): void {
  if (key.state !== "present") {
    leaveEmpty(mesh, destination);
    return;
  }
  if (key.name === egressKey) {
    destination.pool = poolOfEgress(mesh, key);
    destination.gone = false;
    return;
  }
  if (isService(key.value)) {
    refreshService(mesh, destination, key.value);
    return;
  }
  const pod = key.value as PodAddress;
  if (pod.kind !== "pod" || podProtocol(pod, destination.port) !== destination.protocol) {
    leaveEmpty(mesh, destination);
    return;
  }
  fillPool(mesh, destination.pool, [podEndpoint(pod, destination.address, destination.port)], undefined);
  destination.gone = false;
}

function isService(value: unknown): value is ServiceMessage {
  return (value as ServiceMessage).name !== undefined && (value as PodAddress).kind === undefined;
}

/** The pod's own settings changed: modes and methods apply to everything. */
export function refreshAll(mesh: Mesh): void {
  for (const id in mesh.destinations) {
    const destination = mesh.destinations[id]!;
    const key = mesh.keys.byName[destination.key];
    if (key !== undefined) {
      refreshOwn(mesh, destination, key);
    }
  }
}

/** Whether a connection may still use what was made from the key, or a route leads to it. */
function inUse(mesh: Mesh, key: Key): boolean {
  for (const id in mesh.destinations) {
    const destination = mesh.destinations[id]!;
    const own = mesh.keys.byName[destination.key];
    if (destination.key === key.name) {
      if (destination.references > 0) {
        return true;
      }
    } else if (
      own !== undefined &&
      own.state === "present" &&
      isService(own.value) &&
      routesTo(key, own.value)
    ) {
      return true;
    }
  }
  return false;
}

/** Forgets what was made from a key; false when something still needs it. */
export function forget(mesh: Mesh, key: Key): boolean {
  if (inUse(mesh, key)) {
    return false;
  }
  for (const id in mesh.destinations) {
    const destination = mesh.destinations[id]!;
    if (destination.key === key.name) {
      leaveEmpty(mesh, destination);
      destination.edge.references = destination.edge.references - 1;
      delete mesh.destinations[id];
      delete mesh.byTarget[target(key.name, destination.port)];
    }
  }
  dropPools(mesh, key.name);
  return true;
}
