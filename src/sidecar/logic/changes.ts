/** Destinations are changed in place when a key that they are made from changes, and dropped when long unused. */
import { egressKey, serviceKey } from "../../wire/keys.ts";
import type { PodAddress, ServiceMessage } from "../../wire/messages.ts";
import { podEndpoint, podProtocol } from "./destinations.ts";
import { poolOfEgress } from "./egress.ts";
import type { Key } from "./keys.ts";
import type { Destination, Mesh } from "./mesh.ts";
import { dropPools, emptyPool, fillPool } from "./pools.ts";
import { poolOfService, rulesOf, servicePort, target } from "./service-ports.ts";

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
  if (rules === "wait") {
    mesh.world.wake();
  } else {
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
