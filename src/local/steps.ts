/** What to do next so that the pods that run become those that should. Pure; asked again after every change. */
import type { DesiredGroup, DesiredPod } from "./desired.ts";

export interface PresentPod {
  readonly desired: DesiredPod;
  /** Ready, or done with its work. */
  readonly ready: boolean;
  readonly terminating: boolean;
}

export interface Steps {
  readonly start: readonly DesiredPod[];
  /** `namespace/name` */
  readonly stop: readonly string[];
}

export function podKey(pod: { readonly namespace: string; readonly name: string }): string {
  return `${pod.namespace}/${pod.name}`;
}

/** As the `key` of a group, from a pod. */
export function ownerKey(pod: Pick<DesiredPod, "namespace" | "owner">): string {
  return `${pod.namespace}/${pod.owner.kind}/${pod.owner.name}`;
}

const nothing: Steps = { start: [], stop: [] };

function keysOf(pods: readonly PresentPod[]): string[] {
  return pods.map((pod) => podKey(pod.desired));
}

/** A quarter more than wanted at a time, the default maxSurge of a Deployment. */
function surgeOf(replicas: number): number {
  return Math.max(1, Math.ceil(replicas / 4));
}

/**
 * New pods are ready before others go: those of an older revision, and those that are too many since there are to be
 * fewer. Never fewer ready ones than wanted while that can be helped.
 */
function surge(group: DesiredGroup, present: readonly PresentPod[]): Steps {
  const wanted = new Set(group.pods.map(podKey));
  const names = new Set(keysOf(present));
  const live = present.filter((pod) => !pod.terminating);
  const current = live.filter((pod) => wanted.has(podKey(pod.desired)));
  const others = live.filter((pod) => !current.includes(pod));
  const most = group.pods.length + (others.length === 0 ? 0 : surgeOf(group.pods.length));
  const start = group.pods.filter((pod) => !names.has(podKey(pod)));
  const room = Math.max(0, most - live.length);
  const readyOthers = others.filter((pod) => pod.ready);
  const spare = current.filter((pod) => pod.ready).length + readyOthers.length - group.pods.length;
  const going = [
    ...others.filter((pod) => !pod.ready),
    ...readyOthers.toReversed().slice(0, Math.max(0, spare)),
  ];
  return { start: start.slice(0, room), stop: keysOf(going) };
}

/** Names are used again: upwards they are started, each when those before it are ready; downwards replaced, one by one. */
function replace(group: DesiredGroup, present: readonly PresentPod[]): Steps {
  const byName = new Map(present.map((pod) => [podKey(pod.desired), pod]));
  const wanted = new Set(group.pods.map(podKey));
  const excess = keysOf(present.filter((pod) => !pod.terminating && !wanted.has(podKey(pod.desired))));
  const start: DesiredPod[] = [];
  for (const pod of group.pods) {
    const there = byName.get(podKey(pod));
    if (there === undefined) {
      start.push(pod);
    }
    if (there?.ready !== true && group.ordered) {
      break;
    }
  }
  const own = group.pods.flatMap((pod) => byName.get(podKey(pod)) ?? []);
  if (start.length > 0 || own.some((pod) => pod.terminating)) {
    return { start, stop: excess };
  }
  const outdated = own.filter((pod) => pod.desired.revision !== group.pods[0]?.revision);
  const calm = own.length === group.pods.length && own.every((pod) => pod.ready);
  const next = outdated.findLast((pod) => !pod.ready) ?? (calm ? outdated.at(-1) : undefined);
  return { start: [], stop: next === undefined ? excess : [...excess, podKey(next.desired)] };
}

function groupSteps(group: DesiredGroup, present: readonly PresentPod[]): Steps {
  if (group.refused) {
    return nothing;
  }
  return group.update === "surge" ? surge(group, present) : replace(group, present);
}

/** Pods of a group that cannot be started as it is now written go on as they are. */
export function nextSteps(groups: readonly DesiredGroup[], present: readonly PresentPod[]): Steps {
  const byOwner = Map.groupBy(present, (pod) => ownerKey(pod.desired));
  const known = new Set(groups.map((group) => group.key));
  const steps = groups.map((group) => groupSteps(group, byOwner.get(group.key) ?? []));
  const orphans = present.filter((pod) => !pod.terminating && !known.has(ownerKey(pod.desired)));
  return {
    start: steps.flatMap((step) => step.start),
    stop: [...steps.flatMap((step) => step.stop), ...keysOf(orphans)],
  };
}
