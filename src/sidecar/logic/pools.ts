/** Pools of endpoints: made from the configuration, kept through its changes. */
import type { Endpoint, LbMethod, Protocol } from "../../wire/messages.ts";
import { defaultMethod, mtlsMode, type Mesh, type MeshEndpoint, type MeshPool } from "./mesh.ts";
import { findEdge } from "./statistics.ts";

export interface PoolOptions {
  readonly title: string;
  readonly service: string;
  readonly protocol: Protocol;
}

/**
 * The pool of a target and a protocol. While a port changes its protocol both are in use: connections that were
 * opened before go on as they began. A backend may also be reached with the protocol of the Service in front of it.
 */
export function findPool(mesh: Mesh, target: string, options: PoolOptions): MeshPool {
  const name = `${target} ${options.protocol}`;
  let pool = mesh.pools[name];
  if (pool === undefined) {
    pool = {
      title: options.title,
      service: options.service,
      protocol: options.protocol,
      method: "least_time",
      endpoints: [],
      next: 0,
      turn: 0,
      ailing: 0,
      lastByte: false,
    };
    mesh.pools[name] = pool;
  }
  return pool;
}

/** What an endpoint must prove: nothing when this pod's own mode is `off`, or when it is this pod itself. */
function requiredIdentity(mesh: Mesh, endpoint: Endpoint): string {
  const itself = endpoint.address === mesh.ownAddress;
  return itself || mtlsMode(mesh) === "off" ? "" : endpoint.identity;
}

function newEndpoint(mesh: Mesh, pool: MeshPool, endpoint: Endpoint): MeshEndpoint | undefined {
  const identity = requiredIdentity(mesh, endpoint);
  const id = mesh.world.endpoint(endpoint.address, endpoint.port, identity);
  if (id === undefined) {
    mesh.world.log(
      "error",
      `${pool.title}: endpoint "${endpoint.address}" left out: it is not an IP address`,
    );
    return undefined;
  }
  const edge = findEdge(mesh.statistics, {
    direction: "to",
    protocol: pool.protocol,
    workload: endpoint.workload,
    service: pool.service,
    pod: endpoint.pod,
    mtls: identity !== "",
    upstream: pool.title,
    server: `${endpoint.address}:${endpoint.port}`,
  });
  edge.references = edge.references + 1;
  return {
    id,
    address: endpoint.address,
    port: endpoint.port,
    identity,
    pod: endpoint.pod,
    workload: endpoint.workload,
    pool,
    edge,
    inFlight: 0,
    average: 0,
    averagedAt: 0,
    taken: 0,
    failures: 0,
    retryAt: 0,
    probing: false,
  };
}

function dropEndpoint(mesh: Mesh, endpoint: MeshEndpoint): void {
  endpoint.edge.references = endpoint.edge.references - 1;
  delete mesh.endpoints[endpoint.id];
  mesh.world.release(endpoint.id);
}

/** In mode `strict` nothing goes to an endpoint without a sidecar. */
function allowed(mesh: Mesh, endpoint: Endpoint): boolean {
  return endpoint.identity !== "" || mtlsMode(mesh) !== "strict";
}

function sameEndpoint(mesh: Mesh, present: MeshEndpoint, wanted: Endpoint): boolean {
  return (
    present.address === wanted.address &&
    present.port === wanted.port &&
    present.identity === requiredIdentity(mesh, wanted) &&
    present.pod === wanted.pod
  );
}

/** Index of the endpoint that is the wanted one, or -1. It is mostly the one at `from`: a change leaves the order. */
function findSame(mesh: Mesh, before: readonly MeshEndpoint[], wanted: Endpoint, from: number): number {
  for (let i = 0; i < before.length; i++) {
    const index = (from + i) % before.length;
    if (sameEndpoint(mesh, before[index]!, wanted)) {
      return index;
    }
  }
  return -1;
}

/** Makes the pool's endpoints those of the configuration; endpoints that stay keep what is known of them. */
export function fillPool(
  mesh: Mesh,
  pool: MeshPool,
  wanted: readonly Endpoint[],
  balancing: LbMethod | undefined,
): void {
  pool.method = balancing ?? defaultMethod(mesh);
  pool.lastByte =
    pool.method === "least_time last_byte" ||
    pool.method === "least_time last_byte inflight" ||
    pool.method === "random two least_time=last_byte";
  const before = pool.endpoints;
  const after: MeshEndpoint[] = [];
  const kept: Record<number, boolean> = {};
  let next = 0;
  for (let i = 0; i < wanted.length; i++) {
    const endpoint = wanted[i]!;
    const same = allowed(mesh, endpoint) ? findSame(mesh, before, endpoint, next) : undefined;
    if (same !== undefined && same >= 0) {
      next = same + 1;
    }
    const found =
      same === undefined ? undefined : same >= 0 ? before[same] : newEndpoint(mesh, pool, endpoint);
    if (found !== undefined) {
      kept[found.id] = true;
      mesh.endpoints[found.id] = found;
      after.push(found);
    }
  }
  pool.ailing = 0;
  for (let i = 0; i < after.length; i++) {
    if (after[i]!.failures > 0) {
      pool.ailing = pool.ailing + 1;
    }
  }
  pool.endpoints = after;
  for (let i = 0; i < before.length; i++) {
    const endpoint = before[i]!;
    if (kept[endpoint.id] !== true) {
      dropEndpoint(mesh, endpoint);
    }
  }
}

export function emptyPool(mesh: Mesh, pool: MeshPool): void {
  fillPool(mesh, pool, [], pool.method);
}

/** Drops all pools that were made from the key, also those that only routes led to. */
export function dropPools(mesh: Mesh, key: string): void {
  for (const name in mesh.pools) {
    if (name.indexOf(`${key} `) === 0) {
      emptyPool(mesh, mesh.pools[name]!);
      delete mesh.pools[name];
    }
  }
}
