/** What to do next so that the pods that run become those that should. Pure; called again after every change. */
import type { Desired, DesiredGroup, DesiredPod } from "./desired.ts";

export interface PresentPod {
  readonly desired: DesiredPod;
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

function ownerKey(pod: DesiredPod): string {
  return `${pod.namespace}/${pod.owner.kind}/${pod.owner.name}`;
}

/** Old pods go only as far as enough ready ones stay. */
function surplus(group: DesiredGroup, old: readonly PresentPod[], current: readonly PresentPod[]): string[] {
  const running = old.filter((pod) => !pod.terminating);
  const unready = running.filter((pod) => !pod.ready);
  const ready = running.filter((pod) => pod.ready);
  const readyNow = current.filter((pod) => pod.ready && !pod.terminating).length + ready.length;
  const excess = Math.max(0, readyNow - group.replicas);
  const allNewReady = current.filter((pod) => pod.ready).length >= group.replicas;
  const going = allNewReady ? ready : ready.slice(0, excess);
  return [...unready, ...going].map((pod) => podKey(pod.desired));
}

function groupSteps(group: DesiredGroup, present: readonly PresentPod[]): Steps {
  const wanted = new Map(group.pods.map((pod) => [podKey(pod), pod]));
  const byName = new Map(present.map((pod) => [podKey(pod.desired), pod]));
  const isCurrent = (pod: PresentPod): boolean => wanted.get(podKey(pod.desired))?.revision === pod.desired.revision;
  const old = present.filter((pod) => !isCurrent(pod));
  const start = group.pods.filter((pod) => !byName.has(podKey(pod)));
  if (group.update === "surge") {
    // fewer replicas: names that are no longer wanted, of the same revision, go at once
    const revision = group.pods[0]?.revision;
    const scaledDown = old.filter((pod) => revision !== undefined && pod.desired.revision === revision);
    const replaced = old.filter((pod) => !scaledDown.includes(pod));
    const stop = [
      ...scaledDown.map((pod) => podKey(pod.desired)),
      ...surplus(group, replaced, present.filter(isCurrent)),
    ];
    return { start, stop };
  }
  // one at a time, the highest first, as StatefulSets are updated
  const gone = old.filter((pod) => !wanted.has(podKey(pod.desired)));
  const outdated = old.filter((pod) => wanted.has(podKey(pod.desired)) && !pod.terminating);
  const calm = start.length === 0 && present.every((pod) => pod.ready && !pod.terminating);
  const next = outdated.at(-1);
  const stop = [...gone, ...(next !== undefined && (calm || !next.ready) ? [next] : [])];
  return { start, stop: stop.map((pod) => podKey(pod.desired)) };
}

export function nextSteps(desired: Desired, present: readonly PresentPod[]): Steps {
  const owners = new Set(desired.groups.flatMap((group) => group.pods.map(ownerKey)));
  const steps = desired.groups.map((group) => {
    const first = group.pods[0];
    const own = first === undefined ? [] : present.filter((pod) => ownerKey(pod.desired) === ownerKey(first));
    return groupSteps(group, own);
  });
  const orphans = present.filter((pod) => !owners.has(ownerKey(pod.desired))).map((pod) => podKey(pod.desired));
  const terminating = new Set(present.filter((pod) => pod.terminating).map((pod) => podKey(pod.desired)));
  return {
    start: steps.flatMap((step) => step.start),
    stop: [...steps.flatMap((step) => step.stop), ...orphans].filter((key) => !terminating.has(key)),
  };
}
