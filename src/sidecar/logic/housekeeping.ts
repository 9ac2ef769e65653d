/** What is done now and then: what nothing has used for long goes, so that memory follows the traffic. */
import { forget } from "./changes.ts";
import type { Key, Keys } from "./keys.ts";
import type { Mesh } from "./mesh.ts";
import { prune } from "./statistics.ts";

/** Seconds after which a key that traffic does not need any more is dropped. */
export const unusedAfter = 600;

/** The same for what the bucket does not have: addresses outside of the mesh, of which there is no end. */
export const absentAfter = 60;
/** With more keys than this everything goes that traffic does not need right now: a pod may try every address. */
export const manyKeys = 4000;
const unusedOfMany = 10;

/** Keys that nothing has needed for long and that may go. */
function unused(keys: Keys, now: number): Key[] {
  const result: Key[] = [];
  const many = keys.count > manyKeys;
  for (const name in keys.byName) {
    const key = keys.byName[name]!;
    const patience = many ? unusedOfMany : key.value === undefined ? absentAfter : unusedAfter;
    if (!key.pinned && key.usedAt < now - patience && key.waiters.length === 0) {
      result.push(key);
    }
  }
  return result;
}

/** While NATS is away nobody empties the list of what to ask. */
function forgetToAsk(keys: Keys): void {
  const { toAsk } = keys;
  let kept = 0;
  for (let i = 0; i < toAsk.length; i++) {
    const name = toAsk[i]!;
    if (keys.byName[name] !== undefined) {
      toAsk[kept] = name;
      kept = kept + 1;
    }
  }
  while (toAsk.length > kept) {
    toAsk.pop();
  }
}

/** Drops what was long unused; returns the names that need not be followed any more. */
export function dropUnused(mesh: Mesh, now: number): string[] {
  const names: string[] = [];
  const keys = unused(mesh.keys, now);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    if (forget(mesh, key)) {
      delete mesh.keys.byName[key.name];
      mesh.keys.count = mesh.keys.count - 1;
      names.push(key.name);
    }
  }
  forgetToAsk(mesh.keys);
  return names;
}

function countCallers(mesh: Mesh): number {
  let count = 0;
  for (const name in mesh.callerOf) {
    count = mesh.callerOf[name] === undefined ? count : count + 1;
  }
  return count;
}

/** Forgets callers without connections above `limit`, so that identities and ports that come and go take no memory. */
export function forgetCallers(mesh: Mesh, limit: number): void {
  let count = countCallers(mesh);
  if (count <= limit) {
    return;
  }
  for (const name in mesh.callerOf) {
    const caller = mesh.callerOf[name]!;
    if (count > limit && caller.references === 0) {
      caller.edge.references = caller.edge.references - 1;
      delete mesh.callers[caller.id];
      delete mesh.callerOf[name];
      count = count - 1;
    }
  }
  releaseApplications(mesh);
}

/** Callers and edges without connections that are remembered at most. */
export const remembered = 1000;

export function forgetIdle(mesh: Mesh): void {
  forgetCallers(mesh, remembered);
  prune(mesh.statistics, remembered);
}

/** Releases the endpoints of own ports that no caller is known of any more. */
function releaseApplications(mesh: Mesh): void {
  const called: Record<number, boolean> = {};
  for (const id in mesh.callers) {
    called[mesh.callers[id]!.endpoint] = true;
  }
  for (const target in mesh.applications) {
    const endpoint = mesh.applications[target]!;
    if (called[endpoint] !== true) {
      delete mesh.applications[target];
      mesh.world.release(endpoint);
    }
  }
}
