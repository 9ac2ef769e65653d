/** A sidecar's mesh as text, to compare what Node and LuaJIT make of one scenario. Compiles to Lua too. */
import type { Key } from "../../src/sidecar/logic/keys.ts";
import type { Destination, Mesh, MeshEndpoint, MeshPool } from "../../src/sidecar/logic/mesh.ts";
import type { Result } from "./scenarios.ts";

/** In an order of its own: the order of a table's keys is not the same in Node and in Lua. */
export function writeSorted(result: Result, title: string, list: string[]): void {
  list.sort();
  result.values.push(`${title}: ${list.join("; ")}`);
}

function describeEndpoint(endpoint: MeshEndpoint): string {
  const { address, port, identity, inFlight, failures, retryAt } = endpoint;
  return `${address} ${port} ${identity} ${inFlight} ${failures} ${retryAt}`;
}

function describePool(pool: MeshPool): string {
  const parts: string[] = [`${pool.title} ${pool.protocol} ${pool.method} ${pool.ailing} ${pool.lastByte}`];
  for (let i = 0; i < pool.endpoints.length; i++) {
    parts.push(describeEndpoint(pool.endpoints[i]!));
  }
  return parts.join(", ");
}

function describeDestination(destination: Destination): string {
  const { id, title, gone, references, pool, protocol } = destination;
  const parts: string[] = [`${id} ${title} ${protocol} ${gone} ${references} ${pool.endpoints.length}`];
  for (let i = 0; i < destination.rules.length; i++) {
    const rule = destination.rules[i]!;
    for (let j = 0; j < rule.backends.length; j++) {
      const backend = rule.backends[j]!;
      parts.push(
        `${i} ${backend.weight}/${rule.total} ${backend.pool.title} ${backend.pool.endpoints.length}`,
      );
    }
  }
  return parts.join(", ");
}

function describeKey(key: Key): string {
  const { name, state, waiters, usedAt, pinned, fresher, value } = key;
  return `${name} ${state} ${waiters.join(" ")} ${usedAt} ${pinned} ${fresher} ${value !== undefined}`;
}

/** Writes down everything that can be seen of the mesh. */
export function describe(mesh: Mesh, result: Result): void {
  const lists: Record<"keys" | "destinations" | "pools" | "callers", string[]> = {
    keys: [],
    destinations: [],
    pools: [],
    callers: [],
  };
  for (const name in mesh.keys.byName) {
    lists.keys.push(describeKey(mesh.keys.byName[name]!));
  }
  for (const id in mesh.destinations) {
    lists.destinations.push(describeDestination(mesh.destinations[id]!));
  }
  for (const name in mesh.pools) {
    lists.pools.push(`${name} ${describePool(mesh.pools[name]!)}`);
  }
  for (const id in mesh.callers) {
    const { port, edge, references } = mesh.callers[id]!;
    lists.callers.push(`${port} ${edge.identity} ${edge.protocol} ${edge.total} ${references}`);
  }
  writeSorted(result, "keys", lists.keys);
  writeSorted(result, "destinations", lists.destinations);
  writeSorted(result, "pools", lists.pools);
  writeSorted(result, "callers", lists.callers);
  result.values.push(mesh.keys.count, mesh.changedAt, mesh.statistics.total);
}
