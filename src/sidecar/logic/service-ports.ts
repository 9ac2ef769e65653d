/** What the key of a Service says of its ports: pools of endpoints, and where a split sends requests instead. */
import { serviceKey } from "../../wire/keys.ts";
import type { Backend, Protocol, Route, ServiceMessage, ServicePort } from "../../wire/messages.ts";
import { need } from "./keys.ts";
import type { Mesh, MeshPool } from "./mesh.ts";
import { fillPool, findPool } from "./pools.ts";
import type { RouteRule, WeightedBackend } from "./route.ts";

/** Name of what stands behind a port of a key. */
export function target(key: string, port: number): string {
  return `${key} ${port}`;
}

export function servicePort(message: ServiceMessage, port: number): ServicePort | undefined {
  for (let i = 0; i < message.ports.length; i++) {
    if (message.ports[i]!.port === port && message.ports[i]!.protocol !== "udp") {
      return message.ports[i];
    }
  }
  return undefined;
}

export function poolOfService(
  mesh: Mesh,
  message: ServiceMessage,
  port: ServicePort,
  protocol: Protocol,
): MeshPool {
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
export function rulesOf(
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
